"""A coordinator at a desk of its own: its clock is set by hand, all that it says is read, its invariants are checked at every step."""

from __future__ import annotations

from collections.abc import Iterable

from parry_mpi.core.books import Rewrite
from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Effects, Event, Received
from parry_mpi.core.ids import LeaseId, Peer, WorkerId
from parry_mpi.core.invariants import check_coordinator
from parry_mpi.core.messages import Bundle, FromCoordinator, FromWorker, GetJob, Hello, Report, Welcome
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import RootsPulled
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job, total_weight

FINGERPRINT = "0123"


def hello(token: str, heartbeat_ms: int = 0, fingerprint: str = FINGERPRINT) -> Hello:
    """How a worker introduces itself."""
    return Hello(fingerprint, f"host-{token}", 1, token, heartbeat_ms)


def parts(count: int, *, killed: int = 0, depth: int = 0) -> tuple[Job, ...]:
    """Jobs that weigh the same and are the whole tree, or nearly."""
    return tuple(Job(b"%d" % i, depth, killed, WHOLE // count) for i in range(count))


def report(lease: int, seq: int = 1, remaining: Iterable[Job] = (), shared: Iterable[Job] = (), **fields: object) -> Report:
    """A report; unless told otherwise, three nodes were explored."""
    numbers = {"nodes": 3, "value": b"v", "explored_us": 5, "solved": 1} | fields
    return Report(LeaseId(lease), seq, remaining=tuple(remaining), shared=tuple(shared), **numbers)


class Desk:
    """A coordinator, and whoever writes to it.

    Args:
        jobs: what is pending at the beginning.
        exhausted: whether these are all the roots.
        rewrite: of the coordinator.
        settings: of the coordinator.

    Attributes:
        effects: what the last event brought about.
    """

    def __init__(
        self, jobs: Iterable[Job] = parts(1), *, exhausted: bool = True, rewrite: Rewrite | None = None, **settings: object
    ) -> None:
        pending = tuple(jobs)
        state = State()
        state.apply(RootsPulled(pending, len(pending), exhausted, 0 if exhausted else WHOLE - total_weight(pending)))
        self.coordinator = Coordinator(state, Settings(FINGERPRINT, **settings), rewrite)
        self.effects = Effects()
        self.now_ms = 1_000

    @property
    def state(self) -> State:
        return self.coordinator.state

    @property
    def pending(self) -> list[Job]:
        return [job for _, job in self.state.pending.items()]

    def step(self, event: Event, after_ms: int = 0) -> Effects:
        """Let the coordinator take in an event."""
        self.now_ms += after_ms
        self.effects = self.coordinator.step(event, self.now_ms)
        check_coordinator(self.coordinator)
        return self.effects

    def heard(self, peer: int) -> list[FromCoordinator]:
        """What was said to a peer in the last step."""
        return [message for to, message in self.effects.sends if to == peer]

    def says(self, peer: int, *messages: FromWorker, after_ms: int = 0) -> list[FromCoordinator]:
        """Let a peer say something; return what the last of it is answered."""
        for message in messages:
            self.step(Received(Peer(peer), message), after_ms)
            after_ms = 0
        return self.heard(peer)

    def joins(self, peer: int, heartbeat_ms: int = 0) -> WorkerId:
        """Let a peer join."""
        (welcome,) = self.says(peer, hello(f"token-{peer}", heartbeat_ms))
        assert isinstance(welcome, Welcome)
        return welcome.worker

    def works(self, peer: int, heartbeat_ms: int = 0) -> Bundle:
        """Let a peer join and ask for a bundle."""
        (bundle,) = self.says(peer, GetJob(self.joins(peer, heartbeat_ms)))
        assert isinstance(bundle, Bundle)
        return bundle

    def kinds(self, peer: int) -> list[str]:
        """What kinds of messages were said to a peer in the last step."""
        return [type(message).__name__ for message in self.heard(peer)]

    def notes(self) -> list[str]:
        """What was noted in the last step."""
        return [note.event for note in self.effects.notes]
