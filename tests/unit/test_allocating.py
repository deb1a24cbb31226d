"""runtime/allocating.py: when more workers are asked for, and when not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parry_mpi.runtime.allocating import (
    ALLOCATIONS_MAX,
    SHORT_MS,
    STEADY_MS,
    SUBMIT_MAX,
    WAIT_MS_MAX,
    WAIT_MS_MIN,
    Allocation,
    Limits,
    Memory,
    Run,
    decide,
    run_of,
)

NOW_MS = 1_000_000
IDLE_MS = 600_000
LIMITS = Limits(4, IDLE_MS)
FRESH = Memory(NOW_MS)
PLENTY = Run(pending=50, leased=30, workers=3, busy=3)
QUEUED, RUNNING = Allocation("7", queued=True), Allocation("8", queued=False)


def test_much_is_pending():
    """Protects the point of it: where many jobs wait, the queue is filled up to what the user allows."""
    assert 4 == decide(PLENTY, [], LIMITS, FRESH, NOW_MS).submit
    assert 2 == decide(PLENTY, [QUEUED, RUNNING], LIMITS, FRESH, NOW_MS).submit
    assert 0 == decide(PLENTY, [RUNNING] * 4, LIMITS, FRESH, NOW_MS).submit
    assert 4 == decide(Run(roots_left=True, workers=9, busy=8), [], LIMITS, FRESH, NOW_MS).submit


def test_no_more_than_can_be_fed():
    """Protects the site's queue: as many allocations as there are jobs that nobody takes, those on their way counted."""
    assert 2 == decide(replace(PLENTY, pending=5), [], LIMITS, FRESH, NOW_MS).submit
    assert 1 == decide(replace(PLENTY, pending=5), [QUEUED], LIMITS, FRESH, NOW_MS).submit
    assert 0 == decide(replace(PLENTY, pending=4), [QUEUED], LIMITS, FRESH, NOW_MS).submit
    assert 1 == decide(Run(pending=1), [], LIMITS, FRESH, NOW_MS).submit


def test_hard_cap():
    """Protects the site from any mistake: there are never more than so many, and never many at once."""
    endless = Limits(10**9, IDLE_MS)
    assert SUBMIT_MAX == decide(replace(PLENTY, pending=10**6), [], endless, FRESH, NOW_MS).submit
    assert 0 == decide(replace(PLENTY, pending=10**6), [QUEUED] * ALLOCATIONS_MAX, endless, FRESH, NOW_MS).submit


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (replace(PLENTY, exploring=False), "nobody hands out jobs"),
        (replace(PLENTY, joinable=False), "--bridge"),
        (Run(workers=3), "no jobs are left"),
        (Run(pending=2, leased=5, workers=3, busy=2), "without work"),
        (Run(pending=2, leased=5, workers=3, busy=3), "few jobs"),
    ],
    ids=["stopped", "no bridge", "no jobs", "hungry", "few"],
)
def test_no_use(run, why):
    """Protects users' shares: nothing is submitted where it would find no work, and the reason is said."""
    decision = decide(run, [RUNNING], LIMITS, FRESH, NOW_MS)
    assert (0, (), False) == (decision.submit, decision.cancel, decision.over)
    assert why in decision.why


def test_everybody_fed_for_long():
    """Protects deep trees, whose jobs are divided on demand: few are pending, but that nobody goes hungry shows that more help."""
    run = Run(pending=0, leased=3, workers=3, busy=3)
    memory = decide(run, [], LIMITS, FRESH, NOW_MS).memory
    assert 0 == decide(run, [], LIMITS, memory, NOW_MS + STEADY_MS - 1).submit
    submitted = decide(run, [], LIMITS, memory, NOW_MS + STEADY_MS)
    assert 1 == submitted.submit
    assert 0 == decide(run, [RUNNING], LIMITS, submitted.memory, NOW_MS + STEADY_MS + 1000).submit
    assert 1 == decide(run, [RUNNING], LIMITS, submitted.memory, NOW_MS + 2 * STEADY_MS).submit
    memory = decide(replace(run, busy=2), [], LIMITS, memory, NOW_MS + 1000).memory
    memory = decide(run, [], LIMITS, memory, NOW_MS + 2000).memory
    assert 0 == decide(run, [], LIMITS, memory, NOW_MS + STEADY_MS).submit


def test_the_end():
    """Protects the queue after a run: what waits there for nothing is cancelled, and that is all there will ever be to do."""
    decision = decide(Run(over=True, exploring=False), [QUEUED, RUNNING], LIMITS, FRESH, NOW_MS)
    assert (0, ("7",), True) == (decision.submit, decision.cancel, decision.over)


def test_not_needed_for_long():
    """Protects others in the queue: what nothing has needed for so long is cancelled, but not what runs, and not too soon."""
    run = Run(leased=3, workers=3, busy=2)
    memory = decide(PLENTY, [QUEUED, RUNNING], LIMITS, FRESH, NOW_MS).memory
    assert () == decide(run, [QUEUED, RUNNING], LIMITS, memory, NOW_MS + IDLE_MS - 1).cancel
    assert ("7",) == decide(run, [QUEUED, RUNNING], LIMITS, memory, NOW_MS + IDLE_MS).cancel
    later = decide(PLENTY, [QUEUED, RUNNING], LIMITS, memory, NOW_MS + IDLE_MS).memory
    assert () == decide(run, [QUEUED], LIMITS, later, NOW_MS + IDLE_MS + 1).cancel


def test_refusals():
    """Protects a busy site: after a refusal we wait, twice as long after each, and then try again."""
    memory = FRESH
    for wait_ms in (WAIT_MS_MIN, 2 * WAIT_MS_MIN, 4 * WAIT_MS_MIN):
        memory = memory.refused(NOW_MS)
        assert 0 == decide(PLENTY, [], LIMITS, memory, NOW_MS + wait_ms - 1).submit
        assert 4 == decide(PLENTY, [], LIMITS, memory, NOW_MS + wait_ms).submit
    for _ in range(100):
        memory = memory.refused(NOW_MS)
    assert NOW_MS + WAIT_MS_MAX == memory.wait_until_ms


def test_a_script_that_fails():
    """Protects against a script that ends at once being submitted for ever: that counts as a refusal, until one has lived."""
    memory = FRESH.accepted("7", NOW_MS)
    memory = decide(PLENTY, [RUNNING], LIMITS, memory, NOW_MS + 1000).memory
    assert 1 == memory.refusals
    assert 0 == decide(PLENTY, [], LIMITS, memory, NOW_MS + 2000).submit
    memory = memory.accepted("8", NOW_MS + WAIT_MS_MIN)
    lived_ms = NOW_MS + WAIT_MS_MIN + SHORT_MS
    assert 0 == decide(PLENTY, [RUNNING], LIMITS, memory, lived_ms).memory.refusals


def test_what_ends_for_a_good_reason():
    """Protects from waiting without need: batch jobs that we cancel, or that leave with their coordinator, did not fail."""
    memory = FRESH.accepted("7", NOW_MS)
    assert 0 == decide(replace(PLENTY, exploring=False), [], LIMITS, memory, NOW_MS + 1).memory.refusals
    idle = Limits(4, 0)
    memory = decide(Run(workers=3), [QUEUED], idle, memory, NOW_MS + 1).memory
    assert 0 == decide(PLENTY, [], idle, memory, NOW_MS + 2).memory.refusals


def test_run_of_a_status():
    """Protects the decision from a status that was read wrongly: live, stopped, and finished runs are told apart."""
    live = {"live": True, "phase": "exploring", "pending": 5, "leased": 4, "workers": 3, "busy": 2, "roots_left": True}
    assert Run(pending=5, leased=4, workers=3, busy=2, roots_left=True) == run_of(live, joinable=True)
    assert not run_of({**live, "phase": "stopping"}, joinable=True).exploring
    stopped = run_of({"live": False, "phase": "stopped", "finished": False, "pending": 5}, joinable=False)
    assert (False, False) == (stopped.over, stopped.exploring)
    assert run_of({"live": False, "phase": "incomplete", "finished": True}, joinable=False).over
