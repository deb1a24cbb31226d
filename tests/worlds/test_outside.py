"""Workers from outside MPI, as the command starts them: they share one run with the ranks, and whatever befalls them, it stays exact."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import chaos, commands, joining
from support.chaos import World, nodes_on_disk, of_role
from support.commands import Started, parry_mpi, run, wait_until
from support.gates import events as events_in
from support.joining import workers
from support.problem_files import nodes_of, trouble_file

DEPTH = 13
SLOW = (f"depth={DEPTH}", "pause_ms=2.0", "hurry={folder}/hurry")
"""It would take half a minute, but for the file that makes it hurry once what was to happen has happened."""

ALONE = World(None)
RANKS = World(commands.mpis()[0], 2)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the run is; the workers live elsewhere."""
    trouble_file(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


@contextlib.contextmanager
def open_run(world: World, folder: Path) -> Iterator[Started]:
    """Start a run that takes its time; return once workers can join it."""
    slow = (word.format(folder=folder) for word in SLOW)
    with joining.open_run(world, folder, "trouble.py", *slow, *joining.SOON) as command:
        yield command


def status(folder: Path) -> dict:
    finished = run(parry_mpi("status", "here", "--json"), folder=folder)
    return finished.answer if finished.code == 0 else {}  # workers are let in before the folder has a state


def events(folder: Path, name: str) -> list[dict]:
    """What the log says of one kind."""
    return events_in(folder / "here", name)


def wait_for_workers(folder: Path, count: int) -> None:
    wait_until(lambda: status(folder).get("workers") == count, f"{count} workers were there", 60)


def ends_exactly(command: Started, folder: Path, *others: Started) -> dict:
    """Let the run come to its end, and see that everybody does, with 0."""
    (folder / "hurry").touch()
    finished = command.wait(90)
    answer = finished.answer
    assert (0, nodes_of(DEPTH), nodes_of(DEPTH)) == (finished.code, answer["result"], answer["nodes"]), finished
    for other in others:
        ended = other.wait(30)
        assert ended.code == 0, ended
    assert not (folder / "here" / "access.json").exists()
    return answer


def test_with_ranks(folder):
    """Protects one search over both: ranks and workers from another folder share a run, and the status says who did how much."""
    with open_run(RANKS, folder) as command, workers(folder, 2) as outside:
        wait_for_workers(folder, 3)
        wait_until(lambda: len(status(folder).get("contributions", ())) >= 2, "both kinds had reported")
        answer = ends_exactly(command, folder, outside)
    assert answer["workers"] == 3
    by_kind = {each["via"].startswith("rank"): each["nodes"] for each in status(folder)["contributions"]}
    assert {True, False} == set(by_kind)
    assert sum(each["nodes"] for each in status(folder)["contributions"]) == nodes_of(DEPTH)
    shown = run(parry_mpi("status", "here"), folder=folder).stdout
    assert "rank 1" in shown
    assert "SHA256:" in shown


def test_without_ranks(folder):
    """Protects a coordinator alone: it waits for its workers, and explores nothing itself."""
    with open_run(ALONE, folder) as command:
        assert [] == of_role(command, "explorer")
        with workers(folder, 2) as outside:
            wait_for_workers(folder, 2)
            answer = ends_exactly(command, folder, outside)
    assert answer["workers"] == 2


@pytest.mark.parametrize("role", ["worker", "explorer"])
def test_killed(folder, role):
    """Protects the count from workers that die: what they held goes back, and the others finish."""
    with open_run(ALONE, folder) as command, workers(folder, 2) as outside, workers(folder) as survivor:
        wait_for_workers(folder, 3)
        wait_until(lambda: nodes_on_disk(folder / "here") > 100, "some of it was explored")
        explorers = [member.pid for member in of_role(outside, "explorer")]
        os.kill((explorers if role == "explorer" else commands.children(outside.pid))[0], signal.SIGKILL)
        wait_until(lambda: events(folder, "killed"), "its lease was killed", 30)
        answer = ends_exactly(command, folder, survivor)
    assert answer["killings"] >= 1


def test_frozen_and_back(folder):
    """Protects the count from a worker that was given up and goes on: what it says of its old lease counts for nothing."""
    with open_run(ALONE, folder) as command, workers(folder) as outside, workers(folder) as other:
        wait_for_workers(folder, 2)
        wait_until(lambda: nodes_on_disk(folder / "here") > 100, "some of it was explored")
        os.kill(outside.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: events(folder, "lost"), "it was given up", 30)
        finally:
            os.kill(outside.pid, signal.SIGCONT)
        wait_until(lambda: len(events(folder, "joined")) == 3, "it was back", 30)
        answer = ends_exactly(command, folder, outside, other)
    assert answer["killings"] == 1


def test_leaves_when_asked(folder):
    """Protects what a worker holds when its machine is wanted back: it hands that back, and nothing is explored twice."""
    with open_run(ALONE, folder) as command, workers(folder) as other:
        with workers(folder, 2) as outside:
            wait_for_workers(folder, 3)
            wait_until(lambda: nodes_on_disk(folder / "here") > 100, "some of it was explored")
            os.kill(outside.pid, signal.SIGTERM)
            left = outside.wait(30)
            assert left.code == 0, left
        wait_for_workers(folder, 1)
        assert [] == events(folder, "killed")
        ends_exactly(command, folder, other)


def test_coordinator_comes_back(folder):
    """Protects workers from the death of the coordinator: they wait for it, at whichever port, and nothing counts twice."""
    with contextlib.ExitStack() as stack:
        with open_run(ALONE, folder) as command:
            outside = stack.enter_context(workers(folder, 2))
            wait_for_workers(folder, 2)
            wait_until(lambda: nodes_on_disk(folder / "here") > 100, "some of it was explored")
            chaos.kill_everybody(command)
            command.wait()
        (folder / "here" / "access.json").unlink()  # so that open_run() sees the new one
        with open_run(ALONE, folder) as command:
            wait_for_workers(folder, 2)
            answer = ends_exactly(command, folder, outside)
    assert answer["restarts"] == 1


def test_stopped_run_goes_on(folder):
    """Protects workers over a walltime: a run that was stopped finds them again when it goes on."""
    with contextlib.ExitStack() as stack:
        with open_run(ALONE, folder) as command:
            outside = stack.enter_context(workers(folder))
            wait_for_workers(folder, 1)
            os.kill(command.pid, signal.SIGTERM)
            assert command.wait().code == 75
        assert ["SIGTERM"] == [event["why"] for event in events(folder, "stopped")]
        wait_until(lambda: "waiting" in outside.stderr, "it said that it waits")
        with open_run(ALONE, folder) as command:
            wait_for_workers(folder, 1)
            ends_exactly(command, folder, outside)


def test_removed_key(folder):
    """Protects a run from a worker that is not wanted any more: its key is removed, it is gone, and the answer is exact."""
    key = folder / "elsewhere" / "key"
    assert run(parry_mpi("keygen", key, "--no-passphrase"), folder=folder).code == 0
    with open_run(ALONE, folder) as command, workers(folder) as other:
        assert run(parry_mpi("authorize", "here", f"{key}.pub"), folder=folder).code == 0
        with workers(folder, 1, "--key", str(key)) as unwanted:
            wait_for_workers(folder, 2)
            wait_until(lambda: nodes_on_disk(folder / "here") > 100, "some of it was explored")
            assert run(parry_mpi("authorize", "here", "--remove", f"{key}.pub"), folder=folder).code == 0
            wait_until(lambda: events(folder, "lost"), "it was lost", 30)
            gone = unwanted.wait(60)
            assert gone.code == 77, gone
            assert "Traceback" not in gone.stderr
        ends_exactly(command, folder, other)


def test_another_problem(folder):
    """Protects the answer from a worker with other parameters: it is turned away, told both fingerprints, and nothing else happens."""
    with open_run(ALONE, folder) as command:
        access = json.loads((folder / "here" / "access.json").read_text())
        where = f"{access['host']}:{access['port']}"
        keys = ("--key", folder / "here" / "worker_key", "--server-key", folder / "here" / "coordinator_key.pub")
        slow = (word.format(folder=folder) for word in SLOW[1:])
        refused = run(
            parry_mpi("worker", where, folder / "trouble.py", "depth=12", *slow, *keys, "--processes", "1"), folder=folder
        )
        assert refused.code == 2, refused
        assert access["fingerprint"] in refused.stderr
        assert refused.stderr.count("fingerprint") >= 1
        assert "Traceback" not in refused.stderr
        with workers(folder) as outside:
            wait_for_workers(folder, 1)
            ends_exactly(command, folder, outside)


def test_nobody_answers(folder):
    """Protects an allocation from a coordinator that is gone for good: after --wait the worker ends with 75 and one line."""
    key = folder / "key"
    assert run(parry_mpi("keygen", key, "--no-passphrase"), folder=folder).code == 0
    keys = ("--key", key, "--server-key", folder / "key.pub")
    alone = run(
        parry_mpi("worker", "127.0.0.1:9", folder / "trouble.py", *keys, "--processes", "1", "--wait", "1s"), folder=folder
    )
    assert alone.code == 75, alone
    assert "127.0.0.1:9" in alone.stderr
    assert "Traceback" not in alone.stderr
