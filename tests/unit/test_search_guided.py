"""A search for the best finds it, whatever is sliced, split, handed over and told on the way; what is left out could not be better."""

from __future__ import annotations

import functools
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.optima import DepthFirst
from support.trees import Tree, encoded, random_tree

from parry_mpi.errors import ProblemError
from parry_mpi.job import WHOLE, Job, total_weight
from parry_mpi.problem import Best, Decision, Optimisation, Slice
from parry_mpi.search.base import ExplorationError
from parry_mpi.search.exploration import Exploration, explore_all
from parry_mpi.search.walking import GuidedSearch
from parry_mpi.task import Task

EVERYTHING = 1 << 30
NODES = 60


@functools.lru_cache(maxsize=64)
def drawn(seed: int, nodes: int, roots: int) -> tuple[list[int | None], list[int]]:
    """The score of each node, None for those that are no solution, and the best score at and below it; ties happen."""
    draw = random.Random(seed)
    scores = [draw.randrange(-20, 20) if draw.random() < 0.5 else None for _ in range(nodes)]
    best = [99 if score is None else score for score in scores]
    for node in reversed(range(nodes)):
        best[node] = min([best[node], *(best[child] for child in random_tree(seed, nodes, roots).children[node])])
    return scores, best


class Smallest(Optimisation[int, int]):
    """A random tree whose nodes have random objectives.

    Args:
        slack: how much the bound is better than what is really below.
    """

    seed: int = 0
    roots_count: int = 1
    slack: int = 0

    def __post_init__(self):
        self.explored, self.left_out = [], []

    @property
    def tree(self) -> Tree:
        return random_tree(self.seed, NODES, self.roots_count)

    @property
    def drawn(self):
        return drawn(self.seed, NODES, self.roots_count)

    def signed(self, score):
        return -score if self.sense == "max" else score

    def roots(self):
        return list(self.tree.roots)

    def children(self, node):
        self.explored.append(node)
        return self.tree.children[node]

    def objective(self, node):
        score = self.drawn[0][node]
        return None if score is None else self.signed(score)

    def bound(self, node):
        return self.signed(self.drawn[1][node] - self.slack)

    def prunes(self, node, incumbent):
        pruned = super().prunes(node, incumbent)
        assert not pruned or self.drawn[1][node] >= incumbent
        if pruned:
            self.left_out.append(node)
        return pruned


class Largest(Smallest):
    sense = "max"


class ByKernel(DepthFirst, Smallest):
    """The same tree, walked by a kernel."""

    def outdone(self, node, known):
        return self.prunes(node, known)


class ByKernelLargest(ByKernel):
    sense = "max"


FORMS = {form.__name__: form for form in (Smallest, Largest, ByKernel, ByKernelLargest)}


class Crew:
    """Explorations of one tree, with what they found together; each knows what it was told."""

    def __init__(self, problem: Smallest) -> None:
        self.problem = problem
        self.task = Task(problem)
        self.kernel = problem.kernel()
        self.result = None
        self.nodes = 0
        self.working: list[Exploration] = []
        self.hire((Job(weight=WHOLE, count=self.task.roots_count),), None)

    def hire(self, jobs, incumbent) -> None:
        if jobs:
            self.working.append(Exploration(self.task, jobs, self.kernel, incumbent))

    def pay(self, exploration: Exploration) -> None:
        found = exploration.take_found()
        assert not exploration.improved
        self.nodes += found.nodes
        if found.nodes:
            self.result = self.problem.add_result(self.result, found.value, "")

    def slice(self, exploration: Exploration, budget: int) -> None:
        before, known, done = total_weight(exploration.remaining()), exploration.incumbent, exploration.done
        nodes = exploration.slice(budget)
        assert done == (nodes == 0)
        assert nodes <= budget
        assert total_weight(exploration.remaining()) <= before
        if exploration.incumbent != known:
            assert exploration.improved
            assert known is None or exploration.incumbent < known
            assert self.kernel or exploration.incumbent == self.problem.score(self.problem.value(self.problem.explored[-1]))
        else:
            assert nodes == budget or exploration.done

    def split(self, exploration: Exploration) -> None:
        before, done = total_weight(exploration.remaining()), exploration.done
        given_away = exploration.split()
        assert before == total_weight(exploration.remaining()) + total_weight(given_away)
        assert done == exploration.done, "what is split keeps something to do"
        self.hire(given_away, exploration.incumbent)

    def hand_over(self, exploration: Exploration, *, apart: bool) -> None:
        before = total_weight(exploration.remaining())
        remaining = exploration.remaining(apart=apart)
        assert before == total_weight(remaining)
        self.pay(exploration)
        self.working.remove(exploration)
        self.hire(remaining, self.problem.score(self.result))

    def tell(self, exploration: Exploration) -> None:
        """Tell it what the others found, as far as they said it."""
        score = self.problem.score(self.result)
        if score is not None and (exploration.incumbent is None or score < exploration.incumbent):
            exploration.incumbent = score

    def check(self) -> None:
        """Each node is explored, or below one that is left out, or remains: once."""
        tree, problem = self.problem.tree, self.problem
        remaining = sum(tree.of_job(job) for exploration in self.working for job in exploration.remaining())
        left_out = sum(tree.below[node] for node in problem.left_out)
        assert tree.whole == tree.of_nodes(problem.explored) + left_out + remaining


@pytest.mark.parametrize("form", FORMS)
@given(
    st.integers(0, 9),
    st.sampled_from([1, 3, 20]),
    st.sampled_from([0, 1, 5, 100]),
    st.lists(
        st.tuples(
            st.integers(0, 99),
            st.sampled_from(["slice", "slice", "split", "hand over", "apart", "pay", "tell"]),
            st.integers(1, 9),
        ),
        max_size=20,
    ),
)
def test_the_best_is_found_and_nothing_is_lost(form, seed, roots_count, slack, steps):
    """Protects the optimum: in any order of slices, splits and tidings, every node is explored or left out for a reason, once."""
    problem = FORMS[form](seed=seed, roots_count=roots_count, slack=slack)
    crew = Crew(problem)
    for whose, what, number in steps:
        if not crew.working:
            break
        exploration = crew.working[whose % len(crew.working)]
        if what == "slice":
            crew.slice(exploration, number)
        elif what in {"split", "pay", "tell"}:
            getattr(crew, what)(exploration)
        else:
            crew.hand_over(exploration, apart=what == "apart")
        crew.check()
    for exploration in crew.working:
        while exploration.slice(EVERYTHING):
            pass
        assert () == exploration.remaining()
        crew.pay(exploration)
    crew.check()
    assert min(problem.drawn[1][root] for root in problem.tree.roots) == problem.score(crew.result)
    assert problem.objective(crew.result.solution) == crew.result.objective
    assert len(problem.explored) + len(problem.left_out) == crew.nodes


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_oracle(form, seed):
    """Protects the yardstick: the oracle itself finds the best, and a sharp bound spares it most of the tree."""
    blunt, sharp = FORMS[form](seed=seed, slack=1000), FORMS[form](seed=seed)
    (best, nodes), (same, fewer) = explore_all(Task(blunt)), explore_all(Task(sharp))
    assert min(score for score in blunt.drawn[0] if score is not None) == blunt.score(best)
    assert best.objective == same.objective
    assert NODES == nodes == len(blunt.explored)
    assert fewer == len(sharp.explored) + len(sharp.left_out) < nodes


class Star(Optimisation[int, str]):
    """A root, 0, with the children 5, 3, 4 and 3; what it is worth to be a node is its number. The root is no solution."""

    raising: int = -1

    def roots(self):
        return [0]

    def children(self, node):
        return [5, 3, 4, 3] if node == 0 else []

    def objective(self, node):
        if node == self.raising:
            raise ArithmeticError("five" if node == 5 else "another")
        return node or None

    def solution(self, node):
        return f"solution {node}"

    def bound(self, node):
        return None if node == 0 else node


def begun(problem, incumbent=None, **job) -> Exploration:
    return Exploration(Task(problem), [Job(weight=500, count=1, **job)], None, incumbent)


class TestGuidedSearch:
    def test_returns_with_what_is_better(self):
        """Protects the others: something better is told at once, not at the end of the slice; what is as good is nothing new."""
        exploration = begun(Star())
        assert [2, 1, 2, 0] == [exploration.slice(EVERYTHING) for _ in range(4)]
        assert 3 == exploration.incumbent
        found = exploration.take_found()
        assert (3, "solution 3", 5, 1) == (found.value.objective, found.value.solution, found.nodes, found.solved)

    def test_incumbent_handed_in_prunes(self):
        """Protects speed: what others found leaves out nodes here, which count as explored and weigh nothing any more."""
        exploration = begun(Star(), incumbent=3)
        assert 3 == exploration.slice(3)
        assert 250 == total_weight(exploration.remaining())
        assert not exploration.improved
        assert 2 == exploration.slice(EVERYTHING)
        found = exploration.take_found()
        assert (None, 5, 1) == (found.value, found.nodes, found.solved)

    def test_incumbent_may_come_late(self):
        """Protects speed: what is told between two slices prunes from then on."""
        exploration = begun(Star(raising=4))
        exploration.slice(2)
        exploration.incumbent = 2
        assert 3 == exploration.slice(EVERYTHING), "node 4, which would raise, is left out"
        assert 5 == exploration.take_found().value.objective

    def test_solution_is_asked_for_when_it_is_better(self, monkeypatch):
        """Protects speed: where every node is a solution, only those that are better are built."""
        asked = []
        monkeypatch.setattr(Star, "solution", lambda _self, node: asked.append(node))
        monkeypatch.setattr(Star, "bound", lambda _self, _node: None)
        explore_all(Task(Star()))
        assert [5, 3] == asked

    def test_node_that_raises_stays(self):
        """Protects what was found: the node that raises stands last, and what was found before it was told already."""
        exploration = begun(Star(raising=4))
        assert [2, 1] == [exploration.slice(EVERYTHING) for _ in range(2)]
        exploration.incumbent = None
        with pytest.raises(ExplorationError) as caught:
            exploration.slice(EVERYTHING)
        assert (True, None, 0) == (caught.value.intact, caught.value.value, caught.value.explored)
        assert [encoded(3), encoded(4)] == [job.node for job in exploration.remaining()]
        assert "4" == caught.value.to_problem_error().node
        assert 3 == exploration.take_found().value.objective

    def test_weights_are_divided_as_ever(self):
        """Protects fair sharing: depth, killed and weight of what remains are those of any other search; bounds come with them."""
        exploration = begun(Star(), killed=2)
        exploration.slice(1)
        assert isinstance(exploration._current, GuidedSearch)
        assert [Job(encoded(node), 1, 2, 125, bound=node) for node in (3, 4, 3, 5)] == list(exploration.remaining())

    @pytest.mark.parametrize("bad", [float("nan"), 2**70, "3"])
    def test_what_is_no_number_is_told(self, bad, monkeypatch):
        """Protects users: a bound or an objective that cannot be compared is told with its node."""
        for name in ("objective", "bound"):
            with monkeypatch.context() as patched:
                patched.setattr(Star, name, lambda _self, node: bad if node == 3 else node or None)
                with pytest.raises(ProblemError, match="has to be a number") as caught:
                    explore_all(Task(Star()))
                assert "3" == caught.value.node


class Door(Decision[int, int]):
    """Nodes n < limit have the children 2n and 2n + 1; the witness is the number of the door."""

    door: int = 21
    limit: int = 32

    def __post_init__(self):
        self.explored = []

    def roots(self):
        return [1]

    def children(self, node):
        return [2 * node, 2 * node + 1] if node < self.limit else []

    def witness(self, node):
        self.explored.append(node)
        return node if node == self.door else None

    def verify(self, witness):
        return witness == 21


class TestDecision:
    def test_first_witness_ends_it(self):
        """Protects the user's waiting: nothing is explored after the witness."""
        problem = Door()
        witness, nodes = explore_all(Task(problem))
        assert (21, 21, len(problem.explored)) == (witness, problem.explored[-1], nodes)
        assert nodes < 63

    def test_none_is_only_said_of_the_whole_tree(self):
        """Protects the answer no: every node was explored."""
        problem = Door(door=99)
        assert (None, 63) == explore_all(Task(problem))
        assert list(range(1, 64)) == sorted(problem.explored)

    def test_false_witness_is_told(self):
        """Protects the answer yes: a witness is checked before it is believed."""
        with pytest.raises(ProblemError, match=r"verify\(\) rejects the witness 5"):
            explore_all(Task(Door(door=5)))


def test_target_ends_it(monkeypatch):
    """Protects the user's waiting: an objective that is known to be the best there can be ends the search."""
    monkeypatch.setattr(Star, "target", lambda _self: 5)
    best, nodes = explore_all(Task(Star()))
    assert (5, 2) == (best.objective, nodes)
    assert msgspec.to_builtins(best) == {"objective": 5, "solution": "solution 5"}


class Told(Largest):
    """A kernel that finishes a node at a call, finds what it is scripted to, and notes what it was told."""

    def script(self, *values):
        self.values, self.told = list(values), []
        return self

    def explore(self, frontier, budget, incumbent):
        self.told.append(incumbent)
        value = self.values.pop(0)
        return Slice(None if value is None else Best(value, 0), frontier[:-1], 1, len(frontier) - 1)


class TestKernels:
    def test_incumbent_is_told_as_an_objective(self):
        """Protects kernels: they are told the best objective known, by whomever, in the sense of the problem."""
        problem = Told(roots_count=5).script(None, 4, None, 7, None)
        exploration = Exploration(Task(problem), [Job(count=5)], problem.kernel())
        assert [2, 1] == [exploration.slice(2), exploration.slice(1)]
        exploration.incumbent = -6
        assert 1 == exploration.slice(EVERYTHING)
        assert 1 == exploration.slice(EVERYTHING)
        assert [None, None, 4, 6, 7] == problem.told

    def test_what_is_not_better_is_no_news(self):
        """Protects the optimum: a kernel that tells of something worse, or as good, changes nothing that is known."""
        problem = Told(roots_count=3).script(5, 3, 5)
        exploration = Exploration(Task(problem), [Job(count=3)], problem.kernel())
        assert [1, 2] == [exploration.slice(EVERYTHING), exploration.slice(EVERYTHING)]
        assert (-5, [None, 5, 5]) == (exploration.incumbent, problem.told)
        assert 5 == exploration.take_found().value.objective

    def test_kernel_of_a_decision_is_told_nothing(self):
        """Protects the form of a kernel: there is nothing to tell one that looks for a witness."""

        class Told(Door):
            def explore(self, frontier, budget):
                return Slice(21, frontier[:0], 1)

        problem = Told()
        assert (21, 1) == explore_all(Task(problem))
