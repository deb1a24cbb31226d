"""parry_mpi.core.estimate: exact at the end, the same however reports are cut, and between its bounds."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from support.farming import Farm
from support.trees import Digits

from parry_mpi.core.estimate import BATCHES_MAX, BATCHES_MIN, Estimate, Estimator
from parry_mpi.core.ids import JobId, LeaseId, WorkerId
from parry_mpi.core.records import Granted, Reported, RootsPulled, Voided
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job, shares

ROOT = Job(weight=WHOLE, count=1)
LEASE = LeaseId(1)


class Run:
    """A state with an estimator that sees every record."""

    def __init__(self, *records) -> None:
        self.state = State()
        self.estimator = Estimator(self.state)
        self.apply(*records)

    def apply(self, *records) -> None:
        for record in records:
            self.state.apply(record)
            self.estimator.take(record)

    def report(self, seq: int, nodes: int, left: int, shared: tuple[Job, ...] = ()) -> None:
        """Report so many nodes; this weight remains."""
        remaining = (Job(b"rest", 1, 0, left),) if left else ()
        self.apply(Reported(LEASE, seq, nodes, 0, 0, remaining, shared))


def granted() -> Run:
    """A run whose root is leased."""
    return Run(RootsPulled((ROOT,), 1, True, 0), Granted(LEASE, WorkerId(1), (JobId(1),), (ROOT,)))


def test_unknown_at_first():
    """Protects people from numbers made of nothing: there is no estimate before there are some reports."""
    run = granted()
    assert run.estimator.estimate() is None
    for seq in range(1, BATCHES_MIN):
        run.report(seq, 10, WHOLE - seq * WHOLE // 100)
        assert run.estimator.estimate() is None
    run.report(BATCHES_MIN, 10, WHOLE - WHOLE // 10)
    assert run.estimator.estimate() is not None


def test_even_tree():
    """Protects the plainest case: where nodes follow the weight, the estimate is right and its interval is close."""
    run = granted()
    for seq in range(1, 51):
        run.report(seq, 100, WHOLE - seq * (WHOLE // 100))
    found = run.estimator.estimate()
    assert found is not None
    assert abs(found.nodes - 10_000) < 1
    assert 8_000 < found.nodes_low < 10_000 < found.nodes_high < 13_000


def test_what_is_shared_keeps_its_density():
    """Protects the estimate of lopsided trees: what a dense part gave away is expected to be dense, wherever it is explored."""
    heavy = (Job(b"given", 5, 0, WHOLE // 1000),)
    first, second = (Job(b"", 0, 0, part, index, 1) for index, part in enumerate((WHOLE // 100, WHOLE - WHOLE // 100)))
    run = Run(RootsPulled((first, second), 2, True, 0))
    run.apply(Granted(LEASE, WorkerId(1), (JobId(1),), (first,)))
    run.apply(Granted(LeaseId(2), WorkerId(2), (JobId(2),), (second,)))
    run.report(1, 100_000, WHOLE // 1000, heavy)
    run.apply(Reported(LeaseId(2), 1, 1000, 0, 0, (), ()))
    # 100,000 nodes were found in 0.8 % of the weight, and 0.2 % is left of that part; the mean of the tree would give it but 200.
    total = run.estimator._total()
    assert 20_000 < total - 101_000 < 30_000


def test_exact_at_the_end():
    """Protects the last number: when all is explored the estimate is the number of nodes, and the interval has no width."""
    run = granted()
    run.report(1, 77, 0)
    assert Estimate(77, 77, 77) == run.estimator.estimate()


def test_voided_leases_come_back():
    """Protects the estimate from kills: what a lost lease had left is expected to be what it was."""
    run = granted()
    for seq in range(1, 21):
        run.report(seq, 100, WHOLE - seq * (WHOLE // 100))
    before = run.estimator._total()
    run.apply(Voided(LEASE, (Job(b"rest", 1, 1, WHOLE - 20 * (WHOLE // 100)),)))
    assert abs(run.estimator._total() - before) < 1


def test_after_a_restart():
    """Protects runs that are resumed: what was explored in earlier lives is taken for a sample of the whole."""
    run = granted()
    run.report(1, 1000, WHOLE - WHOLE // 10)
    again = Estimator(State.from_snapshot(run.state.to_snapshot()))
    assert abs(again._total() - 10_000) < 1
    assert again.estimate() is None


def test_time_left():
    """Protects the time that is promised: nodes that are left, by the speed; not known while nothing moves."""
    found = Estimate(1000, 700, 1600).at(explored=500, nodes_per_s=10)
    assert (50.0, 20.0, 110.0) == (found.seconds_left, found.seconds_left_low, found.seconds_left_high)
    assert Estimate(1000, 700, 1600).at(500, 0).seconds_left is None


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10)), min_size=1, max_size=40))
def test_cutting_reports_changes_nothing(pieces):
    """Protects against the chance of when workers report: the same exploring in more reports leads to the same estimate."""
    scale = WHOLE // (1 + sum(weight for _, weight, _ in pieces))
    coarse, fine = granted(), granted()
    left, seq = WHOLE, 0
    for number, (nodes, weight, cuts) in enumerate(pieces, 1):
        for some_nodes, some_weight in zip(shares(nodes, cuts), shares(weight * scale, cuts), strict=True):
            seq += 1
            left -= some_weight
            fine.report(seq, some_nodes, left)
        coarse.report(number, nodes, left)
    one, other = coarse.estimator._total(), fine.estimator._total()
    assert (one is None) == (other is None)
    if one is not None:
        assert abs(one - other) <= 1e-9 * one


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 4), st.integers(1, 5))
def test_whole_runs(seed, nodes, hands_count, slices):
    """Protects what is shown: the explored share never falls, bounds are in order, workers may be lost, and the end is exact."""
    farm = Farm(Digits(seed=seed, nodes=nodes, roots_count=1 + seed % nodes, indexed=bool(seed % 2)), hands_count, 2, slices)
    draw = random.Random(seed)
    estimator = Estimator(State())
    estimator._state = farm.coordinator.state  # what the farm did before it was asked is taken in now

    def take(some_effects) -> None:
        for effects in some_effects:
            for record in effects.records:
                estimator.take(record)

    take(farm.early)
    share = 0
    for effects in farm.run():
        take([effects])
        state = farm.coordinator.state
        assert share <= state.explored_weight
        share = state.explored_weight
        if (found := estimator.estimate()) is not None:
            assert state.counters.nodes <= found.nodes_low <= found.nodes <= found.nodes_high
        if draw.random() < 0.03:
            take(farm.lose())
            farm.early.clear()
            farm.join()
            take(farm.early)
    assert (WHOLE, Estimate(nodes, nodes, nodes)) == (share, estimator.estimate())
    assert len(estimator._batches.pieces) <= BATCHES_MAX
    assert not estimator._held
    assert not estimator._levels
