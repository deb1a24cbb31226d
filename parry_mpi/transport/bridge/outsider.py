"""One connection from outside, as the bridge process sees it: bytes through its session, and how long it may take for what.

This module must not know who else is connected: whom to let in is asked for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from typing import Protocol

from parry_mpi.errors import AuthenticationError, RemoteProtocolError
from parry_mpi.transport.bridge.pair import Limits
from parry_mpi.wire.keys import PrivateKey
from parry_mpi.wire.session import ServerSession

LINGER_S = 2.0
"""How long a connection that is being ended may take to read why: closed at once, what it has sent meanwhile would make the kernel
throw away what we wrote last."""

KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVES_MAX = 30, 10, 3
"""A machine that vanished is noticed after a minute, if nobody sends to it before."""


class Host(Protocol):
    """Who owns the connections."""

    limits: Limits
    key: PrivateKey

    def arrived(self, outsider: Outsider) -> None: ...
    def may_join(self, outsider: Outsider, key: bytes) -> str: ...
    def joined(self, outsider: Outsider) -> None: ...
    def received(self, outsider: Outsider, payload: bytes) -> None: ...
    def refuse(self, outsider: Outsider, why: str) -> None: ...
    def left(self, outsider: Outsider) -> None: ...


class Outsider(asyncio.Protocol):
    """A connection.

    Args:
        host: who is asked and told.
        loop: whose clock is used.

    Attributes:
        number: the peer's, once it has joined; 0 before.
        address, place: the other end's address, without and with its port.
        answered: something was written to it.
        leaving: it is being ended: what it sends is not read any more.
        why_left: the reason, for the log.
    """

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self.session = ServerSession(host.key, os.urandom(32), lambda key: host.may_join(self, key))
        self.number = 0
        self.address = self.place = ""
        self.began_at_s = loop.time()
        self.answered = False
        self.leaving = False
        self.why_left = ""
        self._frame_at_s: float | None = None
        self._unread_bytes = 0
        self._read_at_s = self.began_at_s

    @property
    def key_text(self) -> str:
        """The fingerprint of the key that it has shown, or only named; "" before."""
        return self.session.peer_key.fingerprint if self.session.peer_key else ""

    @property
    def from_loopback(self) -> bool:
        """Whether the other end is on this machine, or seems so through a tunnel."""
        try:
            return ipaddress.ip_address(self.address.removeprefix("::ffff:")).is_loopback
        except ValueError:
            return False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        name = transport.get_extra_info("peername") or ("unknown", 0)
        self.address = str(name[0])
        self.place = f"[{name[0]}]:{name[1]}" if ":" in self.address else f"{name[0]}:{name[1]}"
        keep_alive(transport.get_extra_info("socket"))
        self._host.arrived(self)

    def data_received(self, data: bytes) -> None:
        if self.leaving:
            return
        try:
            payloads = self.session.receive(data)
        except (AuthenticationError, RemoteProtocolError) as error:
            self._host.refuse(self, str(error))
            return
        self._write(self.session.take_outgoing())
        if self.session.established and not self.number:
            self._host.joined(self)
        for payload in payloads:
            self._host.received(self, payload)
        if not self.session.buffered_bytes:
            self._frame_at_s = None
        elif payloads or self._frame_at_s is None:
            self._frame_at_s = self._loop.time()

    def connection_lost(self, error: Exception | None) -> None:
        self.leaving = True
        self.why_left = self.why_left or (str(error) if error else "closed by the other end")
        self._host.left(self)

    # What the host calls

    def send(self, payload: bytes) -> None:
        """Send a signed frame; whoever has left too much unread is refused."""
        assert self._transport is not None
        if self.leaving:
            return
        if self._transport.get_write_buffer_size() > self._host.limits.unread_bytes_max:
            self._host.refuse(self, f"does not read: {self._transport.get_write_buffer_size()} bytes wait for it")
            return
        self._write(self.session.seal(payload))

    def pause(self, *, paused: bool) -> None:
        """Read nothing until further notice, or go on. Nobody is blamed for what was slow meanwhile."""
        if self.leaving or self._transport is None:
            return
        if paused:
            self._transport.pause_reading()
            return
        self._transport.resume_reading()
        if self._frame_at_s is not None:
            self._frame_at_s = self._loop.time()

    def overdue(self, now_s: float, *, paused: bool) -> str:
        """Say what this connection should have done by now; "" if nothing."""
        limits = self._host.limits
        if self.leaving or self._transport is None:
            return ""
        if not self.number and (now_s - self.began_at_s) * 1000 > limits.handshake_ms:
            return f"did not show who it is within {limits.handshake_ms / 1000:g} s"
        if self._frame_at_s is not None and not paused:
            allowed_s = limits.frame_ms / 1000 + self.session.buffered_bytes / limits.frame_bytes_per_s_min
            if now_s - self._frame_at_s > allowed_s:
                return f"too slow: {self.session.buffered_bytes} bytes of a frame in {now_s - self._frame_at_s:.1f} s"
        unread = self._transport.get_write_buffer_size()
        if not unread or unread < self._unread_bytes:
            self._read_at_s = now_s
        self._unread_bytes = unread
        if (now_s - self._read_at_s) * 1000 > limits.frame_ms:
            return f"does not read: {unread} bytes wait for it"
        return ""

    def leave(self, why: str, last_words: bytes = b"", *, linger: bool = True) -> None:
        """End the connection.

        Args:
            why: for the log.
            last_words: written before the end.
            linger: give it LINGER_S to read what was written. If not, what goes at once has to do.
        """
        if self.leaving or self._transport is None:
            return
        self._write(last_words)
        self.leaving, self.why_left = True, why
        self._transport.resume_reading()  # its own end has to be seen
        if linger:
            self._transport.write_eof()
            self._loop.call_later(LINGER_S, self._transport.abort)
        else:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self.answered = True
            self._transport.write(data)


def keep_alive(end: socket.socket) -> None:
    """Have the kernel notice when the other machine is gone."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", KEEPALIVES_MAX),
    ):
        if hasattr(socket, option):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
