"""What must hold after every step, whatever happened: checked in tests, in the simulator and in the exhaustive search.

This module must not change anything.
"""

from __future__ import annotations

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Phase
from parry_mpi.core.state import State
from parry_mpi.errors import InvariantError
from parry_mpi.job import WHOLE, smallest_bound, total_weight


def check_state(state: State) -> None:
    """Check the durable state against itself.

    Raises:
        InvariantError: it contradicts itself.
    """
    counters = state.counters
    jobs = [job for _, job in state.pending.items()]
    leased = [job for lease in state.leases.values() for job in lease.jobs]
    quarantined = [entry.job for entry in state.quarantined.values()]
    everything = jobs + leased + quarantined
    _hold(state.pending.weight == total_weight(jobs), "the weight of the job set is the sum of its jobs'")
    _hold(state.pending.units == sum(job.units for job in jobs), "the units of the job set are the sum of its jobs'")
    bound = smallest_bound(everything) if counters.roots_exhausted else None
    _hold(state.bound() == bound, "what is not explored is bounded by the smallest bound of its jobs, and unknown if one is")
    _hold(state.leased_weight == total_weight(leased), "the weight of what is leased is the sum of its jobs'")
    _hold(state.leased_count == len(leased), "what is leased is counted")
    _hold(all(job.weight >= 0 and job.killed >= 0 and job.depth >= 0 for job in everything), "no job is negative")
    _hold(0 <= state.unexplored_weight <= WHOLE, "explored + pending + leased + quarantined + unpulled = the whole")
    _hold(all(job_id < counters.next_job for job_id, _ in state.pending.items()), "job ids are new")
    _hold(all(job_id < counters.next_job for job_id in state.quarantined), "ids of quarantined jobs are new")
    _hold(not any(job_id in state.pending for job_id in state.quarantined), "no job is pending and quarantined")
    _hold(all(lease_id < counters.next_lease for lease_id in state.leases), "lease ids are new")
    _hold(all(lease.worker < counters.next_worker for lease in state.leases.values()), "worker ids are new")
    _hold(all(lease.jobs for lease in state.leases.values()), "no lease is empty")
    travelling_alone = all(
        len({job.killed for job in lease.jobs}) == 1 and (lease.seq or lease.jobs[0].killed < 2 or len(lease.jobs) == 1)
        for lease in state.leases.values()
    )
    _hold(travelling_alone, "a job that was killed travels with others like it, and alone if it was blamed")


def check_coordinator(coordinator: Coordinator) -> None:
    """Check the whole coordinator between two steps.

    Raises:
        InvariantError: it contradicts itself; with the story of the latest events.
    """
    try:
        check_state(coordinator.state)
        _check_volatile(coordinator)
    except InvariantError as error:
        raise InvariantError(str(error), tuple(coordinator.story)) from None


def _check_volatile(coordinator: Coordinator) -> None:
    state, volatile = coordinator.state, coordinator.volatile
    workers = volatile.workers
    _hold(set(volatile.watches) == set(state.leases), "every live lease is watched, and no other")
    requests = volatile.requests
    followed = len(requests) == len(state.leases) and all(lease in requests for lease in state.leases)
    _hold(followed, "every live lease is asked to share, or may be, and no other")
    held = {worker.lease for worker in workers.values() if worker.lease is not None}
    _hold(held == set(state.leases), "every live lease is held by a worker, and no other")
    owners = {lease_id: lease.worker for lease_id, lease in state.leases.items()}
    _hold(all(workers[owners[lease]].lease == lease for lease in held), "a lease is held by its own worker")
    _hold(volatile.by_peer == {worker.peer: key for key, worker in workers.items()}, "peers and workers match")
    hungry = {key for key, worker in workers.items() if worker.hungry}
    _hold(sorted(volatile.hungry) == sorted(hungry), "the hungry stand in the queue, once")
    _hold(not any(workers[key].lease for key in hungry), "who is hungry holds no lease")
    if volatile.phase is Phase.EXPLORING:
        _hold(not (hungry and state.pending), "nobody is hungry while jobs are pending")
    if volatile.phase in {Phase.SETTLING, Phase.ENDED}:
        _hold(not state.leases, "nothing is leased any more when the state is committed for the last time")


def _hold(holds: object, invariant: str) -> None:
    if not holds:
        raise InvariantError(f"this does not hold: {invariant}")
