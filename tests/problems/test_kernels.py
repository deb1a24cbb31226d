"""Every compiled kernel describes the same tree as its problem's plain form, however the work is sliced and divided."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.problems import HAVE_NUMBA, checked, explore_plainly, explore_with, load, root_records

from parry_mpi import kernels

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")


class Case:
    """A small tree, its kernel, and its whole value by the plain form."""

    def __init__(self, file: str, name: str, **parameters: Any) -> None:
        self.problem = getattr(load(file), name)(**parameters)
        self.kernel = checked(self.problem.kernel())
        self.value, _, self.nodes = explore_plainly(self.problem, root_records(self.problem))


CASES = {
    "queens": functools.cache(lambda: Case("queens", "Queens", n=7)),
    "langford": functools.cache(lambda: Case("langford", "Langford", n=7)),
    "costas": functools.cache(lambda: Case("costas", "Costas", n=7)),
    "walks": functools.cache(lambda: Case("walks", "Walks", n=9)),
    "semigroups": functools.cache(lambda: Case("semigroups", "Semigroups", genus=11)),
    "uts geometric": functools.cache(lambda: Case("uts", "UnbalancedTree", tree="T1", d=4)),
    "uts linear": functools.cache(lambda: Case("uts", "UnbalancedTree", tree="T5", d=8)),
    "uts expdec": functools.cache(lambda: Case("uts", "UnbalancedTree", a=1, d=6, b=4, r=1)),
    "uts cyclic": functools.cache(lambda: Case("uts", "UnbalancedTree", a=2, d=4, b=3, r=0)),
    "uts binomial": functools.cache(lambda: Case("uts", "UnbalancedTree", tree="T3", b=200.7, q=0.1)),
    "uts hybrid": functools.cache(lambda: Case("uts", "UnbalancedTree", tree="T4", d=8, b=4)),
    "uts balanced": functools.cache(lambda: Case("uts", "UnbalancedTree", t=3, b=3.9, d=6)),
}


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


def test_kernel_finds_what_the_plain_form_finds(case):
    """Protects the answer from the engine: both count the same tree."""
    value, frontier, _ = explore_with(case.kernel, case.problem, root_records(case.problem))
    assert case.value == value
    assert len(frontier) == 0
    assert case.nodes > 500


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", CASES)
def test_engine_may_change_on_the_way(name, data):
    """Protects resuming a run with the other engine: any frontier of one is understood by the other."""
    case = CASES[name]()
    problem = case.problem
    walks = [explore_plainly, functools.partial(explore_with, case.kernel)]
    first, second = data.draw(st.permutations(walks))
    budget = data.draw(st.integers(1, case.nodes))
    value, frontier, _ = first(problem, root_records(problem), budget)
    rest, _, _ = second(problem, frontier.copy())
    assert case.value == problem.combine(value, rest)


@settings(max_examples=15)
@given(data=st.data())
@pytest.mark.parametrize("name", CASES)
def test_frontier_may_be_cut_anywhere_and_sliced_at_will(name, data):
    """Protects exactly-once: pieces of a frontier, explored in any order and in slices of any size, add up to the whole."""
    case = CASES[name]()
    value, pieces = case.problem.zero(), [root_records(case.problem)]
    slices = 0
    while pieces:
        frontier = pieces.pop(data.draw(st.integers(0, len(pieces) - 1)) if slices < 20 else -1)
        budget = data.draw(st.sampled_from([1, 2, 7, 50, 300])) if slices < 20 else case.nodes
        slices += 1
        done = case.kernel(frontier, budget)
        value, left = case.problem.combine(value, done.value), done.frontier
        if len(left) > 1 and slices < 20 and data.draw(st.booleans()):
            cut = data.draw(st.integers(1, len(left) - 1))
            pieces += [left[:cut].copy(), left[cut:].copy()]
        elif len(left):
            pieces.append(left.copy())
    assert case.value == value


def test_frontier_handed_back_stays_in_place(case):
    """Protects the kernels' speed: a slice that continues the one before copies no frontier."""
    first = case.kernel(root_records(case.problem), 50)
    address = first.frontier.ctypes.data
    assert address == case.kernel(first.frontier, 1).frontier.ctypes.data


def test_rest_of_a_shared_frontier_is_explored(case):
    """Protects sharing: a kernel that is handed the end of the array it returned explores just that."""
    explore = functools.partial(explore_with, case.kernel, case.problem)
    value, frontier, _ = explore(root_records(case.problem), 50)
    assert len(frontier) > 1
    given_away, kept = frontier[:1].copy(), frontier[1:]
    kept_value, _, _ = explore(kept)
    given_value, _, _ = explore(given_away)
    assert case.value == case.problem.combine(value, case.problem.combine(kept_value, given_value))


def test_stack_grows(case, monkeypatch):
    """Protects deep and wide trees: a stack that begins too small grows, and nothing is lost."""
    monkeypatch.setattr(kernels, "STACK_ROOM_MIN", 0)
    frontier = root_records(case.problem)
    kernel = checked(case.problem.kernel())
    value, frontier, nodes = case.problem.zero(), np.concatenate([frontier] * 3), 0
    while len(frontier):
        done = kernel(frontier, 1 << 40)
        value, frontier, nodes = case.problem.combine(value, done.value), done.frontier, nodes + done.nodes
    once = case.value
    assert value == case.problem.combine(once, case.problem.combine(once, once))
