"""How much to hand out at once, whom to ask to share, and how long to wait: the tunable judgement of the coordinator.

Nothing here can make an answer wrong, only a run slow. This module must not change any state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from parry_mpi.core.ids import JobId
from parry_mpi.job import Job, cut

BUNDLE_MS = 200
"""How long a bundle should keep a worker busy. A round trip costs about 0.3 ms, so 200 ms makes messages cost well under one percent;
longer bundles would only be shared more often."""

BUNDLE_JOBS_MAX = 50_000
"""Most jobs in a bundle, a run of roots counting once. Bounds a message, and how long encoding it keeps the coordinator (10 ms)."""

BUNDLE_BYTES_MAX = 1 << 20
"""Stop adding jobs to a bundle beyond this size; one job may be larger by itself."""

WORTHWHILE_MS = 5
"""Only a lease held for so long is asked to share: most of the others are over before the question arrives."""

ASK_AGAIN_MS = 20
"""A lease that had nothing to give is not asked again for so long; it may have just begun a job that it could not divide yet."""

MEMORY = 0.9
"""How much of the measured job length is kept at every report: the last ten or so reports count."""


@dataclass(frozen=True)
class Settings:
    """What the user can choose about a run, and what its problem is like.

    Args:
        fingerprint: digest of the problem's source and parameters; a worker's must be the same.
        splittable: whether a job can be divided once it has begun; if not, taking it from a slow worker gains nothing.
        max_kills: a job that killed this often, and can be blamed alone, is quarantined.
        quarantine_errors: what to do with a node whose exploration raises: quarantine it, or stop the run.
        heartbeats_missed_max: a worker that promised heartbeats and missed this many is lost.
        patience_ms: how long a lease that was asked to share may stay silent while others starve, before it is killed; doubles
            with every kill. 0 to wait for ever.
        grace_ms: how long a stop waits for leases to be handed back.
        sense: of an optimisation; None for other problems.
        gap: of an optimisation: what is not better by as much is left out.
    """

    fingerprint: str
    splittable: bool = True
    max_kills: int = 5
    quarantine_errors: bool = False
    heartbeats_missed_max: int = 15
    patience_ms: int = 60_000
    grace_ms: int = 10_000
    sense: Literal["min", "max"] | None = None
    gap: int | float = 0


class BundlePolicy:
    """Choose bundles that last about BUNDLE_MS, from how long jobs took lately."""

    def __init__(self) -> None:
        self._solved = 0.0
        self._explored_us = 0.0

    def note(self, solved: int, explored_us: int) -> None:
        """Learn from a report."""
        self._solved = self._solved * MEMORY + solved
        self._explored_us = self._explored_us * MEMORY + explored_us

    def jobs_wanted(self, pending_count: int, workers_count: int) -> int:
        """Return how many jobs a bundle should have; a run of roots counts each of its roots.

        Never more than half of a worker's fair part of what is pending, so that the last bundles are small.
        """
        if self._solved < 1:
            return 1
        wanted = BUNDLE_MS * 1000 * self._solved / max(self._explored_us, 1.0)
        fair = pending_count / (2 * max(workers_count, 1))
        return max(1, min(int(wanted), int(fair)))

    def choose(
        self, candidates: Iterable[tuple[JobId, Job]], pending_count: int, workers_count: int
    ) -> tuple[tuple[JobId, ...], tuple[Job, ...], tuple[Job, ...]]:
        """Choose the next bundle.

        Args:
            candidates: pending jobs that may travel together, at least one, in the order in which they should go.
            pending_count: how many such jobs there are; a run of roots counts each of its roots.
            workers_count: how many workers there are.

        Returns:
            The ids of the jobs to take, the jobs of the bundle (explored last one first, so the shallowest stand last), and what
            stays pending of a run of roots that was cut.
        """
        wanted = self.jobs_wanted(pending_count, workers_count)
        taken: list[JobId] = []
        jobs: list[Job] = []
        left: tuple[Job, ...] = ()
        count, size_bytes = 0, 0
        for job_id, job in candidates:
            if count >= wanted or len(jobs) >= BUNDLE_JOBS_MAX or (jobs and size_bytes + job.size_bytes > BUNDLE_BYTES_MAX):
                break
            if job.count > wanted - count:
                job, rest = cut(job, wanted - count)  # noqa: PLW2901 the run is handed out in part
                left = (rest,)
            taken.append(job_id)
            jobs.append(job)
            count += job.units
            size_bytes += job.size_bytes
        return tuple(taken), tuple(reversed(jobs)), left


def patience_ms(settings: Settings, killed: int) -> int:
    """Return how long a silent lease is waited for: doubles with every kill, so that every job ends at last."""
    return settings.patience_ms << min(killed, 40)
