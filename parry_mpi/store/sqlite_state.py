"""Write the state of a run: one SQLite transaction for every commit of the net change.

Rollback journal and no WAL, because shared memory does not reach across machines; full synchronisation, because "committed"
must mean on disk. This module must not decide who may write: lock.py does, and is asked before every transaction ends.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from parry_mpi.core.state import Changes
from parry_mpi.errors import CommitFailed, InvariantError, StoreCorrupt, StoreLocked
from parry_mpi.store.identity import Identity
from parry_mpi.store.rows import (
    SOLUTIONS,
    Collected,
    CollectedTable,
    Row,
    Table,
    Totals,
    changes_by_table,
    totals_of,
    unexplored_weight,
)
from parry_mpi.store.schema import (
    APPLICATION_ID,
    FORMAT_VERSION,
    IDENTITY_KEY,
    JOURNAL_SUFFIX,
    PAGE_SIZE_BYTES,
    RESULT_KEY,
    ROOT_KEY,
    SCHEMA,
    SOLUTIONS_SCHEMA,
    Root,
    connect,
    get_root,
    put_meta,
    translated,
)

NEW_SUFFIX = ".new"
"""Added to the name of a state file until it is complete. A file without it was complete once, so an empty one is damaged."""
INSERTED_TOGETHER = 200
"""Rows inserted by one statement, twice as fast as one by one; four values each, and old SQLite allows 999 in a statement."""
ENCODED_TOGETHER = 50 * INSERTED_TOGETHER
"""Rows made before they are inserted: a commit of ever so many jobs does not have all of them in memory once more."""
REMOVED_TOGETHER = 2000
"""Rows removed by one statement; 20 digits each, and SQLite allows a million characters in a statement."""
NOTHING_COLLECTED: Mapping[int, Collected] = MappingProxyType({})
"""What a commit of a run brings that does not collect."""


class SqliteState:
    """An open state file. Not for two threads at the same time.

    Args:
        path: the file; it exists and was verified.
        generation: of the lock under which it is written.
        posix_locks: whether the file system has them; without, the folder's lock alone keeps writers apart.
    """

    def __init__(self, path: Path, generation: int, *, posix_locks: bool = True) -> None:
        self._path = path
        self._generation = generation
        self._options = "mode=rw" if posix_locks else "mode=rw&vfs=unix-none"
        self._connection: sqlite3.Connection | None = None
        self._result_on_disk: bytes | None = None

    def take_over(self, commits: int, identity: Identity) -> None:
        """Mark the state as ours, so that an earlier holder of the lock that wakes up cannot commit.

        Args:
            commits: how many commits it had when it was read.
            identity: with what it is continued; the source may be a corrected one.

        Raises:
            StoreLocked: somebody else wrote since.
            CommitFailed: the file system refuses.
        """
        with self._transaction() as connection:
            root = self._own_root(connection)
            if root.commits != commits:
                raise StoreLocked(f"{self._path} changed while it was read: another coordinator writes to it; try again")
            root.generation = self._generation
            connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")  # from now on it may hold what an older one cannot read
            put_meta(connection, ROOT_KEY, msgspec.msgpack.encode(root))
            put_meta(connection, IDENTITY_KEY, identity.to_json())

    def put_identity(self, identity: Identity, fence: Callable[[], None]) -> None:
        """Replace the identity; raises as ``commit`` does."""
        with self._transaction(fence) as connection:
            self._own_root(connection)
            put_meta(connection, IDENTITY_KEY, identity.to_json())

    def commit(
        self,
        changes: Changes,
        result: bytes,
        *,
        finished: bool,
        phase: str,
        collected: Mapping[int, Collected] = NOTHING_COLLECTED,
        fence: Callable[[], None] | None = None,
    ) -> None:
        """Write a net change in one transaction; after an exception nothing of it counts, and it can be tried again.

        Args:
            changes: what changed since the last commit that succeeded.
            result: the encoded result of the run.
            collected: the solutions that came with it, each report's under a number of its own.
            finished: whether nothing is left to do.
            phase: what the run is doing, for the user.
            fence: called as the last thing before anything becomes visible; raises if we may not write any more.

        Raises:
            StoreLocked: another coordinator took over.
            CommitFailed: the file system refuses.
            StoreCorrupt: the file was damaged while we had it.
        """
        with self._transaction(fence) as connection:
            root = self._own_root(connection)
            # A result that did not change is not written again; equal bytes are found so faster than they are synchronised.
            write_result = self._result_on_disk is None or result != self._result_on_disk
            _write(connection, root, changes, result if write_result else None)
            _write_collected(connection, root, collected)
            root.generation, root.finished, root.phase = self._generation, finished, phase
            put_meta(connection, ROOT_KEY, msgspec.msgpack.encode(root))
        self._result_on_disk = result

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    @contextlib.contextmanager
    def _transaction(self, fence: Callable[[], None] | None = None) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            if fence is not None:
                fence()
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._abandon()
            raise translated(error, self._path) from error
        except (OverflowError, MemoryError) as error:
            self._abandon()
            raise CommitFailed(f"{self._path}: the state does not fit into SQLite ({error})") from error
        except BaseException:
            self._abandon()
            raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connection = connect(self._path, self._options)
            connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
            # Nothing reaches the file before COMMIT, hence before the fence was asked.
            connection.execute("PRAGMA cache_spill=OFF")
        return self._connection

    def _abandon(self) -> None:
        """Undo a transaction. A new connection next time: what one does after an input/output error is hard to foresee."""
        self._result_on_disk = None
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            self.close()

    def _own_root(self, connection: sqlite3.Connection) -> Root:
        root = get_root(connection)
        if root.generation > self._generation:
            raise StoreLocked(f"{self._path} was taken over by another coordinator; this one writes nothing more")
        return root


def create_state(
    path: Path,
    identity: Identity,
    changes: Changes,
    result: bytes,
    root: Root,
    *,
    fence: Callable[[], None] | None = None,
) -> None:
    """Create a state file that holds a first commit. It appears complete or not at all.

    Args:
        path: must not exist.
        identity: whose state it is.
        changes: the first net change.
        result: the encoded result so far.
        root: says under which lock it is created and what the run is doing; completed here.
        fence: called as the last thing before it appears; raises if we may not write any more.

    Raises:
        CommitFailed: the file system refuses.
    """
    new = path.with_name(path.name + NEW_SUFFIX)
    try:
        # A journal that outlived its file would be rolled back into the new one.
        for leftover in (new, new.with_name(new.name + JOURNAL_SUFFIX), path.with_name(path.name + JOURNAL_SUFFIX)):
            leftover.unlink(missing_ok=True)
        _write_new_file(new, identity, changes, result, root)
        if fence is not None:
            fence()
        if path.exists():
            raise StoreLocked(f"{path} was created by another coordinator just now")
        new.rename(path)
        _sync_folder(path.parent)
    except (OSError, sqlite3.Error, OverflowError) as error:
        raise CommitFailed(f"{path} cannot be created ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _write_new_file(path: Path, identity: Identity, changes: Changes, result: bytes, root: Root) -> None:
    with contextlib.closing(connect(path, "mode=rwc&vfs=unix-none")) as connection:
        connection.execute(f"PRAGMA page_size={PAGE_SIZE_BYTES}")
        connection.execute("PRAGMA journal_mode=MEMORY")  # Should we die, the whole file is thrown away.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        for statement in SCHEMA:
            connection.execute(statement)
        put_meta(connection, IDENTITY_KEY, identity.to_json())
        _write(connection, root, changes, result)
        put_meta(connection, ROOT_KEY, msgspec.msgpack.encode(root))
        connection.execute("COMMIT")


def _write(connection: sqlite3.Connection, root: Root, changes: Changes, result: bytes | None) -> None:
    """Write a net change and bring the root row, which the caller writes, up to date.

    Args:
        connection: within a transaction.
        root: changed to describe the tables as they are then.
        changes: what to put and to remove.
        result: the encoded result; None if it is on disk already.
    """
    for table, put, removed in changes_by_table(changes):
        root.totals[table.name] = _write_table(connection, table, put, removed, root.totals.get(table.name, Totals()))
    if result is not None:
        put_meta(connection, RESULT_KEY, result)
        root.result_size_bytes, root.result_checksum = len(result), zlib.crc32(result)
    root.counters = changes.counters
    root.commits += 1
    try:
        unexplored_weight(root.counters, root.totals.values())
    except StoreCorrupt as error:
        raise InvariantError(f"nothing is committed: {error}") from error


def _write_collected(connection: sqlite3.Connection, root: Root, collected: Mapping[int, Collected]) -> None:
    """Write solutions. Those that an earlier try did get to the disk, although it failed, have the same numbers: they are replaced."""
    if not collected:
        return
    if not root.solutions.rows:
        connection.execute(SOLUTIONS_SCHEMA)
    root.solutions = _write_table(connection, SOLUTIONS, collected, set(), root.solutions)


def _write_table(
    connection: sqlite3.Connection,
    table: Table[Any, Any] | CollectedTable,
    put: Mapping[Any, Any],
    removed: set[Any],
    totals: Totals,
) -> Totals:
    """Remove and put rows of one table; return its new totals."""
    if removed or put:
        # Ids grow: a row with a higher id than all on disk cannot be there, and most of what is put is new.
        (id_max,) = connection.execute(f"SELECT max(id) FROM {table.name}").fetchone()  # noqa: S608 our own names
        if id_max is not None:
            gone = sorted(removed.union(row_id for row_id in put if row_id <= id_max))
            totals = totals.minus(_remove_rows(connection, table.name, gone))
    rows = table.rows(put)
    while some := list(itertools.islice(rows, ENCODED_TOGETHER)):
        _insert_rows(connection, table.name, some)
        totals = totals.plus(totals_of(some))
    return totals


def _remove_rows(connection: sqlite3.Connection, name: str, gone: list[int]) -> Totals:
    """Remove rows, as far as they are there; return their totals."""
    totals = Totals()
    for start in range(0, len(gone), REMOVED_TOGETHER):
        # Written out: three times faster than one by one, and integers can be nothing but integers.
        ids = ",".join(map(str, gone[start : start + REMOVED_TOGETHER]))
        found = connection.execute(
            f"SELECT count(*), sum(weight), sum(checksum) FROM {name} WHERE id IN ({ids})"  # noqa: S608 our own names
        ).fetchone()
        if found[0]:
            connection.execute(f"DELETE FROM {name} WHERE id IN ({ids})")  # noqa: S608 our own names
            totals = totals.plus(Totals(*found))
    return totals


def _insert_rows(connection: sqlite3.Connection, name: str, rows: list[Row]) -> None:
    statement = f"INSERT INTO {name} VALUES "  # noqa: S608 our own names
    whole = len(rows) - len(rows) % INSERTED_TOGETHER
    together = (
        list(itertools.chain.from_iterable(rows[start : start + INSERTED_TOGETHER]))
        for start in range(0, whole, INSERTED_TOGETHER)
    )
    connection.executemany(statement + ",".join(["(?, ?, ?, ?)"] * INSERTED_TOGETHER), together)
    connection.executemany(statement + "(?, ?, ?, ?)", rows[whole:])


def _sync_folder(folder: Path) -> None:
    """Make a new name durable; file systems that cannot do it keep names durable anyway."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
