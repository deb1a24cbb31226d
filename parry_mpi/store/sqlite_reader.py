"""Read a state file and believe nothing of it: every row is checked against what the commit that wrote it vouched for.

This module must not change the file, nor create anything beside it: a commit that was cut short is undone in a copy.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from parry_mpi.core.ids import JobId, LeaseId
from parry_mpi.core.packed import PackedJobs
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Lease, Snapshot
from parry_mpi.errors import CommitFailed, StoreCorrupt, StoreLocked
from parry_mpi.store.identity import Identity
from parry_mpi.store.rows import LEASES, PENDING, QUARANTINED, SOLUTIONS, Table, Totals, totals_of, unexplored_weight
from parry_mpi.store.schema import (
    ADVICE,
    JOURNAL_SUFFIX,
    RESULT_KEY,
    Root,
    check_header,
    connect,
    get_identity,
    get_meta,
    get_root,
)

ATTEMPTS = 8
ATTEMPT_PAUSE_S = 0.25
"""Without POSIX locks a reader can meet a commit half done; commits come every second and take a fraction of one, so that two
seconds of looks see a quiet file."""

Answer = TypeVar("Answer")


class Stored(NamedTuple):
    """All that a state file holds.

    Args:
        identity: whose state it is.
        root: counters and totals.
        snapshot: the state for core.state.
        result: the encoded result.
    """

    identity: Identity
    root: Root
    snapshot: Snapshot
    result: bytes


class Summary(NamedTuple):
    """What can be read of a state file without reading all of it.

    Args:
        identity: whose state it is.
        root: counters and totals.
        leases: the live leases.
        quarantined: the quarantined jobs.
        unexplored_weight: the part of WHOLE that is not explored.
    """

    identity: Identity
    root: Root
    leases: dict[LeaseId, Lease]
    quarantined: dict[JobId, Quarantined]
    unexplored_weight: int


def load(path: Path, *, attempts: int = ATTEMPTS) -> Stored:
    """Read and verify everything.

    Args:
        path: the state file.
        attempts: how often to look if it changes meanwhile.

    Raises:
        StoreCorrupt: it is damaged or not ours.
        StoreVersionError: a newer parry_mpi wrote it.
        StoreLocked: it changes all the time.
        OSError: it cannot be read.
    """
    return _read(path, _load, attempts)


def summarize(path: Path, *, attempts: int = ATTEMPTS) -> Summary:
    """Read whose state it is and how far it got; pending jobs and result are not looked at. Raises as ``load`` does."""
    return _read(path, _summarize, attempts)


def _load(connection: sqlite3.Connection) -> Stored:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise StoreCorrupt(" ".join(str(verdict).split()))
    root = get_root(connection)
    result = get_meta(connection, RESULT_KEY)
    if (len(result), zlib.crc32(result)) != (root.result_size_bytes, root.result_checksum):
        raise StoreCorrupt("the result is not the one that was written last")
    unexplored_weight(root.counters, root.totals.values())
    if root.solutions.rows:
        rows = connection.execute(f"SELECT id, weight, body, checksum FROM {SOLUTIONS.name}")  # noqa: S608 our own names
        SOLUTIONS.require(totals_of(SOLUTIONS.verified(rows)), root.solutions)
    snapshot = Snapshot(
        root.counters,
        _pending(connection, root),
        cast(dict[LeaseId, Lease], _table(connection, LEASES, root)),
        cast(dict[JobId, Quarantined], _table(connection, QUARANTINED, root)),
    )
    return Stored(get_identity(connection), root, snapshot, result)


def _summarize(connection: sqlite3.Connection) -> Summary:
    root = get_root(connection)
    return Summary(
        get_identity(connection),
        root,
        cast(dict[LeaseId, Lease], _table(connection, LEASES, root)),
        cast(dict[JobId, Quarantined], _table(connection, QUARANTINED, root)),
        unexplored_weight(root.counters, root.totals.values()),
    )


def _pending(connection: sqlite3.Connection, root: Root) -> PackedJobs:
    jobs = PackedJobs()
    for job_id, job in _entries(connection, PENDING, root):
        jobs.add(JobId(job_id), job)
    return jobs


def _table(connection: sqlite3.Connection, table: Table[Any, Any], root: Root) -> dict[int, Any]:
    return dict(_entries(connection, table, root))


def _entries(connection: sqlite3.Connection, table: Table[Any, Any], root: Root) -> Iterator[tuple[int, Any]]:
    rows = connection.execute(f"SELECT id, weight, body, checksum FROM {table.name} ORDER BY id")  # noqa: S608 our own names
    return table.entries(rows, root.totals.get(table.name, Totals()))


class NotInPlaceError(Exception):
    """It can be read in a copy only, where everything is allowed.

    A commit that was cut short has to be undone before anything can be read, which only a writer may do; or this file system has no
    POSIX locks.
    """


def retried(path: Path, look: Callable[[], Answer], attempts: int = ATTEMPTS) -> Answer:
    """Look at a state file, again if it changed meanwhile and made no sense."""
    for attempt in range(attempts):
        if attempt:
            time.sleep(ATTEMPT_PAUSE_S)
        before = _stamp(path)
        try:
            return look()
        except (StoreCorrupt, StoreLocked):
            if attempt == attempts - 1 or _stamp(path) == before:
                raise
    raise AssertionError("at least one attempt")


def read_in_place(path: Path, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Call a function on one consistent view of the file.

    Raises:
        NotInPlaceError: it can be read in a copy only.
    """
    check_header(path)
    try:
        return _call(path, path, "mode=ro", function)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StoreLocked(f"{path} is being written to all the time; try again") from error
        raise NotInPlaceError from error


@contextlib.contextmanager
def copied(path: Path) -> Iterator[Path]:
    """Copy a state file with its journal.

    Raises:
        CommitFailed: there is no room for it.
    """
    import shutil  # noqa: PLC0415 seldom wanted, and slow to load: they know archives of all kinds
    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="parry_mpi-") as folder:
        copy = Path(folder) / path.name
        try:
            shutil.copyfile(path, copy)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(_journal(path), _journal(copy))
        except OSError as error:
            raise CommitFailed(f"{path} cannot be copied to {folder} to be read ({error.strerror})") from error
        yield copy


@contextlib.contextmanager
def copied_in_peace(path: Path) -> Iterator[Path]:
    """Copy a state file at a moment at which nobody writes to it, so that the copy is good for more than one look.

    Raises:
        StoreLocked: there is no such moment.
        CommitFailed: there is no room for it.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(ATTEMPT_PAUSE_S)
        before = _stamp(path)
        with copied(path) as copy:
            if _stamp(path) == before:
                yield copy
                return
    raise StoreLocked(f"{path} is being written to all the time; try again")


def read_copy(copy: Path, path: Path, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Call a function on a copy of the file ``path``."""
    try:
        return _call(copy, path, "mode=rw&vfs=unix-none", function)
    except sqlite3.OperationalError as error:
        raise _corrupt(path, error) from error


def _read(path: Path, function: Callable[[sqlite3.Connection], Answer], attempts: int) -> Answer:
    return retried(path, lambda: _read_once(path, function), attempts)


def _read_once(path: Path, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
    try:
        return read_in_place(path, function)
    except NotInPlaceError:
        with copied(path) as copy:
            return read_copy(copy, path, function)


def _call(path: Path, shown: Path, options: str, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Call a function on a file; errors name the file ``shown``."""
    try:
        with contextlib.closing(connect(path, options)) as connection:
            connection.execute("BEGIN")
            return function(connection)
    except StoreCorrupt as error:
        raise _corrupt(shown, error) from error
    except sqlite3.OperationalError:
        raise
    except sqlite3.Error as error:
        raise _corrupt(shown, error) from error


def _corrupt(path: Path, error: Exception) -> StoreCorrupt:
    return StoreCorrupt(f"{path} is damaged: {error}. {ADVICE}")


def _journal(path: Path) -> Path:
    return path.with_name(path.name + JOURNAL_SUFFIX)


def _stamp(path: Path) -> list[tuple[int, int] | None]:
    """What changes when the file or its journal does."""
    return [_size_and_time(path), _size_and_time(_journal(path))]


def _size_and_time(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
