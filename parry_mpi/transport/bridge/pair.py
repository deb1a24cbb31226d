"""What rank 0 and the bridge process say to each other over their socket pair: records with a fixed header, frames left as they are.

This module must not know sockets, and nothing in it is ever read from the network.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

import msgspec

HEADER = struct.Struct("!BQI")
"""Kind, peer (0: none), and the length of what follows in bytes."""

PIECE_BYTES = 1 << 18
"""What one call reads or writes at most; about what the kernel keeps for a socket."""

T = TypeVar("T")


class Kind(IntEnum):
    """What a record is. The first four go to the bridge process, the others come from it."""

    CONFIGURATION = 1
    FORGET = 2
    CLOSE = 3
    SEND = 4
    LISTENING = 5
    FAILED = 6
    JOINED = 7
    LOST = 8
    NOTE = 9
    RECEIVED = 10


class Limits(msgspec.Struct, frozen=True):
    """What outsiders may make the bridge spend. Each has a reason; all can be made small for a test.

    Args:
        connections_max: at one time, in all: what one process serves with ease; each may hold a frame in memory.
        strangers_max: connections at one time that have not yet shown who they are: a handshake takes milliseconds, so that few are
            under way even when hundreds of workers come at once.
        strangers_per_address_max: of these from one address. Loopback is exempt: through ssh tunnels every worker comes from there.
        stranger_ms: how long a connection may take to show who it is before a newcomer gets its place when there is no other. A
            flood of idle connections thus cannot keep workers out: it would have to be renewed every second.
        handshake_ms: how long it may take in any case.
        frame_ms: how long a frame that has begun may take to arrive, beside what its bytes take at ``frame_bytes_per_s_min``. Who
            does not read what is sent to it is given the same time. A length that was damaged on the way is found out by this, and
            before the coordinator holds the worker for lost.
        frame_bytes_per_s_min: the slowest line that is usable.
        unread_bytes_max: a connection that has more waiting for it than this is dropped when the next frame comes: a worker reads at
            once unless it or its machine is stuck. One frame may be larger, and is sent.
        reconnect_ms: a worker that comes back within this time after its connection broke keeps its peer number.
        keys_look_ms: how often the file of authorised keys is looked at.
    """

    connections_max: int = 1024
    strangers_max: int = 64
    strangers_per_address_max: int = 16
    stranger_ms: int = 1_000
    handshake_ms: int = 10_000
    frame_ms: int = 10_000
    frame_bytes_per_s_min: int = 64 * 1024
    unread_bytes_max: int = 64 * 2**20
    reconnect_ms: int = 5_000
    keys_look_ms: int = 200


class Configuration(msgspec.Struct):
    """What the bridge process has to know; the first record, so that the private key is neither in a file nor on a command line.

    Args:
        host, port: where to listen; port 0: anywhere.
        private_key: the coordinator's, in OpenSSH's format.
        authorized_keys: path of the file.
        limits: what outsiders may make it spend.
    """

    host: str
    port: int
    private_key: bytes
    authorized_keys: str
    limits: Limits


class Listening(msgspec.Struct):
    """Where the bridge really listens."""

    host: str
    port: int


class Joined(msgspec.Struct):
    """Who a new peer is.

    Args:
        description: for people: comment, fingerprint and address.
    """

    description: str


class Note(msgspec.Struct):
    """An event for the log."""

    event: str
    facts: dict[str, str | int]


class Records:
    """Cuts a stream of bytes into records."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def take(self, data: bytes) -> list[tuple[Kind, int, bytes]]:
        """Return the records that are complete now: kind, peer, content."""
        self._buffer += data
        records: list[tuple[Kind, int, bytes]] = []
        begin = 0
        while len(self._buffer) - begin >= HEADER.size:
            kind, peer, length = HEADER.unpack_from(self._buffer, begin)
            end = begin + HEADER.size + length
            if len(self._buffer) < end:
                break
            records.append((Kind(kind), peer, bytes(memoryview(self._buffer)[begin + HEADER.size : end])))
            begin = end
        if begin:
            del self._buffer[:begin]
        return records


def record(kind: Kind, peer: int = 0, content: bytes = b"") -> bytes:
    """Return the bytes of a record."""
    return HEADER.pack(kind, peer, len(content)) + content


def absolute(path: Path) -> str:
    """Return a path that means the same in another folder."""
    return str(path.absolute())


def encoded(content: msgspec.Struct) -> bytes:
    """Return a structure as the content of a record."""
    return msgspec.msgpack.encode(content)


def decoded(content: bytes, kind: type[T]) -> T:
    """Return the structure that is the content of a record."""
    return msgspec.msgpack.decode(content, type=kind)
