"""The job set: pending jobs ordered by depth, shallowest first, or by their bounds, best first; oldest first among equals.

Shallow jobs are the big ones, so handing them out first moves much work with few messages. Those with the best bounds are where
the best solution may be. Jobs that were killed are kept apart, because they do not travel with others. This module must not decide
which job goes to whom.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Literal

from parry_mpi.core.bounds import Bounds, Score
from parry_mpi.core.ids import JobId
from parry_mpi.core.packed import PackedJobs
from parry_mpi.job import Job

Order = Literal["depth", "bound"]
"""What the jobs are handed out by; it cannot change an answer, only how soon it is found."""


def _by_depth(job: Job) -> int:
    return job.depth


def _by_bound(job: Job) -> tuple[Score, int]:
    """What is not known may be the best; of equals, the shallower is the bigger."""
    return (-math.inf if job.bound is None else job.bound, job.depth)


KILLED_ONCE, SUSPECTS = "killed once", "killed more often"
"""The keys of two levels that are not handed out from as the others are."""

_KEYS: dict[Order, Callable[[Job], Any]] = {"depth": _by_depth, "bound": _by_bound}


class JobSet:
    """Pending jobs by level and id. Adding one, finding and removing the first take O(log levels); any other is looked for in all levels.

    Args:
        order: what the levels are: depths, or bounds with depths. There are few depths and may be as many bounds as jobs.

    Attributes:
        order: as given.
        weight: of all the jobs together.
        units: how many jobs there are if a run of roots counts each root.
        units_by_depth: these at each depth at which there are any, in no order.

    Invariants:
        Every job is in exactly one level: that of its key, or that of those killed once, or that of those killed more often.
        Every other key that has a level is in the heap, exactly once.
    """

    def __init__(self, order: Order = "depth") -> None:
        self.order: Order = order
        self._key = _KEYS[order]
        self._levels: dict[Any, PackedJobs] = {}
        self._keys: list[Any] = []
        self._bounds = Bounds()
        self._count = 0
        self.weight = 0
        self.units = 0
        self.units_by_depth: dict[int, int] = {}

    def add(self, job_id: JobId, job: Job) -> None:
        """Add a pending job, with an id greater than all there were."""
        self._count += 1
        self._bounds.add(job.bound)
        self.weight += job.weight
        self.units += job.units
        self.units_by_depth[job.depth] = self.units_by_depth.get(job.depth, 0) + job.units
        key = self._key(job) if not job.killed else KILLED_ONCE if job.killed == 1 else SUSPECTS
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = PackedJobs()
            if not job.killed:
                heapq.heappush(self._keys, key)
        level.add(job_id, job)

    def remove(self, job_id: JobId) -> Job:
        """Take a job out.

        Raises:
            KeyError: it is not pending.
        """
        job = self._level_of(job_id).remove(job_id)
        self._count -= 1
        self._bounds.remove(job.bound)
        self.weight -= job.weight
        self.units -= job.units
        self.units_by_depth[job.depth] -= job.units
        if not self.units_by_depth[job.depth]:
            del self.units_by_depth[job.depth]
        self._drop_empty_levels()
        return job

    def first(self) -> JobId | None:
        """Return the job to hand out next among those never killed: of the first level, the oldest."""
        return self._levels[self._keys[0]].first() if self._keys else None

    def in_order(self) -> Iterator[tuple[JobId, Job]]:
        """Give the jobs never killed in the order in which they would be handed out; the set must not change meanwhile."""
        # The heap is walked from its top, with a second heap of the places that may be next: whoever wants a hundred jobs
        # of a hundred thousand levels pays for a hundred.
        keys = self._keys
        places = [(keys[0], 0)] if keys else []
        while places:
            key, place = heapq.heappop(places)
            yield from self._levels[key].items()
            for below in (2 * place + 1, 2 * place + 2):
                if below < len(keys):
                    heapq.heappush(places, (keys[below], below))

    def first_suspect(self) -> JobId | None:
        """Return the oldest of the jobs that were killed more than once."""
        return self._levels[SUSPECTS].first() if SUSPECTS in self._levels else None

    def killed_once(self) -> Iterator[tuple[JobId, Job]]:
        """Give the jobs that were killed once, oldest first; the set must not change meanwhile."""
        return self._levels[KILLED_ONCE].items() if KILLED_ONCE in self._levels else iter(())

    @property
    def killed_once_count(self) -> int:
        """How many of the jobs were killed once."""
        return len(self._levels.get(KILLED_ONCE, ()))

    @property
    def killed_count(self) -> int:
        """How many of the jobs were killed before."""
        return self.killed_once_count + len(self._levels.get(SUSPECTS, ()))

    def counts_by_depth(self) -> dict[int, int]:
        """How many jobs never killed there are at each depth."""
        counts: dict[int, int] = {}
        for key in self._keys:
            depth = key if self.order == "depth" else key[1]
            counts[depth] = counts.get(depth, 0) + len(self._levels[key])
        return {depth: counts[depth] for depth in sorted(counts) if counts[depth]}

    def bound(self) -> Score | None:
        """Return the smallest bound of all jobs, infinity if there are none; None if any of them is not known."""
        return self._bounds.smallest()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, job_id: JobId) -> Job:
        return self._level_of(job_id)[job_id]

    def __contains__(self, job_id: JobId) -> bool:
        return any(job_id in level for level in self._levels.values())

    def items(self) -> Iterator[tuple[JobId, Job]]:
        """Give all jobs, oldest first."""
        # No two ids are equal, so that jobs are not compared; and within a level they are in order.
        return self.unordered() if len(self._levels) == 1 else iter(sorted(self.unordered()))

    def unordered(self) -> Iterator[tuple[JobId, Job]]:
        """Give all jobs in no order, for which they need not all be unpacked at once; the set must not change meanwhile."""
        return chain.from_iterable(map(PackedJobs.items, self._levels.values()))

    def copy(self) -> JobSet:
        """Return an independent copy; the jobs themselves are immutable and shared."""
        other = JobSet(self.order)
        other._levels = {key: level.copy() for key, level in self._levels.items()}
        other._keys = self._keys.copy()
        other._bounds = self._bounds.copy()
        other._count = self._count
        other.weight = self.weight
        other.units = self.units
        other.units_by_depth = self.units_by_depth.copy()
        return other

    def _level_of(self, job_id: JobId) -> PackedJobs:
        """Find the level of a job. Jobs are taken in the order in which they are handed out: one of the three that go first has it.

        Raises:
            KeyError: it is not pending.
        """
        if self._keys and (level := self._levels[self._keys[0]]).at_hand(job_id):
            return level
        for key in (KILLED_ONCE, SUSPECTS):
            if key in self._levels and self._levels[key].at_hand(job_id):
                return self._levels[key]
        for level in self._levels.values():
            if job_id in level:
                return level
        raise KeyError(job_id)

    def _drop_empty_levels(self) -> None:
        """Keep the invariant that the heap's first key has a level with a job, so that first() need not search.

        A level that empties deeper down stays until it is on top: taking it out of the middle of a heap would cost a scan.
        """
        while self._keys and not self._levels[self._keys[0]]:
            del self._levels[heapq.heappop(self._keys)]
