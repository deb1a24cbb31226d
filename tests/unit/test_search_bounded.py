"""What remains of a search carries true bounds, each asked for once; they cost a kernel little, and order nothing but time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.optima import FORMS, Optima
from support.trees import encoded

from parry_mpi.core.state import Counters
from parry_mpi.job import WHOLE, Job
from parry_mpi.problem import Optimisation, Slice
from parry_mpi.runtime.roots import BOUNDED_ROOTS_MAX, RootSource
from parry_mpi.search.base import ExplorationError, stronger
from parry_mpi.search.bounding import BOUNDED_NODES_MAX, BOUNDING_FIRST_US, BOUNDING_US_MAX, BoundingTime
from parry_mpi.search.exploration import Exploration, explore_all
from parry_mpi.search.walking import BoundedSearch, GuidedSearch
from parry_mpi.task import Task

EVERYTHING = 1 << 30


def check(problem: Optima, job: Job) -> None:
    """Nothing in a job is better than its bound, and nothing that bounds its last node and is known was forgotten."""
    nodes = problem.tree.nodes_of(problem.tree.of_job(job))
    assert job.bound is None or job.bound <= min(problem.drawn[1][node] for node in nodes)


@pytest.mark.parametrize("form", FORMS)
@given(
    st.integers(0, 30),
    st.sampled_from([1, 3]),
    st.none() | st.integers(-30, 30),
    st.lists(
        st.tuples(st.integers(0, 9), st.sampled_from(["slice", "slice", "split", "hand over"]), st.integers(1, 9)), max_size=20
    ),
)
def test_bounds_of_what_remains(form, seed, roots_count, incumbent, steps):
    """Protects what is proven: however a search is divided, bounds are true, never weaker than before, and asked for once."""
    problem = FORMS[form](seed=seed, roots_count=roots_count)
    task, kernel = Task(problem), problem.kernel()
    working = [Exploration(task, RootSource(task, Counters()).read(9).jobs, kernel, incumbent)]
    asked = len(problem.asked)
    for whose, what, budget in steps:
        exploration = working[whose % len(working)]
        before = [job.bound for job in exploration.remaining()]
        known = None if None in before else min(before, default=None)
        made = []
        if what == "slice":
            exploration.slice(budget)
        elif what == "split":
            made = exploration.split()
            working.append(Exploration(task, made, kernel, incumbent))
        else:
            working.remove(exploration)
            working.append(Exploration(task, exploration.remaining(), kernel, incumbent))
            exploration = working[-1]
        for job in (*made, *exploration.remaining()):
            check(problem, job)
            assert known is None or job.bound >= known, "what is proven of the whole is proven of its parts"
    if kernel is None:
        # A node of which bound() says nothing looks, once it was handed over, like one that nobody asked about.
        asked_since = [node for node in problem.asked[asked:] if problem.drawn[2][node] is not None]
        assert len(set(asked_since)) >= len(asked_since) - len(problem.tree.roots)


class Star(Optimisation[int, int]):
    """A root, 0, with the children 5, 3, None and 4, by the names of their bounds; leaves are solutions worth twice that."""

    raising: int = -1

    def roots(self):
        return [0]

    def children(self, node):
        return [5, 3, 9, 4] if node == 0 else []

    def objective(self, node):
        return 2 * node or None

    def bound(self, node):
        if node == self.raising:
            raise ArithmeticError(f"no bound of {node}")
        return {0: 2, 9: None}.get(node, node)


class StarBestFirst(Star):
    best_first = True


def begun(problem, incumbent=None, **job) -> Exploration:
    return Exploration(Task(problem), [Job(weight=WHOLE, count=1, **job)], None, incumbent)


class TestBoundedSearch:
    def test_order_of_children(self):
        """Protects best first: the best bound is explored first, an unknown one before all, and only if that is asked for."""
        for problem, order in ((Star(), [5, 3, 9, 4]), (StarBestFirst(), [9, 3, 4, 5])):
            exploration = begun(problem)
            exploration.slice(1)
            assert [encoded(node) for node in reversed(order)] == [job.node for job in exploration.remaining()]
            assert isinstance(exploration._current, BoundedSearch)

    def test_inherited(self):
        """Protects what is proven: a child that tells nothing, or less than its parent, has its parent's bound."""
        exploration = begun(Star(), incumbent=99, bound=4)
        exploration.slice(1)
        assert [4, 4, 4, 5] == [job.bound for job in exploration.remaining()]

    def test_same_answer(self):
        """Protects the optimum from the order: whatever is first, the best is found."""
        assert {6} == {explore_all(Task(kind()))[0].objective for kind in (Star, StarBestFirst)}

    def test_what_was_asked_elsewhere(self, monkeypatch):
        """Protects time: a job that was given away with the bound of its node is not asked for it again."""
        asked = []
        bound = Star.bound
        monkeypatch.setattr(Star, "bound", lambda self, node: asked.append(node) or bound(self, node))
        exploration = Exploration(Task(Star()), [Job(encoded(4), bound=4)], None, 4)
        assert (1, []) == (exploration.slice(9), asked)

    @pytest.mark.parametrize("kind", [Star, StarBestFirst])
    def test_bound_that_raises(self, kind):
        """Protects the blame: bound() raises when a node is looked at, not when what remains is told; until then it is unknown."""
        problem = kind(raising=3)
        exploration = begun(problem, incumbent=99)
        if problem.best_first:
            with pytest.raises(ExplorationError, match="no bound of 3") as caught:
                exploration.slice(9)
            assert "0" == caught.value.to_problem_error().node
            return
        exploration.slice(1)
        assert [4, 2, None, 5] == [job.bound for job in exploration.remaining()]
        exploration.slice(1)
        with pytest.raises(ExplorationError, match="no bound of 3") as caught:
            exploration.slice(9)
        assert (True, "3") == (caught.value.intact, caught.value.to_problem_error().node)

    def test_own_way_of_pruning(self):
        """Protects problems that prune by a rule of their own: it is asked, and bounds are not."""

        class Own(Star):
            def prunes(self, node, incumbent):
                return node == 3

        exploration = begun(Own(), incumbent=99)
        assert 1 == exploration.slice(1)
        assert isinstance(exploration._current, GuidedSearch)
        assert not isinstance(exploration._current, BoundedSearch)
        assert {None} == {job.bound for job in exploration.remaining()}


class Wide(Optimisation[int, int]):
    """A kernel that takes the last node off; the bound of a node is its number."""

    width: int = 10

    def roots(self):
        return range(100, 100 + self.width)

    def bound(self, node):
        return node if node >= 100 else 1 / (node - 50)

    def explore(self, frontier, budget, incumbent):
        return Slice(None, frontier[:-1], 1)


def kernel_exploration(problem, bounding, *roots) -> Exploration:
    return Exploration(Task(problem), [Job(encoded(root), bound=90) for root in roots], problem.kernel(), None, bounding)


class TestKernels:
    def test_bounds(self):
        """Protects what is proven where a kernel explores: each job has the bound of its worst node, and none is worse than before."""
        problem = Wide(width=3)
        exploration = Exploration(Task(problem), [Job(count=3, bound=101)], problem.kernel())
        exploration.slice(1)
        assert [101, 101] == [job.bound for job in exploration.remaining()]
        exploration = Exploration(Task(problem), [Job(count=3)], problem.kernel())
        assert [None] == [job.bound for job in exploration.remaining()], "a run of roots is asked by the coordinator"
        exploration.slice(1)
        assert [100, 101] == [job.bound for job in exploration.remaining()]

    def test_bound_that_raises(self):
        """Protects runs: what bound() raises where it is only asked to be shown is not told; then the bound is that of before."""
        problem = Wide(width=1)
        problem.__dict__["roots"] = lambda: [50, 100]
        exploration = Exploration(Task(problem), [Job(count=2, bound=7)], problem.kernel())
        exploration.slice(1)
        assert [7] == [job.bound for job in exploration.remaining()]

    def test_large_frontiers_are_not_asked(self):
        """Protects speed: where asking takes too long, what was known before of all of them is told."""
        problem = Wide(width=BOUNDED_NODES_MAX + 2)
        bounding = BoundingTime()
        bounding.earn(10**9)
        exploration = Exploration(Task(problem), [Job(count=200, bound=50)], problem.kernel(), None, bounding)
        exploration.slice(1)
        assert {100 + place for place in range(199)} == {job.bound for job in exploration.remaining()}
        assert not bounding.allows(BOUNDED_NODES_MAX + 1)
        bounding.spend(10**7)
        assert {100} == {job.bound for job in exploration.remaining()}


class TestBoundingTime:
    def test_a_hundredth(self):
        """Protects speed: once bounds are known to be slow, they are asked for when a hundred times as long was explored."""
        bounding = BoundingTime()
        assert bounding.allows(100)
        bounding.asked = 100
        bounding.spend(BOUNDING_FIRST_US)
        assert not bounding.allows(1)
        bounding.earn(100 * BOUNDING_FIRST_US - 100)
        assert not bounding.allows(100)
        bounding.earn(100)
        assert bounding.allows(100)

    def test_nobody_waits_long(self):
        """Protects whoever waits for a job: however much was earned, asking takes no longer than a moment."""
        bounding = BoundingTime()
        bounding.earn(10**12)
        bounding.asked = 10
        bounding.spend(BOUNDING_US_MAX)
        assert (True, False) == (bounding.allows(10), bounding.allows(11))

    def test_nothing_asked(self):
        """Protects the measure: making jobs without asking says nothing of how long asking takes."""
        bounding = BoundingTime()
        bounding.spend(10**9)
        assert bounding.allows(1000)


def test_roots():
    """Protects the first bound: a few roots are asked when the run begins, and many are not."""
    for count, bound in ((3, 100), (BOUNDED_ROOTS_MAX, 100), (BOUNDED_ROOTS_MAX + 1, None)):
        (run,) = RootSource(Task(Wide(width=count)), Counters()).read(9).jobs
        assert (count, bound) == (run.count, run.bound)
    assert () == RootSource(Task(Wide(width=0)), Counters()).read(9).jobs


def test_stronger():
    """Protects what is proven: of two bounds that hold, the one that says more counts, and an unknown one says nothing."""
    assert (None, 3, 3, 5) == (stronger(None, None), stronger(3, None), stronger(None, 3), stronger(3, 5))
