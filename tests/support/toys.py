"""A binary tree for tests of the runtime, whose nodes do as they are told, and the oracle's answer for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.worker import Begin
from parry_mpi.job import WHOLE, Job
from parry_mpi.problem import Enumeration
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.task import Task

LEASE = LeaseId(7)
ROOT = Job(msgspec.msgpack.encode(1), weight=WHOLE)


class Binary(Enumeration[int, int]):
    """Node n has the children 2n and 2n + 1, the root is 1, every node counts one.

    Attributes:
        doing: what happens at a node, by node; processes that are forked later do the same.
    """

    doing: ClassVar[dict[int, Callable[[], object]]] = {}
    depth: int = 6

    @property
    def whole(self) -> int:
        """How many nodes there are."""
        return int(2 ** (self.depth + 1) - 1)

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < 2**self.depth else []

    def value(self, node):
        if node in self.doing:
            self.doing[node]()
        return 1


def binary(depth: int = 6, doing: dict[int, Callable[[], object]] | None = None) -> Task:
    """A Binary made ready, in a class of its own so that no test sees what another one does."""
    return Task(type("Binary", (Binary,), {"doing": doing or {}, "__module__": __name__})(depth=depth))


def exploring(depth: int = 6, doing: dict[int, Callable[[], object]] | None = None) -> Exploring:
    """What explores a Binary in this process."""
    return Exploring(binary(depth, doing), None)


def begin(*jobs: Job, careful: bool = False, split: bool = False) -> Begin:
    """The order to explore these jobs, by default the whole tree."""
    return Begin(LEASE, jobs or (ROOT,), careful, split)
