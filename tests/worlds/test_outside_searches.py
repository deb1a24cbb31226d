"""Searches of every type by workers from outside MPI alone: told to stop, told what is known, killed, and right."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

import pytest
from support import commands
from support.chaos import World
from support.commands import wait_until
from support.gates import Gate, events
from support.joining import SOON, open_run, workers

from parry_mpi.cli.solutions import pieces
from parry_mpi.store.readers import open_solutions

ALONE = World(None)

SEARCHES = '''
"""Searches in which one worker waits for another."""
import time
from pathlib import Path
from parry_mpi import Best, Decision, Optimisation, Slice

DEPTH, ROOTS = 6, 8

def wait_for(file):
    while not Path(file).exists():
        time.sleep(0.01)

class Door(Decision[tuple[int, int], int]):
    """Which leaf has a witness? Whoever comes to one of the roots stays there for ever; whoever comes to the witness waits for that.

    Without a witness nobody stays, but the first root waits until somebody else has come to the other one.
    """

    folder: str
    at: int = -1
    stuck: int = -1

    def roots(self):
        return [(3, i) for i in range(ROOTS)]

    def children(self, node):
        depth, i = node
        return [(depth + 1, 2 * i), (depth + 1, 2 * i + 1)] if depth < DEPTH else []

    def witness(self, node):
        if node == (3, self.stuck):
            Path(self.folder, "stuck").touch()
            wait_for(Path(self.folder, "never" if self.at >= 0 else "stuck"))
        if node == ((DEPTH, self.at) if self.at >= 0 else (3, 0)):
            wait_for(Path(self.folder, "stuck"))
        return self.at if node == (DEPTH, self.at) else None

class Told(Optimisation[int, list[int]]):
    """One root goes on until it is told what is known, which the other one finds; then it has something better."""

    folder: str

    def roots(self):
        return [0, 1]

    def explore(self, frontier, budget, incumbent):
        node = frontier.pop()
        if node == 1:
            wait_for(Path(self.folder, "exploring"))
            return Slice(Best(7, [1]), frontier, 1)
        Path(self.folder, "exploring").touch()
        if incumbent is None:
            time.sleep(0.005)
            return Slice(None, [*frontier, node], 1)
        return Slice(Best(incumbent - 1, [0, int(incumbent)]), frontier, 1)
'''

LEAVES = 64
NODES = 8 * 15


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "searches.py").write_text(SEARCHES)
    return tmp_path


def answer_of_two(folder: Path, *words: str) -> dict:
    """Have two workers explore, and see that everybody ends with 0."""
    with open_run(ALONE, folder, *words, f"folder={folder}") as run, workers(folder, 2) as outside:
        finished, left = run.wait(90), outside.wait(60)
    assert (0, 0) == (finished.code, left.code), (finished, left)
    assert (True, 2, 0) == tuple(finished.answer[name] for name in ("complete", "workers", "killings")), finished
    return finished.answer


@pytest.mark.parametrize(("leaf", "stuck"), [(0, 1), (LEAVES - 1, 0)], ids=["first", "last"])
def test_witness_stops_everybody(folder, leaf, stuck):
    """Protects a decision from waiting: a witness in the first leaf, and in the last, ends a worker that would never have ended."""
    answer = answer_of_two(folder, "searches.py:Door", f"at={leaf}", f"stuck={stuck}")
    assert leaf == answer["result"]
    assert (folder / "stuck").exists()
    assert answer["nodes"] < NODES
    assert len(events(folder / "here", "improved")) == 1


def test_nothing_is_only_said_of_the_whole_tree(folder):
    """Protects the answer "none": it takes every node."""
    answer = answer_of_two(folder, "searches.py:Door", "stuck=1")
    assert (None, NODES) == (answer["result"], answer["nodes"])


def test_told_while_exploring(folder):
    """Protects pruning: what one worker found reaches another in the midst of its lease, and what that finds with it counts."""
    answer = answer_of_two(folder, "searches.py:Told")
    assert {"objective": 6, "solution": [0, 7]} == answer["result"]
    assert len(events(folder / "here", "improved")) == 2


def test_collected_once_whoever_dies(tmp_path):
    """Protects solutions from workers that die with some in their hands: an explorer, then its whole worker; each board is there once."""
    gate = Gate(tmp_path, "jobs/queens_boards.py:QueensBoards")
    with open_run(ALONE, tmp_path, gate.problem, "n=8", *SOON) as run, workers(tmp_path) as one, workers(tmp_path) as other:
        os.kill(gate.wait_for(1, run)[0], signal.SIGKILL)
        wait_until(lambda: events(tmp_path / "here", "killed"), "its lease was killed", 60)
        explorer = gate.wait_for(1, run)[0]
        victim, survivor = (one, other) if explorer in commands.descendants(one.pid) else (other, one)
        commands.kill_tree(victim.process)
        wait_until(lambda: len(events(tmp_path / "here", "killed")) >= 2, "the next lease was killed as well", 60)
        gate.open()
        finished, left = run.wait(90), survivor.wait(60)
    assert (0, 92, True) == (finished.code, *(finished.answer[name] for name in ("result", "complete"))), finished
    assert finished.answer["killings"] >= 2
    assert left.code == 0, left
    with open_solutions(tmp_path / "here") as solutions:
        boards = [tuple(board) for piece in pieces(solutions, None) for board in piece]
    assert (92, 92) == (len(boards), len(set(boards)))
    pairs = list(itertools.combinations(range(8), 2))
    assert all(abs(board[one] - board[other]) not in {0, other - one} for board in boards for one, other in pairs)
