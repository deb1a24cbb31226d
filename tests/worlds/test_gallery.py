"""Every problem of jobs/ on one rank and on several, with an explorer killed in the midst of its work: the answer is the literature's."""

from __future__ import annotations

import itertools
import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import commands
from support.chaos import THOROUGH, World
from support.commands import ROOT, Finished
from support.gates import Gate, events, kill_at_gate
from support.problems import HAVE_NUMBA, HAVE_PYSAT

from parry_mpi.cli.solutions import pieces
from parry_mpi.store.readers import open_solutions

LANES = 2
"""How many runs there are at a time: each has its pauses."""

HAMMING = [(one, other) for one in range(64) for other in range(one) if (one ^ other).bit_count() >= 4]
"""The edges of hamming6-4, from the second DIMACS challenge."""

PETERSEN = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)] + [(i + 5, (i + 2) % 5 + 5) for i in range(5)]

BURMA = [
    (16.47, 96.10), (16.47, 94.44), (20.09, 92.54), (22.39, 93.37), (25.23, 97.24), (22.00, 96.05), (20.47, 97.02),
    (17.20, 96.29), (16.30, 97.38), (14.05, 98.12), (16.53, 97.38), (21.52, 95.59), (19.41, 97.13), (20.09, 94.55),
]  # fmt: skip
"""The places of burma14, from TSPLIB."""


@dataclass(frozen=True)
class Case:
    """A run of a problem, and what is known of its answer.

    Args:
        problem: FILE.py:Class, in jobs/.
        words: its parameters.
        right: whether a result is the known one; it gets the folder of the run as well.
    """

    problem: str
    words: tuple[str, ...]
    right: Callable[[Any, Path], bool]


def case(problem: str, *words: str, answer: Any = None, right: Callable[[Any], bool] | None = None) -> Case:
    return Case(problem, words, lambda result, _folder: right(result) if right is not None else bool(answer == result))


# What proves an answer is looked at here, with nothing of the problem's own.


def boards_of_8(result: Any, folder: Path) -> bool:
    with open_solutions(folder / "here") as solutions:
        boards = {tuple(board) for piece in pieces(solutions, None) for board in piece}
        counted = solutions.count
    pairs = list(itertools.combinations(range(8), 2))
    free = all(abs(board[one] - board[other]) not in {0, other - one} for board in boards for one, other in pairs)
    return result == counted == len(boards) == 92 and free


def is_the_solution(grid: str) -> bool:
    return grid == "693784512487512936125963874932651487568247391741398625319475268856129743274836159"


def colours_petersens_graph(colours: list[int]) -> bool:
    return set(colours) <= {1, 2, 3} and all(colours[one] != colours[other] for one, other in PETERSEN)


def assembles_sierpinski(system: dict[str, Any]) -> bool:
    """Put the tiles one after the other, from the south-west corner: each has to be the only one that fits."""
    above: list[Any] = list(system["south"])
    for row, beside in enumerate(system["west"]):
        for column, south in enumerate(above):
            fitting = [tile for tile, glues in enumerate(system["glues"]) if (glues[2], glues[3]) == (south, beside)]
            if len(fitting) != 1 or system["colours"][fitting[0]] != math.comb(row + column, row) % 2:
                return False
            above[column], beside = system["glues"][fitting[0]][:2]  # noqa: PLW2901 what the next tile has on its west side
    return len(system["glues"]) <= 4 and len(above) == len(system["west"]) == 4


def ruler_of_34(best: dict[str, Any]) -> bool:
    marks = best["solution"]
    distances = {right - left for left, right in itertools.combinations(sorted(marks), 2)}
    return (best["objective"], len(marks), len(distances)) == (max(marks) - min(marks), 8, 28) and max(marks) - min(marks) == 34


def clique_of_4(best: dict[str, Any]) -> bool:
    pairs = itertools.combinations([vertex - 1 for vertex in best["solution"]], 2)
    return best["objective"] == len(best["solution"]) == 4 and all((one ^ other).bit_count() >= 4 for one, other in pairs)


def tour_of_3323(best: dict[str, Any]) -> bool:
    def radians(place: float) -> float:
        degrees = int(place)
        return 3.141592 * (degrees + 5 * (place - degrees) / 3) / 180

    def length(one: int, other: int) -> int:
        (north, east), (north_2, east_2) = (map(radians, BURMA[city - 1]) for city in (one, other))
        q1, q2, q3 = math.cos(east - east_2), math.cos(north - north_2), math.cos(north + north_2)
        return int(6378.388 * math.acos(0.5 * ((1 + q1) * q2 - (1 - q1) * q3)) + 1)

    tour = best["solution"]
    roads = zip(tour, [*tour[1:], tour[0]], strict=True)
    return sorted(tour) == list(range(1, 15)) and best["objective"] == sum(itertools.starmap(length, roads)) == 3323


TREE_T1 = {"nodes": 4_130_071, "depth": 10, "leaves": 3_305_118}

CASES = [
    case("queens.py:Queens", "n=10", answer=724),
    Case("queens_boards.py:QueensBoards", ("n=8",), boards_of_8),
    case("queens_external.py:QueensExternal", "n=8", "program=queens", answer=92),
    case("uts.py:UnbalancedTree", "tree=T1", answer=TREE_T1),
    case("semigroups.py:Semigroups", "genus=20", answer=37_396),
    case("sweep.py:Sweep", "points=40000", answer={"steps": 220, "start": 35_655}),
    case("langford.py:Langford", "n=8", answer=150),
    case("costas.py:Costas", "n=8", answer=444),
    case("walks.py:Walks", "n=10", answer=44_100),
    case("sudoku.py:Sudoku", right=is_the_solution),
    case("sudoku.py:SudokuCount", f"puzzle={'.' * 16}", answer=288),
    case("colouring.py:Colouring", "graph=petersen.col", "colours=3", right=colours_petersens_graph),
    case("pats.py:Pats", "pattern=sierpinski4", "tiles=4", right=assembles_sierpinski),
    case("pats.py:PatsCount", "pattern=sierpinski4", "tiles=3", answer=0),
    case("golomb.py:Golomb", "n=8", right=ruler_of_34),
    case("clique.py:Clique", "file=hamming6-4.clq", right=clique_of_4),
    case("tsp.py:Tsp", "cities=burma14", right=tour_of_3323),
    case("montecarlo.py:MonteCarlo", "points=1000000", answer={"points": 1_000_000, "hits": 784_690}),
    case("sat_cubes.py:SatCubes", "formula=pigeonhole", "n=5", answer=None),
]

WORLDS = [World(None)] + [World(mpi, ranks) for mpi in commands.mpis()[:1] for ranks in (3, 5)]


def test_all_problems_are_here():
    """Protects new problems from being left out."""
    assert sorted(path.name for path in (ROOT / "jobs").glob("*.py")) == sorted(
        {case.problem.partition(":")[0] for case in CASES}
    )


def write_graph(path: Path, vertices: int, edges: list[tuple[int, int]]) -> None:
    lines = [f"p edge {vertices} {len(edges)}", *(f"e {one + 1} {other + 1}" for one, other in edges)]
    path.write_text("\n".join(lines) + "\n")


def compiled_program(folder: Path) -> Path | None:
    """The program of queens_external; None without a compiler."""
    program = folder / "queens"
    if shutil.which("cc") is None:
        return None
    compiled = commands.run(("cc", "-O2", "-o", program, ROOT / "jobs" / "queens_external.c"))
    assert compiled.code == 0, compiled
    return program


def can_run(case: Case, program: Path | None) -> bool:
    file = case.problem.partition(":")[0]
    return {"uts.py": HAVE_NUMBA, "queens_external.py": program is not None, "sat_cubes.py": HAVE_PYSAT}.get(file, True)


def run_with_a_kill(world: World, case: Case, folder: Path, program: Path | None) -> Finished:
    folder.mkdir()
    write_graph(folder / "hamming6-4.clq", 64, HAMMING)
    write_graph(folder / "petersen.col", 10, PETERSEN)
    if program is not None:
        (folder / "queens").symlink_to(program)
    gate = Gate(folder, f"jobs/{case.problem}")
    with world.started(folder, "run", gate.problem, *case.words, "--run-dir", "here", "--json") as run:
        kill_at_gate(gate, run, folder / "here")
        return run.wait(120)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_known_answers_with_a_kill(world, tmp_path):
    """Protects every problem's answer, and what proves it, from the number of ranks and from an explorer that dies under a lease."""
    number, program = WORLDS.index(world), compiled_program(tmp_path)
    wanted = [each for i, each in enumerate(CASES) if (THOROUGH or i % len(WORLDS) == number) and can_run(each, program)]
    with ThreadPoolExecutor(LANES) as lanes:
        runs = {each: lanes.submit(run_with_a_kill, world, each, tmp_path / str(i), program) for i, each in enumerate(wanted)}
    for i, (each, future) in enumerate(runs.items()):
        finished, folder = future.result(), tmp_path / str(i)
        answer = finished.answer
        assert (0, True) == (finished.code, answer["complete"]), finished
        assert each.right(answer["result"], folder), finished
        assert answer["killings"] >= 1
        assert len(events(folder / "here", "finished")) == 1
        assert any("SIGKILL" in event["why"] for event in events(folder / "here", "killed")), events(folder / "here", "killed")
