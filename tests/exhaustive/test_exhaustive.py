"""Every order of delivery, loss, repetition, death, restart and stop, in worlds small enough to see them all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.pool import answers, chosen
from support.small_worlds import FAST, FULL, SOMETIMES

PINNED = Path(__file__).with_name("states.json")
"""How many states each world has. A change of the protocol changes them, and shows in the diff; PARRY_REWRITE_STATES=1 writes them."""

STATES_MIN = 1_000_000
"""What all worlds have together, at least."""

everything = bool(os.environ.get("CI") or os.environ.get("PARRY_REWRITE_STATES"))
worlds = FAST | FULL if everything else FAST
pinned = json.loads(PINNED.read_text())
seen: set[str] = set()
states: dict[str, int] = {}


@pytest.fixture(scope="module")
def searched(request):
    """What the searches of all chosen worlds saw, the largest worlds first."""
    names = sorted(chosen(request, "name"), key=lambda name: -pinned.get(name, 0))
    with answers("support.exhaustive:searched", names) as answer:
        yield answer


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", worlds)
def test_world(name, searched):
    """Protects the answer: at every moment each node is in one place, and from every moment the run can be completed."""
    states[name], sometimes = searched(name)
    seen.update(sometimes)
    if not os.environ.get("PARRY_REWRITE_STATES"):
        assert pinned[name] == states[name], "the protocol has changed: see PINNED"


def test_everything_happens(capsys):
    """Protects the worth of the search: all that may go wrong did go wrong, and the number of states is known."""
    if len(states) < len(worlds):
        pytest.skip("some worlds were not explored")
    if os.environ.get("PARRY_REWRITE_STATES"):
        PINNED.write_text(json.dumps(states, indent=1) + "\n")
    with capsys.disabled():
        print(f"\n{sum(states.values())} distinct states in {len(states)} worlds")
    if everything:
        assert sum(states.values()) >= STATES_MIN
        assert [name for name in SOMETIMES if name not in seen] == []
