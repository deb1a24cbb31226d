"""Stops in good order, under every MPI of this machine: 75, everything explored is on disk, and the same command goes on to the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support import chaos, commands, mpis
from support.chaos import THOROUGH, World, of_role
from support.commands import Finished, Started, parry_mpi, run, wait_until
from support.problem_files import nodes_of, trouble_file

DEPTH = 12
SLOW = (f"depth={DEPTH}", "pause_ms=4", "hurry=hurry")
"""It would take half a minute, but for the file that makes it hurry once it was stopped."""
WORDS = ("run", "trouble.py", *SLOW, "--run-dir", "here", "--json")
SIGNALS = (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)


SOME = list(mpis.WHY_MISSING) if THOROUGH else [mpi.name for mpi in commands.mpis()[:1]]


def find(name: str, scratch: Path) -> World:
    return World(None if name == "alone" else mpis.find(name, scratch))


@pytest.fixture(params=["alone", *mpis.WHY_MISSING])
def any_world(request, tmp_path_factory) -> World:
    """Alone, and ranks of every MPI: for what depends on the launcher."""
    return find(request.param, tmp_path_factory.mktemp("mpi"))


@pytest.fixture(params=["alone", *SOME])
def world(request, tmp_path_factory) -> World:
    """Alone, and ranks of one MPI, or of every MPI when there is time."""
    return find(request.param, tmp_path_factory.mktemp("mpi"))


@pytest.fixture(params=SOME)
def ranks(request, tmp_path_factory) -> World:
    return find(request.param, tmp_path_factory.mktemp("mpi"))


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    return tmp_path


def under_way(command: Started, folder: Path) -> bool:
    return chaos.nodes_on_disk(folder / "here") > 0


def stop(world: World, folder: Path, *more: str, to_launcher: int | None = None, to_coordinator: int | None = None) -> Finished:
    """Start the run, send it a signal once something of it is on disk, and return how it ended."""
    with world.started(folder, *WORDS, *more) as command:
        wait_until(lambda: under_way(command, folder), "some of it was on disk")
        if to_launcher:
            os.kill(command.pid, to_launcher)
        if to_coordinator:
            of_role(command, "coordinator")[0].send(to_coordinator)
        return command.wait()


def assert_resumable(stopped: Finished, why: str) -> None:
    assert stopped.code == 75, stopped
    answer = stopped.answer
    assert 0 < answer["result"] == answer["nodes"] < nodes_of(DEPTH), stopped
    assert f"stopped by {why} at" in stopped.stderr
    assert "the same command goes on from here" in stopped.stderr


def assert_goes_on(world: World, folder: Path, words: tuple[str, ...] = WORDS) -> None:
    """One more life ends it exactly."""
    (folder / "hurry").touch()
    ended = world.run(folder, *words)
    answer = ended.answer
    assert (0, nodes_of(DEPTH), nodes_of(DEPTH), 1) == (ended.code, answer["result"], answer["nodes"], answer["restarts"]), ended


@pytest.mark.parametrize("number", SIGNALS if THOROUGH else SIGNALS[:2], ids=lambda number: number.name)
def test_signal_to_the_launcher(any_world, folder, number):
    """Protects a batch job's last minutes: a signal to what was started stops the run in good order."""
    if any_world.mpi is not None and any_world.mpi.name.endswith("openmpi") and number != signal.SIGUSR1:
        pytest.skip("Open MPI's mpirun ends the ranks at once at this signal: see test_abrupt_launcher")
    stopped = stop(any_world, folder, to_launcher=number)
    assert_resumable(stopped, number.name)
    if (number == signal.SIGUSR1 and any_world.mpi is not None) or THOROUGH:
        assert chaos.nodes_on_disk(folder / "here") == stopped.answer["nodes"]
        assert_goes_on(any_world, folder)


@pytest.mark.parametrize("number", SIGNALS if THOROUGH else [signal.SIGTERM], ids=lambda number: number.name)
def test_signal_to_rank_0(world, folder, number):
    """Protects the same where a batch system signals the processes themselves."""
    stopped = stop(world, folder, to_coordinator=number)
    assert_resumable(stopped, number.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_abrupt_launcher(folder, tmp_path_factory, number):
    """Protects what was committed from a launcher that ends its ranks at once: the same command goes on."""
    world = World(mpis.find("openmpi", tmp_path_factory.mktemp("mpi")))
    stopped = stop(world, folder, to_launcher=number)
    assert stopped.code not in {0, 2, 3, 4}, stopped
    assert_goes_on(world, folder)


def test_stop_after(world, folder):
    """Protects a plan for the night: --stop-after stops in good order, under every launcher."""
    with world.started(folder, *WORDS, "--stop-after", "0.8") as command:
        stopped = command.wait()
    assert_resumable(stopped, "--stop-after")
    assert_goes_on(world, folder)


def test_all_at_once(world, folder):
    """Protects from signals that come to everybody and again and again, as from a batch system at its limit."""
    with world.started(folder, *WORDS) as command:
        wait_until(lambda: under_way(command, folder), "some of it was on disk")
        for _ in range(3):
            for each in chaos.members(command):
                if each.role != "other":
                    each.send(signal.SIGUSR1)
        stopped = command.wait()
    assert_resumable(stopped, "SIGUSR1")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_impatience(folder, number):
    """Protects patience: a second Ctrl-C does not wait for a job that does not come back, and loses nothing that was committed."""
    world = World(None)
    words = (*WORDS, "at=4097", "how=loop", "cure=cure", "once=true", "--grace", "10m")
    with world.started(folder, *words) as command:
        wait_until((folder / "cure-loop").exists, "a job was stuck")
        on_disk = chaos.nodes_on_disk(folder / "here")
        os.kill(command.pid, number)
        wait_until(lambda: "collecting what remains" in command.stderr, "the first one was heard")
        assert command.running
        os.kill(command.pid, number)
        stopped = command.wait(20)
    assert stopped.code == 75, stopped
    assert on_disk <= stopped.answer["nodes"] < nodes_of(DEPTH)
    assert_goes_on(world, folder, words)


def test_impatience_on_ranks(ranks, folder):
    """Protects patience on ranks, too: one that is deep in the user's code is not waited for at the end."""
    words = (*WORDS, "at=4097", "how=loop", "cure=cure", "once=true", "--grace", "10m")
    with ranks.started(folder, *words) as command:
        wait_until((folder / "cure-loop").exists, "a job was stuck")
        (coordinator,) = of_role(command, "coordinator")
        coordinator.send(signal.SIGTERM)
        wait_until(lambda: "collecting what remains" in command.stderr, "the first one was heard")
        coordinator.send(signal.SIGTERM)
        stopped = command.wait(20)
    assert stopped.code == 75, stopped
    assert_goes_on(ranks, folder, words)


def test_before_anything_was_explored(folder):
    """Protects a run that is stopped as soon as it has begun: it can be taken up, too."""
    with World(None).started(folder, *WORDS) as command:
        wait_until((folder / "here" / "state.sqlite").exists, "the run had begun")
        os.kill(command.pid, signal.SIGTERM)
        assert command.wait().code == 75
    assert run(parry_mpi("status", "here"), folder=folder).code == 0
    assert_goes_on(World(None), folder)
