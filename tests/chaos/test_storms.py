"""A short storm in each world; ``python -m tests.chaos`` does the same for as long as you like."""

from __future__ import annotations

import random
import time

import pytest
from support import commands
from support.chaos import THOROUGH, World
from support.storms import Storm

SEED = 1
SECONDS = 20 if THOROUGH else 10
"""For each world; storms that last longer are for ``python -m tests.chaos``."""

WORLDS = [pytest.param(World(None), id="alone"), *(pytest.param(World(mpi), id=mpi.name) for mpi in commands.mpis())]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", WORLDS if THOROUGH else WORLDS[:2])
def test_storm(world, tmp_path):
    """Protects the answer from everything at once: kills, freezes and signals, at random moments, one after the other."""
    storm = Storm(world, random.Random(SEED), print)
    ends_at_s = time.monotonic() + SECONDS
    while time.monotonic() < ends_at_s:
        folder = tmp_path / str(storm.runs)
        folder.mkdir()
        storm.run(folder, ends_at_s)
    print(f"{world}, seed {SEED}: {storm.runs} runs, {storm.lives} lives, all exact; {dict(storm.hurts)}")
