"""Many simulated runs, one after the other."""

from __future__ import annotations

from collections import Counter

from support.simulation import Simulation

BATCH = 50
"""Seeds of one test: small enough that a failing one is found at once when it is run alone."""


def run_batch(first: int) -> dict[str, int]:
    """Run BATCH seeds from the first on; return how often each kind of trouble was met.

    Raises:
        AssertionError: a seed failed; the text says which, and how to see it again.
    """
    met: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        simulation = Simulation(seed)
        try:
            simulation.run()
        except Exception as error:
            raise AssertionError(f"seed {seed}; replay: python -m tests.simulation --seed {seed}") from error
        met.update(simulation.sometimes)
    return dict(met)
