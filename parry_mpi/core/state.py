"""The durable state of a run: pending jobs, leases, quarantined jobs, counters. One value, changed by apply() alone.

Beside the state itself this keeps the net change since the last commit, so that what is born and finished between two
commits never reaches the disk. This module must not decide anything, and must not know who is connected.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from parry_mpi.core.bounds import Bounds, Score
from parry_mpi.core.ids import JobId, LeaseId, WorkerId
from parry_mpi.core.jobset import JobSet, Order
from parry_mpi.core.packed import PackedJobs
from parry_mpi.core.records import (
    Decided,
    Granted,
    Joined,
    Quarantined,
    Reported,
    Restarted,
    Retried,
    RootsPulled,
    Voided,
)
from parry_mpi.errors import InvariantError, unreachable
from parry_mpi.job import WHOLE, Job, smallest_bound, total_weight

AnyRecord = Joined | RootsPulled | Granted | Reported | Voided | Decided | Restarted | Retried

WORKER_EPOCH_BITS = 32
LEASE_EPOCH_BITS = 40
"""Every restart moves ids to a range of their own, because ids given out after the last commit are not on disk. Thus an
id is never used twice as long as a coordinator's life grants fewer than 2^40 leases (a million a second for 12 days)."""


class Counters(msgspec.Struct):
    """The numbers of a run that are kept for ever.

    Args:
        next_worker, next_lease, next_job: the next ids to give out.
        roots_pulled: how many roots were taken from the problem.
        roots_exhausted: whether there are no more.
        unpulled_weight: the part of WHOLE that belongs to roots not yet taken.
        nodes: nodes explored and counted.
        solved: jobs finished.
        explored_us: time spent exploring, in microseconds, summed over workers.
        killings: leases killed.
        grants: leases granted.
        reports: reports accepted.
        shared: jobs given away by workers.
        restarts: how often a coordinator took over.
        decided: whether what was found answers the question, whatever is left.
    """

    next_worker: WorkerId = WorkerId(1)
    next_lease: LeaseId = LeaseId(1)
    next_job: JobId = JobId(1)
    roots_pulled: int = 0
    roots_exhausted: bool = False
    unpulled_weight: int = WHOLE
    nodes: int = 0
    solved: int = 0
    explored_us: int = 0
    killings: int = 0
    grants: int = 0
    reports: int = 0
    shared: int = 0
    restarts: int = 0
    decided: bool = False


class Lease(msgspec.Struct):
    """One worker's right to explore some jobs.

    Args:
        worker: whose it is.
        jobs: what remains to be explored under it, next one last.
        seq: how many reports were accepted.
    """

    worker: WorkerId
    jobs: tuple[Job, ...]
    seq: int = 0


class Changes(msgspec.Struct):
    """The net change between two commits. A row that is put replaces the one with the same id; no id is both put and removed."""

    counters: Counters
    pending_put: dict[JobId, Job] = msgspec.field(default_factory=dict)
    pending_removed: set[JobId] = msgspec.field(default_factory=set)
    leases_put: dict[LeaseId, Lease] = msgspec.field(default_factory=dict)
    leases_removed: set[LeaseId] = msgspec.field(default_factory=set)
    quarantined_put: dict[JobId, Quarantined] = msgspec.field(default_factory=dict)
    quarantined_removed: set[JobId] = msgspec.field(default_factory=set)

    def __bool__(self) -> bool:
        """Whether any row changed; counters are not looked at."""
        return bool(
            self.pending_put
            or self.pending_removed
            or self.leases_put
            or self.leases_removed
            or self.quarantined_put
            or self.quarantined_removed
        )


class Snapshot(msgspec.Struct):
    """A whole state, as the store hands it back: of many pending jobs, packed."""

    counters: Counters
    pending: dict[JobId, Job] | PackedJobs = msgspec.field(default_factory=dict)
    leases: dict[LeaseId, Lease] = msgspec.field(default_factory=dict)
    quarantined: dict[JobId, Quarantined] = msgspec.field(default_factory=dict)


class State:
    """The durable state of a run.

    Args:
        order: what pending jobs are handed out by.

    Invariants (checked by core.invariants):
        explored + pending + leased + quarantined + unpulled = WHOLE, in integers.
        Every id is smaller than the next one of its kind.
    """

    def __init__(self, order: Order = "depth") -> None:
        self.counters = Counters()
        self.pending = JobSet(order)
        self.leases: dict[LeaseId, Lease] = {}
        self.quarantined: dict[JobId, Quarantined] = {}
        self.leased_weight = 0
        self.leased_count = 0
        self._leased_bounds = Bounds()
        self._changes = Changes(self.counters)

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot, order: Order = "depth") -> State:
        """Take up what the store kept. The snapshot must not be used afterwards."""
        state = cls(order)
        state.counters = snapshot.counters
        pending = snapshot.pending
        for job_id, job in pending.drained() if isinstance(pending, PackedJobs) else sorted(pending.items()):
            state.pending.add(job_id, job)
        for lease_id, lease in sorted(snapshot.leases.items()):
            state.leases[lease_id] = lease
            state._count_leased(lease.jobs)
        state.quarantined = dict(sorted(snapshot.quarantined.items()))
        state._changes = Changes(state.counters)
        return state

    def to_snapshot(self) -> Snapshot:
        """Return the whole state as plain tables, independent of this one."""
        return Snapshot(
            msgspec.structs.replace(self.counters),
            dict(self.pending.items()),
            {lease_id: msgspec.structs.replace(lease) for lease_id, lease in self.leases.items()},
            dict(self.quarantined),
        )

    @property
    def explored_weight(self) -> int:
        """The part of WHOLE that has been explored and counted."""
        return WHOLE - self.unexplored_weight

    @property
    def unexplored_weight(self) -> int:
        """The part of WHOLE that is pending, leased, quarantined, or not yet taken from the roots."""
        return self.pending.weight + self.leased_weight + self.quarantined_weight + self.counters.unpulled_weight

    @property
    def quarantined_weight(self) -> int:
        """The part of WHOLE that is quarantined."""
        return total_weight(entry.job for entry in self.quarantined.values())

    def bound(self) -> Score | None:
        """Return what no solution in all that is not explored has a smaller score than, infinity if nothing is left.

        None if that is not known: there is a job without a bound, or roots are not pulled yet.
        """
        if not self.counters.roots_exhausted:
            return None
        quarantined = smallest_bound(entry.job for entry in self.quarantined.values())
        pending, leased = self.pending.bound(), self._leased_bounds.smallest()
        return None if pending is None or leased is None or quarantined is None else min(pending, leased, quarantined)

    @property
    def done(self) -> bool:
        """Whether nothing is left to hand out or to wait for; the answer is complete if nothing is quarantined, or if it was decided."""
        if self.counters.decided:
            return not self.leases
        return not self.pending and not self.leases and self.counters.roots_exhausted

    @property
    def complete(self) -> bool:
        """Whether the answer is known: everything is explored, or what is left cannot change it."""
        return self.done and (self.counters.decided or not self.quarantined)

    def copy(self) -> State:
        """Return an independent copy, without the changes since the last commit."""
        other = State(self.pending.order)
        other.counters = msgspec.structs.replace(self.counters)
        other.pending = self.pending.copy()
        other.leases = {lease_id: msgspec.structs.replace(lease) for lease_id, lease in self.leases.items()}
        other.quarantined = self.quarantined.copy()
        other.leased_weight = self.leased_weight
        other.leased_count = self.leased_count
        other._leased_bounds = self._leased_bounds.copy()
        other._changes = Changes(other.counters)
        return other

    def take_changes(self) -> Changes:
        """Return the net change since the last call, for one transaction, and begin to gather the next."""
        changes = self._changes
        changes.counters = msgspec.structs.replace(self.counters)
        for lease_id in changes.leases_put:
            changes.leases_put[lease_id] = msgspec.structs.replace(self.leases[lease_id])
        self._changes = Changes(self.counters)
        return changes

    def apply(self, record: AnyRecord) -> None:
        """Change the state by one fact. Nothing else changes it."""
        match record:
            case Joined():
                self.counters.next_worker = WorkerId(record.worker + 1)
            case RootsPulled():
                self._apply_roots_pulled(record)
            case Granted():
                self._apply_granted(record)
            case Reported():
                self._apply_reported(record)
            case Voided():
                self._apply_voided(record)
            case Decided():
                self.counters.decided = True
            case Restarted():
                self._apply_restarted()
            case Retried():
                for job_id, entry in list(self.quarantined.items()):
                    self._release(job_id)
                    self._add_pending((entry.job,))
            case _:
                unreachable(record)

    def _apply_roots_pulled(self, record: RootsPulled) -> None:
        self._add_pending(record.jobs)
        self.counters.roots_pulled = record.pulled
        self.counters.roots_exhausted = record.exhausted
        self.counters.unpulled_weight = record.unpulled_weight

    def _apply_granted(self, record: Granted) -> None:
        for job_id in record.taken:
            self._remove_pending(job_id)
        self._add_pending(record.left)
        self.counters.next_lease = LeaseId(record.lease + 1)
        self.counters.grants += 1
        self.leases[record.lease] = Lease(record.worker, record.jobs)
        self._count_leased(record.jobs)
        self._changes.leases_put[record.lease] = self.leases[record.lease]

    def _apply_reported(self, record: Reported) -> None:
        lease = self._lease(record.lease)
        self._uncount_leased(lease.jobs)
        lease.jobs = record.remaining
        lease.seq = record.seq
        self._count_leased(lease.jobs)
        self._changes.leases_put[record.lease] = lease
        self._add_pending(record.shared)
        counters = self.counters
        counters.nodes += record.nodes
        counters.explored_us += record.explored_us
        counters.solved += record.solved
        counters.reports += 1
        counters.shared += len(record.shared)
        if not record.remaining:
            self._end_lease(record.lease)

    def _apply_voided(self, record: Voided) -> None:
        self._end_lease(record.lease)
        self._add_pending(record.pending)
        for entry in record.quarantined:
            job_id = self._new_job_id()
            self.quarantined[job_id] = entry
            self._changes.quarantined_put[job_id] = entry
        self.counters.killings += record.killing

    def _apply_restarted(self) -> None:
        for lease_id, lease in list(self.leases.items()):
            self._end_lease(lease_id)
            self._add_pending(lease.jobs)
        counters = self.counters
        counters.restarts += 1
        counters.next_worker = WorkerId((counters.restarts << WORKER_EPOCH_BITS) + 1)
        counters.next_lease = LeaseId((counters.restarts << LEASE_EPOCH_BITS) + 1)

    def _lease(self, lease_id: LeaseId) -> Lease:
        try:
            return self.leases[lease_id]
        except KeyError:
            raise InvariantError(f"a record names lease {lease_id}, which is not live") from None

    def _end_lease(self, lease_id: LeaseId) -> None:
        self._uncount_leased(self._lease(lease_id).jobs)
        del self.leases[lease_id]
        self._changes.leases_put.pop(lease_id, None)
        self._changes.leases_removed.add(lease_id)

    def _count_leased(self, jobs: tuple[Job, ...]) -> None:
        self.leased_weight += total_weight(jobs)
        self.leased_count += len(jobs)
        self._leased_bounds.add(smallest_bound(jobs))

    def _uncount_leased(self, jobs: tuple[Job, ...]) -> None:
        self.leased_weight -= total_weight(jobs)
        self.leased_count -= len(jobs)
        self._leased_bounds.remove(smallest_bound(jobs))

    def _new_job_id(self) -> JobId:
        job_id = self.counters.next_job
        self.counters.next_job = JobId(job_id + 1)
        return job_id

    def _add_pending(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            job_id = self._new_job_id()
            self.pending.add(job_id, job)
            self._changes.pending_put[job_id] = job

    def _remove_pending(self, job_id: JobId) -> None:
        try:
            self.pending.remove(job_id)
        except KeyError:
            raise InvariantError(f"a record names job {job_id}, which is not pending") from None
        # Born since the last commit: it never gets to the disk. Job ids grow and are never used again, so it cannot be there.
        if self._changes.pending_put.pop(job_id, None) is None:
            self._changes.pending_removed.add(job_id)

    def _release(self, job_id: JobId) -> None:
        del self.quarantined[job_id]
        if self._changes.quarantined_put.pop(job_id, None) is None:
            self._changes.quarantined_removed.add(job_id)
