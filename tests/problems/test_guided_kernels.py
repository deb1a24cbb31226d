"""Every compiled kernel that looks for the best finds what its problem's plain form finds, in the same tree, however it is sliced."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.guided import kernel_walk, walk
from support.problems import HAVE_NUMBA, load

from parry_mpi import kernels
from parry_mpi.search.exploration import explore_all
from parry_mpi.task import Task

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")


class Case:
    """A small tree, its kernel, and what is best in it by the plain form."""

    def __init__(self, file: str, name: str, *, at_birth: bool, **parameters: Any) -> None:
        self.problem = getattr(load(file), name)(**parameters)
        self.kernel = self.problem.kernel()
        self.best, self.nodes, _ = walk(self.problem, at_birth=at_birth)


CASES = {
    "golomb": functools.cache(lambda: Case("golomb", "Golomb", n=7, at_birth=False)),
    "golomb of even size": functools.cache(lambda: Case("golomb", "Golomb", n=8, at_birth=False)),
    # A clique has many children that are known to be worthless when they are born; its kernel never makes them nodes.
    "clique": functools.cache(lambda: Case("clique", "Clique", n=70, density=0.6, seed=1, at_birth=True)),
    "clique of whole words": functools.cache(lambda: Case("clique", "Clique", n=64, density=0.7, seed=2, at_birth=True)),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def test_kernel_explores_the_plain_tree(case):
    """Protects the answer from the engine: both find the same solution after the same number of nodes."""
    assert (case.best, case.nodes) == kernel_walk(case.problem, case.kernel)
    assert case.nodes > 100


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", CASES)
def test_frontier_may_be_cut_anywhere_and_sliced_at_will(name, data):
    """Protects the optimum: pieces of a frontier, explored in any order and in slices of any size, hold a best solution."""
    case = CASES[name]()
    best, _ = kernel_walk(case.problem, case.kernel, lambda what, most: data.draw(st.integers(0, most), what), steps=12)
    assert case.best.objective == best.objective
    assert case.problem.verify(best.objective, best.solution)


def test_nothing_better_is_nothing(case):
    """Protects pruning: told of the optimum, a kernel finds nothing, and needs fewer nodes to know it."""
    problem = case.problem
    known = problem.score(case.best)
    assert walk(problem, known)[0] is None
    done = case.kernel(np.array(problem.roots(), problem.node_dtype), 1 << 40, case.best.objective)
    assert (None, 0) == (done.value, len(done.frontier))
    assert done.nodes < case.nodes


@pytest.mark.parametrize("gap", [1, 3, 4.5])
def test_gap(case, gap):
    """Protects the optimum from kernels that know of no gap: told a limit that is better by it, they miss by less than the gap."""
    problem = msgspec.structs.replace(case.problem, gap=gap)
    best, nodes = explore_all(Task(problem))
    assert problem.score(case.best) <= problem.score(best)
    assert problem.score(best) < problem.score(case.best) + gap
    assert problem.verify(best.objective, best.solution)
    assert nodes <= case.nodes


def test_stack_grows(case, monkeypatch):
    """Protects deep and wide trees: a stack that begins too small grows, and nothing is lost."""
    monkeypatch.setattr(kernels, "STACK_ROOM_MIN", 0)
    assert (case.best, case.nodes) == kernel_walk(case.problem, case.problem.kernel())
