"""The job set: pending jobs ordered by depth, shallowest first, oldest first within a depth.

Shallow jobs are the big ones, so handing them out first moves much work with few messages. Jobs that were killed are
kept apart, because they do not travel with others. This module must not decide which job goes to whom.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from parry_mpi.core.ids import JobId
from parry_mpi.job import Job


class JobSet:
    """Pending jobs by id and by depth. Adding, removing and finding the first take O(log depths).

    Attributes:
        weight: of all the jobs together.
        units: how many jobs there are if a run of roots counts each root.
        units_by_depth: these at each depth at which there are any, in no order.

    Invariants:
        Every job is in exactly one level, that of its depth, or among those killed once, or among those killed more often.
        Every depth that has a level is in the heap, exactly once.
    """

    def __init__(self) -> None:
        self._jobs: dict[JobId, Job] = {}
        self._levels: dict[int, dict[JobId, None]] = {}
        self._depths: list[int] = []
        self._killed_once: dict[JobId, None] = {}
        self._suspects: dict[JobId, None] = {}
        self.weight = 0
        self.units = 0
        self.units_by_depth: dict[int, int] = {}

    def add(self, job_id: JobId, job: Job) -> None:
        """Add a pending job."""
        self._jobs[job_id] = job
        self.weight += job.weight
        self.units += job.units
        self.units_by_depth[job.depth] = self.units_by_depth.get(job.depth, 0) + job.units
        if job.killed:
            self._apart(job)[job_id] = None
            return
        level = self._levels.get(job.depth)
        if level is None:
            level = self._levels[job.depth] = {}
            heapq.heappush(self._depths, job.depth)
        level[job_id] = None

    def remove(self, job_id: JobId) -> Job:
        """Take a job out.

        Raises:
            KeyError: it is not pending.
        """
        job = self._jobs.pop(job_id)
        self.weight -= job.weight
        self.units -= job.units
        self.units_by_depth[job.depth] -= job.units
        if not self.units_by_depth[job.depth]:
            del self.units_by_depth[job.depth]
        if job.killed:
            del self._apart(job)[job_id]
        else:
            del self._levels[job.depth][job_id]
            self._drop_empty_levels()
        return job

    def first(self) -> JobId | None:
        """Return the job to hand out next among those never killed: the shallowest, and of these the oldest."""
        return next(iter(self._levels[self._depths[0]])) if self._depths else None

    def in_order(self) -> Iterator[tuple[JobId, Job]]:
        """Give the jobs never killed in the order in which they would be handed out; the set must not change meanwhile."""
        for depth in sorted(self._levels):
            for job_id in self._levels[depth]:
                yield job_id, self._jobs[job_id]

    def first_suspect(self) -> JobId | None:
        """Return the oldest of the jobs that were killed more than once."""
        return next(iter(self._suspects), None)

    def killed_once(self) -> Iterator[tuple[JobId, Job]]:
        """Give the jobs that were killed once, oldest first; the set must not change meanwhile."""
        return ((job_id, self._jobs[job_id]) for job_id in self._killed_once)

    @property
    def killed_once_count(self) -> int:
        """How many of the jobs were killed once."""
        return len(self._killed_once)

    @property
    def killed_count(self) -> int:
        """How many of the jobs were killed before."""
        return len(self._killed_once) + len(self._suspects)

    def counts_by_depth(self) -> dict[int, int]:
        """How many jobs never killed there are at each depth."""
        return {depth: len(self._levels[depth]) for depth in sorted(self._levels) if self._levels[depth]}

    def __len__(self) -> int:
        return len(self._jobs)

    def __getitem__(self, job_id: JobId) -> Job:
        return self._jobs[job_id]

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def items(self) -> Iterator[tuple[JobId, Job]]:
        """Give all jobs, oldest first."""
        return iter(self._jobs.items())

    def copy(self) -> JobSet:
        """Return an independent copy; the jobs themselves are immutable and shared."""
        other = JobSet()
        other._jobs = self._jobs.copy()
        other._levels = {depth: level.copy() for depth, level in self._levels.items()}
        other._depths = self._depths.copy()
        other._killed_once = self._killed_once.copy()
        other._suspects = self._suspects.copy()
        other.weight = self.weight
        other.units = self.units
        other.units_by_depth = self.units_by_depth.copy()
        return other

    def _apart(self, job: Job) -> dict[JobId, None]:
        """Where a job that was killed is kept."""
        return self._killed_once if job.killed == 1 else self._suspects

    def _drop_empty_levels(self) -> None:
        """Keep the invariant that the heap's first depth has a level with a job, so that first() need not search.

        A level that empties deeper down stays until it is on top: taking it out of the middle of a heap would cost a scan.
        """
        while self._depths and not self._levels[self._depths[0]]:
            del self._levels[heapq.heappop(self._depths)]
