"""Where every node of the tree is, and what may never be said or done: the properties that hold in every world, at every moment."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Effects, Event, Received
from parry_mpi.core.invariants import check_coordinator
from parry_mpi.core.messages import Bundle, Crashed, Failed, Finished, Report
from parry_mpi.core.records import Granted, Joined, Reported, Voided
from parry_mpi.core.state import State
from parry_mpi.job import Job
from support.trees import Tree

_decode = msgspec.msgpack.Decoder(int).decode


class Ledger:
    """The result so far, and what was given out over all restarts.

    Attributes:
        result: sum of the values that were folded.
        newest_lease, newest_worker: the greatest ids ever given out; the next must be greater.
    """

    __slots__ = ("newest_lease", "newest_worker", "result", "tree")

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.result = 0
        self.newest_lease = 0
        self.newest_worker = 0

    def copy(self) -> Ledger:
        """Return an independent copy."""
        other = Ledger.__new__(Ledger)
        other.tree, other.result = self.tree, self.result
        other.newest_lease, other.newest_worker = self.newest_lease, self.newest_worker
        return other

    def restarted(self, result: int) -> Ledger:
        """The ledger of a coordinator that starts again from this result; what was given out stays given out."""
        other = self.copy()
        other.result = result
        return other

    def take(self, effects: Effects, state: State, decode: Callable[[bytes], int] = _decode) -> None:
        """Fold what is to be folded, and check what was done and said."""
        for fold in effects.folds:
            self.result += decode(fold.value)
        for record in effects.records:
            if isinstance(record, Granted):
                assert record.lease > self.newest_lease, f"lease {record.lease} was used before"
                self.newest_lease = record.lease
            elif isinstance(record, Joined):
                assert record.worker > self.newest_worker, f"worker {record.worker} was used before"
                self.newest_worker = record.worker
        for _, message in effects.sends:
            if isinstance(message, Finished) and not state.counters.decided:
                missing = sum(self.tree.of_job(entry.job) for entry in state.quarantined.values())
                assert self.result + missing == self.tree.whole, "Finished is said though something is left"
            elif isinstance(message, Bundle):
                killed = {job.killed for job in message.jobs}
                assert len(killed) == 1, "jobs travel with their like"
                assert max(killed) <= 1 or len(message.jobs) == 1, "a job that was killed more than once travels alone"
                assert message.careful == (max(killed) > 0), "what was killed is explored carefully"


def expected(event: Event, coordinator: Coordinator) -> bool:
    """Whether what a worker says of a lease may have an effect: it is live, the worker's own, and the message is the next one."""
    if not isinstance(event, Received) or not isinstance(event.message, Report | Failed | Crashed):
        return True
    message = event.message
    lease = coordinator.state.leases.get(message.lease)
    worker_id = coordinator.volatile.by_peer.get(event.peer)
    if lease is None or lease.worker != worker_id:
        return False
    return isinstance(message, Crashed) or message.seq == lease.seq + 1


def check_effects(event: Event, may_count: bool, effects: Effects) -> None:
    """Check that what is late, repeated or forged changes nothing, and that nobody honest is refused."""
    assert not any(note.event == "refused" for note in effects.notes), "an honest worker is refused"
    if not may_count:
        lease_id = event.message.lease
        changed = [record for record in effects.records if getattr(record, "lease", None) == lease_id]
        assert not changed, f"a late, repeated or forged message had an effect: {changed}"
        assert not effects.folds, "a late, repeated or forged message was counted"


def place_of_everything(state: State, tree: Tree) -> int:
    """What is pending, leased, quarantined and not yet pulled."""
    everywhere = sum(tree.of_job(job) for _, job in state.pending.items())
    everywhere += sum(tree.of_jobs(lease.jobs) for lease in state.leases.values())
    everywhere += sum(tree.of_job(entry.job) for entry in state.quarantined.values())
    if not state.counters.roots_exhausted:
        everywhere += tree.of_roots(state.counters.roots_pulled)
    return everywhere


def check_once(result: int, state: State, tree: Tree) -> None:
    """Check that each node is counted, or in exactly one place."""
    total = result + place_of_everything(state, tree)
    assert total == tree.whole, f"not exactly once: {tree.nodes_of(total)}"


def check_ledger(ledger: Ledger, coordinator: Coordinator) -> None:
    """Check that each node is counted, or in exactly one place, and that the coordinator does not contradict itself."""
    check_once(ledger.result, coordinator.state, ledger.tree)
    check_coordinator(coordinator)


def check_killed(record: Reported | Voided, before: tuple[Job, ...]) -> None:
    """Check that no job was killed fewer times than before, and that a kill counts."""
    least = min(job.killed for job in before)
    if isinstance(record, Reported):
        assert all(job.killed == least for job in record.remaining + record.shared), "a report changed killed"
        return
    jobs = record.pending + tuple(entry.job for entry in record.quarantined)
    assert all(job.killed >= least for job in jobs), "killed decreased"
    assert not record.killing or any(job.killed > least for job in jobs), "a kill left no trace"
