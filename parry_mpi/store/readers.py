"""What the commands status, result and retry need to know of a run directory.

Reading works while a coordinator commits, and where nothing may be written. Call it in a process of its own, never in the
coordinator's: closing a file drops the POSIX locks that the whole process has on it. This module must not print.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from parry_mpi.core.records import Quarantined, Retried
from parry_mpi.core.state import Counters, State
from parry_mpi.errors import UsageError
from parry_mpi.job import WHOLE
from parry_mpi.store.holder import LockFile, find_lock
from parry_mpi.store.identity import Identity
from parry_mpi.store.run_directory import STATUS_NAME, PublishedStatus, has_state, not_a_run, open_existing
from parry_mpi.store.schema import STATE_NAME
from parry_mpi.store.solutions import StoredSolutions
from parry_mpi.store.sqlite_reader import Summary, load, summarize

HEARTBEAT_WATCH_S = 3.0
"""How long a coordinator on another machine is watched for a sign of life: three heartbeats."""
HEARTBEAT_POLL_S = 0.1
QUARANTINED_SHOWN_MAX = 100
"""How many quarantined jobs a status lists; it counts them all."""
KEPT = ("contributions", "sense", "objective", "bound")
"""What only the coordinator knew, and a reader still wants when it is gone: who explored how much in its life, and how good the best
solution is and can be. A bound that was proven stays true, whatever became of the coordinator."""


class StoredResult(msgspec.Struct, frozen=True):
    """The answer in a run directory.

    Args:
        result: the encoded result so far.
        complete: whether it is the answer: everything is explored, nothing is quarantined.
        finished: whether nothing is left to do; if it is not complete, jobs are quarantined.
        phase: what the run was doing last.
        identity: whose run it is.
        counters: its numbers.
        quarantined: the jobs that are missing from the answer.
        explored: the explored share of the tree, 0.0 to 1.0.
    """

    result: bytes
    complete: bool
    finished: bool
    phase: str
    identity: Identity
    counters: Counters
    quarantined: tuple[Quarantined, ...]
    explored: float


def read_result(path: Path | str) -> StoredResult:
    """Read and verify the answer of a run, whether it is finished or not.

    Raises:
        UsageError: this is no run directory, or it cannot be read.
        StoreCorrupt, StoreVersionError, StoreLocked: as ``RunDirectory.open`` does.
    """
    folder = Path(path)
    stored = _reading(folder, lambda: load(folder / STATE_NAME))
    root, snapshot = stored.root, stored.snapshot
    unexplored = root.counters.unpulled_weight + sum(totals.weight for totals in root.totals.values())
    return StoredResult(
        result=stored.result,
        complete=root.finished and (root.counters.decided or not snapshot.quarantined),
        finished=root.finished,
        phase=root.phase,
        identity=stored.identity,
        counters=root.counters,
        quarantined=tuple(snapshot.quarantined.values()),
        explored=1.0 if root.finished and root.counters.decided else (WHOLE - unexplored) / WHOLE,
    )


@contextlib.contextmanager
def open_solutions(path: Path | str) -> Iterator[StoredSolutions]:
    """Read the solutions that a run has collected so far.

    Raises:
        UsageError: this is no run directory, or it cannot be read.
        StoreCorrupt, StoreVersionError, StoreLocked: as ``RunDirectory.open`` does.
    """
    folder = Path(path)
    with _reading(folder, lambda: StoredSolutions(folder / STATE_NAME)) as solutions:
        yield solutions


def read_status(
    path: Path | str, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any]:
    """Tell how a run is doing: what its coordinator published if one is alive, else what it left.

    Args:
        path: the run directory.
        now: a clock that never goes back, in seconds.
        sleep: waits for so many seconds.

    Returns:
        ``run_dir``, ``live``, ``problem``, ``parameters``; with ``live``, also ``host``, ``pid`` and everything the coordinator
        published; else ``phase``, ``finished``, ``complete``, ``explored`` (0.0 to 1.0), ``pending``, ``leased``,
        ``quarantined`` (counts of jobs), ``quarantined_jobs``, every field of core.state.Counters, and KEPT as it was published last.

    Raises:
        UsageError: this is no run directory, or it cannot be read.
        StoreCorrupt, StoreVersionError, StoreLocked: as ``RunDirectory.open`` does.
    """
    folder = Path(path)
    try:
        found = find_lock(folder)
        if found is not None and _is_live(folder, found, now, sleep):
            published = _published(folder, found)
            if published is not None:
                return published
    except NotADirectoryError:
        raise not_a_run(folder) from None
    except OSError:
        found = None  # Read what can be read.
    summary = _reading(folder, lambda: summarize(folder / STATE_NAME))
    left = {name: published for name in KEPT if (published := last_published(folder).get(name)) not in (None, [])}
    return {"run_dir": str(folder), "live": False, **_status_of(summary), **left}


def retry(path: Path | str, *, wait_s: float = 0.0, progress: Callable[[str], None] | None = None) -> int:
    """Put the quarantined jobs of a run that is not running back, to be handed out again by a source that may have been corrected.

    Returns:
        How many there were.

    Raises:
        UsageError, StoreCorrupt, StoreVersionError, StoreLocked, CommitFailed: as ``RunDirectory.open`` does.
    """
    with open_existing(Path(path), wait_s=wait_s, progress=progress) as directory:
        if directory.snapshot is None:
            raise not_a_run(directory.path)
        state = State.from_snapshot(directory.snapshot)
        count = len(state.quarantined)
        if count:
            state.apply(Retried())
            directory.commit(state.take_changes(), directory.result, finished=False, phase="stopped")
        directory.accept_corrected_source()
        directory.log("retried", jobs=count)
    return count


def _reading(folder: Path, read: Callable[[], Any]) -> Any:
    try:
        if not has_state(folder):
            raise not_a_run(folder)
        return read()
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror or error})") from error


def _is_live(folder: Path, found: LockFile, now: Callable[[], float], sleep: Callable[[float], None]) -> bool:
    """Whether the holder is alive; one on another machine has to show it while we watch."""
    if found.alive is not None:
        return found.alive
    began_at = now()
    while now() - began_at < HEARTBEAT_WATCH_S:
        sleep(HEARTBEAT_POLL_S)
        again = find_lock(folder)
        if again is None:
            return False
        if again != found:
            return True
    return False


def last_published(folder: Path) -> dict[str, Any]:
    """What any coordinator of this run published last, whoever that was and whatever became of it; {} if nothing can be read.

    Good for a hint. Unlike the rest of this module it may be called by a coordinator: it opens no file that locks are on.
    """
    published = _read_published(folder)
    return {} if published is None else published.status


def _read_published(folder: Path) -> PublishedStatus | None:
    try:
        text = (folder / STATUS_NAME).read_text(encoding="utf-8", errors="surrogatepass")
        return msgspec.convert(json.loads(text), PublishedStatus)
    except (OSError, ValueError, msgspec.ValidationError):
        return None


def _published(folder: Path, found: LockFile) -> dict[str, Any] | None:
    published = _read_published(folder)
    if published is None or found.holder is None or published.token != found.holder.token:
        return None
    who = {"run_dir": str(folder), "live": True, "host": found.holder.host, "pid": found.holder.pid}
    return {**who, "problem": published.problem, "parameters": published.parameters, **published.status}


def _status_of(summary: Summary) -> dict[str, Any]:
    root = summary.root
    shown = list(summary.quarantined.values())[:QUARANTINED_SHOWN_MAX]
    return {
        "problem": summary.identity.problem,
        "parameters": summary.identity.parameters,
        "phase": root.phase,
        "finished": root.finished,
        "complete": root.finished and (root.counters.decided or not summary.quarantined),
        "explored": 1.0 if root.finished and root.counters.decided else (WHOLE - summary.unexplored_weight) / WHOLE,
        "pending": root.totals["pending"].rows,
        "leased": sum(len(lease.jobs) for lease in summary.leases.values()),
        "quarantined": len(summary.quarantined),
        "quarantined_jobs": [
            {"error": each.error, "host": each.host, "killed": each.job.killed, "depth": each.job.depth} for each in shown
        ],
        **msgspec.structs.asdict(root.counters),
    }
