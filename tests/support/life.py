"""A worker's half of the protocol whose clock is set by hand, and what its explorer tells it."""

from __future__ import annotations

from parry_mpi.core.messages import Bundle, GetJob, Hello, Report, Welcome
from parry_mpi.core.worker import Actions, HandedOver, Worker
from parry_mpi.job import Job

A, B = Job(b"a", weight=5), Job(b"b", weight=5)
NOTHING = Actions()


def handed(lease: int = 7, *, nodes: int = 3, remaining: tuple = (A,), shared: tuple = ()) -> HandedOver:
    return HandedOver(lease, nodes, b"v" if nodes else b"", 5, 1, remaining, shared)


def said(event: HandedOver, seq: int) -> Report:
    return Report(event.lease, seq, event.nodes, event.value, event.explored_us, event.solved, event.remaining, event.shared)


class Life:
    """A worker whose clock is set by hand."""

    def __init__(self, heartbeat_ms: int = 0) -> None:
        self.now_ms = 0
        self.hello = Hello("0123", "host", 1, "token", heartbeat_ms)
        self.half = Worker(self.hello, 0)
        assert Actions(sends=[self.hello]) == self.half.start()

    def hears(self, *messages: object, after_ms: int = 0) -> Actions:
        """What follows from the last of these messages."""
        self.now_ms += after_ms
        for message in messages:
            actions = self.half.receive(message, self.now_ms)
        return actions

    def explored(self, event: object, after_ms: int = 0) -> Actions:
        self.now_ms += after_ms
        return self.half.explored(event, self.now_ms)

    def tick(self, after_ms: int = 0) -> Actions:
        self.now_ms += after_ms
        return self.half.tick(self.now_ms)

    def wakes_in_ms(self) -> int | None:
        wake_at_ms = self.half.wake_at_ms()
        return None if wake_at_ms is None else wake_at_ms - self.now_ms


def working(heartbeat_ms: int = 0) -> Life:
    """A worker that asked for a bundle."""
    life = Life(heartbeat_ms)
    assert Actions(sends=[GetJob(3)]) == life.hears(Welcome(3))
    return life


def exploring(*, share: bool = False, careful: bool = False, heartbeat_ms: int = 0) -> Life:
    """A worker that holds lease 7."""
    life = working(heartbeat_ms)
    life.hears(Bundle(7, (A, B), share, careful))
    return life
