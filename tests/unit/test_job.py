"""Jobs and their weights: whatever is divided adds up to what it was."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.job import WHOLE, Job, cut, shares, total_size_bytes, total_weight

weights = st.integers(0, WHOLE)


@given(weights, st.integers(1, 1000))
def test_shares_add_up(weight, parts):
    """Protects the explored share: dividing loses nothing, and is fair to one unit."""
    divided = shares(weight, parts)
    assert (parts, weight) == (len(divided), sum(divided))
    assert max(divided) - min(divided) <= 1


@given(weights, st.integers(0, 10**12), st.integers(2, 10**12), st.data())
def test_cut_is_exact(weight, first, count, data):
    """Protects sweeps: a run of roots that is cut in two covers the same roots and weighs the same."""
    run = Job(depth=2, killed=1, weight=weight, first=first, count=count)
    left, right = cut(run, data.draw(st.integers(1, count - 1)))
    assert (first, left.first + left.count) == (left.first, right.first)
    assert first + count == right.first + right.count
    assert weight == left.weight + right.weight
    assert 0 <= min(left.weight, right.weight)
    assert 1 <= min(left.count, right.count)
    assert {(2, 1)} == {(left.depth, left.killed), (right.depth, right.killed)}


def test_killed_once_more():
    """Protects against poison jobs: a kill is remembered, and nothing else about the job changes."""
    job = Job(b"node", 3, 1, 100)
    assert Job(b"node", 3, 2, 100) == job.killed_once_more()
    assert 1 == job.killed


def test_units_and_sizes():
    """Protects bundles: a run of roots counts each root, but costs no more than one job."""
    single, run = Job(b"12345678", weight=5), Job(first=10, count=10**9, weight=7)
    assert (1, 10**9) == (single.units, run.units)
    assert (72, 64) == (single.size_bytes, run.size_bytes)
    assert 136 == total_size_bytes([single, run])
    assert 12 == total_weight([single, run])
    assert 0 == total_weight([])


def test_wire_form_is_strict():
    """Protects the state: jobs survive encoding, and a field nobody knows is refused instead of dropped."""
    run = Job(depth=1, killed=2, weight=WHOLE, first=2**40, count=2**41)
    assert run == msgspec.msgpack.decode(msgspec.msgpack.encode(run), type=Job)
    assert 9 + 9 + 9 + 8 > len(msgspec.msgpack.encode(run))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([b"", 0, 0, 0, 0, 0, None, "more"]), type=Job)


@pytest.mark.parametrize("bound", [0, -72, 2**63 - 1, 1 - 2**63, 0.5, math.inf, None])
def test_bounds_come_back(bound):
    """Protects what is proven: every bound that an optimisation can have survives the way to the disk and back."""
    job = Job(b"node", bound=bound)
    back = msgspec.msgpack.decode(msgspec.msgpack.encode(job), type=Job)
    assert (job, type(bound)) == (back, type(back.bound))


@pytest.mark.parametrize("bound", [math.nan, -math.inf, 2**63, "3", True])
def test_bounds_that_cannot_be_compared(bound):
    """Protects the order of the job set from whoever says what is no bound."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([b"", 0, 0, 0, 0, 0, bound]), type=Job)


def test_older_jobs_can_be_read():
    """Protects run directories of earlier versions: a job that was written before there were bounds has none."""
    assert Job(b"node", 1, 2, 3) == msgspec.msgpack.decode(msgspec.msgpack.encode([b"node", 1, 2, 3, 0, 0]), type=Job)
