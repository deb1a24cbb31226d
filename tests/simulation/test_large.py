"""Many workers: what the coordinator costs, how well they are used, and how soon a hungry one is fed."""

from __future__ import annotations

import pytest
from support.large import measure

from parry_mpi.core.policy import MESSAGE_US

LOAD_MAX = 0.5
"""How much of a core the coordinator of a sweep may take, however many workers there are."""


@pytest.mark.parametrize(
    ("workers", "utilisation_min", "fed_ms_max"),
    [(300, 0.95, 100), pytest.param(10_000, 0.5, 1_000, marks=[pytest.mark.night, pytest.mark.timeout(1_800)])],
)
def test_many_workers(workers, utilisation_min, fed_ms_max, capsys):
    """Protects large allocations: one coordinator keeps all workers busy, from one root on, and the answer stays exact."""
    measured = measure(workers)
    with capsys.disabled():
        print(f"\n{measured}")
    assert measured.exact
    assert measured.utilisation >= utilisation_min
    assert measured.share_ms_median <= fed_ms_max


@pytest.mark.parametrize(
    ("workers", "seconds_each", "utilisation_min"),
    [(100, 2, 0.95), (500, 2, 0.85), pytest.param(10_000, 20, 0.9, marks=[pytest.mark.night, pytest.mark.timeout(1_800)])],
)
def test_many_workers_of_a_sweep(workers, seconds_each, utilisation_min, capsys):
    """Protects large sweeps: bundles grow with the number of workers, so that they do not drown their coordinator, nor wait for it."""
    measured = measure(workers, seconds_each, sweep=True)
    with capsys.disabled():
        print(f"\n{measured}")
    assert measured.exact
    assert measured.utilisation >= utilisation_min
    assert measured.messages_per_s * MESSAGE_US / 1e6 <= LOAD_MAX
