"""Stop signals are noted, and that is all."""

from __future__ import annotations

import os
import signal

import pytest

from parry_mpi.runtime.signals import STOP_SIGNALS, StopSignals


def raise_now(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_noted(number):
    """Protects a run from ending in the middle of something: a signal only leaves its name."""
    with StopSignals() as stop:
        assert stop.name == ""
        raise_now(number)
        assert (number.name, False) == (stop.name, stop.impatient)


def test_the_same_wish_twice():
    """Protects from impatience that nobody has: a launcher passes on the Ctrl-C that the terminal delivers as well."""
    with StopSignals() as stop:
        raise_now(signal.SIGINT)
        raise_now(signal.SIGINT)
        assert not stop.impatient


@pytest.mark.parametrize(("number", "impatient"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGUSR1, False)])
def test_a_second_wish(number, impatient):
    """Protects the second Ctrl-C: once the first was seen, it means at once; Slurm's warning never does."""
    with StopSignals() as stop:
        raise_now(signal.SIGUSR1)
        stop.seen = True
        raise_now(number)
        assert ("SIGUSR1", impatient) == (stop.name, stop.impatient)


def test_handlers_are_put_back():
    """Protects whoever uses the library in a program of their own."""
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with StopSignals():
        assert before != [signal.getsignal(number) for number in STOP_SIGNALS]
    assert before == [signal.getsignal(number) for number in STOP_SIGNALS]
