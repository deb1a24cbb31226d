"""A run as it is shown to people: true numbers, and nothing changes by looking."""

from __future__ import annotations

import msgspec
from support.desk import Desk, parts, report

from parry_mpi.core.events import Committed, Improved, StopAsked
from parry_mpi.core.messages import Crashed, Failed, GetJob
from parry_mpi.core.view import DETAILS_LENGTH_MAX, WORKERS_SHOWN_MAX, view
from parry_mpi.job import WHOLE, Job


def test_numbers():
    """Protects the user's picture of the run: what is pending, leased, explored and who works on it."""
    desk = Desk([Job(b"a", weight=WHOLE // 2), Job(weight=WHOLE // 2, count=10)])
    first, second = desk.works(1), desk.works(2)
    assert ((1, 1), 10) == ((len(first.jobs), len(second.jobs)), sum(job.units for job in desk.pending) + second.jobs[0].units)
    desk.says(1, report(1, 1, nodes=30, explored_us=60, solved=1), GetJob(1, seen=1))
    desk.joins(3)
    desk.now_ms += 500
    seen = view(desk.coordinator, desk.now_ms)
    assert ("exploring", 0.5) == (seen.phase, seen.explored)
    assert (30, 1, 1, 0, 0) == (seen.nodes, seen.solved, seen.reports, seen.killings, seen.restarts)
    assert 10 == seen.pending + seen.leased
    assert (3, 2, 3, False) == (seen.workers, seen.busy, seen.workers_seen, seen.roots_left)
    working, _, idle = seen.workers_list
    assert (1, "host-token-1", 3, 30, 500_000.0, 500) == (
        working.worker,
        working.host,
        working.lease,
        working.nodes,
        working.nodes_per_s,
        working.heard_ms_ago,
    )
    assert (None, 0, 0.0) == (idle.lease, idle.jobs, idle.nodes_per_s)
    assert ("peer 1", 0, 500, 500) == (working.via, working.depth, working.joined_ms_ago, working.granted_ms_ago)
    assert (None, None) == (idle.depth, idle.granted_ms_ago)
    assert ((0, seen.pending, seen.leased),) == seen.by_depth
    assert msgspec.json.encode(seen)


def test_at_every_phase():
    """Protects whoever looks at the wrong moment: there is a picture from the first moment to the last."""
    desk = Desk(parts(1), exhausted=False)
    assert view(desk.coordinator, 0).roots_left
    desk.works(1)
    desk.says(1, Crashed(1, "x"))
    assert (1, 1) == (view(desk.coordinator, 0).killings, view(desk.coordinator, 0).workers_list[0].killed)
    phases = []
    for event in (StopAsked("x"), StopAsked("x", at_once=True), Committed()):
        desk.step(event)
        phases.append(view(desk.coordinator, desk.now_ms).phase)
    assert ["stopping", "settling", "ended"] == phases


def test_depths():
    """Protects the picture of where the work is: each depth with its pending and leased jobs, a run of roots counted root by root."""
    desk = Desk(
        [Job(weight=WHOLE // 2, count=10), Job(b"deep", depth=3, killed=1, weight=WHOLE // 4), Job(b"b", 7, 1, WHOLE // 4)]
    )
    job = desk.works(1)
    leased = {one.depth: sum(each.units for each in job.jobs if each.depth == one.depth) for one in job.jobs}
    everything = {0: 10, 3: 1, 7: 1}
    expected = tuple((depth, count - leased.get(depth, 0), leased.get(depth, 0)) for depth, count in everything.items())
    assert expected == view(desk.coordinator, 0).by_depth
    assert () == view(desk.coordinator, 0, with_lists=False).by_depth


def test_quarantined():
    """Protects the reader of a page: a job that was put aside is listed with its error and the end of its traceback."""
    desk = Desk(parts(1), quarantine_errors=True)
    job = desk.works(1).jobs[0]
    desk.says(1, report(1, remaining=[job]), Failed(1, 2, "KeyError: 7", "x" * 9_000 + "the end", exact=True))
    (job,) = view(desk.coordinator, 0).quarantined_jobs
    assert ("KeyError: 7", 0, "host-token-1") == (job.error, job.depth, job.host)
    assert (DETAILS_LENGTH_MAX, True) == (len(job.details), job.details.endswith("the end"))
    assert () == view(desk.coordinator, 0, with_lists=False).quarantined_jobs


def test_decided():
    """Protects the progress bar: a question that is decided is explored to the end, though a part of the tree was never looked at."""
    desk = Desk(parts(4))
    desk.works(1)
    desk.step(Improved(5, enough=False))
    assert (0.0, False) == (view(desk.coordinator, 0).explored, view(desk.coordinator, 0).decided)
    desk.step(Improved(0, enough=True))
    seen = view(desk.coordinator, 0)
    assert (1.0, True, True) == (seen.explored, seen.decided, seen.complete)
    assert desk.pending


def test_bounds():
    """Protects the display: thousands of workers are counted, and not all listed; without a list it is cheap."""
    desk = Desk([])
    for peer in range(WORKERS_SHOWN_MAX + 5):
        worker = desk.coordinator.volatile
        if peer < 1:
            desk.joins(peer)
        else:
            worker.workers[peer + 1] = worker.workers[1]
    seen = view(desk.coordinator, 0)
    assert (WORKERS_SHOWN_MAX + 5, WORKERS_SHOWN_MAX) == (seen.workers, len(seen.workers_list))
    assert () == view(desk.coordinator, 0, with_lists=False).workers_list
