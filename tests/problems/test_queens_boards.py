"""The boards of the n queens problem are those of the literature, each once."""

from __future__ import annotations

import pytest
from support.problems import HAVE_NUMBA, checked, load, root_records

from parry_mpi.search.exploration import explore_all
from parry_mpi.task import Task

QueensBoards = load("queens_boards").QueensBoards

A000170 = [1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680]
"""https://oeis.org/A000170 from n = 1."""

ENGINES = ["python", pytest.param("numba", marks=pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed"))]


def boards_of(n: int, engine: str, budget: int) -> list[tuple[int, ...]]:
    problem = QueensBoards(n=n, engine=engine)
    kernel = problem.kernel()
    if kernel is None:
        nodes, found = problem.roots(), []
        while nodes:
            node = nodes.pop()
            found += problem.solutions(node)
            nodes += problem.children(node)
    else:
        frontier, found = root_records(problem), []
        while len(frontier):
            value, frontier, *_ = checked(kernel)(frontier, budget)
            found += value
    return sorted(map(tuple, found))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", range(1, 9))
def test_boards(n, engine):
    """Protects the list: as many boards as are known, all different, and on none of them do two queens attack each other."""
    boards = boards_of(n, engine, 7)
    assert A000170[n - 1] == len(boards) == len(set(boards))
    for board in boards:
        rows = range(n)
        assert n == len(set(board)) == len({board[i] + i for i in rows}) == len({board[i] - i for i in rows})


@pytest.mark.parametrize("engine", ENGINES)
def test_forms_agree(engine):
    """Protects the compiled kernel: the same boards as in plain Python, and the same nodes, whatever the budget."""
    assert boards_of(7, "python", 0) == boards_of(7, engine, 1) == boards_of(7, engine, 10**6)
    assert explore_all(Task(QueensBoards(n=7, engine="python"))) == explore_all(Task(QueensBoards(n=7, engine=engine)))


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")
def test_more_boards_than_one_call_may_find():
    """Protects large boards: a call of the kernel that is full ends, and the next goes on."""
    assert 14200 == explore_all(Task(QueensBoards(n=12, engine="numba")))[0]
