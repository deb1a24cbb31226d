"""Durable facts: what happened, once it has happened. State.apply(record) is the only code that changes durable state.

This module must not decide anything.
"""

from __future__ import annotations

import msgspec

from parry_mpi.core.ids import JobId, LeaseId, WorkerId
from parry_mpi.job import Job


class Record(msgspec.Struct, frozen=True):
    """Base of all records."""


class Quarantined(msgspec.Struct, frozen=True, array_like=True):
    """A job that is not handed out any more until the user says so.

    Args:
        job: the job; it stays part of the tree and is missing from the answer.
        error: why, one line.
        details: the traceback in the user's own code, or "".
        host: the machine on which it happened last.
    """

    job: Job
    error: str
    details: str = ""
    host: str = ""


class Joined(Record, frozen=True):
    """A worker was given this id."""

    worker: WorkerId


class RootsPulled(Record, frozen=True):
    """More roots were taken from the problem.

    Args:
        jobs: the new jobs.
        pulled: how many roots have been taken in all.
        exhausted: there are no more.
        unpulled_weight: what is left of WHOLE for the roots still to come.
    """

    jobs: tuple[Job, ...]
    pulled: int
    exhausted: bool
    unpulled_weight: int


class Granted(Record, frozen=True):
    """A worker was given a lease.

    Args:
        lease: its new id.
        worker: whose it is.
        taken: the pending jobs it was made of.
        jobs: what it covers.
        left: what of ``taken`` stays pending (the rest of a run of roots that was cut).
    """

    lease: LeaseId
    worker: WorkerId
    taken: tuple[JobId, ...]
    jobs: tuple[Job, ...]
    left: tuple[Job, ...] = ()


class Reported(Record, frozen=True):
    """A report was accepted: explored + pending + leased stays the whole tree. With nothing remaining the lease ends."""

    lease: LeaseId
    seq: int
    nodes: int
    explored_us: int
    solved: int
    remaining: tuple[Job, ...]
    shared: tuple[Job, ...]


class Voided(Record, frozen=True):
    """A lease ended without having been finished; what it had not reported goes back.

    Args:
        lease: which; it is refused from now on.
        pending: its jobs as they go back to be handed out.
        quarantined: its jobs that do not.
        killing: whether this counts as a kill (a worker lost, unresponsive or crashed).
    """

    lease: LeaseId
    pending: tuple[Job, ...]
    quarantined: tuple[Quarantined, ...] = ()
    killing: bool = True


class Decided(Record, frozen=True):
    """What was found answers the question: nothing else needs to be explored. No lease is live any more."""


class Restarted(Record, frozen=True):
    """A coordinator took over what another one left: all leases end, and ids go on in a new range."""


class Retried(Record, frozen=True):
    """The user asked for the quarantined jobs to be handed out again."""
