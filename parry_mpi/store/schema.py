"""The format of the state file: its name, version and tables, its root row, and how its first bytes must look.

This module must not write to the file.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import urllib.parse
import zlib
from pathlib import Path

import msgspec

from parry_mpi.core.state import Counters
from parry_mpi.errors import CommitFailed, StoreCorrupt, StoreError, StoreVersionError
from parry_mpi.store.identity import Identity
from parry_mpi.store.rows import SOLUTIONS, TABLES, Totals

STATE_NAME = "state.sqlite"
JOURNAL_SUFFIX = "-journal"
APPLICATION_ID = 0x50415252
"""Marks an SQLite file as ours: "PARR"."""
FORMAT_VERSION = 3
"""What this parry_mpi writes; it can read all before. Raise it when an older one could not read the file any more.

2: solutions. 3: jobs have bounds."""
PAGE_SIZE_BYTES = 4096
BUSY_TIMEOUT_S = 10.0
"""How long to wait for a reader or a commit to end; both take seconds at the very most."""

ADVICE = "It was left as it is: restore it from a copy, or choose another folder with --run-dir"

_COLUMNS = "(id INTEGER PRIMARY KEY, weight INTEGER NOT NULL, body BLOB NOT NULL, checksum INTEGER NOT NULL)"
SCHEMA = (
    "CREATE TABLE meta (key INTEGER PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL)",
    *(f"CREATE TABLE {table.name} {_COLUMNS}" for table in TABLES),
)
SOLUTIONS_SCHEMA = f"CREATE TABLE {SOLUTIONS.name} {_COLUMNS}"
"""What comes with the first solution."""
ROOT_KEY = 1
IDENTITY_KEY = 2
RESULT_KEY = 3

# SQLite's header, https://www.sqlite.org/fileformat2.html section 1.3: what we write never varies in these places.
_HEADER_SIZE_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_LAYOUT = struct.pack(">HBBBBBB", PAGE_SIZE_BYTES, 1, 1, 0, 64, 32, 32)
"""Page size, rollback journal for writing and reading (a damaged byte here would make SQLite look for a WAL), reserved space,
three fixed numbers."""
_VERSION_AT, _APPLICATION_AT, _ENCODING_AT = 60, 68, 56
_UTF8 = 1


class Root(msgspec.Struct, kw_only=True):
    """The one row that vouches for all others of its commit.

    Args:
        counters: the counters of the run.
        totals: for each table, sums over its rows.
        solutions: the same for the table of solutions; as long as it has no rows there is no such table.
        result_size_bytes: size of the encoded result.
        result_checksum: its checksum.
        generation: of the lock under which it was written.
        commits: how many commits there were.
        finished: whether nothing is left to do; the answer is complete if nothing is quarantined either.
        phase: what the run was doing, one word or a few, for the user.
    """

    counters: Counters
    totals: dict[str, Totals] = msgspec.field(default_factory=dict)
    solutions: Totals = Totals()
    result_size_bytes: int = 0
    result_checksum: int = 0
    generation: int = 0
    commits: int = 0
    finished: bool = False
    phase: str = ""


def check_header(path: Path) -> None:
    """Look at a state file's first bytes before SQLite does, which trusts them.

    Never call this in a process that has the file open in SQLite: closing it would drop SQLite's POSIX locks.

    Raises:
        StoreVersionError: a newer parry_mpi wrote it.
        StoreCorrupt: it is damaged, or not ours.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE_BYTES)
    if len(header) < _HEADER_SIZE_BYTES or not header.startswith(_MAGIC):
        raise StoreCorrupt(f"{path} is damaged: it does not begin like a state of parry_mpi. {ADVICE}")
    (application_id,) = struct.unpack_from(">I", header, _APPLICATION_AT)
    (version,) = struct.unpack_from(">I", header, _VERSION_AT)
    (encoding,) = struct.unpack_from(">I", header, _ENCODING_AT)
    if application_id != APPLICATION_ID:
        raise StoreCorrupt(f"{path} was not written by parry_mpi, or is damaged. {ADVICE}")
    if header[16:24] != _LAYOUT or encoding != _UTF8 or version == 0:
        raise StoreCorrupt(f"{path} is damaged: its header makes no sense. {ADVICE}")
    if version > FORMAT_VERSION:
        raise StoreVersionError(
            f"{path} was written by a newer parry_mpi (format {version}, this one knows {FORMAT_VERSION}): "
            "use that version, or choose another folder with --run-dir"
        )


def connect(path: Path, options: str) -> sqlite3.Connection:
    """Open a state file; transactions are begun and ended by hand.

    Args:
        path: the file.
        options: SQLite URI parameters, such as "mode=ro".
    """
    uri = f"file:{urllib.parse.quote(os.fspath(path.absolute()))}?{options}"
    connection = sqlite3.connect(
        uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
    )
    try:
        connection.execute("PRAGMA cell_size_check=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def get_meta(connection: sqlite3.Connection, key: int) -> bytes:
    """Read a row of the table meta.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    row = connection.execute("SELECT value, checksum FROM meta WHERE key = ?", (key,)).fetchone()
    if row is None or not isinstance(row[0], bytes) or meta_checksum(key, row[0]) != row[1]:
        raise StoreCorrupt("what the run wrote about itself is missing or does not match its checksum")
    return row[0]


def put_meta(connection: sqlite3.Connection, key: int, value: bytes) -> None:
    """Write a row of the table meta, within the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, meta_checksum(key, value)))


def meta_checksum(key: int, value: bytes) -> int:
    """The checksum of a row of the table meta."""
    return zlib.crc32(value, key)


def get_root(connection: sqlite3.Connection) -> Root:
    """Read the root row.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    try:
        return msgspec.msgpack.decode(get_meta(connection, ROOT_KEY), type=Root)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"what the run wrote about itself cannot be read ({error})") from error


def get_identity(connection: sqlite3.Connection) -> Identity:
    """Read whose state this is.

    Raises:
        StoreCorrupt: it is missing or damaged.
    """
    return Identity.from_json(get_meta(connection, IDENTITY_KEY))


def translated(error: sqlite3.Error, path: Path) -> StoreError:
    """Return what an error of SQLite means for the run."""
    if isinstance(error, sqlite3.DatabaseError) and type(error) is sqlite3.DatabaseError:
        return StoreCorrupt(f"{path} is damaged ({error}). {ADVICE}")
    return CommitFailed(f"{path} cannot be written ({error}): what was committed before is intact")
