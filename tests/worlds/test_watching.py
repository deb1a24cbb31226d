"""Runs that are watched: from the command line to the page's data, across a coordinator's death, and without being asked to."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest
from support import watching
from support.commands import Started, alive, command_line, descendants, parry_mpi, run, started, wait_until
from support.problem_files import nodes_of, trouble_file
from support.watching import START_S, watched

from parry_mpi.store.access import DashboardAccess, read_dashboard_access

DEPTH = 15
"""It would take minutes, but for the file that makes it hurry."""
WORDS = ("run", "trouble.py", f"depth={DEPTH}", "pause_ms=4", "hurry=hurry", "--run-dir", "here", "--json")


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    return tmp_path


def status_of(access: DashboardAccess) -> dict:
    answer = wait_until(
        lambda: (answer := watching.get(access.port, f"/api/status?token={access.token}")).code == 200 and answer,
        "there was a status",
        START_S,
    )
    return answer.json


def dashboards(command: Started) -> list[int]:
    return [pid for pid in descendants(command.pid) if "parry_mpi.dashboard.process" in command_line(pid)]


def test_across_lives(folder):
    """Protects open pages and the run: kill -9 ends the dashboard with rank 0; the same command brings it back at the same address."""
    command = parry_mpi(*WORDS, "--dashboard", f"127.0.0.1:{watching.quiet_port()}")
    with started(command, folder=folder) as first:
        access = watched(first, folder)
        assert 0o600 == stat.S_IMODE((folder / "here" / "access.json").stat().st_mode)
        assert f"http://127.0.0.1:{access.port}/?token={access.token}" in first.stderr
        told = status_of(access)
        assert (1, "Trouble", "exploring", {"depth": DEPTH}) == (
            told["version"],
            told["title"].split()[0],
            told["phase"],
            {"depth": told["parameters"]["depth"]},
        )
        assert ("rank 1", 0) == (told["workers_list"][0]["via"], told["restarts"])
        (page,) = dashboards(first)
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not alive(page), "the dashboard had ended with the run")
    with started(command, folder=folder) as second:
        assert access == watched(second, folder)
        told = status_of(access)
        assert 1 == told["restarts"]
        assert 2 <= len({row[1] for row in watching.get(access.port, f"/api/history?token={access.token}").json["rows"]})
        (page,) = dashboards(second)
        (folder / "hurry").touch()
        finished = second.wait()
        assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished
        wait_until(lambda: not alive(page), "the dashboard had ended with the run")
    assert access == read_dashboard_access(folder / "here")


def test_dies_alone(folder):
    """Protects the run: it does not end with its dashboard, which comes back, and it says so once."""
    with started(parry_mpi(*WORDS, "--dashboard", "0"), folder=folder) as command:
        access = watched(command, folder)
        status_of(access)
        (page,) = dashboards(command)
        os.kill(page, signal.SIGKILL)
        wait_until(lambda: [pid for pid in dashboards(command) if pid != page], "the dashboard was started again", START_S)
        assert "exploring" == status_of(access)["phase"]
        (folder / "hurry").touch()
        finished = command.wait()
        assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished
        assert 1 == finished.stderr.count("WARNING: the dashboard is gone"), finished


def test_unasked(folder):
    """Protects batch jobs: without a terminal nothing listens unless it is asked for, and --dashboard off says no to a terminal too."""
    (folder / "hurry").touch()
    for more in ((), ("--dashboard", "off")):
        finished = run(parry_mpi(*WORDS, *more), folder=folder)
        assert 0 == finished.code, finished
        assert not (folder / "here" / "access.json").exists()
        assert "dashboard" not in finished.stderr


@pytest.mark.parametrize(("address", "word"), [("203.0.113.1:8000", "cannot listen"), ("a b", "is not an address")])
def test_wrong_address(folder, address, word):
    """Protects users from a traceback: an address that is none, or not of this machine, is a usage error of one line."""
    finished = run(parry_mpi(*WORDS, "--dashboard", address), folder=folder)
    assert 2 == finished.code, finished
    assert word in finished.stderr
    assert "Traceback" not in finished.stderr
