"""Disks that fill up or refuse while a run goes on: it says so loudly, goes on exploring, and catches up; or refuses honestly."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest
from support.chaos import World, kill_everybody, nodes_on_disk, of_role
from support.commands import Started, parry_mpi, run, wait_until
from support.disk import read_only, small_disk
from support.problem_files import nodes_of, traced_nodes, trouble_file

DEPTH = 11
DISK_BYTES = 2**20
WARNING = "WARNING: "


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    (tmp_path / "trace").mkdir()
    return tmp_path


@pytest.fixture
def disk(folder):
    with small_disk(folder / "disk", DISK_BYTES) as path:
        yield path


def words(run_dir: str) -> tuple[str, ...]:
    return ("run", "trouble.py", f"depth={DEPTH}", "pause_ms=3", "hurry=hurry", "trace=trace", "--run-dir", run_dir, "--json")


def fill(disk: Path) -> Path:
    """Take all the room that is left on a disk."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size_bytes in (4096, 1):
            try:
                while True:
                    file.write(bytes(size_bytes))
            except OSError:
                continue
    return filler


def hurry(folder: Path) -> None:
    """Let the run come to its end."""
    (folder / "hurry").touch()


def goes_on_exploring(folder: Path) -> None:
    before = traced_nodes(folder / "trace")
    wait_until(lambda: traced_nodes(folder / "trace") > before + 50, "exploring went on")


def under_way(command: Started, run_dir: Path) -> None:
    wait_until(lambda: nodes_on_disk(run_dir) > 20, "some of it was on disk")


def test_full(folder, disk):
    """Protects a night's work from a disk that is full for a while: nothing is lost, nothing is explored twice."""
    world = World(None)
    with world.started(folder, *words("disk/run")) as command:
        under_way(command, disk / "run")
        filler = fill(disk)
        wait_until(lambda: WARNING in command.stderr, "the user was warned")
        goes_on_exploring(folder)
        filler.unlink()
        hurry(folder)
        finished = command.wait()
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 0) == (finished.code, answer["result"], answer["restarts"]), finished
    assert traced_nodes(folder / "trace") == nodes_of(DEPTH)
    assert run(parry_mpi("result", "disk/run"), folder=folder).stdout.strip() == str(nodes_of(DEPTH))


def test_full_at_the_end(folder, disk):
    """Protects the answer from being told before it is on disk: the run waits for room."""
    with World(None).started(folder, *words("disk/run")) as command:
        under_way(command, disk / "run")
        filler = fill(disk)
        hurry(folder)
        wait_until(lambda: traced_nodes(folder / "trace") == nodes_of(DEPTH), "all was explored")
        warnings = command.stderr.count(WARNING)
        wait_until(lambda: command.stderr.count(WARNING) > warnings + 1, "it was tried again")
        assert command.running
        assert command.stdout == ""
        filler.unlink()
        finished = command.wait()
    assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_full_and_then(folder, disk, how):
    """Protects what was committed when a run ends while the disk is full: the same command goes on from there."""
    world = World(None)
    with world.started(folder, *words("disk/run")) as command:
        under_way(command, disk / "run")
        filler = fill(disk)
        wait_until(lambda: WARNING in command.stderr, "the user was warned")
        if how == "kill":
            kill_everybody(command)
        else:
            os.kill(command.pid, signal.SIGTERM)
            stopped = command.wait(30)
            assert stopped.code == 74, stopped
            assert "bug" not in stopped.stderr
    counted = nodes_on_disk(disk / "run")
    assert 0 < counted < nodes_of(DEPTH)
    refused = world.run(folder, *words("disk/run"))
    assert (74, counted) == (refused.code, nodes_on_disk(disk / "run")), refused
    filler.unlink()
    hurry(folder)
    ended = world.run(folder, *words("disk/run"))
    assert (0, nodes_of(DEPTH)) == (ended.code, ended.answer["result"]), ended


def test_size_limit(folder):
    """Protects a run whose files may not grow any more, its own log and stderr included, and that needs no root to be tested."""
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    world = World(None)
    with world.started(folder, *words("here")) as command:
        under_way(command, folder / "here")
        (coordinator,) = of_role(command, "coordinator")
        resource.prlimit(coordinator.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        counted = nodes_on_disk(folder / "here")
        goes_on_exploring(folder)
        goes_on_exploring(folder)
        assert nodes_on_disk(folder / "here") <= counted + 200
        resource.prlimit(coordinator.pid, resource.RLIMIT_FSIZE, unlimited)
        hurry(folder)
        finished = command.wait()
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 0) == (finished.code, answer["result"], answer["restarts"]), finished
    assert traced_nodes(folder / "trace") == nodes_of(DEPTH)


def test_read_only(folder, tmp_path_factory):
    """Protects a folder that may only be read: one clear line, exit code 2, nothing touched, and a result can still be read."""
    begun = World(None).run(folder, *words("begun"), "--stop-after", "0.5")
    assert begun.code == 75, begun
    hurry(folder)
    done = World(None).run(folder, *words("here"))
    assert done.code == 0, done
    with read_only(folder / "begun", tmp_path_factory.mktemp("scratch") / "disk") as locked:
        refused = World(None).run(folder, *words(str(locked)))
        assert refused.code == 2, refused
        assert len(refused.stderr.splitlines()) == 1, refused
        assert run(parry_mpi("status", locked), folder=folder).code == 0
    with read_only(folder / "here", tmp_path_factory.mktemp("scratch") / "disk") as locked:
        again = World(None).run(folder, *words(str(locked)))
        assert (0, nodes_of(DEPTH)) == (again.code, again.answer["result"]), again
