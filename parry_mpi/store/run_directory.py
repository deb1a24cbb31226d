"""The folder of a run: opened or created by one coordinator, which commits to it until it closes it.

Opening checks everything before it touches anything; what is refused is left exactly as it was found.
This module must not decide when to commit, and must not know what the state means.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from parry_mpi.core.state import Changes, Snapshot
from parry_mpi.errors import CommitFailed, LocalProtocolError, StoreError, StoreLocked, StoreMismatch, UsageError
from parry_mpi.store.history import HISTORY_NAME, History
from parry_mpi.store.holder import this_process
from parry_mpi.store.identity import ELSEWHERE, Identity
from parry_mpi.store.lock import FolderLock, is_lock_file
from parry_mpi.store.log import LOG_NAME, ROTATED_NAME, EventLog
from parry_mpi.store.naming import TEMPORARY_MARK
from parry_mpi.store.rows import Collected, Totals
from parry_mpi.store.schema import JOURNAL_SUFFIX, STATE_NAME, Root
from parry_mpi.store.sqlite_reader import Stored, Summary, load, summarize
from parry_mpi.store.sqlite_state import NEW_SUFFIX, NOTHING_COLLECTED, SqliteState, create_state

STATUS_NAME = "status.json"
_STATUS_TEMPORARY = "status.json.tmp"
_OWN_NAMES = {
    STATUS_NAME,
    _STATUS_TEMPORARY,
    HISTORY_NAME,
    HISTORY_NAME + ".tmp",
    LOG_NAME,
    ROTATED_NAME,
    STATE_NAME + JOURNAL_SUFFIX,
    STATE_NAME + NEW_SUFFIX,
    STATE_NAME + NEW_SUFFIX + JOURNAL_SUFFIX,
    "access.json",
    "authorized_keys",
    "coordinator_key",
    "coordinator_key.pub",
    "worker_key",
    "idle-lives",
}
"""What may be in a folder that holds no state: what a coordinator leaves that is killed before its first commit, keys, which may be
there before the first run, and what slurm/parry.sbatch notes after a life that did not get so far."""
_REFUSALS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL}
"""Errors that mean "not with this path"; others (full, over quota, input/output) mean "not now"."""
_TRIES = 5
"""How often opening begins again because somebody else held the folder for a moment meanwhile."""


class PublishedStatus(msgspec.Struct, kw_only=True):
    """The content of status.json.

    Args:
        token: of the lock under which it was written; what an earlier coordinator left is not believed.
        problem, parameters: from the identity.
        status: what the coordinator says about itself.
    """

    token: str
    problem: str
    parameters: dict[str, object]
    status: dict[str, object]


class RunDirectory:
    """A run directory held by this process. Use ``open``; it is a context manager.

    ``commit``, ``refresh``, ``publish`` and ``log`` may be called from different threads; ``commit`` from one at a time.

    Attributes:
        path: the folder.
        identity: whose run it is.
        snapshot: the state to go on from; None for a new run, which needs ``initialize`` before ``commit``. It is handed over:
            let go of it, and of this attribute with ``forget_snapshot``.
        result: the encoded result that belongs to the snapshot.
        collected: how many solutions there are on disk beside it (``weight``), from how many reports (``rows``, which have the
            numbers 1 to ``rows``).
        finished: whether nothing is left to do. Such a folder is not locked and not written to.
        phase: what the run was doing last.
    """

    def __init__(self, path: Path, identity: Identity, lock: FolderLock | None, stored: Stored | None) -> None:
        self.path = path
        self.identity = identity
        self.snapshot: Snapshot | None = stored.snapshot if stored else None
        self.result = stored.result if stored else b""
        self.collected = stored.root.solutions if stored else Totals()
        self.finished = stored.root.finished if stored else False
        self.phase = stored.root.phase if stored else ""
        self._lock = lock
        self._log = EventLog(path / LOG_NAME)
        self._history = History(path / HISTORY_NAME)
        self._created: list[Path] = []
        self._state: SqliteState | None = None
        if lock is not None and stored is not None:
            self._state = SqliteState(path / STATE_NAME, lock.generation, posix_locks=lock.posix_locks)

    @classmethod
    def open(
        cls,
        path: Path | str,
        identity: Identity,
        *,
        wait_s: float = 0.0,
        progress: Callable[[str], None] | None = None,
    ) -> RunDirectory:
        """Create a run directory, or take up what is in it.

        Args:
            path: the folder; it and those above it are created.
            identity: what the user wants to run.
            wait_s: how long to wait for a coordinator that is alive and holds it.
            progress: told in one line, about twice a second, what is being waited for.

        Raises:
            UsageError: the folder cannot be written, or holds something else.
            StoreMismatch: it belongs to another problem, other parameters or another version of the source.
            StoreLocked: another coordinator holds it.
            StoreCorrupt: it is damaged.
            StoreVersionError: it was written by a newer parry_mpi.
            CommitFailed: the file system refuses for now.
        """
        folder = Path(path)
        with _refusing(folder):
            return _open(folder, identity, wait_s, progress)

    def initialize(self, changes: Changes, result: bytes, *, finished: bool = False, phase: str = "running") -> None:
        """Make the first commit of a new run. After CommitFailed there is no state yet: merge and try again as for ``commit``.

        Args:
            changes: the net change since nothing: the whole state at the beginning.
            result: the encoded result at the beginning.
            finished: whether nothing is left to do.
            phase: what the run is doing, one word or a few, for the user.

        Raises:
            StoreLocked: another coordinator took over.
            CommitFailed: the file system refuses.
        """
        lock = self._writable()
        if self._state is not None:
            raise LocalProtocolError(f"{self.path} is initialized already")
        lock.check()
        path = self.path / STATE_NAME
        root = Root(counters=changes.counters, generation=lock.generation, finished=finished, phase=phase)
        create_state(path, self.identity, changes, result, root, fence=lock.check)
        self._state = SqliteState(path, lock.generation, posix_locks=lock.posix_locks)
        self.finished, self.phase = finished, phase
        self._created.clear()
        self._log_opened(lock, new=True)

    def commit(
        self,
        changes: Changes,
        result: bytes,
        *,
        finished: bool = False,
        phase: str = "running",
        collected: Mapping[int, Collected] = NOTHING_COLLECTED,
    ) -> None:
        """Write the net change since the last commit that succeeded, and the result that belongs to it, in one transaction.

        After CommitFailed nothing of it counts: merge it with what comes next (``rows.merge``) and try again.

        Args:
            changes: the net change.
            result: the encoded result.
            collected: the solutions of the reports in it, which get numbers that follow on each other and keep them when they
                are tried again.
            finished: whether nothing is left to do.
            phase: what the run is doing, one word or a few, for the user.

        Raises:
            StoreLocked: another coordinator took over; from now on every call raises this.
            CommitFailed: the file system refuses.
            StoreCorrupt: the state was damaged while it was open.
        """
        lock = self._writable()
        if self._state is None:
            raise LocalProtocolError(f"{self.path} must be initialized before a commit")
        try:
            self._state.commit(changes, result, finished=finished, phase=phase, collected=collected, fence=lock.check)
        except StoreLocked:
            lock.lose()
            raise
        self.finished, self.phase = finished, phase

    def take_over(self, stored: Stored) -> None:
        """Mark the state on disk as ours; part of opening.

        Args:
            stored: what was read of it under the lock.
        """
        if self._state is not None and self._lock is not None:
            self._state.take_over(stored.root.commits, self.identity)
            self._log_opened(self._lock, new=False)

    def accept_corrected_source(self) -> None:
        """Let the next coordinator continue this run with another version of the problem's source. Raises as ``commit`` does."""
        lock = self._writable()
        if self._state is not None:
            self._state.put_identity(self.identity.corrected(), lock.check)

    def refresh(self) -> bool:
        """Show a sign of life. Call it about every second, from a thread that nothing else can hold up. Never raises.

        Returns:
            Whether the folder is still ours.
        """
        return self._lock is not None and self._lock.refresh()

    def publish(self, status: dict[str, object]) -> None:
        """Replace status.json, which `parry-mpi status` shows while we run, and now and then add to the history. Never raises.

        Args:
            status: what JSON knows; the keys are up to the caller.
        """
        if self._lock is None or not self._lock.held:
            return
        published = {
            "token": self._lock.token,
            "problem": self.identity.problem,
            "parameters": self.identity.parameters,
            "status": status,
        }
        temporary = self.path / _STATUS_TEMPORARY
        with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
            temporary.write_text(json.dumps(published, default=str), encoding="utf-8", errors="surrogatepass")
            temporary.replace(self.path / STATUS_NAME)
        self._history.add(status)

    def log(self, event: str, **fields: object) -> None:
        """Append an event to log.jsonl. Never raises."""
        if self._lock is not None and self._lock.held:
            self._log.write(event, **fields)

    def forget_snapshot(self) -> None:
        """Let go of the snapshot, which is of no use once the run goes on."""
        self.snapshot = None

    def close(self) -> None:
        """Give the folder up. What was not committed is lost; folders made for a run that never began go. Never raises."""
        if self._state is not None:
            self._state.close()
        self._log.close()
        if self._lock is None:
            return
        created, self._created = self._created, []
        if created and self._lock.refresh():
            for name in (LOG_NAME, STATUS_NAME, HISTORY_NAME):
                with contextlib.suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)
        self._lock.release()
        _remove_folders(created)

    def _log_opened(self, lock: FolderLock, *, new: bool) -> None:
        here = this_process()
        self.log("opened", new=new, host=here.host, pid=here.pid, generation=lock.generation)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writable(self) -> FolderLock:
        if self._lock is None:
            raise LocalProtocolError(f"{self.path} holds a finished run and is not open for writing")
        if not self._lock.held:
            raise StoreLocked(self._lock.lost_text())
        return self._lock


def open_existing(path: Path, *, wait_s: float = 0.0, progress: Callable[[str], None] | None = None) -> RunDirectory:
    """Open a run directory for writing whoever it belongs to, finished or not. Raises as ``RunDirectory.open`` does."""
    with _refusing(path):
        if not has_state(path):
            raise not_a_run(path)
        summary = summarize(path / STATE_NAME)
        return _open_locked(path, summary.identity, summary, wait_s, progress)


def create_for_keys(path: Path) -> bool:
    """See to it that a folder can take keys: that of a run, or one that a run may have later, which is created.

    Returns:
        Whether there is a run in it.

    Raises:
        UsageError: the folder holds something else, or cannot be used.
        CommitFailed: the file system refuses for now.
    """
    with _refusing(path):
        if has_state(path):
            return True
        _require_unused(path)
        _create_folders(path)
    return False


def has_state(path: Path) -> bool:
    """Whether a folder holds the state of a run."""
    return (path / STATE_NAME).exists()


def not_a_run(path: Path) -> UsageError:
    """Return the error for a folder in which there is no run."""
    if not path.exists():
        return UsageError(f"{path} does not exist")
    return UsageError(f"{path} is no run directory: it holds no {STATE_NAME}")


def _open(folder: Path, identity: Identity, wait_s: float, progress: Callable[[str], None] | None) -> RunDirectory:
    summary = None
    if has_state(folder):
        summary = summarize(folder / STATE_NAME)
        _require_same(folder, summary.identity, identity)
        if summary.root.finished:
            return RunDirectory(folder, identity, None, load(folder / STATE_NAME))
    else:
        _require_unused(folder)
    created = _create_folders(folder)
    try:
        directory = _open_locked(folder, identity, summary, wait_s, progress)
    except BaseException:
        _remove_folders(created)
        raise
    directory._created = created  # noqa: SLF001 as good as a part of the class
    return directory


def _open_locked(
    folder: Path, identity: Identity, summary: Summary | None, wait_s: float, progress: Callable[[str], None] | None
) -> RunDirectory:
    """Take the lock, then read what nobody else can change any more."""
    generation_min = summary.root.generation + 1 if summary else 1
    for _ in range(_TRIES):
        lock = FolderLock.acquire(folder, generation_min=generation_min, wait_s=wait_s, progress=progress)
        try:
            stored = load(folder / STATE_NAME, attempts=1) if has_state(folder) else None
            if stored is not None:
                _require_same(folder, stored.identity, identity)
                if stored.root.generation >= lock.generation:
                    # Others held the folder between our first look and now, and gave our number away.
                    generation_min = stored.root.generation + 1
                    lock.release()
                    continue
            directory = RunDirectory(folder, identity, lock, stored)
            if stored is not None:
                directory.take_over(stored)
        except BaseException:
            lock.release()
            raise
        return directory
    raise StoreLocked(f"{folder} is being opened by other coordinators all the time; try again")


def _require_same(folder: Path, stored: Identity, wanted: Identity) -> None:
    difference = stored.difference(wanted)
    if difference is not None:
        raise StoreMismatch(f"{folder} {difference}")


def _require_unused(folder: Path) -> None:
    """Refuse a folder in which somebody keeps something else.

    Raises:
        UsageError: that is so.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: {ELSEWHERE}")
    foreign = sorted(name for path in folder.iterdir() if not _is_own(name := path.name))
    if foreign:
        raise UsageError(f"{folder} holds other files ({foreign[0]}, ...) and no run: {ELSEWHERE}")


def _is_own(name: str) -> bool:
    """Whether a file of this name may be in a folder that holds no state; NFS keeps open files that were removed as .nfs*."""
    return not {name, name.partition(TEMPORARY_MARK)[0]}.isdisjoint(_OWN_NAMES) or is_lock_file(name) or name.startswith(".nfs")


def _create_folders(folder: Path) -> list[Path]:
    """Create a folder and those above it; return those that did not exist, outermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    created: list[Path] = []
    try:
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError):
                each.mkdir()
                created.append(each)
    except OSError:
        _remove_folders(created)
        raise
    return created


def _remove_folders(created: list[Path]) -> None:
    """Remove folders that turned out not to be needed, as far as they are empty."""
    for each in reversed(created):
        with contextlib.suppress(OSError):
            each.rmdir()


@contextlib.contextmanager
def _refusing(folder: Path) -> Iterator[None]:
    """Turn what the file system says into an error for the user."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _REFUSALS:
            raise UsageError(f"{folder} cannot be used ({reason}): make it readable and writable, or {ELSEWHERE}") from error
        raise CommitFailed(f"{folder} cannot be opened ({reason})") from error
