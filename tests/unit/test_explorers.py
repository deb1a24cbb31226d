"""An explorer in a process of its own: it may die, hang or be deaf, and whoever gives it orders never waits for it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

import msgspec
import pytest
from support.commands import alive, children, wait_until
from support.toys import LEASE, begin, binary

from parry_mpi.core.ids import LeaseId
from parry_mpi.core.worker import Abandon, Ask, Begin, Died, FromExplorer, Go, HandedOver, Want
from parry_mpi.errors import PeerLost
from parry_mpi.job import Job
from parry_mpi.runtime import explorers
from parry_mpi.runtime.explorers import InlineExplorer, ProcessExplorer, explore_in_child
from parry_mpi.runtime.guardian import nursery_beside
from parry_mpi.runtime.nursery import Answer, Ended, Spawned

WHOLE_TREE = 127


def forever() -> None:
    while True:
        signal.pause()


@pytest.fixture
def explore():
    """Make a ProcessExplorer whose nodes do as they are told."""
    before, made = set(children(os.getpid())), []

    def make(doing: dict[int, Callable[[], object]]) -> ProcessExplorer:
        task = binary(doing=doing)
        made.append(ProcessExplorer(nursery_beside(lambda: lambda end: explore_in_child(task, None, end))))
        return made[-1]

    yield make
    for each in made:
        each.close()
    for pid in set(children(os.getpid())) - before:
        os.waitpid(pid, 0)


def word(explorer: ProcessExplorer) -> FromExplorer:
    """Wait for the next thing it tells."""
    (told,) = wait_until(explorer.turn, "it told something")
    return told


def nodes(told: FromExplorer) -> int:
    assert isinstance(told, HandedOver)
    assert told.nodes == (msgspec.msgpack.decode(told.value) if told.nodes else 0)
    return told.nodes


def test_explores(explore):
    """Protects the count across processes: what comes back is what the oracle finds."""
    explorer = explore({})
    explorer.order(begin())
    assert nodes(word(explorer)) == WHOLE_TREE
    assert explorer.able
    assert not explorer.wants_turn


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda: os._exit(3), "its process left with exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGUSR2), "killed by signal 12"),
        (lambda: bytearray(1 << 62), "it ran out of memory"),
        (lambda: os.closerange(0, 1000), "its process"),  # it fails at its next word, or is ended because nothing is heard of it
        (lambda: os._exit(4) if os.fork() else forever(), "its process left with exit code 4"),
    ],
    ids=["leaves", "crashes", "no memory", "closes its files", "leaves a copy of itself"],
)
def test_dies_and_is_replaced(explore, how, reason):
    """Protects a worker from its explorer's death, in any way: it is told why, and the next one stands ready."""
    explorer = explore({5: how})
    explorer.order(begin())
    told = word(explorer)
    assert isinstance(told, Died)
    assert reason in told.reason
    explorer.order(Begin(LeaseId(8), (Job(msgspec.msgpack.encode(6)),)))
    assert nodes(word(explorer)) == 31


def test_abandoned_in_the_users_code(explore):
    """Protects Die: an explorer that is deep in the user's code is stopped all the same, and nobody waits for that."""
    explorer = explore({5: forever})
    explorer.order(begin())
    explorer.order(Abandon(LeaseId(6)))
    explorer.order(Abandon(LEASE))
    explorer.order(Begin(LeaseId(8), (Job(msgspec.msgpack.encode(6)),)))
    assert nodes(word(explorer)) == 31


def test_deaf(explore):
    """Protects heartbeats: orders to a stopped explorer, however large, do not hold its supervisor up."""
    explorer = explore({})
    os.kill(explorer._child.pid, signal.SIGSTOP)
    explorer.order(begin(*[Job(msgspec.msgpack.encode(64), depth=depth) for depth in range(300_000)]))
    began_at_s = time.monotonic()
    assert [] == explorer.turn() + explorer.turn()
    assert time.monotonic() - began_at_s < 5
    assert explorer.able
    explorer.order(Abandon(LEASE))
    explorer.order(begin())
    assert nodes(word(explorer)) == WHOLE_TREE


def test_careful_over_the_connection(explore):
    """Protects careful leases: explored in stretches, with the order to go on between them."""
    explorer = explore({})
    explorer.order(begin(careful=True))
    assert nodes(word(explorer)) == 0
    explorer.order(Go(LEASE, 3))
    assert nodes(word(explorer)) == 3
    explorer.order(Go(LEASE, 0))
    assert nodes(word(explorer)) == WHOLE_TREE - 3


def test_death_between_leases_is_nobodys(explore):
    """Protects jobs from blame for the death of an explorer that had none: it is replaced, and that is all."""
    explorer = explore({})
    os.kill(explorer._child.pid, signal.SIGKILL)
    first = explorer._child
    wait_until(lambda: explorer.turn() or explorer._child is not first, "it was replaced")
    explorer.order(begin())
    assert nodes(word(explorer)) == WHOLE_TREE


def test_nursery_dies(explore):
    """Protects from waiting for explorers that nobody can start any more."""
    before = set(children(os.getpid()))
    explorer = explore({})
    (nursery,) = set(children(os.getpid())) - before
    os.kill(nursery, signal.SIGKILL)
    wait_until(lambda: not alive(nursery), "it was gone")
    with pytest.raises(PeerLost):
        wait_until(explorer.turn, "it told something")


class ScriptedNursery:
    """Stands in for a nursery on a machine that cannot fork, or that does not answer. It gives the answers that it was told to."""

    def __init__(self, *answers: Answer) -> None:
        self.script = list(answers)
        self.ends: list[socket.socket] = []
        self.killed: list[int] = []

    def spawn(self, end):
        self.ends.append(end.dup())

    def kill(self, pid):
        self.killed.append(pid)

    def answers(self, timeout_s=0.0):
        answers, self.script = self.script, []
        return answers

    def fileno(self):
        return 0

    def close(self):
        for end in self.ends:
            end.close()


def test_machine_that_cannot_fork(monkeypatch):
    """Protects a worker on a machine that is out of processes: it asks again after a while, and the lease waits."""
    nursery = ScriptedNursery(Spawned(0, "Resource temporarily unavailable"))
    explorer = ProcessExplorer(nursery)
    explorer.order(begin())
    assert explorer.turn() == []
    assert len(nursery.ends) == 1
    now_ms = explorers.clock.now_ms()
    monkeypatch.setattr(explorers.clock, "now_ms", lambda: now_ms + explorers.RESPAWN_MS)
    assert explorer.turn() == []
    assert len(nursery.ends) == 2
    nursery.script = [Spawned(4711)]
    assert explorer.turn() == []
    assert explorer._child.pid == 4711
    explorer.close()


def test_nursery_that_does_not_answer(monkeypatch):
    """Protects jobs of a worker that cannot explore: it falls silent, so that they go elsewhere, and recovers."""
    nursery = ScriptedNursery(Spawned(1))
    explorer = ProcessExplorer(nursery)
    explorer.order(begin())
    explorer.order(Abandon(LEASE))
    assert [1] == nursery.killed
    assert explorer.able
    now_ms = explorers.clock.now_ms()
    monkeypatch.setattr(explorers.clock, "now_ms", lambda: now_ms + explorers.ANSWER_MS_MAX + 1000)
    assert not explorer.able
    explorer.order(begin())
    explorer.order(Abandon(LEASE))
    nursery.script = [Ended(1, 9), Spawned(2)]
    explorer.turn()
    assert [1, 2] == nursery.killed
    nursery.script = [Spawned(3)]
    explorer.turn()
    assert (3, True) == (explorer._child.pid, explorer.able)
    explorer.close()


def test_abandoned_before_it_could_be_forked():
    """Protects from forking explorers that nobody wants any more."""
    nursery = ScriptedNursery(Spawned(0, "no"))
    explorer = ProcessExplorer(nursery)
    explorer.order(begin())
    explorer.order(Abandon(LEASE))
    assert len(nursery.ends) == 2
    nursery.script = [Spawned(0, "still no")]
    explorer.order(begin())
    explorer.order(Abandon(LEASE))
    explorer.turn()
    nursery.script = [Spawned(5)]
    explorer.turn()
    assert (5, []) == (explorer._child.pid, nursery.killed)
    explorer.close()


def test_inline():
    """Protects --isolation none: the same orders and answers, in the worker's own process."""
    explorer = InlineExplorer(binary(), None)
    assert (False, True, ()) == (explorer.wants_turn, explorer.able, tuple(explorer.filenos()))
    assert explorer.turn() == []
    explorer.order(begin())
    assert explorer.wants_turn
    explorer.order(Ask(LEASE, Want.SURRENDER))
    (told,) = wait_until(explorer.turn, "it told something")
    assert nodes(told) < WHOLE_TREE
    explorer.close()
