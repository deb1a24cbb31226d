"""Commits on a thread of their own: in order, one at a time, and what goes wrong is told."""

from __future__ import annotations

import threading

import pytest
from support.commands import wait_until
from support.disk import QUEENS, MadeUpRun

from parry_mpi.core.state import Changes, Counters
from parry_mpi.errors import CommitFailed, ParryError
from parry_mpi.runtime import committer as committer_module
from parry_mpi.runtime.committer import Commit, Committer, Done
from parry_mpi.store.readers import read_result
from parry_mpi.store.run_directory import RunDirectory


class HeldUp:
    """Stands in for a run directory on a file system that does what the test says.

    Attributes:
        go: commits wait for it.
        raising: what the next commit raises.
    """

    def __init__(self) -> None:
        self.go = threading.Event()
        self.raising: Exception | None = None
        self.done: list[str] = []
        self.refreshed = threading.Event()

    def commit(self, changes, result, *, finished, phase, collected):
        self.go.wait(20)
        self.done.append(phase)
        if self.raising:
            raise self.raising

    def publish(self, status):
        self.done.append(str(status))

    def refresh(self):
        self.refreshed.set()


@pytest.fixture
def held_up():
    directory = HeldUp()
    committer = Committer(directory)
    yield directory, committer
    directory.go.set()
    committer.close()


def commit(phase: str) -> Commit:
    return Commit(Changes(Counters()), b"", finished=False, phase=phase)


def test_on_disk(tmp_path):
    """Protects the promise of a commit: when it is told, it can be read."""
    run = MadeUpRun(1)
    with RunDirectory.open(tmp_path / "run", QUEENS) as directory:
        directory.initialize(run.advance(), run.result)
        committer = Committer(directory)
        wanted = Commit(run.advance(), run.result, finished=False, phase="half way")
        committer.submit(wanted)
        assert Done(wanted, None) == wait_until(committer.poll, "it was committed")
        assert "half way" == read_result(tmp_path / "run").phase
        committer.close()


def test_never_waited_for(held_up):
    """Protects the coordinator from a slow file system: it hands a commit over, and asks later."""
    directory, committer = held_up
    committer.submit(commit("one"))
    committer.submit(commit("two"))
    assert committer.poll() is None
    directory.go.set()
    assert "one" == wait_until(committer.poll, "the first was done").commit.phase
    assert "two" == wait_until(committer.poll, "the second was done").commit.phase


def test_status_gives_way(held_up):
    """Protects commits from waiting behind many things that are only for show: of those that wait the newest is shown."""
    directory, committer = held_up
    committer.submit(commit("one"))
    committer.publish({"shown": "never"})
    committer.submit(commit("two"))
    committer.publish({"shown": "once"})
    directory.go.set()
    committer.close()
    assert ["one", "{'shown': 'once'}", "two"] == directory.done


def test_status_behind_a_commit(held_up):
    """Protects the reader of a status: it is shown although a commit was handed over in the same moment, time after time."""
    directory, committer = held_up
    directory.go.set()
    for number in range(3):
        committer.submit(commit("one"))
        committer.publish({"number": number})
        wait_until(lambda number=number: str({"number": number}) in directory.done, "it was shown")


@pytest.mark.parametrize("error", [CommitFailed("no room"), ZeroDivisionError("a bug")])
def test_errors_are_told(held_up, error):
    """Protects a run from going on as if all were on disk."""
    directory, committer = held_up
    directory.go.set()
    directory.raising = error
    committer.submit(commit("one"))
    done = wait_until(committer.poll, "it was told")
    assert isinstance(done.error, ParryError)
    assert str(error) in str(done.error)
    directory.raising = None
    committer.submit(commit("two"))
    assert wait_until(committer.poll, "the next was told").error is None


def test_sign_of_life(held_up, monkeypatch):
    """Protects the folder's lock while a commit takes its time."""
    monkeypatch.setattr(committer_module, "REFRESH_S", 0.01)
    directory = HeldUp()
    committer = Committer(directory)
    committer.submit(commit("one"))
    assert directory.refreshed.wait(20)
    directory.go.set()
    committer.close()
    assert ["one"] == directory.done


def test_close_finishes_what_was_handed_over(held_up):
    """Protects the last commit of a run."""
    directory, _ = held_up
    directory.go.set()
    committer = Committer(directory)
    for phase in "abc":
        committer.submit(commit(phase))
    committer.close()
    assert ["a", "b", "c"] == directory.done
