"""Many workers: what the coordinator costs, how well they are used, and how soon a hungry one is fed."""

from __future__ import annotations

import pytest
from support.large import measure

SHARE_MS_MAX = 100
"""An idle worker is fed within so long, in the median."""


@pytest.mark.parametrize(
    ("workers", "utilisation_min"),
    [(300, 0.95), pytest.param(10_000, 0.6, marks=[pytest.mark.night, pytest.mark.timeout(1_800)])],
)
def test_many_workers(workers, utilisation_min, capsys):
    """Protects large allocations: one coordinator keeps all workers busy, from one root on, and the answer stays exact."""
    measured = measure(workers)
    with capsys.disabled():
        print(f"\n{measured}")
    assert measured.exact
    assert measured.utilisation >= utilisation_min
    assert measured.share_ms_median <= SHARE_MS_MAX
