"""Nodes that cannot be explored, in a tree of a hundred thousand: everything else is counted, and nothing is forgotten."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from support import commands
from support.chaos import THOROUGH, World
from support.commands import Finished, parry_mpi, run
from support.problem_files import nodes_below, nodes_of, trouble_file

DEPTH = 16
POISON = 5000
MISSING = nodes_below(POISON, DEPTH)
assert nodes_of(DEPTH) > 10**5
assert MISSING > 10

MPIS = commands.mpis() if THOROUGH else commands.mpis()[:1]
WORLDS = [pytest.param(World(None), id="alone"), *(pytest.param(World(mpi), id=mpi.name) for mpi in MPIS)]


@pytest.fixture(params=WORLDS)
def world(request) -> World:
    return request.param


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    return tmp_path


def words(how: str, *more: str) -> tuple[str, ...]:
    return (
        "run",
        "trouble.py",
        f"depth={DEPTH}",
        f"at={POISON}",
        f"how={how}",
        "cure=cure",
        "--run-dir",
        "here",
        "--json",
        *more,
    )


def test_poison(world, folder):
    """Protects the count from one node that always kills its process: all others count, it is listed, and retry completes it."""
    incomplete = world.run(folder, *words("exit_at_once"))
    answer = incomplete.answer
    assert incomplete.code == 3, incomplete
    assert (nodes_of(DEPTH) - MISSING, False, 1) == (answer["result"], answer["complete"], answer["quarantined"]), incomplete
    assert answer["killings"] >= 5
    assert f"its process left with exit code 0 on {socket.gethostname()}" in incomplete.stderr, incomplete
    status = run(parry_mpi("status", "here"), folder=folder).stdout
    assert f"its process left with exit code 0, on {socket.gethostname()}" in status
    assert "killed 5 times" in status
    retry_and_complete(world, folder, words("exit_at_once"))


def test_error(world, folder):
    """Protects the count from one node that raises, with --on-error quarantine, in the same way."""
    incomplete = world.run(folder, *words("raise_error", "--on-error", "quarantine"))
    answer = incomplete.answer
    assert incomplete.code == 3, incomplete
    assert (nodes_of(DEPTH) - MISSING, 1, 0) == (answer["result"], answer["quarantined"], answer["killings"]), incomplete
    assert "trouble.py" in incomplete.stderr
    assert f"ValueError: this node is poison on {socket.gethostname()}" in incomplete.stderr
    retry_and_complete(world, folder, words("raise_error", "--on-error", "quarantine"))


def test_error_stops(world, folder):
    """Protects the default: an error stops the run in good order, nothing that was found is lost, and it goes on when fixed."""
    stopped = world.run(folder, *words("raise_error"))
    assert stopped.code == 4, stopped
    assert stopped.stderr.count("Traceback (most recent call last)") == 1, stopped
    assert "ValueError: this node is poison" in stopped.stderr
    assert f"exploring the node {POISON}" in stopped.stderr
    (folder / "cure").touch()
    assert_complete(world.run(folder, *words("raise_error")))


def retry_and_complete(world: World, folder: Path, again: tuple[str, ...]) -> None:
    """Put the job back when the problem is cured; alone, where that takes no time, also before, in vain."""
    if world.mpi is None:
        assert run(parry_mpi("retry", "here"), folder=folder).code == 0
        still = world.run(folder, *again)
        assert (3, nodes_of(DEPTH) - MISSING) == (still.code, still.answer["result"]), still
        (folder / "cure").touch()
        assert world.run(folder, *again).code == 3, "nothing is tried again unless the user says so"
    (folder / "cure").touch()
    retried = run(parry_mpi("retry", "here"), folder=folder)
    assert (0, "parry-mpi: 1 job put back") == (retried.code, retried.stderr.strip().partition(";")[0]), retried
    assert_complete(world.run(folder, *again))


def assert_complete(finished: Finished) -> None:
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 0) == (finished.code, answer["result"], answer["quarantined"]), finished
    assert answer["nodes"] == nodes_of(DEPTH)
