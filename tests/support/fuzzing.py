"""Feed damaged bytes to everything that reads from the network: sessions at every stage, and the decoders of messages.

Inputs are what really is sent, changed in a few places; which, follows from a seed. What must hold is asserted here, for each input:
only the two documented errors, nothing believed that was not sent, and memory in proportion to the input.

This module must not run by itself: tests/fuzz.py does.
"""

from __future__ import annotations

import copy
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable

from parry_mpi.core.messages import FromWorker
from parry_mpi.errors import AuthenticationError, RemoteProtocolError
from parry_mpi.wire import codec
from parry_mpi.wire.session import Session
from support import sessions, vectors

MEMORY_BYTES_MAX, MEMORY_PER_INPUT_BYTE_MAX = 1 << 16, 200
"""What looking at one input may take at its height: a little for errors and states, and for each byte no more than the largest thing a
byte can stand for, a message or a job in a list."""

INPUT_BYTES_MAX = 4096

BOASTS = [
    bytes.fromhex(head)
    for head in ("ddffffffff", "dcffff", "dfffffffff", "c6ffffffff", "dbffffffff", "c9ffffffff01", "ffff", "00")
]
"""Heads that announce the longest array, map, bytes, string and extension that msgpack has; and extreme numbers."""

NESTING = [b"\x91", b"\x81\x01", b"\x92\x01"]


STAGES = (
    "the server before the hello",
    "the client before the hello",
    "the server before the proof",
    "the client before the answer",
)
"""Who waits for what in the handshake, in the order in which it happens."""


class Fuzzer:
    """One seeded stream of inputs.

    Args:
        seed: two streams with the same are the same.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.memory_bytes_peak = 0
        self._stages = _stages()
        self._frames = [codec.encode([message]) for message in vectors.MESSAGES]
        self._frames += [codec.encode([m for m in vectors.MESSAGES if isinstance(m, FromWorker)])]
        self._corpus = [*self._frames, *(data for _, data, _ in self._stages.values())]

    def run(self, count: int) -> None:
        """Feed so many inputs; assert what must hold of each."""
        tracemalloc.start()
        try:
            for _ in range(count):
                self._one()
        finally:
            tracemalloc.stop()

    def _one(self) -> None:
        target, data, feed = self._message() if self.random.random() < 0.5 else self._session()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            outcome = feed(data)
        except (AuthenticationError, RemoteProtocolError) as error:
            outcome = type(error).__name__
        except Exception as error:
            raise AssertionError(f"{target} fails with {error!r} at {data.hex()}") from error
        used_bytes = tracemalloc.get_traced_memory()[1] - before
        self.memory_bytes_peak = max(self.memory_bytes_peak, used_bytes)
        assert used_bytes <= MEMORY_BYTES_MAX + MEMORY_PER_INPUT_BYTE_MAX * len(data), (
            f"{target} takes {used_bytes} bytes at {data.hex()}"
        )
        self.counts[f"{target}: {outcome}"] += 1

    def _message(self) -> tuple[str, bytes, Callable[[bytes], str]]:
        decode = self.random.choice((codec.decode_from_worker, codec.decode_from_coordinator))

        def feed(data: bytes) -> str:
            decoded = decode(data)
            assert decoded == decode(codec.encode(decoded)), f"read and written differ at {data.hex()}"
            return "read"

        return decode.__name__, self._changed(self.random.choice(self._frames)), feed

    def _session(self) -> tuple[str, bytes, Callable[[bytes], str]]:
        name = self.random.choice(sorted(self._stages))
        stage, real, payloads = self._stages[name]
        receiver = _copied(stage)
        piece_bytes = self.random.choice((1, 13, INPUT_BYTES_MAX))

        def feed(data: bytes) -> str:
            received = sessions.feed(receiver, data, piece_bytes)
            assert received == payloads[: len(received)], f"{name} believes {data.hex()}"
            if receiver.established and not stage.established:
                assert data.startswith(real), f"{name} lets in {data.hex()}"
            assert receiver.buffered_bytes <= len(data)
            return "complete" if data.startswith(real) else "waits"

        return name, self._changed(real), feed

    def _changed(self, data: bytes) -> bytes:
        """Change some bytes in a few places; sometimes none."""
        changed = bytearray(data)
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 3, 8))):
            self._change(changed)
        return bytes(changed[:INPUT_BYTES_MAX])

    def _change(self, data: bytearray) -> None:
        draw = self.random
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.choice((1, 1, 2, 4, 8, 32)))
        match draw.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << draw.randrange(8)
            case 1 if at < len(data):
                data[at] = draw.randrange(256)
            case 2:
                data[at:at] = draw.randbytes(draw.choice((1, 2, 4, 16)))
            case 3:
                del data[at:end]
            case 4:
                del data[at:]
            case 5:
                data[at:at] = data[at:end] * draw.choice((1, 2, 50))
            case 6:
                data[at:end] = draw.choice(BOASTS)
            case 7:
                data[at:at] = draw.choice(NESTING) * draw.choice((1, 10, 1500))
            case _:
                other = draw.choice(self._corpus)
                begin = draw.randrange(len(other))
                data[at:at] = other[begin : begin + draw.choice((4, 64, 300))]


def _stages() -> dict[str, tuple[Session, bytes, list[bytes]]]:
    """Every state in which a session waits: the session, what it waits for, and the payloads in that."""
    client, server = sessions.client_session(), sessions.server_session()
    stages: dict[str, tuple[Session, bytes, list[bytes]]] = {}
    sender, receiver = client, server
    for name in STAGES:
        data = sender.take_outgoing()
        stages[name] = (_copied(receiver), data, [])
        receiver.receive(data)
        sender, receiver = receiver, sender
    payloads = [b"", b"payload", bytes(200)]
    for name, source, target in (("the server", client, server), ("the client", server, client)):
        stages[name] = (_copied(target), b"".join(map(source.seal, payloads)), payloads)
    return stages


def _copied(session: Session) -> Session:
    """The same session once more: its buffers are all that changes in place."""
    copied = copy.copy(session)
    copied._buffer, copied._outgoing = bytearray(session._buffer), bytearray(session._outgoing)
    return copied
