"""The nursery forks explorers, ends them, tells of their ends, and leaves nobody behind; with real processes."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from support.commands import alive, children, wait_until

from parry_mpi.errors import PeerLost
from parry_mpi.runtime import processes
from parry_mpi.runtime.guardian import nursery_beside
from parry_mpi.runtime.nursery import Ended, Nursery, NurseryClient, Spawned, pair


def echo(end: socket.socket) -> None:
    """An explorer that answers whatever it is told with its process id, and "leave" by leaving."""
    while word := end.recv(100):
        if word == b"leave":
            processes.leave(5)
        end.send(str(os.getpid()).encode())


class Client(NurseryClient):
    """With what tests ask for."""

    def start(self) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        with theirs:
            self.spawn(theirs)
        (answer,) = self.answers(20)
        assert isinstance(answer, Spawned)
        return ours, answer.pid


@pytest.fixture
def nursery():
    ours, theirs = pair()
    parent = os.getpid()

    def serve() -> None:
        ours.close()
        Nursery(theirs, echo, parent).serve()

    pid = processes.fork_child(serve)
    theirs.close()
    client = Client(ours)
    client.nursery = pid
    yield client
    client.close()
    os.waitpid(pid, 0)


def test_spawn(nursery):
    """Protects the start of explorers: each has its own connection, and is the process that was told of."""
    first, first_pid = nursery.start()
    second, second_pid = nursery.start()
    for end, pid in ((first, first_pid), (second, second_pid)):
        end.send(b"who")
        assert str(pid).encode() == end.recv(100)
    assert first_pid != second_pid
    assert {first_pid, second_pid} == set(children(nursery.nursery))
    first.close()
    second.close()


def test_told_of_every_end(nursery):
    """Protects from waiting for an explorer that is gone, however it went."""
    end, pid = nursery.start()
    end.send(b"leave")
    assert [Ended(pid, 5 << 8)] == nursery.answers(20)
    end.close()
    end, pid = nursery.start()
    os.kill(pid, signal.SIGUSR2)
    (told,) = nursery.answers(20)
    assert signal.SIGUSR2 == os.WTERMSIG(told.status)
    end.close()


def test_kill(nursery):
    """Protects Die: an explorer is ended whatever it does, even stopped; one that is not the nursery's is left alone."""
    end, pid = nursery.start()
    os.kill(pid, signal.SIGSTOP)
    nursery.kill(os.getpid())
    nursery.kill(pid)
    assert [Ended(pid, signal.SIGKILL)] == nursery.answers(20)
    nursery.kill(pid)
    assert nursery.answers(0) == []
    end.close()


def test_explorer_ends_with_its_connection(nursery):
    """Protects a machine from explorers that nobody talks to any more."""
    end, pid = nursery.start()
    end.close()
    assert [Ended(pid, 0)] == nursery.answers(20)


def test_all_end_with_the_supervisor(nursery):
    """Protects a machine from explorers whose supervisor is gone, also of those that are stuck."""
    ends = [nursery.start() for _ in range(3)]
    os.kill(ends[1][1], signal.SIGSTOP)
    nursery.close()
    wait_until(lambda: not any(alive(pid) for _, pid in ends), "all were gone")
    for end, _ in ends:
        end.close()


def test_nursery_that_is_gone(nursery):
    """Protects a worker from waiting for a nursery that was killed: it learns it, whatever it wants."""
    os.kill(nursery.nursery, signal.SIGKILL)
    wait_until(lambda: not alive(nursery.nursery), "it was gone")
    with pytest.raises(PeerLost, match="run the same command again"):
        nursery.answers(20)
    with pytest.raises(PeerLost):
        nursery.kill(1)
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(PeerLost):
        nursery.spawn(theirs)


def test_ends_with_the_parent():
    """Protects a machine from a guardian whose launcher is gone, while its rank holds on to it."""
    ours, theirs = pair()
    reading, writing = os.pipe()

    def launcher() -> None:
        me = os.getpid()
        pid = processes.fork()
        if pid == 0:
            ours.close()
            Nursery(theirs, echo, me).serve()
            processes.leave(0)
        os.write(writing, str(pid).encode())
        threading.Event().wait()

    pid = processes.fork_child(launcher)
    theirs.close()
    nursery = int(os.read(reading, 20))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: not alive(nursery), "the nursery was gone")
    for handle in (reading, writing):
        os.close(handle)
    ours.close()


def test_beside():
    """Protects runs in one process: the nursery prepares once, then serves until it is let go."""
    prepared: list[int] = []

    def prepare() -> Callable[[socket.socket], None]:
        prepared.append(os.getpid())
        return lambda end: end.send(str(prepared[0]).encode())

    before = set(children(os.getpid()))
    client = nursery_beside(prepare)
    (nursery,) = set(children(os.getpid())) - before
    for _ in range(2):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            client.spawn(theirs)
            ours.settimeout(20)
            assert str(nursery).encode() == ours.recv(100)
    assert prepared == []
    client.close()
    os.waitpid(nursery, 0)
