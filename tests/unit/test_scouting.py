"""parry_mpi.runtime.scouting: whether a tree is over before a compiled kernel would be loaded; with real processes."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

import pytest
from support.commands import children

from parry_mpi import Engine, Enumeration
from parry_mpi.runtime import scouting
from parry_mpi.runtime.scouting import soon_over
from parry_mpi.task import Task

LONG_MS = 600_000


class Chain(Enumeration[int, int]):
    """A path of so many nodes; at the last one something may happen."""

    length: int = 3
    last: str = ""
    engine: Engine = "auto"

    incidental = frozenset({"engine"})

    def kernel(self) -> None:
        raise AssertionError("a kernel was made")

    def roots(self) -> list[int]:
        return [1]

    def children(self, node: int) -> list[int]:
        return [node + 1] if node < self.length else []

    def value(self, node: int) -> int:
        if node == self.length and self.last:
            {"exit": lambda: os._exit(0), "hang": signal.pause, "raise": lambda: 1 // 0}[self.last]()
        return 1


class Deciding(Chain):
    """One whose engine is not said to make no difference."""

    incidental: ClassVar[frozenset[str]] = frozenset()


class Endless(Chain):
    """Roots that are pulled one by one may have no end."""

    def roots(self) -> object:
        return iter([1])


class Plain(Enumeration[int, int]):
    """One that has no kernel."""

    engine: Engine = "auto"

    incidental = frozenset({"engine"})

    def roots(self) -> list[int]:
        return [1]

    def value(self, node: int) -> int:
        return 1


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """The machine may be busy: no answer here depends on how fast it is."""
    monkeypatch.setattr(scouting, "compiled_wanted", lambda engine: True)
    monkeypatch.setattr(scouting, "SCOUT_MS", LONG_MS)
    monkeypatch.setattr(scouting, "WAIT_S", LONG_MS / 1000)


def test_a_small_tree_is_over_soon():
    """Protects the start of small runs: no kernel is loaded for a few nodes."""
    assert soon_over(Task(Chain())) is True


def test_a_tree_that_outlasts_the_scout_is_not(monkeypatch):
    """Protects the speed of everything else: a large tree is explored by its kernel."""
    monkeypatch.setattr(scouting, "SCOUT_MS", 0)
    assert soon_over(Task(Chain(length=10**6))) is False


@pytest.mark.parametrize("last", ["exit", "raise"])
def test_what_ends_the_scout_ends_nothing_else(last):
    """Protects the process from which explorers are forked against the user's code: a scout that dies is no answer."""
    before = set(children(os.getpid()))
    assert soon_over(Task(Chain(last=last))) is False
    assert before == set(children(os.getpid()))


def test_a_scout_that_hangs_is_ended(monkeypatch):
    """Protects the start of a run whose nodes take for ever: it does not wait for them, and nobody stays behind."""
    monkeypatch.setattr(scouting, "WAIT_S", 0.05)
    before = set(children(os.getpid()))
    assert soon_over(Task(Chain(last="hang"))) is False
    assert before == set(children(os.getpid()))


def test_without_numba_nobody_is_sent(monkeypatch):
    """Protects the start where no kernel can be compiled: there is nothing to find out."""
    monkeypatch.setattr(scouting, "compiled_wanted", lambda engine: False)
    assert soon_over(Task(Chain())) is False


@pytest.mark.parametrize("problem", [Chain(engine="python"), Chain(engine="numba"), Deciding(), Endless(), Plain()])
def test_an_engine_that_was_chosen_is_used(problem):
    """Protects the user's word: only where the engine is left to us, and makes no difference, may the kernel be left out."""
    assert soon_over(Task(problem)) is False
