"""The worker's end of the bridge: one TCP connection to the coordinator, made again whenever it breaks.

Nothing here waits, except for the name service, and that only while there is no connection. What is sent while there is none is
dropped, and so is what was under way when it broke: the protocol above repeats what matters.

This module must not know what a frame says, nor read a clock.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from parry_mpi.core.ids import Peer
from parry_mpi.errors import AuthenticationError, LocalProtocolError, RemoteProtocolError
from parry_mpi.transport.base import COORDINATOR, FRAMES_AT_ONCE
from parry_mpi.wire.keys import PrivateKey, PublicKey
from parry_mpi.wire.session import ClientSession

PIECE_BYTES = 1 << 18
"""What one call reads or writes at most."""

CONNECT_MS = 10_000
"""How long a connection may take to come about: a firewall that swallows packets never answers."""

HANDSHAKE_MS = 10_000
"""How long the coordinator may take to show who it is; as long as it waits for us."""

FRAME_MS, FRAME_BYTES_PER_S_MIN = 10_000, 64 * 1024
"""How long a frame that has begun may take, beside what its bytes take at the lowest speed that is usable. A length that was damaged
on the way would otherwise be waited for without end; and the coordinator holds a worker for lost that is not heard for 15 s."""

RETRY_MS_MIN, RETRY_MS_MAX = 100, 10_000
"""The longest pause before the second attempt, and before any; each pause is drawn between nothing and a bound that doubles, so that
workers that lost the coordinator at the same instant do not come back at the same instant."""

STEADY_MS = 5_000
"""A connection that lasted so long was a good one: after it the pauses begin anew."""

FAILURES_MAX_ONCE_CONNECTED = 3
"""A shorter one shows at least that the coordinator is there: after it a pause is below a second, and still not so short that what goes
wrong every time would keep the coordinator busy."""

REFUSALS_MAX = 3
"""So many handshakes in a row must fail with the same words before it is final: a byte that was damaged on the way looks like a forger,
once."""

KEEPALIVE_OPTIONS = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""A coordinator whose machine vanished is noticed after a minute, if nothing is sent to it; and so are firewalls that forget."""

UNACKNOWLEDGED_MS = 60_000
"""What was sent and is not acknowledged by the other machine for so long ends the connection."""


class Jitter(Protocol):
    """Random numbers that keep workers apart; no secrets."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return one between a and b."""


@dataclass(frozen=True)
class Address:
    """Where the coordinator is, and by which key it is known.

    Args:
        host: a name or an address.
        port: of TCP.
        server_key: nobody who has not this key is talked to.
    """

    host: str
    port: int
    server_key: PublicKey

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass
class Leaving:
    """A signed frame on its way.

    Args:
        data: what is still to be written of it.
        frame_bytes: how much of it counts as unsent.
    """

    data: memoryview
    frame_bytes: int


class TcpTransport:
    """The worker's end. Only one thread may use it.

    Args:
        find: asked before every attempt where the coordinator is; None: nobody knows just now.
        key: the worker's.
        name: 16 random bytes of this worker process.
        now_ms: milliseconds of a clock that never goes back.
        random: for the pauses between attempts.

    Attributes:
        size: the two ends.
        unsent_bytes: how much was handed to send() and is still held here.
        connected: whether frames can go both ways now.
        disconnected_since_ms: since when not; None if connected. At first the time at which this was made.
        connections_count: how often a session was established.
        last_trouble: one line: why the last attempt failed, or the last connection ended; "" before.
    """

    size = 2

    def __init__(
        self,
        find: Callable[[], Address | None],
        key: PrivateKey,
        name: bytes,
        now_ms: Callable[[], int],
        random: Jitter,
    ) -> None:
        self.unsent_bytes = 0
        self.disconnected_since_ms: int | None = now_ms()
        self.connections_count = 0
        self.last_trouble = ""
        self._find = find
        self._key = key
        self._name = name
        self._now_ms = now_ms
        self._random = random
        self._address: Address | None = None
        self._candidates: deque[tuple[int, Any]] = deque()  # families and addresses that are still to be tried
        self._socket: socket.socket | None = None
        self._session: ClientSession | None = None  # None until the connection is there
        self._handshake = bytearray()  # what it wants to have written
        self._step_until_ms = 0  # when connecting, or then the handshake, has taken too long
        self._established_at_ms = 0
        self._frame_at_ms: int | None = None  # when the frame began that has come in part
        self._attempt_at_ms = now_ms()
        self._failures_count = 0
        self._refusals_count = 0
        self._refusal = ""
        self._arrived: deque[bytes] = deque()
        self._outgoing: deque[Leaving] = deque()
        self._closed = False

    @property
    def connected(self) -> bool:
        return self.disconnected_since_ms is None

    def arrived(self) -> bool:
        """Whether something came in of which no file descriptor tells."""
        return False

    def filenos(self) -> tuple[int, ...]:
        """File descriptors to wait on until something can be received; empty while there is no connection."""
        return () if self._socket is None or self._session is None else (self._socket.fileno(),)

    # In

    def receive(self) -> list[tuple[Peer, bytes]]:
        """Return frames that have arrived, and go on connecting if there is no connection.

        Raises:
            AuthenticationError: the coordinator is not the one with that key, or does not let us in. Trying again cannot help.
        """
        self._drive()
        while len(self._arrived) < FRAMES_AT_ONCE and self._read():
            pass
        self._look_at_frame()
        count = min(len(self._arrived), FRAMES_AT_ONCE)
        return [(COORDINATOR, self._arrived.popleft()) for _ in range(count)]

    def failed_peers(self) -> set[Peer]:
        return set()  # the coordinator is looked for until somebody closes this

    # Out

    def send(self, peer: Peer, frame: bytes) -> None:
        if self._closed or peer != COORDINATOR:
            raise LocalProtocolError(f"a frame for peer {peer}, {'after the end' if self._closed else 'who does not exist'}")
        if self._session is not None and self._session.established:
            self._outgoing.append(Leaving(memoryview(self._session.seal(frame)), len(frame)))
            self.unsent_bytes += len(frame)

    def progress(self) -> bool:
        self._drive()
        while self._outgoing:
            assert self._socket is not None  # without a connection nothing is kept
            first = self._outgoing[0]
            try:
                sent = self._socket.send(first.data[:PIECE_BYTES])
            except BlockingIOError:
                return True
            except OSError as error:
                # What it said before it went away may still be there to be read.
                self._drop_outgoing()
                self.last_trouble = self._trouble(f"the connection broke: {_text(error)}")
                break
            first.data = first.data[sent:]
            if not first.data:
                self._outgoing.popleft()
                self.unsent_bytes -= first.frame_bytes
        return bool(self._outgoing)

    def forget(self, peer: Peer) -> None:
        if peer == COORDINATOR:
            self._disconnect("given up")
            self._attempt_at_ms = -1

    def close(self, *, orderly: bool, code: int) -> None:
        """End the connection; whoever wants the last frames to arrive calls progress() until it says that nothing is left."""
        if self._closed:
            return
        if self._socket is not None:  # whoever has no connection now needs none any more
            self.progress()
        self._closed = True
        if self._socket is not None:
            # With something unread a closed socket answers by a reset, and what we said last might not be heard.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
                while self._socket.recv(PIECE_BYTES):
                    pass
        self._disconnect("closed")

    # Connecting

    def _drive(self) -> None:
        """Do what there is to do about the connection, without waiting."""
        if self._closed or self.connected or self._attempt_at_ms < 0:
            return
        now_ms = self._now_ms()
        if self._socket is None:
            if now_ms >= self._attempt_at_ms:
                self._attempt(now_ms)
            return
        if self._session is None:
            self._look_whether_connected(now_ms)
        if self._session is not None:
            self._write_handshake()
        self._look_at_time(now_ms)

    def _look_at_time(self, now_ms: int) -> None:
        if self._socket is None or now_ms < self._step_until_ms:
            return
        what, allowed_ms = ("no connection", CONNECT_MS) if self._session is None else ("no proper answer", HANDSHAKE_MS)
        self._fail(f"{what} within {allowed_ms // 1000} s")

    def _attempt(self, now_ms: int) -> None:
        """Begin to connect to the next address of the coordinator."""
        if not self._candidates and not self._look_up():
            return
        family, address = self._candidates.popleft()
        try:
            self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            _set_options(self._socket)
            self._step_until_ms = now_ms + CONNECT_MS
            with contextlib.suppress(BlockingIOError):
                self._socket.connect(address)
        except OSError as error:
            self._fail(_text(error))

    def _look_up(self) -> bool:
        """Find out where the coordinator is."""
        self._address = self._find()
        if self._address is None:
            self._fail("nobody knows where the coordinator is")
            return False
        try:
            found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._fail(f"the name cannot be looked up: {_text(error)}")
            return False
        self._candidates.extend((family, address) for family, _, _, _, address in found)
        return True

    def _look_whether_connected(self, now_ms: int) -> None:
        assert self._socket is not None and self._address is not None
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        if not poll.poll(0):
            return
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(os.strerror(error))
            return
        self._session = ClientSession(self._key, self._address.server_key, self._name, os.urandom(32))
        self._step_until_ms = now_ms + HANDSHAKE_MS

    def _write_handshake(self) -> None:
        assert self._socket is not None and self._session is not None
        self._handshake += self._session.take_outgoing()
        try:
            while self._handshake:
                del self._handshake[: self._socket.send(self._handshake)]
        except BlockingIOError:
            pass
        except OSError:
            self._handshake.clear()  # what it said before, a refusal perhaps, may still be read

    # The connection

    def _read(self) -> bool:
        """Read once; False if there is nothing to be read."""
        if self._socket is None or self._session is None:
            return False
        try:
            data = self._socket.recv(PIECE_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            self._fail(f"the connection broke: {_text(error)}")
            return False
        if not data:
            self._fail("the coordinator ended the connection")
            return False
        was_established = self._session.established
        try:
            payloads = self._session.receive(data)
        except RemoteProtocolError as error:
            self._fail(str(error))
            return False
        except AuthenticationError as error:
            # Once the session stands it is about a frame, and anybody on the way may have changed that: it proves nothing.
            if not was_established:
                self._refusals_count = self._refusals_count + 1 if str(error) == self._refusal else 1
                self._refusal = str(error)
            final = self._refusals_count >= REFUSALS_MAX
            self._fail(str(error))
            if final:
                self._attempt_at_ms = -1
                raise AuthenticationError(self.last_trouble) from None
            return False
        self._arrived.extend(payloads)
        if not self._session.buffered_bytes:
            self._frame_at_ms = None
        elif payloads or self._frame_at_ms is None:
            self._frame_at_ms = self._now_ms()
        if self._session.established and not was_established:
            self._establish()
        elif not was_established:
            self._write_handshake()
        return True

    def _look_at_frame(self) -> None:
        """End a connection over which a frame does not get to its end."""
        if self._session is None or self._frame_at_ms is None:
            return
        bytes_count = self._session.buffered_bytes
        if self._now_ms() - self._frame_at_ms > FRAME_MS + bytes_count * 1000 // FRAME_BYTES_PER_S_MIN:
            self._fail(f"a frame does not arrive: {bytes_count} bytes of it are here")

    def _establish(self) -> None:
        self.disconnected_since_ms = None
        self.connections_count += 1
        self._refusals_count = 0
        self._established_at_ms = self._now_ms()
        self._candidates.clear()

    def _fail(self, why: str) -> None:
        """End what there is of a connection, and arrange for the next attempt."""
        now_ms = self._now_ms()
        if self.connected:
            steady = now_ms - self._established_at_ms >= STEADY_MS
            self._failures_count = 0 if steady else min(self._failures_count, FAILURES_MAX_ONCE_CONNECTED)
        self._disconnect(why)
        if self._candidates:
            self._attempt_at_ms = now_ms
            return
        bound_ms = min(RETRY_MS_MAX, RETRY_MS_MIN << min(self._failures_count, 20))
        self._failures_count += 1
        self._attempt_at_ms = now_ms + round(self._random.uniform(0, bound_ms))

    def _disconnect(self, why: str) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = self._session = None
        self._handshake.clear()
        self._frame_at_ms = None
        self._drop_outgoing()
        self.last_trouble = self._trouble(why)
        if self.connected:
            self.disconnected_since_ms = self._now_ms()

    def _drop_outgoing(self) -> None:
        self._outgoing.clear()
        self.unsent_bytes = 0

    def _trouble(self, why: str) -> str:
        return f"{self._address}: {why}" if self._address is not None else why


def _set_options(end: socket.socket) -> None:
    """Send small frames at once, and notice when the other machine is gone."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (*KEEPALIVE_OPTIONS, ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS)):
        if hasattr(socket, name):
            end.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
