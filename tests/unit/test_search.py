"""Whatever is sliced, split and handed over anywhere, in any form, finds each node exactly once."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.forms import FORMS
from support.trees import Digits, Tree, encoded

from parry_mpi.errors import ProblemError
from parry_mpi.job import WHOLE, Job, total_weight
from parry_mpi.problem import Enumeration
from parry_mpi.search.base import ExplorationError
from parry_mpi.search.exploration import ROOTS_AT_ONCE, Exploration, Found, explore_all
from parry_mpi.search.tuning import BUDGET_MAX, GROWTH_MAX, SLICE_MS_MAX, SLICE_MS_MIN, SliceTuner, slice_ms
from parry_mpi.task import Task

EVERYTHING = 1 << 30


def weight_of(exploration: Exploration) -> int:
    return total_weight(exploration.remaining())


def over_the_wire(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(jobs), type=tuple[Job, ...])


def explored(exploration: Exploration) -> int:
    """Explore to the end; return what was found."""
    while exploration.slice(EVERYTHING):
        pass
    return exploration.take_found().value or 0


class Crew:
    """Explorations of one tree, with what they found together: what is handed over goes over the wire."""

    def __init__(self, problem: Digits) -> None:
        self.task = Task(problem)
        self.kernel = problem.kernel()
        self.tree = problem.tree
        self.value, self.nodes, self.solved, self.jobs = 0, 0, 0, 0
        self.working: list[Exploration] = []
        self.hire((Job(weight=WHOLE, count=self.task.roots_count),))

    def hire(self, jobs: tuple[Job, ...]) -> None:
        if jobs:
            self.jobs += sum(job.units for job in jobs)
            self.working.append(Exploration(self.task, over_the_wire(jobs), self.kernel))

    def pay(self, exploration: Exploration) -> None:
        found = exploration.take_found()
        self.value += found.value if found.nodes else 0
        self.nodes += found.nodes
        self.solved += found.solved

    def slice(self, exploration: Exploration, budget: int) -> None:
        before, done = weight_of(exploration), exploration.done
        nodes = exploration.slice(budget)
        assert done == (nodes == 0)
        assert nodes <= budget
        assert 0 <= weight_of(exploration) <= before

    def split(self, exploration: Exploration) -> None:
        before, done = weight_of(exploration), exploration.done
        given = exploration.split()
        assert before == weight_of(exploration) + total_weight(given)
        assert done == exploration.done, "what is split keeps something to do"
        self.hire(given)

    def hand_over(self, exploration: Exploration, *, apart: bool) -> None:
        before = weight_of(exploration)
        remaining = exploration.remaining(apart=apart)
        assert before == total_weight(remaining)
        assert exploration.done == (not remaining)
        if apart and remaining:
            assert 1 == len(self.task.nodes.decode(remaining[-1].node)), "the next node is a job of its own"
        self.pay(exploration)
        self.working.remove(exploration)
        self.hire(remaining)

    def check(self) -> None:
        """Each node is counted, or remains, once."""
        remaining = [job for exploration in self.working for job in exploration.remaining()]
        assert total_weight(remaining) <= WHOLE
        place = sum(map(self._below, remaining))
        found = [exploration._found.value or 0 for exploration in self.working]
        assert self.tree.whole == self.value + sum(found) + place

    def _below(self, job: Job) -> int:
        if job.count:
            return self.tree.of_roots(job.first, job.count)
        nodes = self.task.nodes.decode(job.node)
        return sum(self.tree.below[int(node["node"]) if self.task.nodes.dtype else node] for node in nodes)


@pytest.mark.parametrize("form", FORMS)
@given(
    st.integers(0, 9),
    st.sampled_from([1, 3, 40]),
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(["slice", "slice", "split", "hand over", "apart"]), st.integers(1, 9)),
        max_size=20,
    ),
)
def test_nothing_is_lost_or_counted_twice(form, seed, roots_count, steps):
    """Protects the count: sliced, split and handed over in any order, every form of a problem visits each node once."""
    crew = Crew(FORMS[form](seed=seed, nodes=60, roots_count=roots_count))
    for whose, what, budget in steps:
        if not crew.working:
            break
        exploration = crew.working[whose % len(crew.working)]
        if what == "slice":
            crew.slice(exploration, budget)
        elif what == "split":
            crew.split(exploration)
        else:
            crew.hand_over(exploration, apart=what == "apart")
        crew.check()
    for exploration in crew.working:
        while exploration.slice(EVERYTHING):
            pass
        assert 0 == weight_of(exploration)
        crew.pay(exploration)
    assert (crew.tree.whole, 60) == (crew.value, crew.nodes)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("indexed", [True, False])
def test_oracle(form, indexed):
    """Protects the yardstick: the oracle itself visits each node once, roots with and without an index."""
    problem = FORMS[form](seed=4, nodes=500, roots_count=ROOTS_AT_ONCE + 7, indexed=indexed)
    assert (problem.tree.whole, 500) == explore_all(Task(problem))
    assert (0, 0) == explore_all(Task(FORMS[form](nodes=0, roots_count=0, indexed=indexed)))


def test_oracle_raises_what_the_problem_raises():
    """Protects users: the error of a node is told with the node."""
    with pytest.raises(ProblemError, match="ArithmeticError: node 3") as caught:
        explore_all(Task(Digits(nodes=9, raising=frozenset({3}))))
    assert "3" == caught.value.node


class Path(Enumeration[int, list[int]]):
    """0 has the children 1, 2, 3; 2 raises, once the way is not clear."""

    clear: bool = False
    combines: bool = True
    error: str = "exception"

    def roots(self):
        return [0]

    def children(self, node):
        return [1, 2, 3] if node == 0 else ()

    def value(self, node):
        if node == 2 and not self.clear:
            raise {"exception": ValueError("two"), "exit": SystemExit(3), "ours": ProblemError("told", node="mine")}[self.error]
        return [node]

    def combine(self, left, right):
        if not self.combines:
            raise OverflowError("too much")
        return left + right


class Points(Enumeration[int, int]):
    """Four points; 1 raises."""

    def roots(self):
        return range(4)

    def value(self, node):
        if node == 1:
            raise ValueError("one")
        return node


class TestRaising:
    @pytest.mark.parametrize("error", ["exception", "exit"])
    def test_node_stays_and_value_is_kept(self, error):
        """Protects what was found: a node that raises stays, last, and what was found before it counts."""
        task = Task(Path(error=error))
        exploration = Exploration(task, [Job(weight=WHOLE, count=1)], None)
        with pytest.raises(ExplorationError) as caught:
            exploration.slice(100)
        assert (True, [0, 1], 2) == (caught.value.intact, caught.value.value, caught.value.explored)
        found = exploration.take_found()
        assert ([0, 1], 2, 0) == (found.value, found.nodes, found.solved)
        assert [encoded(3), encoded(2)] == [job.node for job in exploration.remaining()]
        assert "2" == caught.value.to_problem_error().node

        again = Exploration(Task(Path(clear=True)), exploration.remaining(), None)
        assert [2, 3] == explored(again)

    @pytest.mark.parametrize("budget", [1, 2, 100])
    def test_point_of_a_sweep_stays(self, budget):
        """Protects sweeps, whose points have no children: what was found before one that raises counts, and it stays, last."""
        exploration = Exploration(Task(Points()), [Job(weight=WHOLE, count=4)], None)
        for _ in range(2 // budget):
            exploration.slice(budget)
        with pytest.raises(ExplorationError) as caught:
            exploration.slice(budget)
        assert caught.value.intact
        found = exploration.take_found()
        assert (5, 2) == (found.value, found.nodes)
        assert [encoded(0), encoded(1)] == [job.node for job in exploration.remaining()]
        assert WHOLE // 2 == weight_of(exploration)

    def test_ours_is_told_as_it_is(self):
        """Protects errors that are told on purpose: they are not wrapped into another."""
        with pytest.raises(ExplorationError) as caught:
            Exploration(Task(Path(error="ours")), [Job(count=1)], None).slice(9)
        assert ("told", "mine") == (str(caught.value.to_problem_error()), caught.value.to_problem_error().node)

    def test_combine_within_a_slice(self):
        """Protects against a half-counted node: if its value cannot be added, the node remains."""
        exploration = Exploration(Task(Path(combines=False, clear=True)), [Job(count=1)], None)
        with pytest.raises(ExplorationError) as caught:
            exploration.slice(9)
        assert ([0], 1) == (caught.value.value, caught.value.explored)
        assert [encoded(3), encoded(2), encoded(1)] == [job.node for job in exploration.remaining()]

    def test_combine_between_slices(self):
        """Protects the coordinator's result: when slices cannot be added up, nothing of them is relied on."""
        exploration = Exploration(Task(Path(combines=False, clear=True)), [Job(count=1)], None)
        exploration.slice(1)
        with pytest.raises(ProblemError, match="OverflowError: too much"):
            exploration.slice(1)


def job(tree: Tree, node: int, **fields: int) -> Job:
    return Job(encoded(node), **fields)


STAR = Tree([[1, 2, 3, 4], [], [], [], []], [0])
PATH_LIKE = Tree([[1, 2], [3, 4], [], [], []], [0])


class Explicit(Enumeration[int, int]):
    """The tree that was set last."""

    tree = STAR

    def roots(self):
        return list(self.tree.roots)

    def children(self, node):
        return self.tree.children[node]

    def value(self, node):
        return self.tree.alone[node]


class Branching(Explicit):
    tree = PATH_LIKE


class TestTreeSearch:
    def begun(self, problem: Explicit, nodes: int) -> Exploration:
        exploration = Exploration(Task(problem), [Job(encoded(0), 5, 2, 1000)], None)
        assert nodes == exploration.slice(nodes)
        return exploration

    def test_depth_killed_and_weight(self):
        """Protects fair sharing: what is handed over knows how deep it is, how often it was killed, and what it weighs."""
        remaining = self.begun(Branching(), 2).remaining()
        assert (
            job(PATH_LIKE, 2, depth=6, killed=2, weight=500),
            job(PATH_LIKE, 4, depth=7, killed=2, weight=250),
            job(PATH_LIKE, 3, depth=7, killed=2, weight=250),
        ) == remaining

    def test_order_is_the_childrens(self):
        """Protects searches that order their children: the first child is explored first."""
        exploration = self.begun(Explicit(), 2)
        assert STAR.alone[0] + STAR.alone[1] == exploration.take_found().value

    def test_split_gives_the_shallowest_half(self):
        """Protects balance: what is given away is shallow, about half of the weight, and never everything."""
        exploration = self.begun(Branching(), 2)
        assert [encoded(2)] == [given.node for given in exploration.split()]
        assert [encoded(4)] == [given.node for given in exploration.split()]
        assert () == exploration.split()
        assert PATH_LIKE.alone[0] + PATH_LIKE.below[1] - PATH_LIKE.alone[4] == explored(exploration)

    def test_split_without_weight(self):
        """Protects deep trees: nodes that weigh nothing any more can still be given away."""
        exploration = Exploration(Task(Explicit()), [Job(encoded(0))], None)
        exploration.slice(1)
        assert 3 == len(exploration.split())
        assert not exploration.done


class TestBundles:
    def exploration(self, *jobs: Job) -> Exploration:
        return Exploration(Task(Digits(nodes=2000, roots_count=2000)), jobs, None)

    def test_last_job_first(self):
        """Protects blame: the job that stands last is the one explored next."""
        exploration = self.exploration(*(Job(encoded(node)) for node in (7, 8, 9)))
        exploration.slice(1)
        assert 1 << 36 == exploration.take_found().value
        assert 2 == len(exploration.remaining())

    def test_one_job_cannot_be_split_before_it_is_begun(self):
        """Protects the last worker: nobody gives away all it has."""
        assert () == self.exploration(Job(encoded(7))).split()
        assert () == self.exploration().split()
        assert self.exploration().done
        assert 0 == self.exploration().slice(5)

    def test_waiting_jobs_are_given_first(self):
        """Protects cheap sharing: whole jobs go before parts of the one being explored; the shallowest stand last."""
        exploration = self.exploration(*(Job(encoded(node)) for node in (1, 2, 3)))
        assert [encoded(2), encoded(3)] == [given.node for given in exploration.split()]
        assert () == exploration.split()
        begun = Exploration(Task(Explicit()), [Job(encoded(4)), Job(encoded(0), weight=1000)], None)
        begun.slice(1)
        assert [encoded(4)] == [given.node for given in begun.split()]
        assert 2 == len(begun.split())

    def test_a_run_is_halved(self):
        """Protects sweeps: half of a run of roots is given away as a run."""
        exploration = self.exploration(Job(weight=1000, first=100, count=1000))
        assert (Job(weight=500, first=100, count=500),) == exploration.split()
        exploration.slice(1)
        assert (Job(weight=122, first=600, count=122),) == exploration.split()

    def test_a_run_stays_a_run(self):
        """Protects memory: no more than a handful of roots of a run is taken up at once, from its end."""
        exploration = self.exploration(Job(weight=1000, first=0, count=1000))
        exploration.slice(1)
        run, *nodes = exploration.remaining()
        assert (0, 1000 - ROOTS_AT_ONCE) == (run.first, run.count)
        assert ROOTS_AT_ONCE - 1 == len(nodes)

    def test_solved_counts_roots(self):
        """Protects progress: jobs are counted when they are finished, each root of a run by itself."""
        exploration = self.exploration(Job(encoded(3)), Job(first=0, count=ROOTS_AT_ONCE))
        assert ROOTS_AT_ONCE - 1 == exploration.slice(ROOTS_AT_ONCE - 1)
        assert 0 == exploration.take_found().solved
        explored_nodes = exploration.slice(EVERYTHING)
        found = exploration.take_found()
        assert (2, 2) == (explored_nodes, found.nodes)
        assert ROOTS_AT_ONCE + 1 == found.solved
        assert Found(None, 0, 0) == exploration.take_found()

    def test_apart_begins_the_next_job(self):
        """Protects blame: before anything is explored, the next root already stands alone; the weight stays what it was."""
        exploration = self.exploration(Job(weight=1000, first=0, count=300))
        remaining = exploration.remaining(apart=True)
        assert (44, encoded(299)) == (remaining[0].count, remaining[-1].node)
        assert 1000 == total_weight(remaining)
        assert () == self.exploration().remaining(apart=True)


class TestSliceTuner:
    def test_grows_step_by_step(self):
        """Protects responsiveness: a short slice may be luck, so the next is only some times longer."""
        tuner = SliceTuner()
        assert 1 == tuner.budget(5.0)
        for _ in range(3):
            before = tuner.budget(5.0)
            tuner.note(before, before, 0.0)
            assert GROWTH_MAX * before + 1 == tuner.budget(5.0)

    def test_comes_down_at_once(self):
        """Protects responsiveness: one long slice is proof."""
        tuner = tuned(nodes_per_ms=200)
        assert 1000 == tuner.budget(5.0)
        tuner.note(1000, 1000, 50.0)
        assert 100 == tuner.budget(5.0)
        tuner.note(1, 100, 1e9)
        assert 1 == tuner.budget(5.0)

    def test_unused_budget_says_nothing(self):
        """Protects speed: a slice that ended because nothing was left is no reason to change."""
        tuner = tuned(nodes_per_ms=200)
        assert 1000 == tuner.budget(5.0)
        tuner.note(10, 1000, 0.1)
        assert 1000 == tuner.budget(5.0)

    @given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 1e9), st.floats(SLICE_MS_MIN, SLICE_MS_MAX)), max_size=30))
    def test_bounds(self, slices):
        """Protects kernels: a budget is at least 1 and fits a 64-bit integer, whatever the clock says."""
        tuner = SliceTuner()
        for nodes, took_ms, wanted_ms in slices:
            budget = tuner.budget(wanted_ms)
            assert 1 <= budget <= BUDGET_MAX
            tuner.note(min(nodes, budget), budget, took_ms)

    def test_settles(self):
        """Protects speed and responsiveness: with nodes of equal length a slice comes to last as long as is wanted of it."""
        tuner = tuned(nodes_per_ms=100)
        assert 500 == tuner.budget(5.0)
        assert 2000 == tuner.budget(20.0)


def tuned(nodes_per_ms):
    """Return a tuner that has seen many slices with so many nodes a millisecond."""
    tuner = SliceTuner()
    for _ in range(30):
        budget = tuner.budget(5.0)
        tuner.note(budget, budget, budget / nodes_per_ms)
    return tuner


def test_slices_are_long_in_calm_times_only():
    """Protects both speed and those who wait: a slice is a small part of the time for which nobody had to, within its limits."""
    assert SLICE_MS_MIN == slice_ms(0.0) == slice_ms(50.0)
    assert 10.0 == slice_ms(500.0)
    assert SLICE_MS_MAX == slice_ms(1e9)
    assert 4.0 == slice_ms(1e9, 4.0)
