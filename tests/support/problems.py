"""Load the problems of jobs/ and walk them in small, checked steps.

This module must not know what any problem answers: that is for the tests.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from types import ModuleType
from typing import Any

import numpy as np

from parry_mpi import Explore
from parry_mpi.search.exploration import explore_all
from parry_mpi.task import Task
from support.commands import ROOT

HAVE_NUMBA = importlib.util.find_spec("numba") is not None
HAVE_PYSAT = importlib.util.find_spec("pysat") is not None

ALL = 1 << 40
"""A budget no test exhausts."""


@functools.cache
def load(name: str) -> ModuleType:
    """Return the module of jobs/NAME.py, the same one every time."""
    spec = importlib.util.spec_from_file_location(f"jobs_{name}", ROOT / "jobs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def answer(problem: Any) -> Any:
    """Return the whole tree's result, as the library's own oracle finds it."""
    return explore_all(Task(problem))[0]


def answer_and_nodes(problem: Any) -> tuple[Any, int]:
    """Return the result, and how many nodes were explored to find it."""
    return explore_all(Task(problem))


def leaves(problem: Any) -> list[Any]:
    """Return the nodes without children, in the order in which a plain search comes to them."""
    found, nodes = [], list(reversed(list(problem.roots())))
    while nodes:
        node = nodes.pop()
        children = list(problem.children(node))
        nodes += reversed(children)
        if not children:
            found.append(node)
    return found


def root_records(problem: Any) -> Any:
    """Return the roots as an array of records."""
    return np.array(list(problem.roots()), problem.node_dtype)


def explore_with(kernel: Explore, problem: Any, frontier: Any, budget: int = ALL) -> tuple[Any, Any, int]:
    """Explore at most ``budget`` nodes, slice after slice, and return value, frontier and nodes."""
    value, explored = problem.zero(), 0
    while len(frontier) and explored < budget:
        done = kernel(frontier, budget - explored)
        value, frontier, explored = problem.combine(value, done.value), done.frontier, explored + done.nodes
    return value, frontier, explored


def explore_plainly(problem: Any, frontier: Any, budget: int = ALL) -> tuple[Any, Any, int]:
    """Do the same with children() and value(): the dumbest depth-first search there is."""
    value, explored = problem.zero(), 0
    nodes = list(frontier.tolist())
    while nodes and explored < budget:
        node = nodes.pop()
        value = problem.combine(value, problem.value(node))
        nodes += problem.children(node)
        explored += 1
    return value, np.array(nodes, problem.node_dtype), explored


def checked(kernel: Explore) -> Explore:
    """Return a kernel whose every call is checked against what the library may rely on."""

    def explore(frontier: Any, budget: int) -> Any:
        before = frontier.copy()
        done = kernel(frontier, budget)
        assert 1 <= done.nodes <= budget
        assert 0 <= done.untouched < len(before)
        assert done.frontier.dtype == before.dtype
        assert done.frontier[: done.untouched].tobytes() == before[: done.untouched].tobytes()
        # A node below what is called untouched was never taken off, and the one at that height was: it is all that can be told
        # from outside, and it is exact for a single node.
        assert budget > 1 or done.untouched == len(before) - 1
        return done

    return explore
