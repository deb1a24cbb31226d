"""What a run looks like from outside: one plain value for the terminal, the status file and the page.

This module must not change anything.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.estimate import Estimate
from parry_mpi.core.ids import Peer
from parry_mpi.core.optimum import optimum
from parry_mpi.core.state import State
from parry_mpi.core.volatile import Volatile, Worker
from parry_mpi.job import WHOLE

WORKERS_SHOWN_MAX = 10_000
"""Most workers listed in a view; the numbers count all of them. A list of 5,000 costs the coordinator some 25 ms."""

QUARANTINED_SHOWN_MAX = 100
"""Most quarantined jobs listed."""

DETAILS_LENGTH_MAX = 4_000
"""How much of a traceback is shown; its end says what happened."""

Describe = Callable[[Peer], str]
"""Says who a peer is, for a person."""


class WorkerView(msgspec.Struct, frozen=True):
    """One worker, as shown to a person.

    Args:
        worker: its id.
        host, pid: where it is.
        lease: the lease it holds, or None.
        jobs: how many it has under that.
        nodes, nodes_per_s: what it explored since it joined, and how fast while it did.
        killed: how many of its leases were killed.
        heard_ms_ago: when it was last heard of.
        via: the rank, or the key by which it came in.
        depth: of the shallowest of its jobs, None if it has none.
        joined_ms_ago: when it joined this coordinator.
        granted_ms_ago: when it was given its lease, None if it has none.
    """

    worker: int
    host: str
    pid: int
    lease: int | None
    jobs: int
    nodes: int
    nodes_per_s: float
    killed: int
    heard_ms_ago: int
    via: str = ""
    depth: int | None = None
    joined_ms_ago: int = 0
    granted_ms_ago: int | None = None


class QuarantinedView(msgspec.Struct, frozen=True):
    """A quarantined job: why, the last lines of the traceback, where it happened last, how often it was killed."""

    error: str
    details: str
    host: str
    killed: int
    depth: int


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
        decided: whether what was found answers the question, whatever is left.
        complete: whether the answer is known.
        estimate: how many nodes there are in all; None while that is not known, and when the run has ended.
        by_depth: depth, pending and leased jobs there; depths with neither are left out.
        workers_list: the first WORKERS_SHOWN_MAX of them.
        quarantined_jobs: the first QUARANTINED_SHOWN_MAX of them.
        sense: of an optimisation, None for other problems.
        objective: of the best solution known to an optimisation, None while there is none.
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
    decided: bool = False
    complete: bool = False
    estimate: Estimate | None = None
    by_depth: tuple[tuple[int, int, int], ...] = ()
    workers_list: tuple[WorkerView, ...] = ()
    quarantined_jobs: tuple[QuarantinedView, ...] = ()
    sense: str | None = None
    objective: int | float | None = None
    bound: int | float | None = None


def view(
    coordinator: Coordinator,
    now_ms: int,
    *,
    with_lists: bool = True,
    describe: Describe = "peer {}".format,
    estimate: Estimate | None = None,
) -> View:
    """Return what the run looks like now.

    Args:
        coordinator: of the run.
        now_ms: now.
        with_lists: whether to list workers, depths and quarantined jobs too, which takes longer the more there are.
        describe: who knows who a worker is.
        estimate: what is thought of the size of the tree.
    """
    state, volatile = coordinator.state, coordinator.volatile
    counters = state.counters
    workers = tuple(volatile.workers.values())
    return View(
        phase=volatile.phase.value,
        # What is left of a tree once the question is decided need not be explored: nothing is missing.
        explored=1.0 if state.complete else state.explored_weight / WHOLE,
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
        decided=counters.decided,
        complete=state.complete,
        estimate=estimate,
        by_depth=_by_depth(state) if with_lists else (),
        workers_list=tuple(_worker(worker, state, volatile, now_ms, describe) for worker in workers[:WORKERS_SHOWN_MAX])
        if with_lists
        else (),
        quarantined_jobs=tuple(
            QuarantinedView(each.error, each.details[-DETAILS_LENGTH_MAX:], each.host, each.job.killed, each.job.depth)
            for each in islice(state.quarantined.values(), QUARANTINED_SHOWN_MAX if with_lists else 0)
        ),
        **optimum(state, volatile, coordinator.settings),
    )


def _worker(worker: Worker, state: State, volatile: Volatile, now_ms: int, describe: Describe) -> WorkerView:
    jobs = () if worker.lease is None else state.leases[worker.lease].jobs
    return WorkerView(
        worker=worker.worker,
        host=worker.hello.host,
        pid=worker.hello.pid,
        lease=worker.lease,
        jobs=len(jobs),
        nodes=worker.nodes,
        nodes_per_s=worker.nodes * 1e6 / max(worker.explored_us, 1),
        killed=worker.killed,
        heard_ms_ago=now_ms - worker.heard_at_ms,
        via=describe(worker.peer),
        depth=min((job.depth for job in jobs), default=None),
        joined_ms_ago=now_ms - worker.joined_at_ms,
        granted_ms_ago=None if worker.lease is None else now_ms - volatile.watches[worker.lease].granted_at_ms,
    )


def _by_depth(state: State) -> tuple[tuple[int, int, int], ...]:
    leased: dict[int, int] = {}
    for lease in state.leases.values():
        for job in lease.jobs:
            leased[job.depth] = leased.get(job.depth, 0) + job.units
    pending = state.pending.units_by_depth
    return tuple((depth, pending.get(depth, 0), leased.get(depth, 0)) for depth in sorted(pending.keys() | leased.keys()))
