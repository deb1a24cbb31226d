"""The bridge: its real process, real sockets, workers that come and go, and a network that does its worst."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest
from support.bridges import ALICE, COORDINATOR_KEY, Scene, Worker, key_of
from support.commands import ROOT, alive, command_line, started, wait_until
from support.proxy import Faults, FaultyProxy

from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError, ProblemError, UsageError
from parry_mpi.transport import tcp
from parry_mpi.transport.bridge.end import OUTSIDE, BridgeTransport
from parry_mpi.transport.bridge.pair import HEADER
from parry_mpi.transport.tcp import Address
from parry_mpi.wire.session import FRAME_SIZE_BYTES_MAX

BOB = key_of("bob")


def memory_bytes_max(pid: int) -> int:
    """The most memory that a process had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


# Workers


def test_several_workers(tmp_path):
    """Protects the point of the bridge: workers from outside are heard and spoken to, each as itself."""
    with Scene(tmp_path, ALICE.public.line, BOB.public.line) as here:
        alice, first = here.joined()
        bob, second = here.joined(BOB)
        again, third = here.joined()
        assert [OUTSIDE, OUTSIDE + 1, OUTSIDE + 2] == [first, second, third] == here.bridge.peers
        assert here.bridge.size == 4
        for worker, peer in ((alice, first), (bob, second), (again, third)):
            here.echo(worker, peer)
        assert {first: 1, second: 1, third: 1} == {peer: len(frames) for peer, frames in here.inbox.items()}
        assert f"bob@lab ({BOB.public.fingerprint}) from 127.0.0.1" == here.bridge.describe(second)
        joined = [facts for event, facts in here.notes if event == "outside connected"]
        assert [first, second, third] == [facts["peer"] for facts in joined]
        assert joined[1]["key"] == BOB.public.fingerprint
        assert joined[1]["address"].startswith("127.0.0.1:")


def test_secrets_stay_secret(tmp_path):
    """Protects the coordinator's key: it is not on a command line or in an environment, where others can read it."""
    with Scene(tmp_path) as here:
        folder = Path(f"/proc/{here.bridge.pid}")
        shown = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        assert b"bridge.process" in shown
        secret = COORDINATOR_KEY.to_openssh().splitlines()
        assert not any(line in shown for line in secret if line)


def test_reconnected(tmp_path):
    """Protects work in progress: a worker whose connection breaks is the same peer when it is back, and nothing was lost."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        for _ in range(3):
            count = worker.connections_count
            worker.break_connection()
            here.until(lambda count=count: worker.connected and worker.connections_count > count, "it was back")
            here.echo(worker, peer)
        assert ([peer], []) == (here.bridge.peers, here.failed)
        assert "the coordinator ended the connection" in worker.last_trouble


def test_not_back_in_time(tmp_path):
    """Protects the run: who does not come back is given up, and who comes back later is somebody else."""
    with Scene(tmp_path, reconnect_ms=100) as here:
        worker, peer = here.joined(name=b"n" * 16)
        worker.close(orderly=True, code=0)
        here.until(lambda: here.failed, "the worker was given up")
        assert ([peer], []) == (here.failed, here.bridge.peers)
        here.bridge.send(peer, b"nobody gets it, and that is no mistake")
        _, other = here.joined(name=b"n" * 16)
        assert other == peer + 1


def test_half_open_connection_is_replaced(tmp_path):
    """Protects workers behind firewalls that forget: the old connection, which seems alive, does not stand in the new one's way."""
    with Scene(tmp_path, f"connections=1 {ALICE.public.line}") as here:
        old, peer = here.joined(name=b"n" * 16)
        here.workers.remove(old)  # it does nothing any more
        new = here.worker(name=b"n" * 16)
        here.until(lambda: new.connected, "the new connection was there")
        here.echo(new, peer)
        assert ([peer], []) == (here.bridge.peers, here.failed)
        assert here.notes[-1][0] == "outside connected"
        old.close(orderly=True, code=0)


def test_forgotten_peer(tmp_path):
    """Protects the run from workers that it gave up: they are not heard any more, and come back as somebody else."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        here.bridge.send(peer, bytes(1_000_000))
        here.bridge.forget(peer)
        here.bridge.send(peer, b"not sent")
        assert 0 == here.bridge.unsent_bytes
        here.until(lambda: here.bridge.peers == [peer + 1], "it came back as another peer")
        here.echo(worker, Peer(peer + 1))
        assert here.failed == []


def test_last_words_arrive(tmp_path):
    """Protects outside workers from waiting for ever: what the coordinator says last reaches them before the bridge ends."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        worker.say(b"unread by the coordinator")
        for _ in range(10):
            here.bridge.send(peer, bytes(100_000))
        here.bridge.send(peer, b"finished")
        here.workers.remove(worker)
        ending = threading.Thread(target=here.bridge.close, kwargs={"orderly": True, "code": 0})
        ending.start()
        wait_until(lambda: worker.turn() or b"finished" in worker.inbox, "the worker heard the end")
        worker.close(orderly=True, code=0)
        ending.join()


def test_wrong_use(tmp_path):
    """Protects us from our own bugs: frames for nobody, for everybody's memory, or after the end are refused where they arise."""
    with Scene(tmp_path) as here:
        _, peer = here.joined()
        for stranger in (0, 1, peer + 1, -1):
            with pytest.raises(LocalProtocolError, match="does not exist"):
                here.bridge.send(Peer(stranger), b"")
        with pytest.raises(ProblemError, match="use smaller nodes"):
            here.bridge.send(peer, bytes(FRAME_SIZE_BYTES_MAX + 1))
        here.bridge.close(orderly=False, code=0)
        with pytest.raises(LocalProtocolError, match="after the end"):
            here.bridge.send(peer, b"")
        assert here.bridge.fileno() == -1


def test_address_in_use(tmp_path):
    """Protects users: that the port is taken is said in one line, with the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^cannot listen on 127.0.0.1:{port}: .*Address already in use; choose another"):
            BridgeTransport("127.0.0.1", port, COORDINATOR_KEY, tmp_path / "authorized_keys")


# Too much at once


def test_coordinator_is_behind(tmp_path):
    """Protects the memory of rank 0's machine: while rank 0 takes nothing, senders are slowed down, and nothing is lost."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        here.workers.remove(worker)
        before = memory_bytes_max(here.bridge.pid)
        for number in range(64):
            worker.say(number.to_bytes(4, "big") + bytes(2**20))
        left: list[int] = []

        def stuck() -> bool:
            worker.turn()
            left.append(worker.unsent_bytes)
            return left[-25:] == [left[-1]] * 25

        wait_until(stuck, "nothing more was taken from the worker")
        assert worker.unsent_bytes > 2**25
        here.workers.append(worker)
        here.until(lambda: len(here.inbox[peer]) == 64, "all had arrived")
        assert list(range(64)) == [int.from_bytes(frame[:4], "big") for frame in here.inbox[peer]]
        assert worker.connections_count == 1
        assert memory_bytes_max(here.bridge.pid) - before < 2**25


# The process


def test_bridge_process_dies(tmp_path):
    """Protects the run: without the bridge it goes on, the outside workers are given up, and one note says what happened."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        os.kill(here.bridge.pid, signal.SIGKILL)
        here.until(lambda: here.failed, "the peers were given up")
        assert ([peer], 1, -1) == (here.failed, here.bridge.size, here.bridge.fileno())
        lost = [facts["why"] for event, facts in here.notes if event == "bridge lost"]
        assert 1 == len(lost)
        assert "exit code -9" in lost[0]
        here.bridge.send(peer, b"nobody gets it")
        assert not here.bridge.progress()
        here.until(lambda: not worker.connected and worker.last_trouble, "the worker noticed")


def test_signals_to_the_group(tmp_path):
    """Protects an orderly stop: the signal that a launcher sends to everybody ends rank 0, which then needs the bridge."""
    with Scene(tmp_path) as here:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(here.bridge.pid, number)
        worker, peer = here.joined()
        here.echo(worker, peer)


def test_bridge_process_has_a_bug(tmp_path):
    """Protects whoever has to find our bugs: what went wrong in the bridge process is in the note, and not lost with it."""
    with Scene(tmp_path) as here:
        here.bridge._socket.send(HEADER.pack(255, 0, 0))
        here.until(lambda: here.bridge.fileno() < 0 and here.notes, "it was noted")
        event, facts = here.notes[-1]
        assert ("bridge lost", True) == (event, "255 is not a valid Kind" in facts["why"])


RANK_0 = """
import os, signal, sys
from pathlib import Path
from support.bridges import Scene
here = Scene(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    os.write(1, f"{os.getpid()} {here.bridge.fileno()}\\n".encode())
    signal.pause()
print(here.bridge.pid, flush=True)
signal.pause()
"""


def test_rank_0_dies(tmp_path):
    """Protects the machine: the bridge process ends with rank 0, also when a fork of that lives on."""
    (tmp_path / "rank_0.py").write_text(RANK_0)
    environment = {"PYTHONPATH": str(ROOT / "tests"), "PYTHONWARNINGS": "ignore"}
    with started((sys.executable, tmp_path / "rank_0.py", tmp_path), environment=environment) as rank_0:
        wait_until(lambda: rank_0.stdout.count("\n") == 2, "both had started")
        lines = sorted(rank_0.stdout.splitlines(), key=lambda line: line.count(" "))
        bridge, (fork, handle) = int(lines[0]), map(int, lines[1].split())
        try:
            assert ("bridge.process" in command_line(bridge), -1) == (True, handle)
            rank_0.process.kill()
            wait_until(lambda: not alive(bridge), "the bridge process had ended")
            assert alive(fork)
        finally:
            os.kill(fork, signal.SIGKILL)


# A network that does its worst


def test_faulty_network(tmp_path, monkeypatch):
    """Protects everything above: whatever a network does to the bytes, what arrives is what was sent, or nothing."""
    monkeypatch.setattr(tcp, "FRAME_MS", 500)
    faults = Faults(delay_s_max=0.05)
    with Scene(tmp_path, frame_ms=500) as here, FaultyProxy(here.bridge.address, seed=7, faults=faults) as proxy:
        here.address = Address(*proxy.address, COORDINATOR_KEY.public)
        worker, peer = here.joined()
        chance, heard, under_way = random.Random(7), set(), set()
        frames = {chance.randbytes(chance.randrange(3_000)) for _ in range(40)}
        connections = []

        def all_arrived() -> bool:
            """Say again what was under way when the connection broke, as the protocol above does."""
            for one in here.bridge.peers:
                for frame in here.inbox.pop(one, []):
                    here.bridge.send(one, frame)
            heard.update(worker.inbox)
            if [worker.connections_count] != connections:
                connections[:] = [worker.connections_count]
                under_way.clear()
            under_way.difference_update(heard)
            for frame in sorted(frames - heard - under_way)[: 10 - len(under_way)] if worker.connected else ():
                worker.say(frame)
                under_way.add(frame)
            return heard == frames

        try:
            here.until(all_arrived, "all frames had come back")
        finally:
            print(proxy)
        assert frames == set(worker.inbox)
        assert worker.connections_count > 1
        assert worker.error is None
        assert set(here.failed) <= {peer}


def test_coordinator_that_moved(tmp_path):
    """Protects workers that outlive a coordinator: they ask where it is before each attempt, and find the next one."""
    places: list[Address | None] = [None]
    worker = Worker(lambda: places[0])
    wait_until(lambda: worker.turn() or "nobody knows where" in worker.last_trouble, "it had asked")
    for life in range(2):
        (tmp_path / str(life)).mkdir()
        with Scene(tmp_path / str(life)) as here:
            places[0] = here.address
            here.workers.append(worker)
            here.until(lambda: worker.connected and here.bridge.peers, "the worker found it")
            here.echo(worker, Peer(OUTSIDE))
            here.workers.clear()
            worker.break_connection()
    assert (2, None) == (worker.connections_count, worker.error)
    worker.close(orderly=True, code=0)
