"""The job set hands out shallow jobs first, old ones before new ones, and keeps apart what was killed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core import packed
from parry_mpi.core.jobset import JobSet
from parry_mpi.job import Job, smallest_bound


def job_set(*jobs: Job) -> JobSet:
    jobs_ = JobSet()
    for job_id, job in enumerate(jobs, 1):
        jobs_.add(job_id, job)
    return jobs_


def contents(jobs: JobSet) -> tuple:
    """All that can be seen of a job set."""
    return (
        list(jobs.items()),
        list(jobs.in_order()),
        jobs.first(),
        jobs.first_suspect(),
        list(jobs.killed_once()),
        jobs.killed_once_count,
        jobs.killed_count,
        jobs.counts_by_depth(),
        jobs.weight,
        jobs.units,
        jobs.units_by_depth,
        len(jobs),
        jobs.bound(),
    )


def expected(jobs: dict[int, Job], order: str) -> tuple:
    """The same of a dict, the dumb way."""

    def place(item):
        job_id, job = item
        bound = -math.inf if job.bound is None else job.bound
        return (bound, job.depth, job_id) if order == "bound" else (job.depth, job_id)

    fresh = sorted(((key, job) for key, job in jobs.items() if not job.killed), key=place)
    once = [(key, job) for key, job in jobs.items() if job.killed == 1]
    more = [key for key, job in jobs.items() if job.killed > 1]
    depths = sorted({job.depth for _, job in fresh})
    return (
        list(jobs.items()),
        fresh,
        fresh[0][0] if fresh else None,
        more[0] if more else None,
        once,
        len(once),
        len(once) + len(more),
        {depth: sum(job.depth == depth for _, job in fresh) for depth in depths},
        sum(job.weight for job in jobs.values()),
        sum(job.count or 1 for job in jobs.values()),
        {
            depth: sum(job.count or 1 for job in jobs.values() if job.depth == depth)
            for depth in {job.depth for job in jobs.values()}
        },
        len(jobs),
        smallest_bound(jobs.values()),
    )


jobs_drawn = st.builds(
    Job,
    depth=st.integers(0, 3),
    killed=st.integers(0, 2),
    weight=st.integers(0, 9),
    count=st.integers(0, 3),
    bound=st.none() | st.integers(0, 3),
)


@pytest.mark.parametrize("order", ["depth", "bound"])
@given(st.lists(st.tuples(jobs_drawn, st.none() | st.integers(0, 99)), max_size=40))
def test_like_a_dumb_dict(order, steps):
    """Protects the order of everything: after any additions and removals it is that of a sorted dict, and copies are what was copied."""
    jobs, dumb, next_id = JobSet(order), {}, 1
    copies = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "BLOCK_JOBS", 2)
        patch.setattr(packed, "AT_HAND_JOBS", 1)
        for job, removed in steps:
            if removed is None or not dumb:
                jobs.add(next_id, job)
                dumb[next_id] = job
                next_id += 1
            else:
                job_id = list(dumb)[removed % len(dumb)]
                assert jobs[job_id] == dumb[job_id] == jobs.remove(job_id)
                del dumb[job_id]
                assert job_id not in jobs
            copies.append((expected(dumb, order), jobs.copy()))
            assert copies[-1][0] == contents(jobs)
            assert sorted(jobs.unordered()) == list(dumb.items())
        for before, copied in copies:
            assert before == contents(copied)
            for job_id in [job_id for job_id, _ in copied.in_order()]:
                assert job_id == copied.first()
                copied.remove(job_id)
        assert expected(dumb, order) == contents(jobs)


def test_shallowest_and_oldest_first():
    """Protects balance: the big jobs are handed out first."""
    jobs = job_set(Job(b"a", 2), Job(b"b", 1), Job(b"c", 1), Job(b"d", 3))
    assert [b"b", b"c", b"a", b"d"] == [job.node for _, job in jobs.in_order()]
    assert 2 == jobs.first()
    jobs.remove(2)
    assert 3 == jobs.first()


def test_best_bound_first():
    """Protects those who want it: the best bound goes first, unknown ones before all, and of equals the shallowest."""
    jobs = JobSet("bound")
    for job_id, (depth, bound) in enumerate([(1, 7), (2, -3), (1, None), (1, -3), (0, 2.5)], 1):
        jobs.add(job_id, Job(depth=depth, bound=bound))
    assert [3, 4, 2, 5, 1] == [job_id for job_id, _ in jobs.in_order()]
    assert (3, {0: 1, 1: 3, 2: 1}) == (jobs.first(), jobs.counts_by_depth())
    assert jobs.bound() is None
    jobs.remove(3)
    assert (4, -3) == (jobs.first(), jobs.bound())


def test_levels_that_emptied_deep_down():
    """Protects speed and truth: a level that emptied while others stood above it is neither found nor counted, and can fill again."""
    jobs = job_set(Job(depth=0), Job(depth=1), Job(depth=2))
    jobs.remove(2)
    assert {0: 1, 2: 1} == jobs.counts_by_depth()
    jobs.add(4, Job(depth=1))
    jobs.remove(1)
    assert 4 == jobs.first()
    jobs.remove(4)
    assert 3 == jobs.first()
    jobs.remove(3)
    assert jobs.first() is None
    assert not jobs


def test_killed_are_kept_apart():
    """Protects neighbours: a job that was killed is never handed out among the others."""
    jobs = job_set(Job(b"a", killed=1), Job(b"b", killed=2), Job(b"c", killed=7), Job(b"d", killed=1))
    assert jobs.first() is None
    assert [1, 4] == [job_id for job_id, _ in jobs.killed_once()]
    assert 2 == jobs.first_suspect()
    jobs.remove(2)
    assert 3 == jobs.first_suspect()
    assert (2, 3) == (jobs.killed_once_count, jobs.killed_count)


def test_copy_is_independent():
    """Protects the model checker: what happens to a copy does not happen to the original."""
    jobs = job_set(Job(depth=1), Job(killed=1), Job(killed=2))
    before = contents(jobs)
    copied = jobs.copy()
    for job_id in (1, 2, 3):
        copied.remove(job_id)
    copied.add(9, Job(depth=5))
    assert before == contents(jobs)


def test_removing_what_is_not_there():
    """Protects against handing a job out twice: it can be taken once."""
    jobs = job_set(Job())
    jobs.remove(1)
    with pytest.raises(KeyError):
        jobs.remove(1)
