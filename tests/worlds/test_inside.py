"""Tests that run inside MPI worlds: tests/mpi on every rank of 2, 3 and 5, with every MPI that is installed."""

from __future__ import annotations

import pytest
from support import commands, mpis

LIMIT_S = 100
"""For one world, its start included: a rank that waits for ever is a failure."""


@pytest.fixture(params=mpis.WHY_MISSING, scope="module")
def mpi(request, tmp_path_factory) -> commands.Mpi:
    """Each MPI in turn."""
    return mpis.find(request.param, tmp_path_factory.mktemp("links"))


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_inside(mpi, ranks):
    """Protects: the transport keeps its promises on every MPI that the README names, on few ranks and on more than there are cores."""
    options = ("-q", "-x", "--color=no", "-p", "no:cacheprovider", "-n0", "--with-mpi", f"--rootdir={commands.ROOT}")
    inside = ("-m", "pytest", *options, commands.ROOT / "tests" / "mpi")
    finished = commands.run(mpi.python_ranks(ranks, *inside), environment=mpi.environment, deadline_s=LIMIT_S)
    assert finished.code == 0, str(finished)
    assert finished.stdout.count(" passed") == ranks, str(finished)
    assert "skipped" not in finished.stdout, str(finished)
