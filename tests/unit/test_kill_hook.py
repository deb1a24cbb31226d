"""Problem.kill(): what a problem may do to a node whose exploration was killed, and what it may not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from parry_mpi import Enumeration
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import PeerGone, Received, RootsRead, Tick
from parry_mpi.core.ids import Peer, WorkerId
from parry_mpi.core.messages import Bundle, GetJob, Hello
from parry_mpi.core.policy import Settings
from parry_mpi.core.state import State
from parry_mpi.errors import ProblemError
from parry_mpi.job import WHOLE, Job
from parry_mpi.task import Task

ME = Peer(1)


class Precise(Enumeration[tuple[int, int], int]):
    """Nodes carry a precision, which is lowered by every kill."""

    def roots(self) -> list[tuple[int, int]]:
        return [(1, 100)]

    def value(self, node: tuple[int, int]) -> int:
        return node[0]

    def kill(self, node: tuple[int, int], killed: int) -> tuple[int, int]:
        if node[0] == 13:
            raise ValueError("unlucky")
        return node[0], 100 // (1 + killed)


class PreciseRecords(Precise):
    """The same with records."""

    node_dtype = np.dtype([("name", "<i8"), ("precision", "<i8")])


def test_every_node_of_a_killed_job_is_rewritten() -> None:
    """Protects kill() for jobs of one node and for jobs of many records."""
    for problem in (Precise(), PreciseRecords()):
        task = Task(problem)
        data = task.nodes.encode((7, 100))
        killed = task.rewrite_killed(Job(data, killed=1))
        assert [tuple(node) for node in task.nodes.decode(killed.node)] == [(7, 50)]
    many = task.rewrite_killed(Job(task.nodes.encode((7, 100)) + task.nodes.encode((8, 100)), killed=3))
    assert task.nodes.decode(many.node).tolist() == [(7, 25), (8, 25)]


def test_a_run_of_roots_is_left_alone() -> None:
    """Protects roots that are known by index only: there is no node yet to rewrite."""
    run = Job(count=5, killed=1)
    assert Task(Precise()).rewrite_killed(run) == run


def test_what_kill_raises_is_the_problems_fault() -> None:
    """Protects the user from our traceback for an error of theirs."""
    task = Task(Precise())
    with pytest.raises(ProblemError, match="unlucky"):
        task.rewrite_killed(Job(task.nodes.encode((13, 1)), killed=1))


def test_kill_cannot_lower_how_often_a_job_was_killed() -> None:
    """Protects the contract that killed never decreases and that weights add up, against a rewrite that tries both."""

    def cheat(job: Job) -> Job:
        return msgspec.structs.replace(job, node=b"easier", killed=0, weight=0)

    coordinator = Coordinator(State(), Settings("f"), cheat)
    coordinator.step(RootsRead((Job(b"root", weight=WHOLE),), 1, exhausted=True, unpulled_weight=0), 0)
    for time_ms in (1, 2):
        coordinator.step(Received(ME, Hello("f", "host", 1, f"token {time_ms}")), time_ms)
        worker = WorkerId(coordinator.state.counters.next_worker - 1)
        sends = coordinator.step(Received(ME, GetJob(worker)), time_ms).sends
        assert any(isinstance(message, Bundle) for _, message in sends)
        coordinator.step(PeerGone(ME, "test"), time_ms)
    coordinator.step(Tick(), 3)
    (job,) = [job for _, job in coordinator.state.pending.items()]
    assert job.node == b"easier"
    assert (2, WHOLE) == (job.killed, job.weight)
