"""The coordinator's books: the durable state, what is volatile beside it, and the effects of the step, changed together.

All that can become of a worker that goes and of a lease that does not end with its last report is written here, so that no record is
without its effects and nobody is left in one book and not in another. This module must not know what workers say, nor when a lease
has to end: the coordinator, which is made of this, decides that.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from parry_mpi.core.events import Effects, Note, Phase
from parry_mpi.core.ids import LeaseId, Peer
from parry_mpi.core.messages import FromCoordinator
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import Quarantined, Voided
from parry_mpi.core.sharing import ShareRequests
from parry_mpi.core.state import AnyRecord, Lease, State
from parry_mpi.core.volatile import Volatile, Worker
from parry_mpi.job import Job, total_weight

Rewrite = Callable[[Job], Job]


class Books:
    """What a coordinator knows, and how it writes it down.

    Args:
        state: the durable state, new or as the store kept it.
        settings: what the user chose.
        rewrite: what becomes of a job that was killed, by the problem's own rule; None for the job itself. It has no say in how
            often the job was killed nor in what it weighs.
    """

    def __init__(self, state: State, settings: Settings, rewrite: Rewrite | None = None) -> None:
        self.state = state
        self.settings = settings
        self._rewrite = rewrite
        self.volatile = Volatile(ShareRequests(self._lease_weight))
        self._effects = Effects()
        self._now_ms = 0

    @property
    def phase(self) -> Phase:
        """How far this coordinator is."""
        return self.volatile.phase

    # Who is there, and what they hold

    def _worker_at(self, peer: Peer) -> Worker | None:
        worker_id = self.volatile.by_peer.get(peer)
        return None if worker_id is None else self.volatile.workers[worker_id]

    def _own_lease(self, worker: Worker | None, lease_id: LeaseId) -> Lease | None:
        """The lease, if it is live and this worker's."""
        return self.state.leases[lease_id] if worker is not None and worker.lease == lease_id else None

    def _lease_weight(self, lease_id: LeaseId) -> int:
        return total_weight(self.state.leases[lease_id].jobs)

    # Ends of leases and of workers

    def _leave(self, worker: Worker) -> None:
        if worker.lease is not None:
            self._void(worker.lease, self.state.leases[worker.lease].jobs, (), killing=False)
        self._forget(worker)
        self._note("left", worker=worker.worker, host=worker.hello.host, nodes=worker.nodes)

    def _lose(self, worker: Worker, why: str) -> None:
        if worker.lease is not None:
            self._kill(worker.lease, why, worker.hello.host)
        self._forget(worker)
        self._note("lost", worker=worker.worker, peer=worker.peer, host=worker.hello.host, why=why)

    def _forget(self, worker: Worker) -> None:
        del self.volatile.workers[worker.worker]
        del self.volatile.by_peer[worker.peer]
        if worker.hungry:
            self.volatile.hungry.remove(worker.worker)

    def _kill(self, lease_id: LeaseId, why: str, host: str) -> None:
        """Void a lease by force. What may have caused it is killed once more, and quarantined when it is to blame alone.

        Under a careful lease only the job explored next can have caused it: it was reported before it was begun.
        """
        lease = self.state.leases[lease_id]
        watch = self.volatile.watches[lease_id]
        self.volatile.workers[lease.worker].killed += 1
        self._note("killed", lease=lease_id, worker=lease.worker, host=host, why=why)
        if not watch.bundle.careful:
            self._void(lease_id, tuple(self._killed_once_more(job) for job in lease.jobs), (), killing=True)
            return
        *others, suspect = lease.jobs
        suspect = self._killed_once_more(suspect)
        if suspect.killed >= self.settings.max_kills and not watch.progressed:
            self._note("quarantined", lease=lease_id, worker=lease.worker, host=host, error=why)
            self._void(lease_id, tuple(others), (Quarantined(suspect, why, "", host),), killing=True)
        else:
            self._void(lease_id, (*others, suspect), (), killing=True)

    def _killed_once_more(self, job: Job) -> Job:
        killed = job.killed_once_more()
        if self._rewrite is None:
            return killed
        return msgspec.structs.replace(self._rewrite(killed), killed=killed.killed, weight=killed.weight)

    def _void(self, lease_id: LeaseId, jobs: tuple[Job, ...], quarantined: tuple[Quarantined, ...], *, killing: bool) -> None:
        worker = self.volatile.workers[self.state.leases[lease_id].worker]
        worker.lease = None
        del self.volatile.watches[lease_id]
        self.volatile.requests.drop(lease_id)
        self._record(Voided(lease_id, jobs, quarantined, killing))

    # What comes of a step

    def _record(self, record: AnyRecord) -> None:
        self.state.apply(record)
        self._effects.records.append(record)

    def _send(self, peer: Peer, message: FromCoordinator) -> None:
        self._effects.sends.append((peer, message))

    def _send_lease(self, lease_id: LeaseId, message: FromCoordinator) -> None:
        self._send(self.volatile.workers[self.state.leases[lease_id].worker].peer, message)

    def _note(self, event: str, **facts: str | float) -> None:
        self._effects.notes.append(Note(event, facts))

    def _wake(self, at_ms: int) -> None:
        self._effects.wake_at_ms = earlier(self._effects.wake_at_ms, at_ms)


def earlier(at_ms: int | None, other_ms: int) -> int:
    """The earlier of two times, of which the first may not be known."""
    return other_ms if at_ms is None else min(at_ms, other_ms)
