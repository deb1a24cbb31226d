"""Commits on a thread of their own, so that the file system never holds the coordinator up; one at a time, in order.

This module must not decide when to commit.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping

import msgspec

from parry_mpi.core.state import Changes
from parry_mpi.errors import ParryError
from parry_mpi.store.rows import Collected
from parry_mpi.store.run_directory import RunDirectory

REFRESH_S = 1.0
"""How often the folder's lock shows a sign of life."""


class Commit(msgspec.Struct, frozen=True):
    """What one transaction carries.

    Args:
        changes: the net change.
        result: the encoded result that belongs to it.
        collected: the solutions that belong to it.
        finished: nothing is left to do.
        phase: what the run is doing.
    """

    changes: Changes
    result: bytes
    finished: bool
    phase: str
    collected: Mapping[int, Collected] = msgspec.field(default_factory=dict)


class Done(msgspec.Struct, frozen=True):
    """What became of a commit: ``error`` is None if it is on disk."""

    commit: Commit
    error: ParryError | None


class Committer:
    """A thread that commits, publishes the status and refreshes the lock.

    Args:
        directory: where to.
    """

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._status: dict[str, object] | None = None
        self._lock_alive = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name="committer", daemon=True),
            threading.Thread(target=self._keep_lock, name="lock-keeper", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, commit: Commit) -> None:
        """Have this committed; poll() tells what became of it."""
        self._tasks.put(lambda: self._commit(commit))

    def publish(self, status: dict[str, object]) -> None:
        """Have the status file replaced, after what was submitted before; one that still waits for that is left out."""
        waits, self._status = self._status is not None, status
        if not waits:
            self._tasks.put(self._publish)

    def poll(self) -> Done | None:
        """Return what became of a commit, if that is known by now."""
        try:
            return self._done.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        """Finish what was submitted and end the threads."""
        self._tasks.put(None)
        self._lock_alive.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def _publish(self) -> None:
        status, self._status = self._status, None
        if status is not None:
            self._directory.publish(status)

    def _commit(self, commit: Commit) -> None:
        try:
            self._directory.commit(
                commit.changes, commit.result, finished=commit.finished, phase=commit.phase, collected=commit.collected
            )
        except ParryError as error:
            self._done.put(Done(commit, error))
        except Exception as error:  # noqa: BLE001 a bug of ours must end the run, not this thread alone
            wrapped = ParryError(f"the commit failed: {type(error).__name__}: {error}")
            wrapped.__cause__ = error
            self._done.put(Done(commit, wrapped))
        else:
            self._done.put(Done(commit, None))

    def _keep_lock(self) -> None:
        while not self._lock_alive.wait(REFRESH_S):
            self._directory.refresh()
