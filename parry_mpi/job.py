"""A job: the unit that is farmed out, one part of the tree still to be explored.

Weights are integers, so that they add up to WHOLE exactly however often they are divided: the explored
share of a run is ``1 - (weight not yet explored) / WHOLE`` without any rounding.

This module must not know how nodes are encoded; to it a node is bytes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Annotated

import msgspec

WHOLE = 2**62
"""The weight of a whole tree. The largest power of two whose half sums still fit a signed 64-bit integer (SQLite, msgpack)."""


Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number that SQLite can keep; checked when a job is decoded, because it may come from anywhere."""


Bound = Annotated[int, msgspec.Meta(ge=1 - 2**63, le=2**63 - 1)] | Annotated[float, msgspec.Meta(ge=-sys.float_info.max)] | None
"""A bound in the form in which it can be compared: no "nan", and nothing that is smaller than everything, for which there is None."""


class Job(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One part of the tree: either nodes in their wire form, or a run of roots that are known by index.

    Args:
        node: the encoded node; for problems whose nodes are numpy records, the bytes of one or more records,
            shallowest first. Empty for a run of roots.
        depth: how often the work was divided to get here; 0 for a root.
        killed: how often a lease on this job, or on the job it was cut from, was killed. Never decreases.
        weight: its share of WHOLE.
        first: index of the first root, for a run of roots.
        count: how many roots; 0 when the job is given by ``node``.
        bound: no solution in this part of the tree has a smaller score, and the smallest is the best; None if nothing is known.
    """

    node: bytes = b""
    depth: Natural = 0
    killed: Natural = 0
    weight: Natural = 0
    first: Natural = 0
    count: Natural = 0
    bound: Bound = None

    @property
    def units(self) -> int:
        """How many jobs this counts for: a run of roots counts each root."""
        return self.count or 1

    @property
    def size_bytes(self) -> int:
        """What this job costs in memory and on the wire, roughly."""
        return 64 + len(self.node)

    def killed_once_more(self) -> Job:
        """The same job after one more kill."""
        return msgspec.structs.replace(self, killed=self.killed + 1)


def shares(weight: int, parts: int) -> list[int]:
    """Divide a weight into ``parts`` integers that add up to it and differ by at most one.

    Args:
        weight: at least 0.
        parts: at least 1.
    """
    quotient, rest = divmod(weight, parts)
    return [quotient + 1] * rest + [quotient] * (parts - rest)


def total_weight(jobs: Iterable[Job]) -> int:
    """The weight of all these jobs together."""
    return sum(job.weight for job in jobs)


def total_size_bytes(jobs: Iterable[Job]) -> int:
    """What these jobs cost together in memory and on the wire, roughly."""
    return sum(job.size_bytes for job in jobs)


def smallest_bound(jobs: Iterable[Job]) -> int | float | None:
    """Return the smallest bound of these jobs, infinity if there are none; None if any of them is not known."""
    smallest: int | float = math.inf
    for job in jobs:
        if job.bound is None:
            return None
        smallest = min(smallest, job.bound)
    return smallest


def cut(run: Job, count: int) -> tuple[Job, Job]:
    """Cut a run of roots into its first ``count`` roots and the others; 0 < count < run.count."""
    weight = run.weight * count // run.count
    return (
        msgspec.structs.replace(run, count=count, weight=weight),
        msgspec.structs.replace(run, first=run.first + count, count=run.count - count, weight=run.weight - weight),
    )
