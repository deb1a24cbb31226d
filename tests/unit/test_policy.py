"""How much is handed out at once: it follows what jobs took lately, and stays within its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core.policy import (
    BUNDLE_BYTES_MAX,
    BUNDLE_JOBS_MAX,
    BUNDLE_MS,
    MESSAGE_US,
    WORTHWHILE_MS,
    BundlePolicy,
    Settings,
    pace_ms,
    patience_ms,
    silence_max_ms,
)
from parry_mpi.job import Job, total_weight

MANY = 10**9


def policy(job_us: int, reports: int = 10) -> BundlePolicy:
    """A policy that has seen jobs of this length."""
    learned = BundlePolicy()
    for _ in range(reports):
        learned.note(10, 10 * job_us)
    return learned


def told(learned: BundlePolicy, workers: int) -> tuple[bool, int]:
    """Whether jobs are crumbs, and how long a lease is left alone."""
    return learned.crumbs(workers), learned.worthwhile_ms(workers)


def choose(learned: BundlePolicy, jobs: list[Job], workers: int = 1) -> tuple:
    return learned.choose(enumerate(jobs, 1), sum(job.units for job in jobs), workers)


class TestHowMany:
    def test_one_before_anything_is_known(self):
        """Protects the start: nobody knows how long a job takes, so each worker gets one."""
        assert 1 == BundlePolicy().jobs_wanted(MANY, 1)

    def test_as_many_as_last_a_bundle(self):
        """Protects speed: many short jobs travel together, long ones alone."""
        assert BUNDLE_MS * 1000 == policy(1).jobs_wanted(MANY, 1)
        assert BUNDLE_MS == policy(1000).jobs_wanted(MANY, 1)
        assert 1 == policy(10**9).jobs_wanted(MANY, 1)
        assert 1 <= policy(0).jobs_wanted(MANY, 1)

    def test_adapts(self):
        """Protects balance: when jobs become longer, bundles become smaller within some reports."""
        learned = policy(100)
        before = learned.jobs_wanted(MANY, 1)
        for _ in range(20):
            learned.note(10, 10 * 100_000)
        assert 10 * learned.jobs_wanted(MANY, 1) < before

    def test_forgets(self):
        """Protects against old news: without finished jobs nothing is known any more, and one job is handed out."""
        learned = policy(100)
        for _ in range(60):
            learned.note(0, 1000)
        assert 1 == learned.jobs_wanted(MANY, 1)

    def test_half_of_a_fair_part(self):
        """Protects the end of a run: the last bundles are small, so that all workers finish together."""
        assert 5 == policy(1_000).jobs_wanted(100, 10)
        assert 1 == policy(1_000).jobs_wanted(3, 10)
        assert 50 == policy(1_000).jobs_wanted(100, 0)

    def test_longer_with_more_workers(self):
        """Protects the coordinator: bundles last so long that all workers together do not keep it busy for half of the time."""
        learned = policy(1_000)
        assert BUNDLE_MS == learned.jobs_wanted(MANY, 1_000)
        assert 2_000 == learned.jobs_wanted(MANY, 10_000)
        assert 20_000 == learned.jobs_wanted(10 * MANY, 100_000)
        for workers in (100, 1_000, 10_000, 100_000):
            assert 2 * MESSAGE_US * workers / (1_000 * learned.jobs_wanted(10 * MANY, workers)) < 0.5

    def test_the_last_are_not_too_small(self):
        """Protects the end of a run with many workers: none waits for a bundle that it is through with before the next is there."""
        learned = policy(1_000)
        assert 800 == learned.jobs_wanted(10_000, 10_000)
        assert 1 == learned.jobs_wanted(10, 10)
        assert 1 == policy(10**6).jobs_wanted(10_000, 10_000)


class TestDividing:
    def test_crumbs(self):
        """Protects the coordinator of thousands: while jobs are over in a moment none is divided before it has lasted a while."""
        assert (True, 800) == told(policy(1_000), 10_000)
        assert (False, WORTHWHILE_MS) == told(policy(2_500_000), 10_000)
        assert (True, 800) == told(policy(2_300_000), 10_000)

    def test_nothing_is_known(self):
        """Protects the beginning: until a job was finished all are divided, so that every worker soon has one."""
        assert (False, WORTHWHILE_MS) == told(BundlePolicy(), 10_000)
        learned = BundlePolicy()
        learned.note(0, 1_000)
        assert (False, WORTHWHILE_MS) == told(learned, 10_000)

    def test_few_workers(self):
        """Protects small worlds: there the coordinator has time to divide everything, down to the last node."""
        assert (False, WORTHWHILE_MS) == told(policy(1), 62)
        assert (True, WORTHWHILE_MS) == told(policy(1), 63)


class TestChoosing:
    def test_the_first_stands_last(self):
        """Protects the order: what is to be explored first stands last in a bundle."""
        jobs = [Job(b"%d" % i) for i in range(8)]
        taken, chosen, left = choose(policy(1_000), jobs)
        assert ((1, 2, 3, 4), tuple(reversed(jobs[:4])), ()) == (taken, chosen, left)

    def test_a_run_is_cut(self):
        """Protects sweeps: as much of a run as is wanted is taken, the rest stays pending."""
        run = Job(weight=1000, first=5, count=1000)
        taken, chosen, left = choose(policy(9_900), [run])
        assert ((1,), (Job(weight=20, first=5, count=20),), (Job(weight=980, first=25, count=980),)) == (taken, chosen, left)

    def test_a_run_after_other_jobs(self):
        """Protects the size of bundles: what was taken already counts."""
        taken, chosen, left = choose(policy(19_800), [Job(b"a"), Job(b"b"), Job(first=0, count=100), Job(b"c")])
        assert (1, 2, 3) == taken
        assert [8, 0, 0] == [job.count for job in chosen]
        assert (8, 92) == (left[0].first, left[0].count)

    def test_a_whole_run(self):
        """Protects against empty rests: a run that fits is taken whole."""
        taken, _, left = choose(policy(1_000), [Job(count=3), Job(first=3, count=100)], workers=1)
        assert (1, 2) == taken
        assert 52 == left[0].count

    def test_at_least_one(self):
        """Protects progress: a job is handed out even if it is larger than a bundle may be."""
        big = Job(bytes(2 * BUNDLE_BYTES_MAX))
        assert ((1,), (big,), ()) == choose(policy(1), [big, big, big])

    def test_bytes(self):
        """Protects memory and latency: a bundle of large jobs stays small."""
        jobs = [Job(bytes(BUNDLE_BYTES_MAX // 3 - 64))] * 100
        assert (1, 2, 3) == choose(policy(1), jobs)[0]

    def test_jobs(self):
        """Protects latency: no bundle has more jobs than can be encoded in some milliseconds."""
        count = len(choose(policy(1), [Job()] * 100_000)[0])
        assert min(BUNDLE_JOBS_MAX, BUNDLE_BYTES_MAX // Job().size_bytes) == count

    @given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 10**6), st.integers(0, 9))
    def test_nothing_is_lost(self, counts, job_us, workers):
        """Protects the count: what is taken is what is handed out and what is left."""
        jobs = [Job(weight=100 + i, count=count) for i, count in enumerate(counts)]
        taken, chosen, left = choose(policy(job_us), jobs, workers)
        originals = [jobs[job_id - 1] for job_id in taken]
        assert 1 <= len(chosen)
        assert len(left) <= 1
        assert total_weight(originals) == total_weight(chosen) + total_weight(left)
        assert sum(job.units for job in originals) == sum(job.units for job in (*chosen, *left))
        assert tuple(range(1, len(taken) + 1)) == taken


def test_pace():
    """Protects the coordinator from its workers: the more there are, the less often each of them speaks."""
    assert [500, 500, 2_500, 25_000] == [pace_ms(500, workers) for workers in (1, 2_000, 10_000, 100_000)]


def test_silence():
    """Protects the user's choice, and workers that promised less: one late heartbeat is not the end, and no promise none."""
    settings = Settings("", heartbeat_timeout_ms=30_000)
    assert [30_000, 30_000, 50_000, None] == [silence_max_ms(settings, beat_ms) for beat_ms in (1_000, 15_000, 25_000, 0)]


def test_patience_doubles():
    """Protects long jobs: each kill doubles the patience, so that every job ends at last; and it stays a number."""
    settings = Settings("", patience_ms=100)
    assert [100, 200, 400, 3200] == [patience_ms(settings, killed) for killed in (0, 1, 2, 5)]
    assert patience_ms(settings, 40) == patience_ms(settings, 10**9) < 2**63
