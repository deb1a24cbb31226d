"""How MPI worlds end, and what their launcher returns."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
from support import commands, leaving, mpis
from support.commands import started, wait_until

TRIES_COUNT = 5
"""Without launcher.keep_exit_code every second try fails on Debian's MPICH."""


@pytest.fixture(params=mpis.WHY_MISSING, scope="module")
def mpi(request, tmp_path_factory) -> commands.Mpi:
    """Each MPI in turn."""
    return mpis.find(request.param, tmp_path_factory.mktemp("links"))


def code_of(mpi: commands.Mpi, ready: Path, how: str) -> commands.Finished:
    with started(mpi.python_ranks(4, leaving.__file__, ready, how), environment=mpi.environment) as world:
        wait_until(lambda: ready.exists() or not world.running, "all ranks were there")
        os.kill(world.pid, signal.SIGUSR1)
        return world.wait()


def test_stopped(mpi, tmp_path):
    """Protects: a batch script that has passed on Slurm's signal learns from 75 that it has to be submitted again."""
    for number in range(TRIES_COUNT):
        finished = code_of(mpi, tmp_path / str(number), "orderly")
        assert leaving.STOPPED == finished.code, str(finished)


def test_left_without_the_others(mpi, tmp_path):
    """Protects: a world in which somebody does not answer ends all the same, and not as if all were well."""
    finished = code_of(mpi, tmp_path / "ready", "unexpectedly")
    # MPICH may return the signal that ended the others, where no guardian stands between them and it.
    assert finished.code in {leaving.STOPPED, signal.SIGKILL}, str(finished)


def test_bereaved(tmp_path):
    """Protects: where Open MPI was asked to survive deaths (--with-ft ulfm), a run goes on after one and ends with its own code."""
    mpi = mpis.find("openmpi", tmp_path)
    mpi = dataclasses.replace(mpi, mpiexec=(*mpi.mpiexec, "--with-ft", "ulfm"))
    finished = code_of(mpi, tmp_path / "ready", "bereaved")
    assert finished.code == leaving.STOPPED, str(finished)
