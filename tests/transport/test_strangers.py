"""Who gets in over the bridge and who does not: keys that come and go, and people who should not be there at all."""

from __future__ import annotations

import struct

import pytest
from support.bridges import ALICE, MALLORY, Scene, key_of

from parry_mpi.core.ids import Peer
from parry_mpi.transport.bridge.end import OUTSIDE
from parry_mpi.transport.tcp import Address
from parry_mpi.wire.session import FRAME_SIZE_BYTES_MAX

BOB = key_of("bob")


# Keys


def test_key_removed(tmp_path):
    """Protects who takes a right back: the worker is gone as soon as its line is, its jobs are free, and it is told why."""
    with Scene(tmp_path, ALICE.public.line, BOB.public.line) as here:
        alice, first = here.joined()
        bob, second = here.joined(BOB)
        here.authorize(BOB.public.line)
        here.until(lambda: first in here.failed, "the peer had failed")
        assert here.refusals("its key was removed")[0]["key"] == ALICE.public.fingerprint
        here.until(lambda: alice.error, "the worker knew")
        assert "this key is not authorised" in str(alice.error)
        here.echo(bob, second)
        assert [second] == here.bridge.peers


def test_unauthorised_key(tmp_path):
    """Protects the run from strangers: a key that is not listed does not get in, is told so once, and the log says who it was."""
    with Scene(tmp_path) as here:
        stranger = here.worker(MALLORY)
        here.until(lambda: stranger.error, "the stranger was refused")
        assert "this key is not authorised" in str(stranger.error)
        assert here.address.host in str(stranger.error)
        here.until(lambda: len(here.refusals("not authorised")) == 3, "each attempt was noted")
        assert {MALLORY.public.fingerprint} == {facts["key"] for facts in here.refusals("")}
        assert here.bridge.size == 1


def test_key_added(tmp_path):
    """Protects whoever authorises a key during a run: it counts from then on, without a restart."""
    with Scene(tmp_path) as here:
        here.authorize(ALICE.public.line, MALLORY.public.line)

        def got_in() -> bool:
            if not here.workers or here.workers[-1].error:  # it was faster than the look at the file
                here.worker(MALLORY)
            return here.workers[-1].connected

        here.until(got_in, "the new key got in")


def test_wrong_coordinator(tmp_path):
    """Protects workers from impostors: a coordinator with another key is refused, loudly, and hears nothing."""
    with Scene(tmp_path) as here:
        here.address = Address(*here.bridge.address, MALLORY.public)
        worker = here.worker()
        here.until(lambda: worker.error, "the worker refused")
        assert "NOT YOUR COORDINATOR" in str(worker.error)
        assert (0, 1) == (worker.connections_count, here.bridge.size)


def test_connections_of_a_key(tmp_path):
    """Protects a shared allocation: a key that may have two connections has no third one, until one of them is gone."""
    with Scene(tmp_path, f"connections=2 {ALICE.public.line}", reconnect_ms=100) as here:
        here.joined()
        second, peer = here.joined()
        third = here.worker()
        here.until(lambda: third.error, "the third was refused")
        assert "2 connections already" in str(third.error)
        second.close(orderly=True, code=0)
        here.until(lambda: peer in here.failed, "one of them was gone")
        here.joined()


def test_keys_that_make_no_sense(tmp_path):
    """Protects who edits the file with a slip: the bad line is named and skipped, and a removed key is out all the same."""
    with Scene(tmp_path, ALICE.public.line, BOB.public.line) as here:
        here.joined()
        bob, second = here.joined(BOB)
        here.authorize("# comment", BOB.public.line, "ssh-ed25519 nonsense")
        here.until(lambda: here.failed, "the removed key was out")
        complaints = [facts["why"] for event, facts in here.notes if event == "authorised keys"]
        assert 1 == len(complaints)
        assert "line 3" in complaints[0]
        here.echo(bob, second)


def test_keys_that_cannot_be_read(tmp_path):
    """Protects a run whose file system has a bad moment: who is in stays, nobody new gets in, and everything is well afterwards."""
    with Scene(tmp_path) as here:
        worker, peer = here.joined()
        here.authorized_keys.rename(tmp_path / "elsewhere")
        here.until(lambda: [facts for event, facts in here.notes if "cannot be read" in facts.get("why", "")], "it was noted")
        newcomer = here.worker()
        here.until(lambda: here.refusals("cannot be read"), "nobody new got in")
        worker.break_connection()
        here.until(lambda: worker.connected and worker.connections_count == 2, "who was in came back")
        here.echo(worker, peer)
        (tmp_path / "elsewhere").rename(here.authorized_keys)
        here.until(lambda: newcomer.connected, "the newcomer got in at last")
        assert newcomer.error is None


# People who should not be there


def test_replay(tmp_path):
    """Protects the run from eavesdroppers: a recorded session, sent again, is refused before anything in it counts."""
    with Scene(tmp_path) as here:
        outsider, session, sent = here.session()
        frame = session.seal(b"once")
        outsider.sendall(frame)
        here.until(lambda: here.inbox[Peer(OUTSIDE)], "the frame came")
        parrot = here.connect()
        parrot.sendall(sent + frame)
        here.refused(parrot, "cannot sign with it")
        outsider.sendall(frame)
        here.refused(outsider, "somebody repeats", ALICE)
        assert {OUTSIDE: [b"once"]} == here.inbox


def test_a_crowd_of_idle_connections(tmp_path):
    """Protects work from a crowd at the door: 500 silent connections neither disturb a worker nor keep the next one out."""
    with Scene(tmp_path, stranger_ms=0) as here:
        worker, peer = here.joined()
        for number in range(500):
            here.connect()
            if number % 50 == 0:
                here.echo(worker, peer)
        here.echo(worker, peer)
        other, another_peer = here.joined()
        here.echo(other, another_peer)
        here.until(lambda: here.refusals("too many connections"), "the crowd was noted")
        assert worker.connections_count == 1


def test_no_room(tmp_path):
    """Protects workers that come when the house is full: they try again, and get in when somebody left."""
    with Scene(tmp_path, connections_max=1) as here:
        first, _ = here.joined()
        second = here.worker()
        here.until(lambda: "room later" in second.last_trouble, "the second was told")
        first.close(orderly=True, code=0)
        here.until(lambda: second.connected, "the second was in")


@pytest.mark.parametrize("length", [FRAME_SIZE_BYTES_MAX + 1, 2**32 - 1])
def test_oversize(tmp_path, length):
    """Protects the coordinator's memory: a length that is too large ends the connection before anything is kept."""
    with Scene(tmp_path) as here:
        outsider, _, _ = here.session()
        outsider.sendall(struct.pack(">IQ", length, 0))
        here.refused(outsider, f"a frame of {length} bytes is announced", ALICE)


def test_another_protocol(tmp_path):
    """Protects the bridge from whatever scans ports: what does not speak the protocol is told apart at once."""
    with Scene(tmp_path) as here:
        browser = here.connect()
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        here.refused(browser, "does not speak parry_mpi's protocol")


def test_endless_handshake(tmp_path):
    """Protects the places at the door: who never says who it is loses its place, and so does who only begins to."""
    with Scene(tmp_path, handshake_ms=200) as here:
        silent, slow = here.connect(), here.connect()
        slow.sendall(b"PARRYMPI")
        for outsider in (silent, slow):
            here.refused(outsider, "did not show who it is within 0.2 s")


def test_slow_sender(tmp_path):
    """Protects memory from authorised workers, too: a frame that has begun has to arrive."""
    with Scene(tmp_path, frame_ms=200) as here:
        worker, peer = here.joined()
        outsider, session, _ = here.session()
        outsider.sendall(session.seal(bytes(1_000))[:-1])
        here.refused(outsider, "too slow: 1075 bytes of a frame", ALICE)
        here.echo(worker, peer)
        assert here.inbox[Peer(OUTSIDE + 1)] == []


def test_who_does_not_read(tmp_path):
    """Protects the bridge's memory: a worker that leaves unread what it is sent is dropped, and nobody waits for it."""
    with Scene(tmp_path, unread_bytes_max=2**20) as here:
        outsider, _, _ = here.session(receive_bytes=1 << 14)
        here.until(lambda: here.bridge.peers, "it had joined")
        worker, peer = here.joined()

        def fed_up() -> bool:
            here.bridge.send(Peer(OUTSIDE), bytes(2**18))
            return bool(here.refusals("does not read"))

        here.until(fed_up, "it was dropped")
        here.echo(worker, peer)
        here.refused(outsider, "does not read", ALICE)


def test_who_reads_nothing_for_too_long(tmp_path):
    """Protects the bridge's memory: what one connection leaves unread is not kept for ever, however little it is."""
    with Scene(tmp_path, frame_ms=300) as here:
        outsider, _, _ = here.session(receive_bytes=1 << 14)
        here.until(lambda: here.bridge.peers, "it had joined")
        for _ in range(64):
            here.bridge.send(Peer(OUTSIDE), bytes(2**18))
        here.refused(outsider, "does not read", ALICE)
