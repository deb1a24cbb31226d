"""A TCP proxy that does to a connection what networks, and people in between, do: delays, cuts, damages, repeats and reorders bytes.

What happens is drawn from a seed and placed by how many bytes have passed, so that a schedule does not depend on how the bytes come in
pieces. This module must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from dataclasses import dataclass, field

PIECE_BYTES = 1 << 16
CONNECT_S = 10
ENDS_S = 10
"""How long the proxy's threads may need to end."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for a connection that ends with a reset, as one does whose machine lost it."""

DELAY, CUT, DROP, DUPLICATE, REORDER, CORRUPT = KINDS = ("delay", "cut", "drop", "duplicate", "reorder", "corrupt")
"""drop: part of what was under way does not arrive, and then the connection is cut."""


@dataclass(frozen=True)
class Faults:
    """What a proxy does.

    Args:
        kinds: drawn from with equal chances; a kind may stand here twice.
        distance_bytes: how many bytes pass between two faults of one direction, on average. 0: nothing ever happens.
        delay_s_max: how long a delay holds up one direction at most.
        faults_max: after so many the network is healed.
    """

    kinds: tuple[str, ...] = KINDS
    distance_bytes: int = 20_000
    delay_s_max: float = 0.2
    faults_max: int = 1_000_000


NO_FAULTS = Faults(distance_bytes=0)


@dataclass(frozen=True)
class Happened:
    """One fault.

    Args:
        connection: its number, from 0.
        direction: "to server" or "to client".
        kind: one of KINDS.
        at_bytes: how many bytes had passed before.
    """

    connection: int
    direction: str
    kind: str
    at_bytes: int


@dataclass
class FaultyProxy:
    """A proxy on loopback, for the length of a `with`.

    Args:
        target: host and port of the server.
        seed: of everything that happens.
        faults: what happens.

    Attributes:
        address: where clients connect.
        connections_count: how many clients were connected.
        happened: every fault.
    """

    target: tuple[str, int]
    seed: int = 0
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.connections_count = 0
        self.happened: list[Happened] = []
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]

    def __enter__(self) -> FaultyProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes up accept()
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(ENDS_S)
            assert not thread.is_alive(), "a thread of the proxy does not end"

    def cut_all(self) -> None:
        """Cut every connection, now."""
        with self._lock:
            for end in self._ends:
                _cut(end)

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.happened}"

    def _start(self, run, *arguments) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            number, self.connections_count = self.connections_count, self.connections_count + 1
            try:
                server = socket.create_connection(self.target, CONNECT_S)
            except OSError:
                _cut(client)
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._ends |= {client, server}
            self._start(self._serve, number, client, server)

    def _serve(self, number: int, client: socket.socket, server: socket.socket) -> None:
        """Carry one connection until both directions have ended."""
        up = threading.Thread(target=self._carry, args=(number, "to server", client, server), daemon=True)
        up.start()
        self._carry(number, "to client", server, client)
        up.join()
        with self._lock:
            self._ends -= {client, server}
        client.close()
        server.close()

    def _carry(self, number: int, direction: str, source: socket.socket, sink: socket.socket) -> None:
        """Carry one direction."""
        chance = random.Random(f"{self.seed} {number} {direction}")
        passed, next_at = 0, self._distance(chance)
        try:
            while data := source.recv(PIECE_BYTES):
                while next_at is not None and passed + len(data) > next_at:
                    sink.sendall(data[: next_at - passed])
                    data = data[next_at - passed :]
                    passed = next_at
                    next_at += self._distance(chance) or 1
                    if len(self.happened) >= self.faults.faults_max:
                        next_at = None
                        break
                    kind = chance.choice(self.faults.kinds)
                    self.happened.append(Happened(number, direction, kind, passed))
                    data = self._befall(kind, data, chance)
                    if kind in {CUT, DROP}:
                        sink.sendall(data)
                        _cut(source)
                        _cut(sink)
                        return
                sink.sendall(data)
                passed += len(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            _cut(source)
            _cut(sink)

    def _distance(self, chance: random.Random) -> int | None:
        """Draw how far it is to the next fault."""
        return None if not self.faults.distance_bytes else round(chance.expovariate(1 / self.faults.distance_bytes)) + 1

    def _befall(self, kind: str, data: bytes, chance: random.Random) -> bytes:
        """Return what becomes of some bytes, at least one."""
        middle = chance.randrange(len(data))
        match kind:
            case "delay":
                self._ending.wait(chance.uniform(0, self.faults.delay_s_max))
                return data
            case "cut":
                return data
            case "drop":
                return data[:middle]
            case "duplicate":
                return data[: middle + 1] + data
            case "reorder":
                return data[middle:] + data[:middle]
            case _:
                return data[:middle] + bytes([data[middle] ^ (1 << chance.randrange(8))]) + data[middle + 1 :]


def _cut(end: socket.socket) -> None:
    """End a connection with a reset; whoever waits in a call on it is woken up."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        end.shutdown(socket.SHUT_RDWR)
