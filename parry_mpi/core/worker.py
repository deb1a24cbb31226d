"""The worker's half of the protocol: what to say to the coordinator, and what to want from the explorer.

States: JOINING (Hello is said), WORKING, LEAVING (Stop was heard, what remains is handed back), LEFT. Events: messages from the
coordinator, and what the explorer did: HandedOver, Raised, Died. At most one report is on its way at any time; what the explorer hands over
meanwhile waits for the answer.

This module must not explore, wait, read a clock, or open anything.
"""

from __future__ import annotations

import enum

import msgspec

from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.core.messages import (
    Ack,
    Alive,
    Bundle,
    Crashed,
    Die,
    Failed,
    Finished,
    FromCoordinator,
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
    Welcome,
)
from parry_mpi.core.policy import pace_ms
from parry_mpi.errors import unreachable
from parry_mpi.job import Job

REPORT_MS = 500
"""How often a busy worker reports, if there are not very many: the most work that is lost with it. A report costs well under a
millisecond."""

SAY_AGAIN_MS = 5_000
"""What is not answered is said again after so long, if there are not very many workers. Nothing gets lost over MPI; elsewhere it may."""

CAREFUL_STRETCH_MS = REPORT_MS
"""Once a careful stretch lasts this long, the worker loses no more with a crash than it would anyway."""


class Phase(enum.Enum):
    """How far a worker is; it moves back only when the coordinator does not know it any more."""

    JOINING = "joining"
    WORKING = "working"
    LEAVING = "leaving"
    LEFT = "left"


class Want(enum.Enum):
    """What an explorer is asked for; it answers with HandedOver."""

    CHECKPOINT = "what was found and what remains"
    SPLIT = "the same, and part of what remains is given away"
    SURRENDER = "the same, and nothing is explored any more"


class HandedOver(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The explorer's answer to CHECKPOINT, SPLIT or SURRENDER; the fields are those of Report."""

    lease: LeaseId
    nodes: int
    value: bytes
    explored_us: int
    solved: int
    remaining: tuple[Job, ...] = ()
    shared: tuple[Job, ...] = ()


class Raised(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The user's code raised; the fields are those of Failed.

    Args:
        lease, error, details, node, exact: as in Failed.
        before: what was handed over just before, so that ``exact`` is true; None to fall back to the last report.
    """

    lease: LeaseId
    error: str
    details: str
    node: str
    exact: bool = False
    before: HandedOver | None = None


class Died(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The explorer is dead, and a new one stands ready."""

    lease: LeaseId
    reason: str


FromExplorer = HandedOver | Raised | Died


class Improve(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the explorer: something with this score is known; under this lease, what cannot be better need not be explored."""

    lease: LeaseId
    score: int | float


class Begin(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the explorer: explore these jobs, the last one first. Whatever was explored before is over.

    Args:
        lease: to be named in every answer.
        jobs: at least one.
        careful: hand over before exploring anything, so that what is explored next stands last and alone, and wait for Go.
        split: hand over as soon as there is something to give away.
        incumbent: the best score known, or None.
    """

    lease: LeaseId
    jobs: tuple[Job, ...]
    careful: bool = False
    split: bool = False
    incumbent: int | float | None = None


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the explorer: hand over, as soon as the user's code lets you."""

    lease: LeaseId
    want: Want


class Go(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To a careful explorer: what you handed over is safe; explore so many nodes, hand over and wait again.

    Args:
        lease: which lease.
        stretch: how many nodes; 0 for as many as there are, without waiting any more.
        split: give part of what remains away when handing over.
    """

    lease: LeaseId
    stretch: int
    split: bool = False


class Abandon(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """To the explorer: nothing of this lease is wanted any more, now."""

    lease: LeaseId


ToExplorer = Begin | Ask | Go | Improve | Abandon


class Actions(msgspec.Struct):
    """What shall happen now.

    Args:
        sends: to the coordinator, in one frame.
        orders: to the explorer, in this order.
    """

    sends: list[FromWorker] = msgspec.field(default_factory=list)
    orders: list[ToExplorer] = msgspec.field(default_factory=list)


class LeaseWork(msgspec.Struct):
    """What a worker remembers about the lease it holds; all of it ends with the lease.

    Args:
        seq: number of the last report.
        unanswered: what was said and not acknowledged.
        waiting: what the explorer handed over meanwhile.
        ending: the lease ends when what is unanswered is acknowledged.
        asked: the explorer owes a handing over.
        hungry_others: something is to be given away.
        careful: nothing may be explored that was not handed over and acknowledged before.
        stretch: how many nodes a careful explorer explores next; 0 once it need not be careful any more.
    """

    seq: int = 0
    unanswered: list[Report | Failed] = msgspec.field(default_factory=list)
    waiting: list[HandedOver | Raised] = msgspec.field(default_factory=list)
    ending: bool = False
    asked: bool = False
    hungry_others: bool = False
    careful: bool = False
    stretch: int = 1


class Worker:
    """One worker's half of the protocol.

    Args:
        hello: how it introduces itself.
        now_ms: the time.
        workers_count: how many workers are known to take part, this one included: the more, the less often each of them speaks.
    """

    def __init__(self, hello: Hello, now_ms: int, workers_count: int = 1) -> None:
        self.phase = Phase.JOINING
        self.worker_id: WorkerId | None = None
        self.lease: LeaseId | None = None
        self.refusal = ""
        self.finished = False
        self.report_ms = pace_ms(REPORT_MS, workers_count)
        self.say_again_ms = pace_ms(SAY_AGAIN_MS, workers_count)
        self._hello = hello
        self._newest_lease = LeaseId(0)
        self._said_at_ms = now_ms
        self._beat_at_ms = now_ms
        self._reported_at_ms = now_ms
        self._work = LeaseWork()

    def start(self) -> Actions:
        """Say hello."""
        return Actions(sends=[self._hello])

    def receive(self, message: FromCoordinator, now_ms: int) -> Actions:
        """Take in a message. Whatever is late, repeated or unknown has no effect."""
        actions = Actions()
        match message:
            case Bundle() | Ack() | Share() | Die() | Incumbent():
                self._hear_of_work(message, actions, now_ms)
            case Welcome():
                if self.phase is Phase.JOINING:
                    self.phase = Phase.WORKING
                    self.worker_id = message.worker
                    self._ask_for_work(actions, now_ms)
            case Refused():
                if self.phase is Phase.JOINING:
                    self.refusal = message.reason
                    self._goodbye(actions)
            case Stop():
                self._stop(actions)
            case Finished():
                if self.phase is not Phase.LEFT:
                    self._abandon_lease(actions)
                    self.finished = True
                    self._goodbye(actions)
            case Rejoin():
                if self.phase is not Phase.LEFT:
                    self._abandon_lease(actions)
                    self.phase = Phase.JOINING
                    self._say([self._hello], actions, now_ms)
            case _:
                unreachable(message)
        self._ask_explorer(actions, now_ms)
        return actions

    def _hear_of_work(self, message: Bundle | Ack | Share | Die | Incumbent, actions: Actions, now_ms: int) -> None:
        match message:
            case Bundle():
                self._bundle(message, actions, now_ms)
            case Ack():
                self._ack(message, actions, now_ms)
            case Share():
                self._work.hungry_others = self._work.hungry_others or message.lease == self.lease
            case Die():
                if message.lease == self.lease:
                    self._abandon_lease(actions)
                    self._ask_for_work(actions, now_ms)
            case Incumbent():
                if message.lease == self.lease:
                    actions.orders.append(Improve(message.lease, message.score))
            case _:
                unreachable(message)

    def explored(self, event: FromExplorer, now_ms: int) -> Actions:
        """Take in what the explorer did. What it says of a lease that is not its any more has no effect."""
        actions = Actions()
        if event.lease != self.lease:
            return actions
        match event:
            case HandedOver() | Raised():
                if self._work.unanswered:
                    self._work.waiting.append(event)
                else:
                    self._take(event, actions, now_ms)
            case Died():
                self._died(event, actions, now_ms)
            case _:
                unreachable(event)
        return actions

    def tick(self, now_ms: int) -> Actions:
        """Send what is due: a heartbeat, or something that was not answered."""
        actions = Actions()
        if self.phase is Phase.LEFT:
            return actions
        if self._unacknowledged and now_ms >= self._said_at_ms + self.say_again_ms:
            self._say(self._unacknowledged, actions, now_ms)
        beat_ms = self._hello.heartbeat_ms
        if beat_ms and self.worker_id is not None and now_ms >= self._beat_at_ms + beat_ms:
            self._beat_at_ms = now_ms
            actions.sends.append(self._alive(self.worker_id))
        self._ask_explorer(actions, now_ms)
        return actions

    def reconnected(self, now_ms: int) -> Actions:
        """Say what may have got lost with a connection: what is not acknowledged, or else a sign of life."""
        actions = Actions()
        if self.phase is Phase.LEFT:
            return actions
        if self._unacknowledged:
            self._say(self._unacknowledged, actions, now_ms)
        elif self.worker_id is not None:
            self._beat_at_ms = now_ms
            actions.sends.append(self._alive(self.worker_id))
        return actions

    def wake_at_ms(self) -> int | None:
        """When tick() has something to do at the latest, or None."""
        if self.phase is Phase.LEFT:
            return None
        due = [self._said_at_ms + self.say_again_ms] if self._unacknowledged else []
        if self._may_ask:
            due.append(self._reported_at_ms + self.report_ms)
        if self._hello.heartbeat_ms and self.worker_id is not None:
            due.append(self._beat_at_ms + self._hello.heartbeat_ms)
        return min(due, default=None)

    @property
    def _unacknowledged(self) -> list[FromWorker]:
        """What was said last and is not answered yet."""
        if self.phase is Phase.JOINING:
            return [self._hello]
        if self._work.unanswered:
            return list(self._work.unanswered)
        return [self._get_job()] if self.lease is None and self.phase is Phase.WORKING else []

    def _bundle(self, bundle: Bundle, actions: Actions, now_ms: int) -> None:
        # Lease ids grow: an older or equal one is a repetition, or overtook our leaving it.
        if bundle.lease <= self._newest_lease or self.lease is not None or self.phase is not Phase.WORKING:
            return
        self._newest_lease = self.lease = bundle.lease
        self._reported_at_ms = now_ms
        self._work.careful = bundle.careful
        # Careful, the explorer hands over at once of its own accord; what it gives away is cut off after the first node.
        self._work.hungry_others = bundle.share and bundle.careful
        self._work.asked = bundle.careful or bundle.share
        split = bundle.share and not bundle.careful
        actions.orders.append(Begin(bundle.lease, bundle.jobs, bundle.careful, split, bundle.incumbent))

    def _ack(self, ack: Ack, actions: Actions, now_ms: int) -> None:
        if ack.lease != self.lease or not self._work.unanswered:
            return  # nothing is asked: a repetition, after which a careful explorer must not be let go once more
        self._work.unanswered = [message for message in self._work.unanswered if message.seq > ack.seq]
        if self._work.unanswered:
            return
        if self._work.ending:
            self._drop_lease()
            if self.phase is Phase.LEAVING:
                self._goodbye(actions)
        elif self._work.waiting:
            self._take(self._work.waiting.pop(0), actions, now_ms)
        elif self._work.careful and self.phase is Phase.WORKING:
            self._work.careful = self._work.asked = self._work.stretch > 0
            self._reported_at_ms = now_ms
            actions.orders.append(Go(ack.lease, self._work.stretch, self._work.hungry_others))

    def _take(self, event: HandedOver | Raised, actions: Actions, now_ms: int) -> None:
        """Turn what the explorer did into what is said; nothing is unanswered now."""
        if isinstance(event, HandedOver):
            self._hand_over(event, actions, now_ms)
            if self.phase is Phase.LEAVING:
                self._goodbye(actions)
            return
        if event.before is not None:
            self._hand_over(event.before, actions, now_ms)
        self._work.seq += 1
        failed = Failed(event.lease, self._work.seq, event.error, event.details, event.node, event.exact)
        self._work.unanswered.append(failed)
        self._work.ending = True
        self._say([failed, self._get_job()], actions, now_ms)

    def _died(self, event: Died, actions: Actions, now_ms: int) -> None:
        self._drop_lease()
        if self.phase is Phase.LEAVING:
            actions.sends.append(Crashed(event.lease, event.reason))
            self._goodbye(actions)
        else:
            self._say([Crashed(event.lease, event.reason), self._get_job()], actions, now_ms)

    def _hand_over(self, event: HandedOver, actions: Actions, now_ms: int) -> None:
        self._work.seq += 1
        report = Report(
            event.lease, self._work.seq, event.nodes, event.value, event.explored_us, event.solved, event.remaining, event.shared
        )
        self._work.unanswered.append(report)
        self._work.ending = not report.remaining
        self._work.asked = False
        self._work.hungry_others = self._work.hungry_others and not (event.nodes or event.shared)
        if self._work.careful and event.nodes:
            # After a stretch that went well a longer one; careless again once it is as long as a report interval.
            self._work.stretch *= 2
            if now_ms - self._reported_at_ms >= CAREFUL_STRETCH_MS:
                self._work.stretch = 0
        self._reported_at_ms = now_ms
        self._say([report] if event.remaining else [report, self._get_job()], actions, now_ms)

    @property
    def careful(self) -> bool:
        """Whether the explorer waits for the answer to every report before it goes on."""
        return self._work.careful

    @property
    def _may_ask(self) -> bool:
        """Whether the explorer is at work and nothing is under way from it."""
        return self.lease is not None and not (self._work.asked or self._work.unanswered or self._work.waiting)

    def _ask_explorer(self, actions: Actions, now_ms: int) -> None:
        """Ask for what is due. What waits for an answer from the coordinator comes first."""
        if not self._may_ask or self.lease is None:
            return
        if self.phase is Phase.LEAVING:
            want = Want.SURRENDER
        elif self._work.hungry_others:
            want = Want.SPLIT
        elif now_ms >= self._reported_at_ms + self.report_ms:
            want = Want.CHECKPOINT
        else:
            return
        self._work.asked = True
        actions.orders.append(Ask(self.lease, want))

    def _stop(self, actions: Actions) -> None:
        if self.phase is Phase.WORKING:
            self.phase = Phase.LEAVING
            if self.lease is None:
                self._goodbye(actions)
        elif self.phase is Phase.JOINING:
            self._goodbye(actions)

    def _goodbye(self, actions: Actions) -> None:
        actions.sends.append(Goodbye(self.worker_id or WorkerId(0)))
        self.phase = Phase.LEFT

    def _abandon_lease(self, actions: Actions) -> None:
        if self.lease is not None:
            actions.orders.append(Abandon(self.lease))
        self._drop_lease()

    def _drop_lease(self) -> None:
        self.lease = None
        self._work = LeaseWork()

    def _ask_for_work(self, actions: Actions, now_ms: int) -> None:
        if self.phase is Phase.WORKING:
            self._say([self._get_job()], actions, now_ms)
        elif self.phase is Phase.LEAVING:
            self._goodbye(actions)

    def _alive(self, worker_id: WorkerId) -> Alive:
        return Alive(worker_id, () if self.lease is None else (self.lease,))

    def _get_job(self) -> GetJob:
        assert self.worker_id is not None
        return GetJob(self.worker_id, self._newest_lease)

    def _say(self, messages: list[FromWorker], actions: Actions, now_ms: int) -> None:
        self._said_at_ms = self._beat_at_ms = now_ms
        actions.sends += messages
