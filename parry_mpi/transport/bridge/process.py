"""The bridge process: lets workers from outside in over TCP, and hands rank 0 nothing but what is verified.

`python -m parry_mpi.transport.bridge.process FD` is started by end.py, is told all else over the socket pair FD, and
ends when that closes. A process of its own, so that neither signatures nor attackers ever hold rank 0's interpreter lock.

This module must not know what a frame says, nor print anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parry_mpi import companion
from parry_mpi.errors import EXIT_INTERNAL, RemoteProtocolError
from parry_mpi.transport.base import OUTSIDE
from parry_mpi.transport.bridge.authorized import AuthorizedKeys, content_of
from parry_mpi.transport.bridge.outsider import Outsider
from parry_mpi.transport.bridge.pair import (
    PIECE_BYTES,
    Configuration,
    Joined,
    Kind,
    Listening,
    Note,
    Records,
    decoded,
    encoded,
    record,
)
from parry_mpi.wire.keys import read_private_key
from parry_mpi.wire.session import RefusalCode, refusal

LOOK_S = 0.1
"""How often it is looked who is late; everything that is measured so may take longer by this."""

FLUSH_S = 2.0
"""How long the end waits for peers to take what was sent to them."""

LEAVING_MAX = 64
"""Connections that are given time to read why they are ended; whoever comes beyond that is closed at once."""

BACKLOG = 256
"""Connections that the kernel keeps until they are taken up: as many workers may come at the same instant."""

SPARE_FILES = 32 + LEAVING_MAX
"""File descriptors that are not connections of peers."""

TO_RANK_0_BYTES_MAX = 4 * 2**20
"""While more than this waits for rank 0 to take it, nobody is read: TCP then slows the senders down."""

NOTES_AT_ONCE, NOTES_PER_S = 200, 2.0
"""Notes of refusals that may come in a burst, and the rate in the long run: whoever can connect could fill the disk with the log."""


@dataclass
class PeerState:
    """A worker process from outside, known by its key and the name that it gave itself.

    Args:
        number: what rank 0 calls it.
        outsider: its connection, or None just now.
        lost_at_s: when it lost its connection.
    """

    number: int
    outsider: Outsider | None
    lost_at_s: float = 0.0


Facts = dict[str, str | int]
"""What is told about an event."""

Identity = tuple[bytes, bytes]
"""A peer's key and name."""


class ToRank0(asyncio.Protocol):
    """This end of the socket pair."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._records = Records()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=TO_RANK_0_BYTES_MAX)

    def data_received(self, data: bytes) -> None:
        for kind, peer, content in self._records.take(data):
            if kind is Kind.SEND:
                self._bridge.send(peer, content)
            elif kind is Kind.FORGET:
                self._bridge.forget(peer)
            elif kind is Kind.CLOSE:
                self._bridge.ending.set()

    def connection_lost(self, error: Exception | None) -> None:
        # Either rank 0 is gone, and with it everything that could be said to anybody, or this is a bug of ours, which it will tell.
        with contextlib.suppress(OSError):
            sys.stderr.write("" if error is None else f"{error!r}\n")
            sys.stderr.flush()
        os._exit(0 if error is None else EXIT_INTERNAL)

    def pause_writing(self) -> None:
        self._bridge.pause(paused=True)

    def resume_writing(self) -> None:
        self._bridge.pause(paused=False)

    def write(self, kind: Kind, peer: int = 0, content: bytes = b"") -> None:
        """Send a record to rank 0."""
        if self._transport is not None:
            self._transport.write(record(kind, peer, content))


class Bridge:
    """Who is connected, who may be, and what is told to rank 0.

    Args:
        configuration: as rank 0 gave it.
        loop: whose clock counts.

    Attributes:
        ending: set when rank 0 wants it to end.
    """

    def __init__(self, configuration: Configuration, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = configuration.limits
        self.key = read_private_key(configuration.private_key, "the bridge's key")
        self.keys = AuthorizedKeys(Path(configuration.authorized_keys))
        self.rank_0 = ToRank0(self)
        self.ending = asyncio.Event()
        self._loop = loop
        self._connections_max = min(self.limits.connections_max, _files_max() - SPARE_FILES)
        self._outsiders: set[Outsider] = set()  # all but those that are leaving
        self._strangers: dict[Outsider, None] = {}  # who has not joined, in the order of arrival
        self._leaving: set[Outsider] = set()
        self._emptied = asyncio.Event()
        self._peers: dict[Identity, PeerState] = {}
        self._identities: dict[int, Identity] = {}
        self._next = OUTSIDE
        self._paused = False
        self._notes_left = float(NOTES_AT_ONCE)
        self._notes_at_s = loop.time()
        self._notes_withheld = 0

    # What connections ask and tell

    def arrived(self, outsider: Outsider) -> None:
        """Give a new connection a place, or end it."""
        self._outsiders.add(outsider)
        crowd = [one for one in self._strangers if one.address == outsider.address]
        self._strangers[outsider] = None
        if len(self._outsiders) > self._connections_max:
            self._turn_away(outsider, f"there are {self._connections_max} connections already")
        elif len(crowd) >= self.limits.strangers_per_address_max and not outsider.from_loopback:
            self._make_room(outsider, crowd[0], "too many connections from this address have not shown who they are")
        elif len(self._strangers) > self.limits.strangers_max:
            self._make_room(outsider, next(iter(self._strangers)), "too many connections have not shown who they are")

    def _make_room(self, newcomer: Outsider, oldest: Outsider, why: str) -> None:
        late = (self._loop.time() - oldest.began_at_s) * 1000 > self.limits.stranger_ms
        self._turn_away(oldest if late else newcomer, why)

    def _turn_away(self, outsider: Outsider, why: str) -> None:
        """Refuse for want of room, which the other end takes for what it is, and tries again."""
        self._refused(outsider, why)
        self._end(outsider, why, b"" if outsider.answered else refusal(RefusalCode.BUSY))

    def may_join(self, outsider: Outsider, key: bytes) -> str:
        """Say why not; "" if it may.

        Raises:
            RemoteProtocolError: nobody can tell just now. It is not told that: it would take it for a final answer.
        """
        identity = (key, outsider.session.name)
        authorized = self.keys.keys.get(key)
        if not self.keys.readable and identity not in self._peers:
            raise RemoteProtocolError("the authorised keys cannot be read, so nobody new gets in")
        if authorized is None:
            return "this key is not authorised"
        others = sum(one.outsider is not None for other, one in self._peers.items() if other[0] == key and other != identity)
        if authorized.connections_max is not None and others >= authorized.connections_max:
            return f"this key has the {authorized.connections_max} connections already that it may have"
        return ""

    def joined(self, outsider: Outsider) -> None:
        """Make a peer of a connection; one that is still there from the same worker process cannot be alive."""
        key = outsider.session.peer_key
        assert key is not None
        identity = (key.raw, outsider.session.name)
        self._strangers.pop(outsider, None)
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._peers[identity] = PeerState(self._next, None)
            self._identities[self._next] = identity
            self._next += 1
        replaced, peer.outsider = peer.outsider, outsider
        outsider.number = peer.number
        if replaced is not None:
            self._end(replaced, "replaced by a new connection of the same worker")
        authorized = self.keys.keys.get(key.raw)
        comment = authorized.key.comment if authorized else ""
        description = f"{comment} ({key.fingerprint})".lstrip() + f" from {outsider.address}"
        self.rank_0.write(Kind.JOINED, peer.number, encoded(Joined(description)))
        facts: Facts = {"peer": peer.number, "address": outsider.place, "key": key.fingerprint, "comment": comment}
        self._note("outside connected", facts)
        if self._paused:
            outsider.pause(paused=True)

    def received(self, outsider: Outsider, payload: bytes) -> None:
        """Hand a verified frame to rank 0."""
        self.rank_0.write(Kind.RECEIVED, outsider.number, payload)

    def refuse(self, outsider: Outsider, why: str) -> None:
        """End a connection whose other end did something wrong."""
        if not outsider.leaving:
            self._refused(outsider, why)
            self._end(outsider, why, outsider.session.take_outgoing())

    def left(self, outsider: Outsider) -> None:
        """Forget a connection that is gone; its peer may come back."""
        self._strangers.pop(outsider, None)
        self._outsiders.discard(outsider)
        self._leaving.discard(outsider)
        if not self._leaving:
            self._emptied.set()
        self._detach(outsider)

    # What rank 0 says

    def send(self, number: int, payload: bytes) -> None:
        """Send a frame to a peer; nobody gets it if that is not connected just now."""
        peer = self._peers.get(self._identities.get(number, (b"", b"")))
        if peer is not None and peer.outsider is not None:
            peer.outsider.send(payload)

    def forget(self, number: int) -> None:
        """Drop a peer that rank 0 does not want any more."""
        self._drop(number, "given up by the coordinator")

    def pause(self, *, paused: bool) -> None:
        """Read from nobody while rank 0 is behind."""
        self._paused = paused
        for outsider in self._outsiders:
            if outsider.number:
                outsider.pause(paused=paused)

    # Time

    def look(self) -> None:
        """End what is late, and give up who did not come back."""
        now_s = self._loop.time()
        for outsider in list(self._outsiders):
            if why := outsider.overdue(now_s, paused=self._paused):
                self.refuse(outsider, why)
        for identity, peer in list(self._peers.items()):
            if peer.outsider is None and (now_s - peer.lost_at_s) * 1000 > self.limits.reconnect_ms:
                self._lose(identity)

    async def watch_keys(self) -> None:
        """Take up what is changed in the file of authorised keys, for ever. A file system that hangs holds up nothing else."""
        while True:
            self.take_up_keys(await asyncio.to_thread(content_of, self.keys.path))
            await asyncio.sleep(self.limits.keys_look_ms / 1000)

    def take_up_keys(self, content: bytes | None) -> None:
        """Drop whose key is not authorised any more, at once."""
        for complaint in self.keys.update(content):
            self._note("authorised keys", {"why": complaint})
        for number, identity in list(self._identities.items()):
            if identity[0] not in self.keys.keys:
                peer = self._peers[identity]
                if peer.outsider is not None:
                    self._refused(peer.outsider, "its key was removed from the authorised ones")
                self._drop(number, "its key was removed from the authorised ones")

    async def end(self) -> None:
        """Let everybody take what was sent to them, for a bounded time."""
        for outsider in list(self._outsiders):
            self._end(outsider, "the coordinator ends", linger_anyway=True)
        if self._leaving:
            self._emptied.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._emptied.wait(), FLUSH_S)

    def trouble(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell what asyncio could not handle; it has ended the connection in question."""
        self._note("bridge trouble", {"why": f"{context.get('message')}: {context.get('exception')!r}"}, scarce=True)

    # Ends

    def _drop(self, number: int, why: str) -> None:
        """End a peer for good."""
        identity = self._identities.get(number)
        if identity is None:
            return
        outsider = self._peers[identity].outsider
        if outsider is not None:
            self._end(outsider, why)
        self._lose(identity)

    def _lose(self, identity: Identity) -> None:
        peer = self._peers.pop(identity)
        del self._identities[peer.number]
        self.rank_0.write(Kind.LOST, peer.number)

    def _end(self, outsider: Outsider, why: str, last_words: bytes = b"", *, linger_anyway: bool = False) -> None:
        if outsider not in self._outsiders:
            return
        self._outsiders.discard(outsider)
        self._strangers.pop(outsider, None)
        linger = linger_anyway or len(self._leaving) < LEAVING_MAX
        self._leaving.add(outsider)
        outsider.leave(why, last_words, linger=linger)
        self._detach(outsider)

    def _detach(self, outsider: Outsider) -> None:
        """Take the connection from its peer, unless that has another already."""
        identity = self._identities.get(outsider.number)
        if identity is not None and self._peers[identity].outsider is outsider:
            self._peers[identity].outsider = None
            self._peers[identity].lost_at_s = self._loop.time()
        if outsider.number:
            facts: Facts = {
                "peer": outsider.number,
                "address": outsider.place,
                "key": outsider.key_text,
                "why": outsider.why_left,
            }
            self._note("outside disconnected", facts)
            outsider.number = 0

    # Notes

    def _refused(self, outsider: Outsider, why: str) -> None:
        self._note("outside refused", {"address": outsider.place, "key": outsider.key_text, "why": why}, scarce=True)

    def _note(self, event: str, facts: Facts, *, scarce: bool = False) -> None:
        """Tell something for the log.

        Args:
            event: what happened.
            facts: about it.
            scarce: anybody can cause it, so that it is told only so often. What was not told is counted in the next one.
        """
        if scarce:
            now_s = self._loop.time()
            self._notes_left = min(NOTES_AT_ONCE, self._notes_left + (now_s - self._notes_at_s) * NOTES_PER_S)
            self._notes_at_s = now_s
            if self._notes_left < 1:
                self._notes_withheld += 1
                return
            self._notes_left -= 1
            if self._notes_withheld:
                facts = {**facts, "withheld_count": self._notes_withheld}
                self._notes_withheld = 0
        self.rank_0.write(Kind.NOTE, 0, encoded(Note(event, facts)))


def _files_max() -> int:
    """Allow this process as many open files as the system lets it, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        hard = soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens at the first address of this name.

    Raises:
        OSError: it cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(BACKLOG)
    return listener


def _configuration(end: socket.socket) -> Configuration:
    """Wait for the first record."""
    records = Records()
    while True:
        data = end.recv(PIECE_BYTES)
        if not data:
            os._exit(0)
        for kind, _, content in records.take(data):
            assert kind is Kind.CONFIGURATION
            return decoded(content, Configuration)


async def serve(end: socket.socket) -> None:
    """Do all there is to do, from the first record to the end.

    Args:
        end: of the socket pair.
    """
    loop = asyncio.get_running_loop()
    parent = os.getppid()
    configuration = _configuration(end)
    bridge = Bridge(configuration, loop)
    loop.set_exception_handler(bridge.trouble)
    try:
        listener = _listening(configuration.host, configuration.port)
    except (OSError, UnicodeError, OverflowError) as error:
        end.sendall(record(Kind.FAILED, 0, str(error).encode()))
        return
    end.sendall(record(Kind.LISTENING, 0, encoded(Listening(*listener.getsockname()[:2]))))
    end.setblocking(False)
    await loop.create_connection(lambda: bridge.rank_0, sock=end)
    bridge.take_up_keys(content_of(bridge.keys.path))
    server = await loop.create_server(lambda: Outsider(bridge, loop), sock=listener, backlog=BACKLOG)
    watching = asyncio.create_task(bridge.watch_keys())
    while not bridge.ending.is_set() and not watching.done() and os.getppid() == parent:
        try:
            await asyncio.wait_for(bridge.ending.wait(), LOOK_S)
        except asyncio.TimeoutError:
            bridge.look()
    server.close()
    if watching.done():
        watching.result()  # raises what ended it
    await bridge.end()


def main() -> None:
    """Run the bridge process."""
    (end,) = companion.begin()
    logging.getLogger("asyncio").addHandler(logging.NullHandler())
    code = 0
    try:
        asyncio.new_event_loop().run_until_complete(serve(end))
    except BaseException:  # noqa: BLE001 its last line is what rank 0 tells
        traceback.print_exc()
        code = EXIT_INTERNAL
    finally:
        os._exit(code)  # without waiting for a thread that a file system holds


if __name__ == "__main__":
    main()
