"""What is looked for, and what becomes of it: improvements go to everybody, the last one ends the search, and nothing else changes."""

from __future__ import annotations

import msgspec
import pytest
from support.desk import Desk, parts, report
from support.life import NOTHING, exploring, working

from parry_mpi.core.events import Committed, Improved, Phase, StopAsked
from parry_mpi.core.ids import LeaseId
from parry_mpi.core.messages import Die, Finished, GetJob, Incumbent, Stop
from parry_mpi.core.records import Decided, Voided
from parry_mpi.core.state import State
from parry_mpi.core.worker import Abandon, Actions, Begin, Go, HandedOver, Improve
from parry_mpi.job import WHOLE, Job
from parry_mpi.problem import Best, Decision, Optimisation
from parry_mpi.runtime import exploring as module
from parry_mpi.runtime.exploring import Exploring
from parry_mpi.search.exploration import explore_all
from parry_mpi.task import Task

LEASE = LeaseId(7)
WHOLE_TREE = Job(msgspec.msgpack.encode(1), weight=WHOLE)


class TestCoordinator:
    def test_everybody_is_told(self):
        """Protects time: whoever explores hears of every improvement, and whoever begins later knows it from the start."""
        desk = Desk(parts(3))
        first, second = desk.works(1), desk.works(2)
        desk.step(Improved(5))
        assert ([Incumbent(first.lease, 5)], [Incumbent(second.lease, 5)]) == (desk.heard(1), desk.heard(2))
        assert ["improved"] == desk.notes()
        third = desk.works(3)
        assert 5 == third.incumbent
        desk.step(Improved(-2.5))
        assert [Incumbent(third.lease, -2.5)] == desk.heard(3)
        assert Phase.EXPLORING is desk.coordinator.phase

    def test_enough(self):
        """Protects the user's waiting: what answers the question stops everybody at once, and is final once it is on disk."""
        desk = Desk(parts(3))
        first, second = desk.works(1), desk.works(2)
        desk.step(Improved(0, enough=True))
        assert [Die(first.lease)] == desk.heard(1)
        assert [Die(second.lease)] == desk.heard(2)
        assert [Voided, Voided, Decided] == [type(record) for record in desk.effects.records]
        assert not any(record.killing for record in desk.effects.records[:2])
        assert (Phase.SETTLING, True, True) == (desk.coordinator.phase, desk.state.done, desk.state.complete)
        assert 3 == len(desk.pending), "what was not explored is still known"
        desk.step(Committed())
        assert [Finished()] == desk.heard(1)

    def test_late_report(self):
        """Protects the answer: what is reported after the end counts for nothing."""
        desk = Desk(parts(2))
        bundle = desk.works(1)
        desk.step(Improved(0, enough=True))
        assert [Die(bundle.lease)] == desk.says(1, report(bundle.lease))
        assert [] == desk.effects.folds == desk.effects.records

    def test_nobody_is_fed(self):
        """Protects time: after the end nobody is given anything more."""
        desk = Desk(parts(2))
        worker = desk.joins(1)
        desk.step(Improved(0, enough=True))
        assert [] == desk.says(1, GetJob(worker))

    def test_while_stopping(self):
        """Protects an answer that comes with the last word of a run that is being stopped: then it is complete."""
        desk = Desk(parts(2))
        desk.works(1)
        desk.step(StopAsked("SIGTERM"))
        desk.step(Improved(0, enough=True))
        desk.step(StopAsked("SIGTERM", at_once=True))
        desk.step(Committed())
        assert [Finished()] == desk.heard(1)

    def test_kept(self):
        """Protects a decided run from being explored again: that it is decided is part of the state."""
        desk = Desk(parts(2))
        desk.step(Improved(0, enough=True))
        assert State.from_snapshot(desk.state.to_snapshot()).complete


class TestWorker:
    def test_passed_on(self):
        """Protects time: the explorer hears of an improvement while it explores, and at the beginning."""
        life = exploring()
        assert Actions(orders=[Improve(7, 3)]) == life.hears(Incumbent(7, 3))

    def test_not_under_another_lease(self):
        """Protects the optimum: what a coordinator said before it forgot it, in a crash, prunes nothing under a later lease."""
        assert NOTHING == exploring().hears(Incumbent(6, 3))
        assert NOTHING == working().hears(Incumbent(7, 3))

    def test_stop_is_still_heard(self):
        """Protects a stop: an improvement does not stand in its way."""
        life = exploring()
        life.hears(Incumbent(7, 3))
        assert life.hears(Stop()).orders


class Least(Optimisation[int, int]):
    """The smallest of the leaves of a binary tree, whose nodes are numbered as in a heap."""

    depth: int = 6

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < 2**self.depth else []

    def objective(self, node):
        return (node * 37) % 64 if node >= 2**self.depth else None


class Leaf(Decision[int, int]):
    """Whether there is a leaf of this number."""

    wanted: int = 5
    depth: int = 6

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < 2**self.depth else []

    def witness(self, node):
        return node if node == self.wanted else None


def told_by(exploring: Exploring) -> HandedOver:
    """Let it explore until it tells something."""
    while (told := exploring.turn()) is None:
        assert exploring.busy
    assert isinstance(told, HandedOver)
    return told


class TestExplorer:
    @pytest.mark.parametrize("wanted", [1, 64, 127])
    def test_witness_is_told_at_once(self, wanted):
        """Protects the user's waiting: a witness is handed over as soon as it is found, with what remains."""
        task = Task(Leaf(wanted=wanted))
        it = Exploring(task, None)
        it.order(Begin(LEASE, (WHOLE_TREE,)))
        told = told_by(it)
        assert wanted == task.values.decode(told.value)
        assert bool(told.remaining) == (wanted != 127)

    def test_no_witness(self):
        """Protects a "no": it is said when everything was explored."""
        it = Exploring(Task(Leaf(wanted=0)), None)
        it.order(Begin(LEASE, (WHOLE_TREE,)))
        told = told_by(it)
        assert (127, ()) == (told.nodes, told.remaining)

    def test_known_improvement_prunes(self):
        """Protects time: what was heard from others prunes here, and what is not better is not told as an improvement."""
        task = Task(Least())
        it = Exploring(task, None)
        it.order(Begin(LEASE, (WHOLE_TREE,), incumbent=10))
        it.order(Improve(LEASE, 1))
        told = told_by(it)
        assert 0 == task.values.decode(told.value).objective

    def test_nothing_is_known_of_a_lease_that_is_over(self):
        """Protects the optimum: what was found under a lease that came to nothing must be found again, so it prunes nothing later."""
        task = Task(Least())
        it = Exploring(task, None)
        it.order(Begin(LEASE, (WHOLE_TREE,), incumbent=1))
        assert 0 == task.values.decode(told_by(it).value).objective
        it.order(Abandon(LEASE))
        later = LeaseId(LEASE + 1)
        it.order(Improve(LEASE, 0))
        it.order(Begin(later, (WHOLE_TREE,), incumbent=1))
        it.order(Improve(LEASE, 0))
        assert 0 == task.values.decode(told_by(it).value).objective

    def test_improvements_come_now_and_then(self, monkeypatch):
        """Protects the coordinator: however often a search improves at its beginning, it tells so at a bounded rate."""
        now_us = [0]
        monkeypatch.setattr(module.clock, "now_us", lambda: now_us[0])
        it = Exploring(Task(Least()), None)
        it.order(Begin(LEASE, (WHOLE_TREE,)))
        tells = 0
        while it.busy:
            tells += it.turn() is not None
        assert 2 == tells, "the first improvement, and the end"

    def test_careful_explorer_waits_after_an_improvement(self):
        """Protects the blame: a careful explorer that has told of something does not go on before it may."""
        it = Exploring(Task(Leaf(wanted=64)), None)
        it.order(Begin(LEASE, (WHOLE_TREE,), careful=True))
        told_by(it)
        it.order(Go(LEASE, 50))
        assert told_by(it).remaining
        assert not it.busy


def test_oracle():
    """Protects every comparison: the sequential search stops at the first witness, and finds the least of all."""
    assert (5, True) == ((found := explore_all(Task(Leaf(wanted=5))))[0], found[1] < 127)
    assert 0 == explore_all(Task(Least()))[0].objective


def test_described():
    """Protects the reader of an answer: "null" is said in words, and an optimum within a gap is not called more than that."""
    assert ("there is none", "there is one") == (Leaf().describe(None), Leaf().describe(5))
    assert ("there is no solution", "the best is 3") == (Least().describe(None), Least().describe(Best(3, 66)))
    gapped = Least(gap=2)
    assert "the best is 3, or better by less than 2" == gapped.describe(Best(3, 66))
