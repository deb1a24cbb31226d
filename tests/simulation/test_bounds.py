"""What is said of the optimum while a run goes on is true at every moment, whatever dies and starts again."""

from __future__ import annotations

from collections import Counter

import pytest
from support.bounding import BoundedRun
from support.optima import FORMS

SEEDS, BATCH = 200, 50

SOMETIMES = (
    "known while exploring",
    "known, and not the optimum",
    "known without a solution",
    "known with leases out",
    "not known",
    "missed by less than the gap",
    "restarted",
    "died",
    *(f"known by {form}" for form in FORMS),
)

seen: Counter[str] = Counter()


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_bound_is_true_and_grows(first):
    """Protects whoever stops a run early: nothing is better than the bound, it only grows, and at the end it is the optimum."""
    for seed in range(first, first + BATCH):
        run = BoundedRun(seed)
        try:
            run.run()
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        seen.update(run.sometimes)


def test_everything_happens():
    """Protects the worth of these tests: bounds were known at moments when they might have been wrong."""
    if not seen:
        pytest.skip("the runs were not run")
    assert [what for what in SOMETIMES if not seen[what]] == []
