"""Broken coordinators, states and workers: each of them must be noticed by a small world or by a simulated run."""

from __future__ import annotations

import pytest
from support.exhaustive import Search
from support.mutants import MUTANTS
from support.simulation import Simulation
from support.small_worlds import FAST
from support.worlds import Rules

STATES_MAX = 30_000
"""Several times what any of these worlds has: beyond it, something goes on for ever."""

SEEDS = 60


def notice() -> str:
    """Return who notices that something is broken, or an empty text."""
    slow = {name: rules for name, rules in FAST.items() if rules.workers > 1}
    return (
        noticed_by_worlds({name: FAST[name] for name in FAST if name not in slow})
        or noticed_by_seeds()
        or noticed_by_worlds(slow)
    )


def noticed_by_worlds(worlds: dict[str, Rules]) -> str:
    for name, rules in worlds.items():
        try:
            Search(rules, states_max=STATES_MAX).run()
        except Exception as error:  # noqa: BLE001 whatever a mutant runs into
            return f"{name}: {error}"
    return ""


def noticed_by_seeds() -> str:
    for seed in range(SEEDS):
        try:
            Simulation(seed).run()
        except Exception as error:  # noqa: BLE001 whatever a mutant runs into
            return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def test_nothing_is_broken():
    """Protects the mutation check: the tests that notice the mutants find nothing wrong with what ships."""
    assert not notice()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_noticed(mutant, monkeypatch):
    """Protects the proof: what could be wrong with the protocol, the tests would see."""
    monkeypatch.setattr(mutant.owner, mutant.method, mutant.broken())
    assert notice(), f"nobody notices that {mutant.name}"
