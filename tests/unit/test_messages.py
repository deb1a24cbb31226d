"""parry_mpi.core.messages: which of them keep somebody waiting."""

from __future__ import annotations

import pytest

from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.core.messages import (
    SMALL_BYTES,
    Ack,
    Alive,
    Bundle,
    Die,
    GetJob,
    Goodbye,
    Hello,
    Incumbent,
    Report,
    Share,
    Stop,
    Welcome,
    awaited,
)
from parry_mpi.job import Job

LEASE, WORKER, JOBS = LeaseId(3), WorkerId(1), (Job(b"n"),)


def report(remaining: tuple[Job, ...] = (), shared: tuple[Job, ...] = (), value: bytes = b"v") -> Report:
    return Report(LEASE, 1, 10, value, 1000, 0, remaining, shared)


@pytest.mark.parametrize(
    "message",
    [
        Hello("f", "host", 1, "x", 1000),
        GetJob(WORKER),
        report(),
        report(remaining=JOBS, shared=JOBS),
        report(remaining=JOBS, value=bytes(SMALL_BYTES)),
        report(remaining=(Job(bytes(SMALL_BYTES)),)),
        Goodbye(WORKER),
        Welcome(WORKER),
        Bundle(LEASE, JOBS),
        Share(LEASE),
        Die(LEASE),
        Stop(),
    ],
    ids=lambda message: type(message).__name__,
)
def test_awaited(message):
    """Protects latency: whoever joins, is hungry, gives away or is to leave is attended to at once, and what comes next as well."""
    assert awaited(message)


@pytest.mark.parametrize(
    "message",
    [Alive(WORKER, (LEASE,)), report(remaining=JOBS), Ack(LEASE, 1), Incumbent(LEASE, 7)],
    ids=lambda message: type(message).__name__,
)
def test_not_awaited(message):
    """Protects the cores: signs of life and work that goes on do not keep anybody looking for more."""
    assert not awaited(message)
