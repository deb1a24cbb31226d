"""The smallest of many bounds is found, whatever comes and goes; and what follows from it for the optimum."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.desk import Desk, parts, report

from parry_mpi.core.bounds import SLACK, Bounds
from parry_mpi.core.events import Improved, RootsRead
from parry_mpi.core.messages import Crashed, Failed
from parry_mpi.core.optimum import proven_bound
from parry_mpi.core.state import State
from parry_mpi.core.view import view
from parry_mpi.job import WHOLE, Job, smallest_bound

bounds_drawn = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, math.inf])


def smallest(values) -> float | None:
    """The dumb way."""
    return None if None in values else min(values, default=math.inf)


@given(st.lists(st.tuples(st.integers(0, 9), bounds_drawn), max_size=60))
def test_like_a_dumb_dict(steps):
    """Protects what is said of the optimum: after any additions and removals it is the smallest bound, and unknown if one is."""
    bounds, dumb = Bounds(), {}
    for number, bound in steps:
        if number in dumb:
            bounds.remove(dumb.pop(number))
        else:
            bounds.add(bound)
            dumb[number] = bound
        copied = bounds.copy()
        assert smallest(dumb.values()) == bounds.smallest() == copied.smallest()
        copied.add(-9)
        assert smallest(dumb.values()) == bounds.smallest()


def test_memory_is_bounded():
    """Protects long runs: bounds that come and go while nobody looks leave nothing behind."""
    bounds = Bounds()
    bounds.add(-1)
    for bound in range(10_000):
        bounds.add(bound)
        bounds.remove(bound)
    assert SLACK + 4 >= len(bounds._heap)
    assert -1 == bounds.smallest()


def test_of_jobs():
    """Protects leases of many jobs: the worst of them decides, and one of which nothing is known makes it unknown."""
    assert math.inf == smallest_bound(())
    assert -2 == smallest_bound((Job(bound=5), Job(bound=-2), Job(bound=0.5)))
    assert smallest_bound((Job(bound=5), Job())) is None


def job(bound: float | None, weight: int = WHOLE // 4) -> Job:
    return Job(b"x", weight=weight, bound=bound)


def proven(desk: Desk) -> float | None:
    return proven_bound(desk.state, desk.coordinator.volatile, desk.coordinator.settings)


class TestOptimum:
    def test_wherever_a_job_is(self):
        """Protects the bound: what is pending, leased or quarantined counts, and what is explored does not any more."""
        desk = Desk([job(3), job(5), job(7)], sense="min", quarantine_errors=True)
        assert 3 == proven(desk)
        first, second = desk.works(1), desk.works(2)
        assert ([3], [5], 3) == ([each.bound for each in first.jobs], [each.bound for each in second.jobs], proven(desk))
        desk.says(2, Failed(second.lease, 1, "error", exact=True))
        desk.says(1, report(first.lease, remaining=[job(4, 1)], shared=[job(6, 1)]))
        assert (4, {6, 7}, [5]) == (
            proven(desk),
            {each.bound for each in desk.pending},
            [entry.job.bound for entry in desk.state.quarantined.values()],
        )
        desk.says(1, report(first.lease, 2))
        assert 5 == proven(desk), "what is quarantined is not explored"
        third = desk.works(3)
        desk.says(3, Crashed(third.lease, "x"))
        assert 5 == proven(desk)
        assert 5 == State.from_snapshot(desk.state.to_snapshot()).bound(), "the state alone says so too"

    def test_unknown(self):
        """Protects from bounds that are none: nothing is known as long as roots are to come, or one job has no bound."""
        desk = Desk([job(3)], exhausted=False, sense="min")
        assert proven(desk) is None
        desk.step(RootsRead((job(None),), 2, exhausted=True, unpulled_weight=0))
        assert proven(desk) is None

    @pytest.mark.parametrize(("gap", "known"), [(0, 5), (0.5, 4.5), (1, 4), (4, 3)])
    def test_no_better_than_what_was_left_out(self, gap, known):
        """Protects the gap: what was left out might be better by less than it, and nothing that was not proven before is claimed."""
        desk = Desk([job(3)], sense="min", gap=gap)
        bundle = desk.works(1)
        desk.says(1, report(bundle.lease, remaining=[job(6)]))
        desk.step(Improved(5))
        assert known == proven(desk)
        desk.says(1, report(bundle.lease, 2))
        assert known == proven(desk)

    def test_what_is_proven_stays_proven(self):
        """Protects people who watch: with a gap, a better solution does not take back what was known without it."""
        desk = Desk([job(4)], sense="min", gap=3)
        bundle = desk.works(1)
        desk.says(1, report(bundle.lease, remaining=[job(6)]))
        desk.step(Improved(9))
        assert 6 == proven(desk)
        desk.says(1, report(bundle.lease, 2, remaining=[job(None)]))
        assert 6 == proven(desk), "a worker that tells no bounds changes nothing"
        desk.step(Improved(8))
        assert 6 == proven(desk)

    def test_at_the_end(self):
        """Protects the last word: nothing left is the optimum, no solution has no bound, and a decision is what it is."""
        desk = Desk([job(4)], sense="min")
        bundle = desk.works(1)
        desk.says(1, report(bundle.lease))
        assert math.inf == proven(desk)
        assert (None, None) == (view(desk.coordinator, 0).objective, view(desk.coordinator, 0).bound)
        desk.step(Improved(9))
        assert 9 == proven(desk)
        decided = Desk([job(4)], sense="min")
        decided.step(Improved(5, enough=True))
        assert 5 == proven(decided)

    @pytest.mark.parametrize(("sense", "objective", "bound"), [("min", 5, 3), ("max", -5, -3), (None, None, None)])
    def test_in_the_users_sense(self, sense, objective, bound):
        """Protects the reader: what is shown are objectives, not the library's scores, and nothing of a problem that has none."""
        desk = Desk([job(3), *parts(0)] if sense else parts(1), sense=sense)
        desk.step(Improved(5))
        seen = view(desk.coordinator, 0)
        assert (sense, objective, bound) == (seen.sense, seen.objective, seen.bound)
