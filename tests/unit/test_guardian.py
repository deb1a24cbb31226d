"""The guardian: what a launcher sees of a rank that ends, dies or loses its launcher. Real processes stand in for both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.commands import alive, children, wait_until

RANK = """
import os, signal, socket, sys
from parry_mpi.runtime.guardian import guarded
nursery = guarded(lambda: lambda end: None)
if "too early" not in sys.argv:
    nursery.spawn(socket.socketpair()[1])
    said = 0
    while said < 2:  # that its explorer is there, and that it is gone
        said += len(nursery.answers(None))
if "lets go" in sys.argv:
    nursery.close()
sys.stdout.write("rank\\n")
sys.stdout.flush()
if sys.argv[-1].isdigit():
    sys.exit(int(sys.argv[-1]))
while True:
    signal.pause()
"""

LAUNCHER = f"""
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", {RANK!r}, *sys.argv[1:]])
while True:
    signal.pause()
"""


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [0, 75])
def test_ends_as_the_rank_ends(code):
    """Protects the exit code: the launcher sees the rank's."""
    with start(RANK, str(code)) as guardian:
        assert guardian.wait(20) == code


def test_goes_when_the_rank_is_killed_too_early():
    """Protects from a hang: a rank that dies while MPI is initialised would be waited for by all others for ever."""
    with start(RANK, "too early") as guardian:
        assert guardian.stdout is not None
        assert guardian.stdout.readline() == "rank\n"
        (rank,) = children(guardian.pid)
        os.kill(rank, signal.SIGKILL)
        assert guardian.wait(20) == 75


def test_stays_when_the_rank_is_killed():
    """Protects the other ranks: the launcher must not notice, for it would end them all."""
    with start(RANK) as guardian:
        assert guardian.stdout is not None
        assert guardian.stdout.readline() == "rank\n"
        (rank,) = children(guardian.pid)
        os.kill(rank, signal.SIGKILL)
        wait_until(lambda: not children(guardian.pid), "the rank was buried")
        assert guardian.poll() is None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            os.kill(guardian.pid, number)
        assert alive(guardian.pid)
        guardian.kill()


def test_rank_goes_with_the_guardian():
    """Protects a machine from ranks whose guardian was killed: the launcher thinks that they are gone."""
    with start(RANK) as guardian:
        assert guardian.stdout is not None
        guardian.stdout.readline()
        (rank,) = children(guardian.pid)
        guardian.kill()
        wait_until(lambda: not alive(rank), "the rank was gone")


@pytest.mark.parametrize("rank_does", ["works", "lets go", "dies"])
def test_all_go_with_the_launcher(rank_does):
    """Protects a machine from ranks without a launcher: while they work, while they end, and when they have died."""
    with start(LAUNCHER, rank_does) as launcher:
        assert launcher.stdout is not None
        launcher.stdout.readline()
        (guardian,) = children(launcher.pid)
        (rank,) = children(guardian)
        if rank_does == "dies":
            os.kill(rank, signal.SIGKILL)
            wait_until(lambda: not children(guardian), "the rank was buried")
        launcher.kill()
        wait_until(lambda: not alive(guardian) and not alive(rank), "everybody was gone")
