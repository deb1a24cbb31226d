"""Break what ships in one of the ways of support.mutants, and see who notices it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from support.exhaustive import Search
from support.mutants import MUTANTS
from support.simulation import Simulation
from support.small_worlds import FAST
from support.worlds import Rules

STATES_MAX = 30_000
"""Several times what any of these worlds has: beyond it, something goes on for ever."""

SEEDS = 60
"""Twice as many as any mutant of today needs that no small world notices."""


INTACT = "what ships"
"""The name of no mutant."""


def noticed(name: str) -> str:
    """Return who notices the mutant of this name, or an empty text."""
    with _broken(name):
        alone = {world: rules for world, rules in FAST.items() if rules.workers == 1}
        others = {world: rules for world, rules in FAST.items() if rules.workers > 1}
        return _by_worlds(alone) or _by_seeds() or _by_worlds(others)


@contextmanager
def _broken(name: str) -> Iterator[None]:
    for mutant in MUTANTS:
        if mutant.name == name:
            intact = vars(mutant.owner)[mutant.method]
            setattr(mutant.owner, mutant.method, mutant.broken())
            try:
                yield
            finally:
                setattr(mutant.owner, mutant.method, intact)
            return
    assert name == INTACT, f"there is no mutant {name!r}"
    yield


def _by_worlds(worlds: dict[str, Rules]) -> str:
    for world, rules in worlds.items():
        try:
            Search(rules, states_max=STATES_MAX).run()
        except Exception as error:  # noqa: BLE001 whatever a mutant runs into
            return f"{world}: {error}"
    return ""


def _by_seeds() -> str:
    for seed in range(SEEDS):
        try:
            Simulation(seed).run()
        except Exception as error:  # noqa: BLE001 whatever a mutant runs into
            return f"seed {seed}: {type(error).__name__}: {error}"
    return ""
