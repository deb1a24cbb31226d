"""Walk a problem that looks for the best in the dumbest way there is, and its kernel in small, checked steps.

This module must not know what any problem answers: that is for the tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from parry_mpi import Explore
from support.problems import ALL


def walk(problem: Any, incumbent: Any = None, *, at_birth: bool = False) -> tuple[Any, int, int]:
    """Walk the tree with the problem's own methods, in memory, leaving out what cannot be better.

    Args:
        problem: an Optimisation, or a Decision.
        incumbent: the best score known.
        at_birth: a child that can be left out when its parent is explored is no node at all, as kernels have it that spare themselves
            the stack; else it becomes one and is left out when its turn comes.

    Returns:
        The best that was found, how many nodes there were, and how many of them were not left out.
    """
    best, nodes, whole = None, 0, 0
    stack = [problem_node(problem, root) for root in problem.roots()]
    while stack:
        node = stack.pop()
        nodes += 1
        if incumbent is not None and problem.prunes(node, incumbent):
            continue
        whole += 1
        score = problem.score(value := problem.value(node))
        if score is not None and (incumbent is None or score < incumbent):
            best, incumbent = value, score
        born = [
            child
            for child in problem.children(node)
            if not (at_birth and incumbent is not None and problem.prunes(child, incumbent))
        ]
        stack += reversed(born)
    return best, nodes, whole


def problem_node(problem: Any, node: Any) -> Any:
    """A root in the form in which children() and bound() get their nodes."""
    return node if problem.node_dtype is None else np.array([node], problem.node_dtype).tolist()[0]


def kernel_walk(
    problem: Any, kernel: Explore, choose: Callable[[str, int], int] = lambda _what, _most: 0, steps: int = 0
) -> tuple[Any, int]:
    """Explore with a kernel, cut into pieces and sliced as ``choose`` says for so many steps, then as a whole.

    Args:
        problem: an Optimisation.
        kernel: its kernel.
        choose: is told what for, and returns a number from 0 to the one it is given.
        steps: for how many slices.
    """
    best, nodes = None, 0
    pieces = [np.array(problem.roots(), problem.node_dtype)]
    while pieces:
        frontier = pieces.pop(choose("piece", len(pieces) - 1))
        budget = 1 + choose("budget", 200) if steps > 0 else ALL
        steps -= 1
        before = frontier.copy()
        done = kernel(frontier, budget, problem.objective_of(problem.score(best)))
        check(before, budget, done)
        assert problem.combine(best, done.value) == (done.value or best), "a kernel tells of nothing that is not better"
        best, nodes, left = problem.combine(best, done.value), nodes + done.nodes, done.frontier.copy()
        cut = choose("cut", len(left)) if len(left) else 0
        pieces += [piece for piece in (left[:cut], left[cut:]) if len(piece)]
    return best, nodes


def check(before: Any, budget: int, done: Any) -> None:
    """Check one call of a kernel against what the library may rely on."""
    assert 1 <= done.nodes <= budget
    assert 0 <= done.untouched < len(before)
    assert done.frontier.dtype == before.dtype
    assert done.frontier[: done.untouched].tobytes() == before[: done.untouched].tobytes()
    assert budget > 1 or done.untouched == len(before) - 1
