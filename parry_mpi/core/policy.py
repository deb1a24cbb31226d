"""How much to hand out at once, whom to ask to share, and how long to wait: the tunable judgement of the coordinator.

Nothing here can make an answer wrong, only a run slow. This module must not change any state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from parry_mpi.core.ids import JobId
from parry_mpi.job import Job, cut

MESSAGE_US = 40
"""What a message is said to cost the coordinator: its step was measured at 15 to 30 us, receiving and sending cost about as much again."""

BUNDLE_MS = 200
"""How long a bundle should keep a worker busy, at least. A round trip costs about 0.3 ms, so 200 ms makes messages cost well under one
percent; longer bundles would only be shared more often."""

BUNDLE_US_A_WORKER = 5 * MESSAGE_US
"""With many workers bundles last so long for each of them. A bundle costs two messages, the report at its end and the request for the
next, so all bundles together take 0.4 of a core however many workers there are; what else is said fits into the rest of half a core."""

ROUND_US_A_WORKER = 2 * MESSAGE_US
"""A round is the time in which the coordinator can give every worker a new bundle; this is it for each worker. Nothing is gained by
dividing what lasts shorter: workers would wait for the coordinator."""

SHARE_US_A_WORKER = 6 * MESSAGE_US
"""How long jobs that are divided off have to last for each worker. Each costs three messages, the report that gives it away, the request
for it, and the report at its end: shorter ones keep the coordinator busy for more than half of the time."""

BUNDLE_JOBS_MAX = 50_000
"""Most jobs in a bundle, a run of roots counting once. Bounds a message, and how long encoding it keeps the coordinator (10 ms)."""

BUNDLE_BYTES_MAX = 1 << 20
"""Stop adding jobs to a bundle beyond this size; one job may be larger by itself."""

WORTHWHILE_MS = 5
"""Only a lease held for so long is asked to share: most of the others are over before the question arrives. With many workers, see
BundlePolicy.worthwhile_ms."""

ASK_AGAIN_MS = 20
"""A lease that had nothing to give is not asked again for so long; it may have just begun a job that it could not divide yet."""

REPORT_US_A_WORKER = 250
"""With many workers each says something of its own accord only so often for each of them. Somewhat longer than bundles last, so that in a
sweep nothing is said between their ends; 4,000 messages a second in all, and the most work that is lost with a worker."""

HEARTBEAT_US_A_WORKER = 300
"""The same for heartbeats. A report is a sign of life too, so that whoever reports in time need not say anything else."""

HEARTBEATS_MISSED_MIN = 2
"""Whoever promises few heartbeats is not lost before it has missed as many, whatever the user says: one may be late."""

MEMORY = 0.9
"""How much of the measured job length is kept at every report: the last ten or so reports count."""


class Settings(msgspec.Struct, frozen=True):
    """What the user can choose about a run, and what its problem is like.

    Args:
        fingerprint: digest of the problem's source and parameters; a worker's must be the same.
        splittable: whether a job can be divided once it has begun; if not, taking it from a slow worker gains nothing.
        max_kills: a job that killed this often, and can be blamed alone, is quarantined.
        quarantine_errors: what to do with a node whose exploration raises: quarantine it, or stop the run.
        heartbeat_timeout_ms: a worker that promised heartbeats and is silent for so long is lost, see silence_max_ms.
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
    heartbeat_timeout_ms: int = 15_000
    patience_ms: int = 60_000
    grace_ms: int = 10_000
    sense: Literal["min", "max"] | None = None
    gap: int | float = 0


class BundlePolicy:
    """Choose bundles that last about BUNDLE_MS, or longer if there are many workers, from how long jobs took lately."""

    def __init__(self) -> None:
        self._solved = 0.0
        self._explored_us = 0.0

    def note(self, solved: int, explored_us: int) -> None:
        """Learn from a report."""
        self._solved = self._solved * MEMORY + solved
        self._explored_us = self._explored_us * MEMORY + explored_us

    def jobs_wanted(self, pending_count: int, workers_count: int) -> int:
        """Return how many jobs a bundle should have; a run of roots counts each of its roots.

        Not more than half of a worker's fair part of what is pending, so that the last bundles are small; but nothing is gained by
        bundles that workers are through with before the coordinator has served the others.
        """
        if self._solved < 1:
            return 1
        jobs_per_us = self._solved / max(self._explored_us, 1.0)
        wanted = max(BUNDLE_MS * 1000, BUNDLE_US_A_WORKER * workers_count) * jobs_per_us
        fair = pending_count / (2 * max(workers_count, 1))
        least = ROUND_US_A_WORKER * workers_count * jobs_per_us
        return max(1, min(int(wanted), int(max(fair, least))))

    def crumbs(self, workers_count: int) -> bool:
        """Return whether jobs are over so soon lately that dividing them further keeps the coordinator busy, and nobody else.

        Nobody knows how long a job takes before it is explored. While nothing is known, as at the beginning, all may be divided;
        with so few workers that a round is over at once, always.
        """
        few = ROUND_US_A_WORKER * workers_count <= WORTHWHILE_MS * 1000
        return not few and self._solved >= 1 and self._explored_us < SHARE_US_A_WORKER * workers_count * self._solved

    def worthwhile_ms(self, workers_count: int) -> int:
        """Return how long a lease has to be held before it is asked to share. Among crumbs, what has lasted a round is none."""
        return ROUND_US_A_WORKER * workers_count // 1000 if self.crumbs(workers_count) else WORTHWHILE_MS

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


def pace_ms(least_ms: int, workers_count: int, us_a_worker: int = REPORT_US_A_WORKER) -> int:
    """Return how often each of so many workers says something of its own accord, if one alone would do so every ``least_ms``."""
    return max(least_ms, us_a_worker * workers_count // 1000)


def silence_max_ms(settings: Settings, heartbeat_ms: int) -> int | None:
    """Return how long a worker may be silent that promised heartbeats so often; None if it promised none."""
    return max(settings.heartbeat_timeout_ms, HEARTBEATS_MISSED_MIN * heartbeat_ms) if heartbeat_ms else None


def patience_ms(settings: Settings, killed: int) -> int:
    """Return how long a silent lease is waited for: doubles with every kill, so that every job ends at last."""
    return settings.patience_ms << min(killed, 40)
