"""Broken coordinators, states and workers: each of them must be noticed by a small world or by a simulated run."""

from __future__ import annotations

import pytest
from support.mutants import MUTANTS
from support.noticing import INTACT
from support.pool import answers, chosen


@pytest.fixture(scope="module")
def noticed(request):
    """Who noticed each of the chosen mutants, or an empty text."""
    with answers("support.noticing:noticed", chosen(request, "name")) as answer:
        yield answer


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [INTACT])
def test_nothing_is_broken(name, noticed):
    """Protects the mutation check: the tests that notice the mutants find nothing wrong with what ships."""
    assert noticed(name) == ""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [mutant.name for mutant in MUTANTS])
def test_mutant_is_noticed(name, noticed):
    """Protects the proof: what could be wrong with the protocol, the tests would see."""
    assert noticed(name), f"nobody notices that {name}"
