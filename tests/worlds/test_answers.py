"""Known answers on ranks, with compiled kernels where they are installed: what is counted is what the literature says."""

from __future__ import annotations

import pytest
from support import commands

JOBS = commands.ROOT / "jobs"

TREES = {
    "T1": (4130071, 10, 3305118),
    "T2": (4117769, 81, 2342762),
    "T3": (4112897, 1572, 3599034),
    "T4": (4132453, 134, 3108986),
    "T5": (4147582, 20, 2181318),
}
"""Source: Olivier and others, UTS: An Unbalanced Tree Search Benchmark, LCPC 2006: nodes, depth, leaves."""


@pytest.fixture(scope="module", params=commands.mpis()[:1], ids=lambda mpi: mpi.name)
def world(request) -> commands.Mpi:
    """The MPI of this environment, in which numba is most likely installed; test_runs.py tries the others."""
    return request.param


@pytest.mark.parametrize("tree", TREES)
def test_unbalanced_trees(world, tree, tmp_path):
    """Protects the count where it is hardest: unbalanced trees, divided among few ranks and among more than there are cores."""
    nodes, depth, leaves = TREES[tree]
    for ranks in (2, 3, 5):
        words = world.ranks(ranks, "run", JOBS / "uts.py", f"tree={tree}", "--json", "--run-dir", tmp_path / str(ranks))
        finished = commands.run(words, environment=world.environment)
        assert finished.code == 0, finished
        assert finished.answer["result"] == {"nodes": nodes, "depth": depth, "leaves": leaves}
        assert finished.answer["nodes"] == nodes


@pytest.mark.parametrize(
    ("job", "parameter", "answer"),
    [("queens.py", "n=12", 14200), ("queens.py", "n=14", 365596), ("semigroups.py", "genus=25", 467224)],
    ids=str,
)
def test_other_answers(world, job, parameter, answer, tmp_path):
    """Protects what a new user sees first: the answer that is printed is the known one."""
    finished = commands.run(
        world.ranks(4, "run", JOBS / job, parameter, "--json", "--run-dir", tmp_path / "run"), environment=world.environment
    )
    assert finished.code == 0, finished
    assert finished.answer["result"] == answer
