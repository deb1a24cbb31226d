"""The coordinator: decides what every event means for the state of the run. It is a value: events in, effects out.

States: EXPLORING, then STOPPING if the run is to be stopped (leases are handed back), then SETTLING (waiting for the last commit),
then ENDED. Events: Received, PeerGone, RootsRead, StopAsked, ProblemRaised, Improved, Committed, Tick.

The rules that make the answer right:
    A report counts only under a live lease, from the worker that holds it, and with the next number; then value, what remains and
    what is shared are taken in one step. Everything else is answered and changes nothing.
    A lease that ends otherwise is voided: what its last accepted report left goes back, and its number is refused for ever.
    Finished is said only after the state in which nothing is left, or all that is left does not matter, is on disk.

What becomes of the books when a lease or a worker goes stands in books.py; here it is decided when.

This module must not wait, read a clock, draw a random number, log, or open anything.
"""

from __future__ import annotations

import math
from collections import deque

from parry_mpi.core.books import Books, Rewrite, earlier
from parry_mpi.core.events import (
    Committed,
    Effects,
    Event,
    Failure,
    Fold,
    Improved,
    PeerGone,
    Phase,
    ProblemRaised,
    Received,
    RootsRead,
    StopAsked,
    Tick,
)
from parry_mpi.core.ids import JobId, LeaseId, Peer
from parry_mpi.core.messages import (
    Ack,
    Alive,
    Bundle,
    Crashed,
    Die,
    Failed,
    Finished,
    FromWorker,
    GetJob,
    Goodbye,
    Hello,
    Incumbent,
    Refused,
    Rejoin,
    Report,
    Share,
    Stop,
    Unable,
    Welcome,
)
from parry_mpi.core.objections import objection
from parry_mpi.core.optimum import proven_bound
from parry_mpi.core.policy import ASK_AGAIN_MS, Settings, patience_ms, silence_max_ms
from parry_mpi.core.records import Decided, Granted, Joined, Quarantined, Reported, Restarted, RootsPulled
from parry_mpi.core.state import State
from parry_mpi.core.volatile import Watch, Worker
from parry_mpi.errors import unreachable
from parry_mpi.job import Job

PULL_COUNT = 8192
"""How many roots without an index are pulled at once: some milliseconds of the coordinator's time, some hundred kilobytes."""

SAY_AGAIN_MS = 2_000
"""A question or an order that is not answered is repeated after so long. Nothing gets lost over MPI; elsewhere it may."""

PRESS_EVERY_MS = 100
"""Unanswered share requests are looked through at most so often: thousands of them, asked at different times, would otherwise be
looked through every millisecond."""

STORY_MAX = 64
"""How many of the latest events are kept to be shown with an error."""


class Coordinator(Books):
    """Owner of the job set, the leases and the quarantine; the arguments are those of Books."""

    def __init__(self, state: State, settings: Settings, rewrite: Rewrite | None = None) -> None:
        super().__init__(state, settings, rewrite)
        self.story: deque[str] = deque(maxlen=STORY_MAX)

    def restart(self) -> Effects:
        """Take over what another coordinator left behind: its leases end. Must be committed before the first step."""
        self._effects = Effects(must_commit=True)
        self._record(Restarted())
        return self._effects

    def step(self, event: Event, now_ms: int) -> Effects:
        """Take in one event.

        Args:
            event: what happened.
            now_ms: the time, in milliseconds of a clock that never goes back.

        Returns:
            What shall be done. The records in it have been applied already.
        """
        self._effects = Effects()
        self._now_ms = now_ms
        self.story.append(f"{now_ms} ms: {type(event).__name__} {_told(event)}")
        match event:
            case Received():
                self._received(event.peer, event.message)
            case PeerGone():
                self._peer_gone(event)
            case RootsRead():
                self._roots_read(event)
            case StopAsked():
                self._stop_asked(event)
            case ProblemRaised():
                self._fail(event.failure)
            case Improved():
                self._improved(event)
            case Committed():
                self._committed()
            case Tick():
                pass
            case _:
                unreachable(event)
        self._look_around()
        return self._effects

    # What came in

    def _received(self, peer: Peer, message: FromWorker) -> None:
        worker = self._worker_at(peer)
        if worker is not None:
            worker.heard_at_ms = self._now_ms
        match message:
            case Hello():
                self._hello(peer, worker, message)
            case Unable():
                self._note("unable", host=message.host, error=message.error)
                self._fail(Failure(message.error, message.details, host=message.host))
                self._send(peer, Stop())
            case GetJob() | Alive() | Goodbye():
                if worker is None or worker.worker != message.worker:
                    self._to_stranger(peer, message)
                elif isinstance(message, GetJob):
                    self._get_job(worker, message)
                elif isinstance(message, Goodbye):
                    self._leave(worker)
            case Report():
                self._report(peer, worker, message)
            case Failed():
                self._failed(peer, worker, message)
            case Crashed():
                lease = self._own_lease(worker, message.lease)
                if worker is not None and lease is not None:
                    self._kill(message.lease, message.reason, worker.hello.host)
                else:
                    self._send(peer, Die(message.lease))
            case _:
                unreachable(message)

    def _to_stranger(self, peer: Peer, message: GetJob | Alive | Goodbye) -> None:
        """Answer somebody who thinks that we know each other, as after a restart, or after it was given up as lost."""
        if self.phase is Phase.ENDED:
            self._send(peer, self._farewell())
        elif not isinstance(message, Goodbye):
            self._send(peer, Rejoin())

    def _hello(self, peer: Peer, worker: Worker | None, hello: Hello) -> None:
        if worker is not None and worker.hello.token == hello.token:
            self._send(peer, Welcome(worker.worker))
            return
        if worker is not None:
            self._lose(worker, "another process took its place")
        if hello.fingerprint != self.settings.fingerprint:
            self._note("turned away", host=hello.host, pid=hello.pid, why="another problem or other parameters")
            ours, theirs = self.settings.fingerprint, hello.fingerprint
            self._send(peer, Refused(f"this run's problem and parameters have fingerprint {ours}, the worker's {theirs}"))
            return
        if self.phase is not Phase.EXPLORING:
            self._send(peer, self._farewell() if self.phase is Phase.ENDED else Stop())
            return
        worker_id = self.state.counters.next_worker
        self._record(Joined(worker_id))
        self.volatile.workers[worker_id] = Worker(worker_id, peer, hello, self._now_ms, self._now_ms)
        self.volatile.by_peer[peer] = worker_id
        self.volatile.workers_seen += 1
        if limit_ms := silence_max_ms(self.settings, hello.heartbeat_ms):
            self.volatile.expiry_at_ms = earlier(self.volatile.expiry_at_ms, self._now_ms + limit_ms)
        self._note("joined", worker=worker_id, host=hello.host, pid=hello.pid)
        self._send(peer, Welcome(worker_id))

    def _get_job(self, worker: Worker, message: GetJob) -> None:
        if self.phase is Phase.ENDED:
            self._send(worker.peer, self._farewell())
        elif worker.lease is not None and message.seen < worker.lease:
            # It never heard of this lease, so it never began: the bundle may be sent again.
            self._send(worker.peer, self.volatile.watches[worker.lease].bundle)
        elif worker.lease is not None:
            # It knew this lease and asks for another: it let it go, and the message that said why got lost.
            self._kill(worker.lease, "its worker let it go", worker.hello.host)
            self._get_job(worker, message)
        elif not worker.hungry and self.phase is Phase.EXPLORING:
            worker.hungry = True
            self.volatile.hungry.append(worker.worker)

    def _report(self, peer: Peer, worker: Worker | None, report: Report) -> None:
        lease = self._own_lease(worker, report.lease)
        if worker is None or lease is None:
            self._send(peer, Die(report.lease))
            return
        if report.seq <= lease.seq:
            # A repetition, maybe one that was overtaken by what was said later.
            self._send(peer, Ack(report.lease, report.seq))
            return
        wrong = "not the next report" if report.seq != lease.seq + 1 else objection(lease, report)
        if wrong:
            self._refuse(worker, report.lease, wrong)
        else:
            self._accept(worker, report)

    def _refuse(self, worker: Worker, lease_id: LeaseId, why: str) -> None:
        """Kill a lease whose holder says what cannot be true. It is told to die only because the lease does end here."""
        self._note("refused", worker=worker.worker, lease=lease_id, why=why)
        self._send(worker.peer, Die(lease_id))
        self._kill(lease_id, f"what was said of it was refused: {why}", worker.hello.host)

    def _accept(self, worker: Worker, report: Report) -> None:
        watch = self.volatile.watches[report.lease]
        if self.settings.sense is not None:
            self.volatile.proven = proven_bound(self.state, self.volatile, self.settings)
        self._record(
            Reported(report.lease, report.seq, report.nodes, report.explored_us, report.solved, report.remaining, report.shared)
        )
        if report.nodes:
            self._effects.folds.append(Fold(report.value, worker.hello.host))
            watch.progressed = True
        worker.nodes += report.nodes
        worker.explored_us += report.explored_us
        worker.solved += report.solved
        self.volatile.policy.note(report.solved, report.explored_us)
        requests = self.volatile.requests
        if report.lease in requests.asked:
            requests.rest(report.lease, self._now_ms + (0 if report.shared else ASK_AGAIN_MS))
        if not report.remaining:
            worker.lease = None
            del self.volatile.watches[report.lease]
            requests.drop(report.lease)
        if report.shared:
            self._note("shared", worker=worker.worker, lease=report.lease, jobs=len(report.shared))
        self._send(worker.peer, Ack(report.lease, report.seq))

    def _failed(self, peer: Peer, worker: Worker | None, failed: Failed) -> None:
        lease = self._own_lease(worker, failed.lease)
        if worker is None or lease is None:
            self._send(peer, Die(failed.lease))
            return
        if failed.seq != lease.seq + 1:
            self._refuse(worker, failed.lease, "not the next report")
            return
        host = worker.hello.host
        self._send(peer, Ack(failed.lease, failed.seq))
        self._note("raised", worker=worker.worker, host=host, lease=failed.lease, error=failed.error, node=failed.node)
        if not self.settings.quarantine_errors:
            self._void(failed.lease, lease.jobs, (), killing=False)
            self._fail(Failure(failed.error, failed.details, failed.node, host))
            return
        *others, suspect = lease.jobs
        watch = self.volatile.watches[failed.lease]
        if failed.exact or (watch.bundle.careful and not watch.progressed):
            entry = Quarantined(suspect, failed.error, failed.details, host)
            self._note("quarantined", lease=failed.lease, worker=worker.worker, host=host, error=failed.error)
            self._void(failed.lease, tuple(others), (entry,), killing=False)
        else:
            # A kernel raised somewhere in a frontier. Killed once, it comes back node by node, and the culprit shows.
            self._void(failed.lease, (*others, self._killed_once_more(suspect)), (), killing=True)

    def _peer_gone(self, event: PeerGone) -> None:
        worker = self._worker_at(event.peer)
        if worker is not None:
            self._lose(worker, event.why)

    def _roots_read(self, event: RootsRead) -> None:
        self.volatile.pulling = False
        self._record(RootsPulled(event.jobs, event.pulled, event.exhausted, event.unpulled_weight))

    def _stop_asked(self, event: StopAsked) -> None:
        volatile = self.volatile
        if self.phase is Phase.EXPLORING:
            self._begin_stopping(event.why)
        if event.at_once and self.phase is Phase.STOPPING:
            volatile.grace_ends_at_ms = self._now_ms

    def _fail(self, failure: Failure) -> None:
        """Stop because the user's code raised; the first failure is the one that is told."""
        if self.phase in {Phase.EXPLORING, Phase.STOPPING} and self.volatile.failure is None:
            self.volatile.failure = failure
        if self.phase is Phase.EXPLORING:
            self._begin_stopping("the problem raised")

    def _begin_stopping(self, why: str) -> None:
        volatile = self.volatile
        volatile.phase = Phase.STOPPING
        volatile.stop_reason = why
        volatile.grace_ends_at_ms = self._now_ms + self.settings.grace_ms
        while volatile.hungry:
            volatile.workers[volatile.hungry.popleft()].hungry = False
        self._note("stopping", why=why)
        self._say_stop()

    def _say_stop(self) -> None:
        self.volatile.said_stop_at_ms = self._now_ms
        for worker in self.volatile.workers.values():
            self._send(worker.peer, Stop())

    def _improved(self, event: Improved) -> None:
        """Let everybody leave out what cannot be better; or, if nothing better is asked for, let everybody stop."""
        volatile = self.volatile
        volatile.incumbent = event.score
        self._note("improved", score=event.score)
        for lease_id, lease in list(self.state.leases.items()):
            if event.enough:
                self._send_lease(lease_id, Die(lease_id))
                self._void(lease_id, lease.jobs, (), killing=False)
            else:
                self._send_lease(lease_id, Incumbent(lease_id, event.score))
        if event.enough:
            self._record(Decided())

    def _committed(self) -> None:
        if self.phase is not Phase.SETTLING:
            return
        self.volatile.phase = Phase.ENDED
        for worker in self.volatile.workers.values():
            self._send(worker.peer, self._farewell())

    def _farewell(self) -> Finished | Stop:
        """What to say to everybody at the end. Finished is a promise: all is explored, and the answer is on disk."""
        return Finished() if self.state.done else Stop()

    # What follows from it

    def _look_around(self) -> None:
        """Do what the state and the time call for, after every event."""
        self._expire_workers()
        if self.phase is Phase.EXPLORING:
            if not self.state.counters.decided:
                self._feed()
                self._ask_to_share()
                self._feed()  # what was just taken from a silent lease
            if self.state.done:
                self._settle()
        elif self.phase is Phase.STOPPING:
            self._await_hand_back()
        if self.phase is Phase.SETTLING:
            self._effects.must_commit = True

    def _settle(self) -> None:
        self.volatile.phase = Phase.SETTLING
        self._note("settling", nodes=self.state.counters.nodes)

    def _expire_workers(self) -> None:
        """Lose the workers that are silent for too long. Nobody can be due before the time that the last look found."""
        volatile = self.volatile
        if volatile.expiry_at_ms is not None and self._now_ms >= volatile.expiry_at_ms:
            volatile.expiry_at_ms = None
            for worker in list(volatile.workers.values()):
                limit_ms = silence_max_ms(self.settings, worker.hello.heartbeat_ms)
                if limit_ms and self._now_ms >= worker.heard_at_ms + limit_ms:
                    self._lose(worker, f"no sign of life for {limit_ms / 1000:g} s")
                elif limit_ms:
                    volatile.expiry_at_ms = earlier(volatile.expiry_at_ms, worker.heard_at_ms + limit_ms)
        if volatile.expiry_at_ms is not None:
            self._wake(volatile.expiry_at_ms)

    def _feed(self) -> None:
        """Give the hungry workers what is pending; pull more roots when it runs low.

        What was killed goes carefully: together with others that were killed once, for carefully explored, only one of them can
        be blamed at a time; alone if it was blamed before. A lease of a thousand jobs, lost with its worker, would otherwise
        come back as a thousand leases.
        """
        volatile, state = self.volatile, self.state
        while volatile.hungry and state.pending:
            worker = volatile.workers[volatile.hungry.popleft()]
            worker.hungry = False
            pending = state.pending
            suspect = pending.first_suspect()
            if suspect is not None:
                self._grant(worker, (suspect,), (pending[suspect],), (), careful=True)
            elif pending.killed_once_count:
                chosen = volatile.policy.choose(pending.killed_once(), pending.killed_once_count, len(volatile.workers))
                self._grant(worker, *chosen, careful=True)
            else:
                chosen = volatile.policy.choose(pending.in_order(), pending.units, len(volatile.workers))
                self._grant(worker, *chosen, careful=False)
        roots_low = not state.counters.roots_exhausted and state.pending.units < PULL_COUNT // 2
        if roots_low and not volatile.pulling:
            volatile.pulling = True
            self._effects.pull = PULL_COUNT

    def _grant(
        self, worker: Worker, taken: tuple[JobId, ...], jobs: tuple[Job, ...], left: tuple[Job, ...], *, careful: bool
    ) -> None:
        lease_id = self.state.counters.next_lease
        self._record(Granted(lease_id, worker.worker, taken, jobs, left))
        volatile, workers_count = self.volatile, len(self.volatile.workers)
        share = bool(volatile.hungry) and not volatile.policy.crumbs(workers_count)
        bundle = Bundle(lease_id, jobs, share, careful, volatile.incumbent)
        volatile.watches[lease_id] = Watch(self._now_ms, bundle)
        volatile.requests.rest(lease_id, self._now_ms + volatile.policy.worthwhile_ms(workers_count))
        worker.lease = lease_id
        self._send(worker.peer, bundle)

    def _ask_to_share(self) -> None:
        """Ask as many leases to share as there are hungry workers; press those that were asked."""
        volatile, requests = self.volatile, self.volatile.requests
        if not volatile.hungry or self.state.pending or volatile.pulling:
            return
        while len(requests.asked) < len(volatile.hungry):
            lease_id = requests.ask(self._now_ms)
            if lease_id is None:
                if (rested_at_ms := requests.next_at_ms()) is not None:
                    self._wake(rested_at_ms)
                break
            self._send_lease(lease_id, Share(lease_id))
            volatile.press_at_ms = earlier(volatile.press_at_ms, self._press_at_ms(lease_id))
        if requests.asked and volatile.press_at_ms is not None:
            if self._now_ms >= volatile.press_at_ms:
                self._press()
            if volatile.press_at_ms is not None:
                self._wake(volatile.press_at_ms)

    def _press(self) -> None:
        """Repeat the share requests that are not answered, and kill the leases with which patience is at its end."""
        volatile, requests = self.volatile, self.volatile.requests
        volatile.press_at_ms = None
        for lease_id, request in list(requests.asked.items()):
            if self._now_ms >= self._patience_ends_at_ms(lease_id):
                worker = self.volatile.workers[self.state.leases[lease_id].worker]
                waited_s = (self._now_ms - request.asked_at_ms) / 1000
                self._send(worker.peer, Die(lease_id))
                self._kill(lease_id, f"silent for {waited_s:g} s while others starved", worker.hello.host)
                continue
            if self._now_ms >= request.said_at_ms + SAY_AGAIN_MS:
                request.said_at_ms = self._now_ms
                self._send_lease(lease_id, Share(lease_id))
            volatile.press_at_ms = earlier(volatile.press_at_ms, self._press_at_ms(lease_id))
        if volatile.press_at_ms is not None:
            volatile.press_at_ms = max(volatile.press_at_ms, self._now_ms + PRESS_EVERY_MS)

    def _press_at_ms(self, lease_id: LeaseId) -> int:
        """When something is to be done about a request that is not answered."""
        said_at_ms = self.volatile.requests.asked[lease_id].said_at_ms
        return int(min(said_at_ms + SAY_AGAIN_MS, self._patience_ends_at_ms(lease_id)))

    def _patience_ends_at_ms(self, lease_id: LeaseId) -> float:
        if not (self.settings.patience_ms and self.settings.splittable):
            return math.inf
        killed = max(job.killed for job in self.state.leases[lease_id].jobs)
        return self.volatile.requests.asked[lease_id].asked_at_ms + patience_ms(self.settings, killed)

    def _await_hand_back(self) -> None:
        volatile = self.volatile
        assert volatile.grace_ends_at_ms is not None
        if volatile.workers and self._now_ms < volatile.grace_ends_at_ms:
            if self._now_ms >= volatile.said_stop_at_ms + SAY_AGAIN_MS:
                self._say_stop()
            self._wake(min(volatile.grace_ends_at_ms, volatile.said_stop_at_ms + SAY_AGAIN_MS))
            return
        for lease_id, lease in list(self.state.leases.items()):
            self._void(lease_id, lease.jobs, (), killing=False)
        self._settle()


def _told(event: Event) -> str:
    """A short text of an event for the story."""
    if isinstance(event, Received):
        message = event.message
        return f"{type(message).__name__} from peer {event.peer}, lease {getattr(message, 'lease', '-')}"
    return ""
