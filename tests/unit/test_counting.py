"""A Decision and its Counting are one tree."""

from __future__ import annotations

import pytest

from parry_mpi import Counting, Decision, Slice
from parry_mpi.cli.loading import load
from parry_mpi.search.exploration import explore_all
from parry_mpi.task import Task


class Pairs(Decision[tuple[int, ...], list[int]]):
    """Two numbers below n that make the sum."""

    n: int = 10
    total: int = 9

    def roots(self):
        return [()]

    def children(self, node):
        return [(*node, number) for number in range(self.n)] if len(node) < 2 else []

    def witness(self, node):
        return list(node) if len(node) == 2 and sum(node) == self.total else None


class PairsFast(Pairs):
    """The same with a kernel that ends at the first witness."""

    def explore(self, frontier, budget):
        return Slice([0, 9], [], 1)


class PairsCount(Counting, Pairs):
    """How many."""


class PairsFastCount(Counting, PairsFast):
    """How many, whatever the kernel does."""


class PairsFastestCount(PairsFastCount):
    """How many, by a kernel of its own."""

    def explore(self, frontier, budget):
        return Slice(77, [], 1)


class PairsLess(Counting):
    """Of nothing."""


class PairsWithout(Counting, Decision[int, int]):
    """Of a decision that has no witness()."""


@pytest.mark.parametrize("kind", [PairsCount, PairsFastCount])
def test_all_witnesses_are_counted(kind):
    """Protects the count: the search does not end at the first witness, nor leave out what a decision would."""
    assert (10, 111) == explore_all(Task(kind()))
    assert (3, 111) == explore_all(Task(kind(total=2)))
    assert (0, 21) == explore_all(Task(kind(n=4, total=7)))
    assert explore_all(Task(Pairs()))[1] < 111


def test_own_kernel_is_used():
    """Protects those who count with a kernel: the one of the counting class counts."""
    assert explore_all(Task(PairsFastestCount()))[0] == 77


def test_types_are_those_of_the_decision():
    """Protects the wire: nodes are the decision's, values are numbers."""
    assert tuple[int, ...] == PairsCount.node_type()
    assert int is PairsCount.value_type()
    assert PairsCount().describe(3) == ""


@pytest.mark.parametrize("kind", [PairsLess, PairsWithout])
def test_counting_of_nothing_is_refused(kind):
    """Protects the user from a count of 0 that means nothing: what is to be counted has to be said."""
    with pytest.raises(NotImplementedError, match=f"{kind.__name__} must be a Counting and a Decision"):
        kind().kernel()


def test_counting_is_no_problem_by_itself(tmp_path):
    """Protects the command line: a file that imports Counting has one problem, not two."""
    path = tmp_path / "even.py"
    path.write_text("from parry_mpi import Counting, Decision\nclass Even(Decision[int, int]):\n    pass\n")
    assert load(str(path)).name == "even:Even"
