"""Whether more workers would help a run, and what to ask the batch system for: decided from plain values.

This module must not call the batch system, read a folder or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

ALLOCATIONS_MAX = 100
"""Nobody is helped by more batch jobs at a time, and a mistake must not fill a site's queue: one allocation may be many nodes."""

SUBMIT_MAX = 10
"""Most batch jobs submitted after one look: the next look sees what became of them."""

STEADY_MS = 60_000
"""Where few jobs are pending, how long no worker may have been without work: then the jobs in hand divide well, and would feed more."""

SHORT_MS = 120_000
"""A batch job of ours that has disappeared so soon after it was submitted did no work: it failed, or somebody cancelled it."""

WAIT_MS_MIN = 30_000
WAIT_MS_MAX = 1_800_000
"""How long to wait after a refusal: twice as long after each, up to half an hour."""


@dataclass(frozen=True)
class Run:
    """What matters of a run at one moment.

    Args:
        over: nothing is left to do, the answer is known or what is missing is quarantined.
        exploring: a coordinator is alive and hands out jobs.
        joinable: workers from outside can come in.
        pending, leased: jobs now.
        roots_left: whether more roots are still to be pulled.
        workers, busy: how many are connected, and how many of them have work.
    """

    over: bool = False
    exploring: bool = True
    joinable: bool = True
    pending: int = 0
    leased: int = 0
    roots_left: bool = False
    workers: int = 0
    busy: int = 0


@dataclass(frozen=True)
class Allocation:
    """A batch job of ours that has not ended: its number, and whether it still waits to be started."""

    id: str
    queued: bool


@dataclass(frozen=True)
class Limits:
    """What the user allows: how many allocations at a time, and how long they may wait in the queue while nothing needs them."""

    allocations_max: int
    idle_ms: int


@dataclass(frozen=True)
class Memory:
    """What is remembered from one look to the next; gone with a restart, which only makes it more patient.

    Args:
        needed_at_ms: when more workers would have helped last, or when looking began.
        fed_since_ms: since when no worker was seen without work; None if one is.
        submitted: our batch jobs that are still young: number, and when it was submitted.
        refusals: how often in a row the batch system refused, or a batch job of ours did no work.
        wait_until_ms: nothing is submitted before.
    """

    needed_at_ms: int
    fed_since_ms: int | None = None
    submitted: Mapping[str, int] = field(default_factory=dict)
    refusals: int = 0
    wait_until_ms: int = 0

    def accepted(self, job_id: str, now_ms: int) -> Memory:
        """Remember that the batch system took a batch job."""
        return replace(self, submitted={**self.submitted, job_id: now_ms})

    def cancelled(self, job_ids: Sequence[str]) -> Memory:
        """Remember that these batch jobs end because we want it."""
        return replace(self, submitted={each: at_ms for each, at_ms in self.submitted.items() if each not in job_ids})

    def refused(self, now_ms: int) -> Memory:
        """Remember that the batch system refused one, or that one was of no use: wait twice as long as last time."""
        wait_ms = min(WAIT_MS_MIN << min(self.refusals, 16), WAIT_MS_MAX)
        return replace(self, refusals=self.refusals + 1, wait_until_ms=now_ms + wait_ms)


@dataclass(frozen=True)
class Decision:
    """What to do now.

    Args:
        submit: how many batch jobs to submit.
        cancel: numbers of queued ones to cancel.
        why: for the user; the same words as long as the reason is the same.
        numbers: what it was decided from, for the user.
        over: there will never be anything to do again.
        memory: for the next look.
    """

    submit: int
    cancel: tuple[str, ...]
    why: str
    numbers: str
    over: bool
    memory: Memory


def run_of(status: Mapping[str, Any], *, joinable: bool) -> Run:
    """Return what matters of a status, as store.readers.read_status gives it.

    Args:
        status: live or left behind.
        joinable: whether the run says how to join it.
    """
    live = bool(status.get("live"))
    left_over = not live and bool(status.get("finished"))
    return Run(
        over=left_over,
        exploring=live and status.get("phase") == "exploring",
        joinable=joinable,
        pending=int(status.get("pending", 0)),
        leased=int(status.get("leased", 0)),
        roots_left=bool(status.get("roots_left")),
        workers=int(status.get("workers", 0)),
        busy=int(status.get("busy", 0)),
    )


def decide(run: Run, allocations: Sequence[Allocation], limits: Limits, memory: Memory, now_ms: int) -> Decision:
    """Say what to do.

    Args:
        run: how it is.
        allocations: our batch jobs that are queued or running; all there are.
        limits: what the user allows.
        memory: from the look before.
        now_ms: of a clock that never goes back.
    """
    queued = tuple(each.id for each in allocations if each.queued)
    numbers = (
        f"{run.pending} pending, {run.busy} of {run.workers} workers busy; "
        f"allocations: {len(queued)} queued, {len(allocations) - len(queued)} running"
    )
    if run.over:
        return Decision(0, queued, "the run is over", numbers, over=True, memory=memory)
    memory = _look(run, allocations, memory, now_ms)
    why_not = _why_no_more_workers(run, memory, now_ms)
    if why_not:
        if queued and now_ms - memory.needed_at_ms >= limits.idle_ms:
            why = f"{why_not}, for too long to keep allocations in the queue"
            return Decision(0, queued, why, numbers, over=False, memory=memory.cancelled(queued))
        return Decision(0, (), why_not, numbers, over=False, memory=memory)
    memory = replace(memory, needed_at_ms=now_ms)
    room = min(limits.allocations_max, ALLOCATIONS_MAX) - len(allocations)
    if room <= 0:
        return Decision(0, (), "all allocations that are allowed are queued or running", numbers, over=False, memory=memory)
    if now_ms < memory.wait_until_ms:
        why = "the last allocation was refused or did no work: waiting before another"
        return Decision(0, (), why, numbers, over=False, memory=memory)
    # Not more than could be fed: each is a worker at the least, and those on their way have not shown yet what they take.
    useful = max(run.pending - run.workers - len(queued), 0 if queued else 1)
    if run.roots_left:
        useful = room
    submit = min(room, useful, SUBMIT_MAX)
    if submit:
        memory = replace(memory, fed_since_ms=now_ms)  # whether the next ones would be fed shows when these have come
    why = "more workers would be fed" if submit else "what is queued is enough for what is pending"
    return Decision(submit, (), why, numbers, over=False, memory=memory)


def _look(run: Run, allocations: Sequence[Allocation], memory: Memory, now_ms: int) -> Memory:
    """Bring the memory up to date: is everybody fed, and did young batch jobs of ours disappear?"""
    fed = run.exploring and run.workers > 0 and run.busy >= run.workers
    memory = replace(memory, fed_since_ms=(now_ms if memory.fed_since_ms is None else memory.fed_since_ms) if fed else None)
    there = {each.id for each in allocations}
    young = {job_id: at_ms for job_id, at_ms in memory.submitted.items() if now_ms - at_ms < SHORT_MS}
    if len(young) < len(memory.submitted):
        memory = replace(memory, refusals=0)  # one has lived long enough
    if young.keys() - there and run.exploring:  # they leave by themselves when the coordinator does
        memory = memory.refused(now_ms)
    return replace(memory, submitted={job_id: at_ms for job_id, at_ms in young.items() if job_id in there})


def _why_no_more_workers(run: Run, memory: Memory, now_ms: int) -> str:
    """Say why more workers would be of no use; "" if they would."""
    if not run.exploring:
        return "nobody hands out jobs just now"
    if not run.joinable:
        return "nobody can join: the run was started without --bridge"
    if run.pending + run.leased == 0 and not run.roots_left:
        return "no jobs are left"
    if run.roots_left or run.pending >= run.workers:
        return ""
    if run.busy < run.workers:
        return "there are workers without work already"
    # Jobs are divided when somebody asks: few are pending in a long run, too, and that nobody ever goes hungry tells the two apart.
    if memory.fed_since_ms is not None and now_ms - memory.fed_since_ms >= STEADY_MS:
        return ""
    return "few jobs are pending, and workers might go without"
