"""A search for the best whose explorer dies on the way, with the optimum in its hands, still finds and proves it."""

from __future__ import annotations

import itertools
import shutil

import pytest
from support import commands
from support.chaos import World
from support.commands import ROOT

DYING = '''
"""Golomb rulers without a kernel; whoever finds the optimum first is killed before it can tell."""
import os, signal
from golomb import Golomb

class Dying(Golomb):
    def kernel(self):
        return None

    def solution(self, node):
        if node[1] == 34:
            try:
                open("died", "x").close()
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().solution(node)
'''


@pytest.mark.parametrize("world", [pytest.param(World(mpi), id=mpi.name) for mpi in commands.mpis()[:1]])
def test_best_bounds_first(world, tmp_path):
    """Protects the answer from the order: with the best bounds first, and a gap, the optimum is missed by less than it, and bounded."""
    words = ("golomb.py", "n=8", "engine=python", "gap=2", "--order", "bound", "--json")
    shutil.copy(ROOT / "jobs" / "golomb.py", tmp_path)
    ended = world.run(tmp_path, "run", *words)
    assert ended.code == 0, ended
    assert (2, True) == (ended.answer["parameters"]["gap"], ended.answer["complete"])
    assert ended.answer["result"]["objective"] in {34, 35}
    assert ended.answer["result"]["objective"] - 2 <= ended.answer["bound"] <= 34
    assert ["golomb-n=8-gap=2"] == [path.name for path in (tmp_path / "runs").iterdir()]


@pytest.mark.parametrize("world", [pytest.param(World(mpi), id=mpi.name) for mpi in commands.mpis()[:1]])
def test_explorer_dies_with_the_optimum(world, tmp_path):
    """Protects the proof: what an explorer found and could not tell is found again, and leaves out what it should elsewhere."""
    shutil.copy(ROOT / "jobs" / "golomb.py", tmp_path)
    (tmp_path / "dying.py").write_text(DYING)
    ended = world.run(tmp_path, "run", "dying.py:Dying", "n=8", "engine=python", "--run-dir", "here", "--json")
    assert ended.code == 0, ended
    best = ended.answer["result"]
    distances = {right - left for left, right in itertools.combinations(best["solution"], 2)}
    assert (34, 8, 28) == (best["objective"], len(best["solution"]), len(distances))
    assert (0, 34) == (min(best["solution"]), max(best["solution"]))
    assert (tmp_path / "died").exists()
    assert ended.answer["complete"]
    assert ended.answer["killings"] >= 1
