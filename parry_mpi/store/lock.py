"""One coordinator per folder, on file systems whose POSIX locks do not reach other machines.

The lock is the file ``coordinator.N.lock`` with the highest N. To take the lock is to create the file of the next
generation, which exactly one process can do however many try; whoever holds an earlier one has lost it, and finds out at the
latest before its next commit. Nothing is ever renamed or replaced, so there is no moment at which a slow candidate can
undo what a quick one did. The holder rewrites its file about every second. From another machine a holder counts as dead when
that file has not changed for STALE_S by the candidate's own clock: clocks of two machines are never compared.

This module must not know what the folder holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from parry_mpi.errors import CommitFailed, StoreLocked
from parry_mpi.store.holder import Holder, LockFile, find_lock, generations, lock_name, this_process

STALE_S = 30.0
"""How long a holder on another machine may show no sign of life; thirty times the heartbeat, because file servers stall."""
POLL_S = 0.5
"""How often a candidate looks: twice per heartbeat."""
_TEMPORARY_PREFIX = "coordinator.tmp-"
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
"""How file systems without hard links refuse one."""
_NO_POSIX_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""How file systems without POSIX locks (Lustre as often mounted, NFS without a lock server) refuse one."""


def is_lock_file(name: str) -> bool:
    """Whether a file of this name belongs to this module."""
    return name.startswith("coordinator.") and (name.endswith(".lock") or name.startswith(_TEMPORARY_PREFIX))


class FolderLock:
    """The right to write to a folder, held from ``acquire`` to ``release``. Its methods may be called from any thread.

    Invariants:
        Once lost, it stays lost.
        Tokens and, in a folder with a state, generations are never used twice.
    """

    def __init__(self, folder: Path, generation: int, holder: Holder, descriptor: int) -> None:
        self.generation = generation
        self.token = holder.token
        self._folder = folder
        self._holder = holder
        self._descriptor = descriptor
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._lost = False
        self._released = False
        self.posix_locks = _posix_locks_work(descriptor)

    @classmethod
    def acquire(
        cls,
        folder: Path,
        *,
        generation_min: int = 1,
        wait_s: float = 0.0,
        progress: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> FolderLock:
        """Take the lock of a folder, from a dead holder if need be.

        Args:
            folder: must exist.
            generation_min: higher than every generation that was ever used in this folder, as far as known.
            wait_s: how long to wait for a holder that is alive. One on another machine that shows no sign of life is
                watched for STALE_S all the same.
            progress: told in one line what is being waited for, at every look.
            now: a clock that never goes back, in seconds.
            sleep: waits for so many seconds.

        Raises:
            StoreLocked: somebody else holds it and is alive.
            OSError: the folder cannot be written to.
        """
        began_at = now()
        watch = _Watch()
        while True:
            found = find_lock(folder)
            if found is None or watch.dead(found, now()):
                generation = max(found.generation + 1 if found else 1, generation_min)
                if (lock := cls._create(folder, generation)) is not None:
                    return lock
                continue  # Another candidate was quicker: look at that one.
            if watch.proved_alive and now() - began_at >= wait_s:
                raise StoreLocked(_held_text(folder, found))
            if progress is not None:
                progress(watch.text(folder, found, now()))
            sleep(POLL_S)

    @classmethod
    def _create(cls, folder: Path, generation: int) -> FolderLock | None:
        """Create the lock file of a generation; None if another process did, or a higher one exists by now."""
        holder = this_process(os.urandom(16).hex())
        try:
            descriptor = _claim(folder, generation, holder)
        except FileExistsError:
            return None
        if descriptor is None:
            return None
        lock = cls(folder, generation, holder, descriptor)
        if max(generations(folder), default=0) > generation:
            lock.release()
            return None
        lock._remove_older()
        return lock

    def _remove_older(self) -> None:
        """Remove what earlier holders left. It is void already; on NFS this also makes their heartbeats fail."""
        older = [self._folder / lock_name(each) for each in generations(self._folder) if each < self.generation]
        for path in (*self._folder.glob(f"{_TEMPORARY_PREFIX}*"), *older):
            with contextlib.suppress(OSError):
                path.unlink()

    @property
    def held(self) -> bool:
        """Whether the lock is held, as far as known without looking."""
        return not (self._lost or self._released)

    def refresh(self) -> bool:
        """Show a sign of life; call it about every second. Never raises.

        Returns:
            Whether the lock is still held.
        """
        try:
            self._beat()
        except OSError:
            # A full copy-on-write file system refuses even this; a new time stamp is a sign of life as well.
            with contextlib.suppress(OSError):
                os.utime(self._descriptor)
        return self.held

    def check(self) -> None:
        """Make sure, just before writing, that the lock is still held, and show a sign of life.

        Raises:
            StoreLocked: it was lost; nothing may be written any more.
            CommitFailed: that cannot be told now.
        """
        try:
            self._beat()
        except OSError as error:
            raise CommitFailed(
                f"{self._folder}: cannot make sure that this run still holds the folder ({error.strerror})"
            ) from error
        if not self.held:
            raise StoreLocked(self.lost_text())

    def lose(self) -> None:
        """Note that another coordinator was seen to have taken over."""
        self._lost = True

    def lost_text(self) -> str:
        """Say in one line who took the lock over."""
        found = None
        with contextlib.suppress(OSError):
            found = find_lock(self._folder)
        if found is None:
            return f"{self._folder}: the lock of this run was removed, so nothing more is written; run the same command again"
        return (
            f"{self._folder} was taken over by {found.owner}, which saw no sign of life of this one; this one writes nothing more"
        )

    def release(self) -> None:
        """Give the lock up. A forked child only closes its copy."""
        with self._mutex:
            if self._released:
                return
            self._released = True
            with contextlib.suppress(OSError):
                # Only our own file, never one of the same name that somebody made since.
                if self._pid == os.getpid() and not self._lost and os.fstat(self._descriptor).st_nlink:
                    (self._folder / lock_name(self.generation)).unlink()
            os.close(self._descriptor)

    def _beat(self) -> None:
        """Rewrite our own file, wherever it is now, and see whether it is still the lock.

        Raises:
            OSError: the file system will not say.
        """
        with self._mutex:
            if not self.held:
                return
            self._holder = msgspec.structs.replace(self._holder, beat=self._holder.beat + 1)
            try:
                os.pwrite(self._descriptor, self._holder.to_bytes(), 0)
                os.fsync(self._descriptor)
                removed = os.fstat(self._descriptor).st_nlink == 0
                self._lost = removed or generations(self._folder)[-1:] != [self.generation]
            except OSError as error:
                if error.errno not in {errno.ESTALE, errno.ENOENT}:
                    raise
                self._lost = True  # Another machine removed our file, or the folder is gone.


class _Watch:
    """What a candidate has seen of a lock so far."""

    def __init__(self) -> None:
        self._generation = 0
        self._content: object = None
        self._changed_at_s = 0.0
        self.proved_alive = False

    def dead(self, found: LockFile, now_s: float) -> bool:
        """Take note of a look at the lock; whether it may be taken over."""
        if found.generation != self._generation:
            self._generation, self._content, self._changed_at_s, self.proved_alive = found.generation, found.content, now_s, False
        elif found.content != self._content:
            self._content, self._changed_at_s, self.proved_alive = found.content, now_s, True
        alive = found.alive
        if alive is not None:
            self.proved_alive = alive
            return not alive
        return now_s - self._changed_at_s >= STALE_S

    def text(self, folder: Path, found: LockFile, now_s: float) -> str:
        """Say what is being waited for."""
        if self.proved_alive:
            return f"{folder} is held by {found.owner}; waiting for it to end"
        silent_s = int(now_s - self._changed_at_s)
        return f"{folder} is held by {found.owner}, silent for {silent_s} s of the {STALE_S:.0f} s after which it counts as dead"


def _held_text(folder: Path, found: LockFile) -> str:
    return f"{folder} is held by {found.owner}, which is alive: wait for it or stop it, or choose another folder with --run-dir"


def _claim(folder: Path, generation: int, holder: Holder) -> int | None:
    """Create the lock file of a generation, complete from its first moment, and return it open; None if it existed.

    Raises:
        FileExistsError: it existed too, on a file system without hard links.
        OSError: the folder or the disk refuses.
    """
    temporary, target = folder / f"{_TEMPORARY_PREFIX}{holder.token}", folder / lock_name(generation)
    descriptor = _write_new(temporary, holder)
    made = False
    try:
        os.link(temporary, target)
        made = True
    except FileExistsError:
        # NFS may have done it, lost the answer, and found it done at the second try: the link count tells.
        made = os.fstat(descriptor).st_nlink == 2
    except FileNotFoundError:
        pass  # A new holder tidied up.
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _write_new(target, holder)  # Others may see it before its content; they take it for held.
    finally:
        temporary.unlink(missing_ok=True)
        if not made:
            os.close(descriptor)
    return descriptor if made else None


def _write_new(path: Path, holder: Holder) -> int:
    """Create a file that did not exist and return it open; it is removed again if it cannot be written."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, holder.to_bytes(), 0)
        os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def _posix_locks_work(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(descriptor, fcntl.LOCK_UN)
    except OSError as error:
        return error.errno not in _NO_POSIX_LOCKS
    return True
