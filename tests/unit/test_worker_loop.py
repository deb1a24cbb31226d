"""A worker's loop: what comes in goes to the worker, orders to the explorer, and heartbeats are sent while that can explore."""

from __future__ import annotations

import pytest

from parry_mpi.core.ids import LeaseId, Peer, WorkerId
from parry_mpi.core.messages import Ack, Alive, Bundle, Finished, FromWorker, GetJob, Goodbye, Hello, Report, Stop, Welcome
from parry_mpi.core.worker import Ask, Begin, FromExplorer, HandedOver, ToExplorer, Want
from parry_mpi.job import Job
from parry_mpi.runtime import worker_loop as module
from parry_mpi.runtime.worker_loop import HEARTBEAT_MS, WorkerLoop
from parry_mpi.transport import inprocess
from parry_mpi.wire import codec

WORKER, LEASE, JOB = WorkerId(3), LeaseId(9), Job(b"node")


class ToldExplorer:
    """An explorer that does nothing but tell what the test wants it to."""

    wants_turn = False

    def __init__(self) -> None:
        self.able = True
        self.sending = False
        self.orders: list[ToExplorer] = []
        self.tells: list[FromExplorer] = []

    def order(self, order):
        self.orders.append(order)

    def turn(self):
        tells, self.tells = self.tells, []
        return tells

    def filenos(self):
        return ()


class Setup:
    """A worker's loop with both its ends in our hands, and the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, beating: bool = True, workers: int = 1) -> None:
        self.now_ms = 1_000
        monkeypatch.setattr(module.clock, "now_ms", lambda: self.now_ms)
        self.hub, end = inprocess.pair()
        self.explorer = ToldExplorer()
        monkeypatch.setattr(type(end), "size", workers + 1)
        self.loop = WorkerLoop("problem", "node7", end, self.explorer, beating=beating)

    def say(self, *messages) -> None:
        self.hub.send(Peer(1), codec.encode(messages))
        self.loop.turn()

    def heard(self) -> list[FromWorker]:
        return [message for _, frame in self.hub.receive() for message in codec.decode_from_worker(frame)]


@pytest.fixture
def setup(monkeypatch) -> Setup:
    made = Setup(monkeypatch)
    (hello,) = made.heard()
    assert isinstance(hello, Hello)
    assert ("problem", "node7", HEARTBEAT_MS) == (hello.fingerprint, hello.host, hello.heartbeat_ms)
    made.say(Welcome(WORKER))
    assert [GetJob(WORKER)] == made.heard()
    return made


def test_a_lease(setup):
    """Protects the way of a job: from the coordinator to the explorer, and what was found back."""
    setup.say(Bundle(LEASE, (JOB,)))
    assert [Begin(LEASE, (JOB,))] == setup.explorer.orders
    setup.explorer.tells = [HandedOver(LEASE, 5, b"\x05", 1000, 1)]
    assert setup.loop.turn()
    report, ask = setup.heard()
    assert Report(LEASE, 1, 5, b"\x05", 1000, 1) == report
    assert isinstance(ask, GetJob)
    setup.say(Ack(LEASE, 1))
    assert not setup.loop.turn()
    assert setup.loop.worker.lease is None


def test_heartbeats(setup):
    """Protects a worker whose job takes hours from being declared dead; and one that cannot explore from seeming alive."""
    setup.say(Bundle(LEASE, (JOB,)))
    for _ in range(3):
        setup.now_ms += HEARTBEAT_MS
        setup.loop.turn()
        assert [Alive(WORKER, (LEASE,))] == setup.heard()
    setup.explorer.able = False
    setup.now_ms += 10 * HEARTBEAT_MS
    setup.loop.turn()
    assert setup.heard() == []
    setup.explorer.able = True
    setup.loop.turn()
    assert [Alive(WORKER, (LEASE,))] == setup.heard()


@pytest.mark.parametrize("word", [Stop(), Finished()])
def test_leaves(setup, word):
    """Protects the end of a run: a worker that is told to leave says goodbye and is done."""
    assert not setup.loop.left
    setup.say(word)
    assert [Goodbye(WORKER)] == setup.heard()
    assert setup.loop.left


def test_no_promise_without_isolation(monkeypatch):
    """Protects a worker whose own process runs the user's code: it promises no heartbeat, so that none is missed."""
    made = Setup(monkeypatch, beating=False)
    assert 0 == made.heard()[0].heartbeat_ms
    made.say(Welcome(WORKER), Bundle(LEASE, (JOB,)))
    made.heard()
    made.now_ms += 100 * HEARTBEAT_MS
    made.loop.turn()
    assert not [message for message in made.heard() if isinstance(message, Alive)]


def test_one_of_many(monkeypatch):
    """Protects rank 0 of a large world: the more ranks there are, the less often each of them shows a sign of life and reports."""
    made = Setup(monkeypatch, workers=40_000)
    (hello,) = made.heard()
    assert 12_000 == hello.heartbeat_ms
    assert made.now_ms + 10_000 == made.loop.worker.wake_at_ms()  # to say hello again
    made.say(Welcome(WORKER), Bundle(LEASE, (JOB,)))
    assert [GetJob(WORKER)] == made.heard()
    made.now_ms += 9_999
    made.loop.turn()
    assert ([Begin(LEASE, (JOB,))], []) == (made.explorer.orders, made.heard())
    made.now_ms += 1
    made.loop.turn()
    assert ([Ask(LEASE, Want.CHECKPOINT)], []) == (made.explorer.orders[1:], made.heard())
    made.now_ms += 2_000
    made.loop.turn()
    assert [Alive(WORKER, (LEASE,))] == made.heard()


def test_waits_on_the_explorer(setup):
    """Protects a core: the wait is a wait."""
    setup.loop.wait(0.0)
    assert not setup.loop.restless


def test_calm(setup):
    """Protects both latency and cores: what somebody waits for is followed by another look at once, what goes on is not."""
    setup.hub.send(Peer(1), codec.encode([Bundle(LEASE, (JOB,))]))
    assert setup.loop.turn()
    setup.explorer.tells = [HandedOver(LEASE, 5, b"\x05", 1000, 1, remaining=(JOB,))]
    assert not setup.loop.turn()
    setup.hub.send(Peer(1), codec.encode([Ack(LEASE, 1)]))
    assert not setup.loop.turn()
    setup.explorer.tells = [HandedOver(LEASE, 5, b"\x05", 1000, 1, remaining=(JOB,), shared=(JOB,))]
    assert setup.loop.turn()


def test_careful_is_awaited(setup):
    """Protects the speed at which a bad node is found: under a careful lease the explorer waits for every answer."""
    setup.say(Bundle(LEASE, (JOB,), careful=True))
    setup.explorer.tells = [HandedOver(LEASE, 0, b"", 0, 0, remaining=(JOB,))]
    assert setup.loop.turn()
