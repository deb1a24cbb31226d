"""What was collected since the last commit that succeeded: the solutions that accepted reports brought, each report under a number.

Numbers follow on each other, over all lives of a run. A report keeps its number when its commit is tried again, so that one that did
get to the disk, although the file system said no, is there once. This module must not decide when to commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from parry_mpi.core.messages import FromWorker, Goodbye, Report
from parry_mpi.data import SolutionsCodec
from parry_mpi.store.rows import Collected
from parry_mpi.store.sqlite_state import NOTHING_COLLECTED

HELD_BYTES_MAX = 64 * 2**20
"""How much may be held that is not on disk. Beyond it reports are left alone, as if they had got lost: nothing is acknowledged, so the
worker says them again after some seconds, and explores only little more before that. SQLite holds as much again during a commit."""

URGENT_BYTES = HELD_BYTES_MAX // 4
"""How much may wait for the next regular commit."""


class Collector:
    """Hold solutions until they are on disk.

    Args:
        codec: of the problem; None if it does not collect.
        rows: how many reports are on disk.
    """

    def __init__(self, codec: SolutionsCodec | None, rows: int) -> None:
        self.held_bytes = 0
        self._codec = codec
        self._next = rows + 1
        self._waiting: dict[int, Collected] = {}
        self._waiting_bytes = 0
        self._failed: Mapping[int, Collected] = NOTHING_COLLECTED

    @property
    def collects(self) -> bool:
        """Whether the problem collects."""
        return self._codec is not None

    @property
    def urgent(self) -> bool:
        """Whether what waits should be committed now."""
        return self._waiting_bytes >= URGENT_BYTES

    @property
    def waiting(self) -> bool:
        """Whether anything waits to be committed."""
        return bool(self._waiting or self._failed)

    def defers(self, messages: Sequence[FromWorker]) -> bool:
        """Whether a frame had better come again later, because it brings solutions for which there is no room.

        All of a frame or nothing: what comes with a report may rest on it. Who says goodbye will not say it again.
        """
        if self.held_bytes < HELD_BYTES_MAX or any(isinstance(message, Goodbye) for message in messages):
            return False
        return any(isinstance(message, Report) and message.value for message in messages)

    def add(self, value: bytes) -> int:
        """Hold what a report brought and return how many solutions that is.

        Raises:
            UsageError: these are no solutions.
        """
        assert self._codec is not None
        count = self._codec.count(value)
        if count:
            self._waiting[self._next] = Collected(count, value)
            self._next += 1
            self._waiting_bytes += len(value)
            self.held_bytes += len(value)
        return count

    def take(self) -> Mapping[int, Collected]:
        """Return what is to be committed now, beginning with what could not be committed before."""
        taken = {**self._failed, **self._waiting}
        self._waiting, self._waiting_bytes, self._failed = {}, 0, NOTHING_COLLECTED
        return taken

    def committed(self, collected: Mapping[int, Collected]) -> None:
        """What was taken is on disk."""
        self.held_bytes -= sum(len(each.body) for each in collected.values())

    def failed(self, collected: Mapping[int, Collected]) -> None:
        """What was taken may not be on disk: it comes with the next commit."""
        self._failed = collected
