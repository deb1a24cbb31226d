"""Each invariant is broken once, by hand: a check that cannot fail protects nothing."""

from __future__ import annotations

from collections import deque

import pytest
from support.desk import Desk, parts

from parry_mpi.core.events import Phase, Tick
from parry_mpi.core.invariants import check_coordinator, check_state
from parry_mpi.core.messages import GetJob
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Lease
from parry_mpi.errors import InvariantError
from parry_mpi.job import WHOLE, Job


def busy() -> Desk:
    """One worker holds a lease, one waits for roots, and jobs are quarantined."""
    desk = Desk(parts(4), exhausted=False)
    desk.works(1)
    desk.joins(2)
    desk.state.quarantined[2] = Quarantined(desk.state.pending.remove(2), "why")
    desk.step(Tick())
    return desk


def lease_of(desk: Desk) -> Lease:
    return desk.state.leases[1]


def heavier(desk: Desk) -> None:
    desk.state.pending.weight += 1


def longer(desk: Desk) -> None:
    desk.state.pending.units += 1


def lease_heavier(desk: Desk) -> None:
    desk.state.leased_weight += 1


def lease_longer(desk: Desk) -> None:
    desk.state.leased_count += 1


def negative(desk: Desk) -> None:
    desk.state.pending.remove(4)
    desk.state.pending.add(4, Job(weight=-1))


def more_than_the_whole(desk: Desk) -> None:
    desk.state.counters.unpulled_weight = WHOLE


def old_job(desk: Desk) -> None:
    desk.state.pending.add(99, Job())


def old_quarantined(desk: Desk) -> None:
    desk.state.quarantined[99] = Quarantined(Job(), "why")


def twice(desk: Desk) -> None:
    desk.state.quarantined[3] = Quarantined(Job(), "why")


def old_lease(desk: Desk) -> None:
    desk.state.leases[99] = desk.state.leases.pop(1)


def old_worker(desk: Desk) -> None:
    lease_of(desk).worker = 99


def empty_lease(desk: Desk) -> None:
    desk.state.leases[1] = Lease(1, ())
    desk.state.leased_weight = desk.state.leased_count = 0


def bad_company(desk: Desk) -> None:
    jobs = (Job(killed=2), Job(killed=2))
    desk.state.leases[1] = Lease(1, jobs)
    desk.state.leased_weight, desk.state.leased_count = 0, 2


def unwatched(desk: Desk) -> None:
    desk.coordinator.volatile.watches.clear()


def unheld(desk: Desk) -> None:
    desk.coordinator.volatile.workers[1].lease = None


def swapped(desk: Desk) -> None:
    workers = desk.coordinator.volatile.workers
    workers[1].lease, workers[2].lease = None, 1


def unknown_peer(desk: Desk) -> None:
    desk.coordinator.volatile.by_peer[9] = 1


def queued_twice(desk: Desk) -> None:
    desk.coordinator.volatile.workers[2].hungry = True
    desk.coordinator.volatile.hungry = deque([2, 2])


def hungry_holder(desk: Desk) -> None:
    desk.coordinator.volatile.workers[1].hungry = True
    desk.coordinator.volatile.hungry = deque([1])


def hungry_beside_jobs(desk: Desk) -> None:
    desk.coordinator.volatile.workers[2].hungry = True
    desk.coordinator.volatile.hungry = deque([2])


def settled_too_early(desk: Desk) -> None:
    desk.coordinator.volatile.phase = Phase.SETTLING


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (heavier, "the weight of the job set"),
        (longer, "the units of the job set"),
        (lease_heavier, "the weight of what is leased"),
        (lease_longer, "what is leased is counted"),
        (negative, "no job is negative"),
        (more_than_the_whole, "= the whole"),
        (old_job, "job ids are new"),
        (old_quarantined, "ids of quarantined jobs are new"),
        (twice, "no job is pending and quarantined"),
        (old_lease, "lease ids are new"),
        (old_worker, "worker ids are new"),
        (empty_lease, "no lease is empty"),
        (bad_company, "travels with others like it"),
        (unwatched, "every live lease is watched"),
        (unheld, "every live lease is held"),
        (swapped, "held by its own worker"),
        (unknown_peer, "peers and workers match"),
        (queued_twice, "stand in the queue, once"),
        (hungry_holder, "who is hungry holds no lease"),
        (hungry_beside_jobs, "nobody is hungry while jobs are pending"),
        (settled_too_early, "nothing is leased any more"),
    ],
)
def test_noticed(break_it, told):
    """Protects every other test: each contradiction is noticed and named, with the events that led to it."""
    desk = busy()
    check_coordinator(desk.coordinator)
    break_it(desk)
    with pytest.raises(InvariantError, match=told) as caught:
        check_coordinator(desk.coordinator)
    assert tuple(desk.coordinator.story) == caught.value.story
    assert "Tick" in str(caught.value)


def test_state_alone():
    """Protects the store: a state from the disk is checked without a coordinator."""
    desk = busy()
    check_state(desk.state)
    heavier(desk)
    with pytest.raises(InvariantError, match="the weight of the job set"):
        check_state(desk.state)


def test_waiting_for_roots_is_allowed():
    """Protects against false alarms: who waits while roots are on their way contradicts nothing."""
    desk = Desk([], exhausted=False)
    desk.says(1, GetJob(desk.joins(1)))
    check_coordinator(desk.coordinator)
