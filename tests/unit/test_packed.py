"""Packed jobs are the jobs that were put in, in their order, whatever is taken out and wherever."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core import packed
from parry_mpi.core.packed import AT_HAND_JOBS, BLOCK_BYTES, BLOCK_JOBS, PackedJobs
from parry_mpi.job import WHOLE, Job

naturals = st.integers(0, 2**63 - 1)
any_job = st.builds(
    Job,
    st.binary(max_size=9),
    depth=naturals,
    killed=naturals,
    weight=st.integers(0, WHOLE),
    first=naturals,
    count=naturals,
    bound=st.none() | st.integers(1 - 2**63, 2**63 - 1) | st.floats(allow_nan=False).filter(lambda bound: bound != -math.inf),
)


def packed_jobs(count: int, node: bytes = b"") -> PackedJobs:
    jobs = PackedJobs()
    for job_id in range(1, count + 1):
        jobs.add(job_id, Job(node, depth=job_id))
    return jobs


@given(st.lists(st.tuples(any_job, st.integers(1, 2**40), st.none() | st.integers(0, 99)), max_size=40))
def test_like_a_dumb_dict(steps):
    """Protects every job: after any additions and removals, at the ends or between, a dict would hold the same in the same order."""
    jobs, dumb, job_id = PackedJobs(), {}, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "BLOCK_JOBS", 3)
        patch.setattr(packed, "AT_HAND_JOBS", 2)
        for job, further, removed in steps:
            if removed is None or not dumb:
                job_id += further
                jobs.add(job_id, job)
                dumb[job_id] = job
            else:
                gone = list(dumb)[removed % len(dumb)]
                assert dumb[gone] == jobs[gone] == jobs.remove(gone)
                del dumb[gone]
                with pytest.raises(KeyError):
                    jobs[gone]
                with pytest.raises(KeyError):
                    jobs.remove(gone)
            assert (list(dumb.items()), len(dumb), next(iter(dumb), None)) == (list(jobs.items()), len(jobs), jobs.first())
            assert all((each in dumb) == (each in jobs) for known in dumb for each in (known - 1, known, known + 1))
        assert list(dumb.items()) == list(jobs.copy().drained()) == list(jobs.drained())
        assert (0, None, []) == (len(jobs), jobs.first(), list(jobs.items()))


def test_copy_is_independent():
    """Protects the model checker: what happens to a copy, or to the original, does not happen to the other."""
    jobs = packed_jobs(5 * BLOCK_JOBS)
    before = list(jobs.items())
    copied = jobs.copy()
    for job_id in (1, 3 * BLOCK_JOBS, 5 * BLOCK_JOBS):
        copied.remove(job_id)
    copied.add(9 * BLOCK_JOBS, Job())
    assert before == list(jobs.items())
    after = list(copied.items())
    assert before == list(jobs.drained())
    assert after == list(copied.items())


def test_memory():
    """Protects the coordinator's memory: of many jobs few are objects, and the others take little more than what they say."""
    jobs = packed_jobs(100 * BLOCK_JOBS, node=bytes(40))
    assert 2 * BLOCK_JOBS >= len(jobs._front) + len(jobs._back)
    assert 65 >= sum(len(block.body) for block in jobs._blocks) / jobs._packed_count


def test_what_goes_next_is_at_hand():
    """Protects a bundle from unpacking for every job: some of the oldest are there always, whatever was taken before."""
    jobs = packed_jobs(3 * BLOCK_JOBS)
    for job_id in range(1, 3 * BLOCK_JOBS + 1):
        assert (job_id, True) == (jobs.first(), jobs.at_hand(min(job_id + AT_HAND_JOBS - 1, 3 * BLOCK_JOBS)))
        jobs.remove(job_id)


def test_large_nodes():
    """Protects the coordinator's time: however large nodes are, little is copied at once."""
    jobs = packed_jobs(2 * BLOCK_JOBS, node=bytes(BLOCK_BYTES // 4))
    assert BLOCK_BYTES + BLOCK_BYTES // 4 >= max(len(block.body) for block in jobs._blocks)
    assert list(range(1, 2 * BLOCK_JOBS + 1)) == [job.depth for _, job in jobs.drained()]
