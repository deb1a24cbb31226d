"""User code that misbehaves: it costs its own job a retry, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support import commands
from support.chaos import THOROUGH, World
from support.commands import wait_until
from support.problem_files import nodes_below, nodes_of, trouble_file

DEPTH = 8
NODE = 37
"""Somewhere in the middle of the tree."""

CRASHES = (
    "segfault",
    "exit_at_once",
    "memory_error",
    "killed_for_memory",
    "keyboard_interrupt",
    "close_all",
    "close_and_reuse",
    "forked_grandchild",
    "program_grandchild",
)
HARMLESS = ("terminate_grandchild", "signal_itself")
ERRORS = {"sys_exit": "SystemExit: 0", "raise_error": "ValueError: this node is poison", "deep_recursion": "RecursionError"}


def worlds() -> list:
    """Alone, and on ranks of the first MPI; of every MPI when there is time."""
    mpis = commands.mpis() if THOROUGH else commands.mpis()[:1]
    return [pytest.param(World(None), id="alone"), *(pytest.param(World(mpi), id=mpi.name) for mpi in mpis)]


@pytest.fixture(params=worlds())
def world(request) -> World:
    return request.param


@pytest.fixture(params=[parameter for parameter in worlds() if parameter.values[0].mpi])
def ranks(request) -> World:
    """A world with neighbours that starve while somebody is stuck."""
    return request.param


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    return tmp_path


def words(how: str, *more: str) -> tuple[str, ...]:
    return ("run", "trouble.py", f"depth={DEPTH}", f"at={NODE}", f"how={how}", "cure=cure", "--run-dir", "here", "--json", *more)


def all_at_once(*names: str) -> list:
    """Every trouble in a run of its own when there is time, otherwise all in one run."""
    return [pytest.param((name,), id=name) for name in names] if THOROUGH else [pytest.param(names, id="all")]


@pytest.mark.parametrize("crashes", all_at_once(*CRASHES))
def test_crashes(world, folder, crashes):
    """Protects a run from jobs that kill their process, in any way: they are tried again, and everything is counted once."""
    finished = world.run(folder, *words(",".join(crashes), "once=true"))
    answer = finished.answer
    assert (0, nodes_of(DEPTH), len(crashes)) == (finished.code, answer["result"], answer["killings"]), finished
    assert answer["nodes"] == answer["result"]


def test_scribble(folder):
    """Protects the protocol from user code that writes into files that are not its own, as after closing one twice."""
    finished = World(None).run(folder, *words("write_everywhere", "once=true"))
    assert (0, nodes_of(DEPTH), 1) == (finished.code, finished.answer["result"], finished.answer["killings"]), finished


def test_harmless(world, folder):
    """Protects user code that works with signals and other programs: that is its own business."""
    finished = world.run(folder, *words(",".join(HARMLESS)))
    assert (0, nodes_of(DEPTH), 0) == (finished.code, finished.answer["result"], finished.answer["killings"]), finished


@pytest.mark.parametrize("isolation", ["process", "none"])
@pytest.mark.parametrize("how", ERRORS if THOROUGH else ["sys_exit"])
def test_error(world, folder, how, isolation):
    """Protects whoever debugs a problem: the run stops with their traceback and exit code 4, and goes on when it is fixed."""
    stopped = world.run(folder, *words(how, "--isolation", isolation))
    assert stopped.code == 4, stopped
    assert "trouble.py" in stopped.stderr
    assert f"exploring the node {NODE}: {ERRORS[how]}" in stopped.stderr, stopped
    (folder / "cure").touch()
    ended = world.run(folder, *words(how, "--isolation", isolation))
    assert (0, nodes_of(DEPTH)) == (ended.code, ended.answer["result"]), ended


def test_no_memory_without_isolation(world, folder):
    """Protects the worker itself, where the user's code is in it, from a job that finds no memory: it is tried again."""
    finished = world.run(folder, *words("memory_error", "once=true", "--isolation", "none"))
    assert (0, nodes_of(DEPTH), 1) == (finished.code, finished.answer["result"], finished.answer["killings"]), finished


def test_stuck_once(ranks, folder):
    """Protects the others from starving: a job that does not come back is taken from its worker and tried again."""
    finished = ranks.run(folder, *words("loop,stop_itself", "once=true", "--patience", "0.5"))
    assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished
    assert finished.answer["killings"] >= 2


def test_stuck_for_ever(ranks, folder):
    """Protects the end of a run: a job that never comes back is put aside, with the reason, and everything else is counted."""
    finished = ranks.run(folder, *words("loop", "--patience", "0.3", "--max-kills", "3"))
    expected = nodes_of(DEPTH) - nodes_below(NODE, DEPTH)
    assert (3, expected, 1) == (finished.code, finished.answer["result"], finished.answer["quarantined"]), finished
    assert "while others starved" in finished.stderr


def test_stuck_alone(folder):
    """Protects walltimes: a stop does not wait for a job that does not come back, and what was reported is kept."""
    world = World(None)
    with world.started(folder, *words("loop", "--grace", "0.5", "once=true")) as command:
        wait_until((folder / "cure-loop").exists, "it was stuck")
        os.kill(command.pid, signal.SIGTERM)
        finished = command.wait()
    assert finished.code == 75, finished
    ended = world.run(folder, *words("loop", "once=true"))
    assert (0, nodes_of(DEPTH)) == (ended.code, ended.answer["result"]), ended


@pytest.mark.timeout(240)
def test_interpreter_lock(world, folder):
    """Protects long calls into C: a worker whose job keeps the interpreter lock for many heartbeats is not declared dead."""
    seconds, timeout = (20, "4") if THOROUGH and world.mpi == commands.mpis()[0] else (5, "2")
    environment = {**world.environment, "TROUBLE_S": str(seconds)}
    command = world.command(*words("sleep_in_c", "--heartbeat-timeout", timeout, "--patience", "10m"))
    finished = commands.run(command, folder=folder, environment=environment, deadline_s=seconds + 60)
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 0) == (finished.code, answer["result"], answer["killings"]), finished
    assert "is lost" not in finished.stderr
    assert answer["seconds"] >= seconds


def test_explorer_stopped_between_jobs(ranks, folder):
    """Protects a worker from an explorer that takes nothing in: it stays alive, and its jobs go elsewhere."""
    arguments = ("run", "trouble.py", "depth=10", "pause_ms=1", "--run-dir", "here", "--json", "--patience", "0.5")
    with ranks.started(folder, *arguments) as command:
        ranks.wait_for_explorers(command)[0].send(signal.SIGSTOP)
        finished = command.wait()
    assert (0, nodes_of(10)) == (finished.code, finished.answer["result"]), finished
    assert "is lost" not in finished.stderr
