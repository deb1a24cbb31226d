"""A bridge with its real process, workers that join it over real sockets, and outsiders who do what they should not.

This module must not know what a test expects.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parry_mpi.core.ids import Peer
from parry_mpi.errors import AuthenticationError
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.transport.bridge.end import BridgeTransport, Limits
from parry_mpi.transport.tcp import Address, TcpTransport
from parry_mpi.wire.keys import PrivateKey, new_private_key
from parry_mpi.wire.session import ClientSession
from support.commands import wait_until

READ_S = 20
"""How long an outsider waits for an answer."""

numbers = itertools.count(1)


def key_of(name: str) -> PrivateKey:
    """The key of somebody: always the same."""
    return new_private_key(name.encode().ljust(32, b"."), f"{name}@lab")


COORDINATOR_KEY, ALICE, MALLORY = key_of("coordinator"), key_of("alice"), key_of("mallory")
"""Alice is authorised from the start, Mallory is not."""


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Worker(TcpTransport):
    """A worker's end; what it receives is kept.

    Attributes:
        inbox: all frames.
        error: what ended it, or None.
    """

    def __init__(
        self, find: Callable[[], Address | None], key: PrivateKey = ALICE, name: bytes | None = None, seed: int | None = None
    ) -> None:
        number = next(numbers)
        super().__init__(find, key, name or number.to_bytes(16, "big"), now_ms, random.Random(number if seed is None else seed))
        self.inbox: list[bytes] = []
        self.error: AuthenticationError | None = None

    def turn(self) -> None:
        if self.error is not None:
            return
        try:
            self.inbox += [frame for _, frame in self.receive()]
        except AuthenticationError as error:
            self.error = error
        self.progress()

    def say(self, frame: bytes) -> None:
        self.send(COORDINATOR, frame)

    def break_connection(self) -> None:
        """Do what a network does that forgets a connection."""
        assert self._socket is not None
        self._socket.shutdown(socket.SHUT_RDWR)


class Scene:
    """A bridge and whoever connects to it; for the length of a `with`.

    Args:
        folder: an empty one.
        lines: of the file of authorised keys; Alice's, if there are none.
        limits: of the bridge, those that are not as usual.

    Attributes:
        inbox: what came from each peer.
        failed: the peers that failed, in that order.
        notes: all of them so far.
    """

    def __init__(self, folder: Path, *lines: str, **limits: int) -> None:
        self.authorized_keys = folder / "authorized_keys"
        self.authorize(*(lines or (ALICE.public.line,)))
        self.bridge = BridgeTransport("127.0.0.1", 0, COORDINATOR_KEY, self.authorized_keys, Limits(**limits))
        self.address = Address(*self.bridge.address, COORDINATOR_KEY.public)
        self.workers: list[Worker] = []
        self.outsiders: list[socket.socket] = []
        self.inbox: dict[Peer, list[bytes]] = defaultdict(list)
        self.failed: list[Peer] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.close(orderly=True, code=0)
        for outsider in self.outsiders:
            outsider.close()
        self.bridge.close(orderly=True, code=0)

    def authorize(self, *lines: str) -> None:
        """Replace the file of authorised keys, as an editor does."""
        new = self.authorized_keys.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self.authorized_keys)

    # Everybody

    def turn(self) -> None:
        for peer, frame in self.bridge.receive():
            self.inbox[peer].append(frame)
        self.failed += sorted(self.bridge.failed_peers())
        self.notes += self.bridge.notes()
        self.bridge.progress()
        for worker in self.workers:
            worker.turn()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Let everybody go on until something is so."""

        def look() -> Any:
            self.turn()
            return condition()

        try:
            return wait_until(look, what)
        except AssertionError as error:
            troubles = [worker.last_trouble for worker in self.workers]
            raise AssertionError(f"{error}\nnotes: {self.notes}\nworkers: {troubles}") from None

    # Workers

    def worker(self, *arguments: Any, **named: Any) -> Worker:
        """A worker that has not joined yet."""
        self.workers.append(Worker(lambda: self.address, *arguments, **named))
        return self.workers[-1]

    def joined(self, *arguments: Any, **named: Any) -> tuple[Worker, Peer]:
        """A worker that has joined, and its number."""
        before = set(self.bridge.peers)
        worker = self.worker(*arguments, **named)
        new = self.until(lambda: worker.connected and set(self.bridge.peers) - before, "the worker joined")
        return worker, new.pop()

    def echo(self, worker: Worker, peer: Peer, text: bytes = b"") -> None:
        """See that frames go both ways."""
        frame = text or b"echo %d" % next(numbers)
        worker.say(frame)
        self.until(lambda: frame in self.inbox[peer], "the coordinator heard the worker")
        self.bridge.send(peer, frame)
        self.until(lambda: frame in worker.inbox, "the worker heard the coordinator")

    # Outsiders

    def connect(self, *, receive_bytes: int = 0) -> socket.socket:
        """Connect, and say nothing."""
        outsider = socket.socket()
        self.outsiders.append(outsider)
        if receive_bytes:
            outsider.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        outsider.settimeout(READ_S)
        outsider.connect(self.bridge.address)
        return outsider

    def session(self, key: PrivateKey = ALICE, **named: Any) -> tuple[socket.socket, ClientSession, bytes]:
        """Join, and return the socket, the session and all that was sent so far."""
        outsider = self.connect(**named)
        session = ClientSession(key, COORDINATOR_KEY.public, next(numbers).to_bytes(16, "big"), random.randbytes(32))
        sent = b""
        while not session.established:
            data = session.take_outgoing()
            outsider.sendall(data)
            sent += data
            session.receive(outsider.recv(1 << 16))
        return outsider, session, sent

    def refusals(self, why: str) -> list[dict[str, Any]]:
        """What is noted about refusals for a reason that contains this."""
        return [facts for event, facts in self.notes if event == "outside refused" and why in facts["why"]]

    def refused(self, outsider: socket.socket, why: str, key: PrivateKey | None = None) -> dict[str, Any]:
        """Wait until somebody was refused, see that it is noted who, and that the connection ends."""
        place = "{}:{}".format(*outsider.getsockname())
        found = self.until(lambda: [one for one in self.refusals(why) if one["address"] == place], f"it was refused: {why}")
        assert [key.public.fingerprint if key else ""] == [one["key"] for one in found]
        with contextlib.suppress(ConnectionError):
            while outsider.recv(1 << 20):
                pass
        return found[0]
