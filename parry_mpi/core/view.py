"""What a run looks like from outside: one plain value for the terminal, the status file and the page.

This module must not change anything.
"""

from __future__ import annotations

import math

import msgspec

from parry_mpi.core.bounds import Score
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.job import WHOLE

WORKERS_SHOWN_MAX = 1000
"""Most workers listed in a view; the numbers count all of them."""


class WorkerView(msgspec.Struct, frozen=True):
    """One worker, as shown to a person."""

    worker: int
    host: str
    pid: int
    lease: int | None
    jobs: int
    nodes: int
    nodes_per_s: float
    killed: int
    heard_ms_ago: int


class View(msgspec.Struct, frozen=True):
    """A run at one moment.

    Args:
        phase: exploring, stopping, settling or ended.
        explored: the explored share of the tree, 0 to 1.
        nodes, solved, reports, killings, restarts, shared: counted since the run began, restarts included.
        pending, leased, quarantined: jobs now.
        roots_left: whether more roots are still to be pulled.
        workers, busy: how many are connected, and how many of them hold a lease.
        workers_seen: how many joined this coordinator.
        workers_list: the first WORKERS_SHOWN_MAX of them.
        objective: of the best solution known to an optimisation, and None while there is none.
        bound: no solution has a better objective; None while that is not known.
    """

    phase: str
    explored: float
    nodes: int
    solved: int
    pending: int
    leased: int
    quarantined: int
    killings: int
    restarts: int
    reports: int
    shared: int
    roots_left: bool
    workers: int
    busy: int
    workers_seen: int
    workers_list: tuple[WorkerView, ...] = ()
    objective: int | float | None = None
    bound: int | float | None = None


def view(coordinator: Coordinator, now_ms: int, *, with_workers: bool = True) -> View:
    """Return what the run looks like now."""
    state, volatile = coordinator.state, coordinator.volatile
    counters = state.counters
    workers = tuple(volatile.workers.values())
    return View(
        phase=volatile.phase.value,
        explored=state.explored_weight / WHOLE,
        nodes=counters.nodes,
        solved=counters.solved,
        pending=state.pending.units,
        leased=sum(job.units for lease in state.leases.values() for job in lease.jobs),
        quarantined=len(state.quarantined),
        killings=counters.killings,
        restarts=counters.restarts,
        reports=counters.reports,
        shared=counters.shared,
        roots_left=not counters.roots_exhausted,
        workers=len(workers),
        busy=sum(worker.lease is not None for worker in workers),
        workers_seen=volatile.workers_seen,
        workers_list=tuple(
            WorkerView(
                worker=worker.worker,
                host=worker.hello.host,
                pid=worker.hello.pid,
                lease=worker.lease,
                jobs=0 if worker.lease is None else len(state.leases[worker.lease].jobs),
                nodes=worker.nodes,
                nodes_per_s=worker.nodes * 1e6 / max(worker.explored_us, 1),
                killed=worker.killed,
                heard_ms_ago=now_ms - worker.heard_at_ms,
            )
            for worker in workers[: WORKERS_SHOWN_MAX if with_workers else 0]
        ),
        objective=_objective(coordinator, volatile.incumbent),
        bound=_objective(coordinator, coordinator.bound()),
    )


def _objective(coordinator: Coordinator, score: Score | None) -> Score | None:
    """Return a score of an optimisation in the user's own sense; None for what is no number to show."""
    sense = coordinator.settings.sense
    if sense is None or score is None or math.isinf(score):
        return None
    return -score if sense == "max" else score
