"""Sudokus have the solutions of the literature, and each is checked."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from support.problems import answer, answer_and_nodes, leaves, load

module = load("sudoku")
Sudoku, SudokuCount = module.Sudoku, module.SudokuCount

EMPTY_4, EMPTY_9 = "." * 16, "." * 81

FIRST = "6..........45.....53..9.7...2...3.......123..7..8...41..8....56..62...8..9....1.."
LAST = "9..........52......3..1.89..7...3..2....473...9.6...5...6....294.97...6..1....4.."
"""Found by trying puzzles: the solution is in the first, and in the last of several leaves."""


def test_puzzle_with_17_clues_has_its_solution():
    """Protects the answer: this proper puzzle has this one solution."""
    solution = "693784512487512936125963874932651487568247391741398625319475268856129743274836159"
    assert solution == answer(Sudoku())
    assert answer(SudokuCount()) == 1


def test_empty_grid_of_4_has_288_solutions():
    """Protects the count (https://oeis.org/A107739)."""
    assert answer(SudokuCount(puzzle=EMPTY_4)) == 288


def test_solutions_of_4_are_those_of_the_definition():
    """Protects the exact cover, against a look at all ways to fill three rows."""
    puzzle = "3142" + "." * 12
    rows = ["".join(row) for row in itertools.permutations("1234")]
    grids = ["3142" + "".join(others) for others in itertools.product(rows, repeat=3)]
    assert answer(SudokuCount(puzzle=puzzle)) == 288 // 24 == sum(map(Sudoku(puzzle=puzzle).verify, grids))


def test_decision_stops_at_the_first_solution():
    """Protects the time of a decision: of the 288 solutions it looks for one only."""
    solution, nodes = answer_and_nodes(Sudoku(puzzle=EMPTY_4))
    assert Sudoku(puzzle=EMPTY_4).verify(solution)
    assert nodes == 17


@pytest.mark.parametrize(("puzzle", "leaf"), [(FIRST, 0), (LAST, -1)])
def test_solution_in_the_first_and_in_the_last_leaf(puzzle, leaf):
    """Protects the ends of the tree: a solution there is found, after few nodes and after all of them."""
    problem = Sudoku(puzzle=puzzle)
    found = [problem.witness(node) for node in leaves(problem)]
    assert len(found) >= 3
    assert found[leaf] == answer(problem)
    assert found.count(None) == len(found) - 1
    assert problem.verify(found[leaf])


@pytest.mark.parametrize("puzzle", ["11" + "." * 14, "1" * 16, "123........4....", "11" + "." * 79])
def test_puzzle_without_solution_has_none(puzzle):
    """Protects the answer "none": where two clues clash, and where a cell is left without any digit."""
    assert answer(Sudoku(puzzle=puzzle)) is None
    assert answer(SudokuCount(puzzle=puzzle)) == 0


def test_verify_refuses_what_is_no_solution():
    """Protects the run from a worker that is wrong: full grids that break a rule or change a clue are refused."""
    problem = Sudoku()
    solution = answer(problem)
    swapped = solution[1] + solution[0] + solution[2:]
    assert problem.verify(solution)
    assert not problem.verify(swapped)
    assert not problem.verify("1" * 81)
    assert not problem.verify(solution[:-1])
    assert not Sudoku(puzzle="7" + EMPTY_9[1:]).verify(solution)


@pytest.mark.parametrize("puzzle", ["", "." * 80, "5" + "." * 15, "x" + "." * 80])
def test_what_is_no_grid_is_refused(puzzle):
    """Protects users from a puzzle that was mistyped."""
    with pytest.raises(msgspec.ValidationError, match="puzzle"):
        msgspec.convert({"puzzle": puzzle}, Sudoku)
