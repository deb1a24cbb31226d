"""How long the loops pause."""

from __future__ import annotations

import os

from support.commands import wait_until

from parry_mpi.runtime import clock


def test_never_back():
    """Protects every interval: two readings are in order, and both units agree."""
    first_ms, then_us, last_ms = clock.now_ms(), clock.now_us(), clock.now_ms()
    assert first_ms <= then_us // 1000 <= last_ms


def test_pauses_grow():
    """Protects latency and idle cores: no pause at first, then longer and longer ones, and none again when something happens."""
    backoff = clock.Backoff()
    pauses = [backoff.pause_s() for _ in range(60)]
    assert pauses == sorted(pauses)
    assert pauses[0] == 0.0
    assert 0 < pauses[-1] <= clock.PAUSE_S_MAX
    backoff.active()
    assert backoff.pause_s() == 0.0


def test_waiting_ends_when_something_is_there():
    """Protects latency: a word from the explorer ends the pause."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    clock.wait_readable([reading], 600)
    os.close(writing)
    os.read(reading, 1)
    clock.wait_readable([reading], 600)  # its end is something, too
    os.close(reading)


def test_quiet():
    """Protects idle cores: when it has been quiet for long, pauses are long, up to a bound."""
    backoff = clock.Backoff()
    assert wait_until(lambda: backoff.pause_s() == clock.PAUSE_S_MAX, "the pauses were as long as they get")
