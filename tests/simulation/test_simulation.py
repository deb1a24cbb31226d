"""Whole runs in virtual time, hundreds of them, each drawn from a seed and full of faults."""

from __future__ import annotations

from collections import Counter

import pytest
from support.pool import answers, chosen
from support.seeds import BATCH
from support.simulation import Simulation

SEEDS = 1_000

SOMETIMES = {
    "killed": "a lease is killed",
    "raised": "the problem raises",
    "quarantined": "a run ends with something quarantined, and is completed later",
    "shared": "work is shared",
    "refused": "a report comes too late and is refused",
    "restarted with leases out": "the coordinator starts again while workers hold leases",
    "stopping": "a run is stopped",
    "full disk": "the disk is full",
    "pause": "a worker stands still",
    "cut": "a worker is cut off",
    "silent": "a worker is held for lost while it is alive",
}

seen: Counter[str] = Counter()


@pytest.fixture(scope="module")
def ran(request):
    """What was met in each of the chosen batches."""
    with answers("support.seeds:run_batch", chosen(request, "first")) as answer:
        yield answer


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_runs(first, ran):
    """Protects the answer: whatever fails, every node is counted once, and when nothing fails any more the run completes."""
    seen.update(ran(first))


def test_everything_happens():
    """Protects the worth of these tests: each kind of trouble was met, so that nothing holds only because nothing happened."""
    if not seen:
        pytest.skip("the runs were not run")
    assert [what for event, what in SOMETIMES.items() if not seen[event]] == []


def test_same_seed_same_run():
    """Protects replaying: a seed gives the same run every time, to the last message."""
    stories: list[list[str]] = [[], []]
    for story in stories:
        Simulation(7, lambda at_ms, line, story=story: story.append(f"{at_ms} {line}")).run()
    assert stories[0] == stories[1]
    assert len(stories[0]) > 10
