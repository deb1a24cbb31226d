"""What every transport must be able to do, told as conversations: one generator for each end, which yields whenever it waits.

In one process the ends take turns; on MPI ranks each rank runs its own. This module must not know which transport it is.
"""

from __future__ import annotations

import random
import select
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from parry_mpi.core.ids import Peer
from parry_mpi.transport.base import COORDINATOR, FRAMES_AT_ONCE, Transport

Side = Callable[[Transport], Iterator[None]]
"""One end of a conversation; it ends when its part is over."""

LARGE_SIZES_BYTES = (0, 1, 7, 1_000, 65_536, 300_000, 0, 2_000_000, 3)
"""Around the sizes at which MPI libraries change their ways, with small frames behind large ones."""

FLOOD_COUNT = 2_000
"""Many times what one call of receive() returns, and more than MPI libraries buffer."""

HUGE_BYTES = 100 * 2**20

LOOKS_MAX = 60_000
"""Far more looks, half a millisecond apart, than any frame takes."""


@dataclass(frozen=True)
class Conversation:
    """One thing that a transport must be able to do.

    Args:
        coordinator, worker: what the ends do.
    """

    coordinator: Side
    worker: Side


def take(end: Transport, count: int) -> Iterator[None]:
    """Wait for ``count`` frames from every peer and return them by peer, in the order of arrival."""
    frames: dict[Peer, list[bytes]] = defaultdict(list)
    others = end.size - 1 if is_coordinator(end) else 1
    while sum(map(len, frames.values())) < count * others:
        batch = end.receive()
        assert len(batch) <= FRAMES_AT_ONCE
        for peer, frame in batch:
            assert type(frame) is bytes
            frames[peer].append(frame)
        end.progress()
        yield
    assert {len(got) for got in frames.values()} == {count}
    return frames


def drain(end: Transport) -> Iterator[None]:
    """Wait until everything was sent."""
    while end.progress():
        yield
    assert end.unsent_bytes == 0


def is_coordinator(end: Transport) -> bool:
    return getattr(end, "rank", None) == 0 or getattr(end, "_other", None) == Peer(1) or hasattr(end, "peers")


def workers(end: Transport) -> list[Peer]:
    return getattr(end, "peers", [Peer(rank) for rank in range(1, end.size)])


def payload(size_bytes: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


# Order, and nothing lost


def _sends_every_size(end: Transport) -> Iterator[None]:
    for seed, size_bytes in enumerate(LARGE_SIZES_BYTES):
        end.send(COORDINATOR, payload(size_bytes, seed))
    yield from drain(end)
    assert (yield from take(end, 1)) == {COORDINATOR: [b"thanks"]}


def _takes_every_size(end: Transport) -> Iterator[None]:
    expected = [payload(size_bytes, seed) for seed, size_bytes in enumerate(LARGE_SIZES_BYTES)]
    frames = yield from take(end, len(LARGE_SIZES_BYTES))
    assert frames == dict.fromkeys(workers(end), expected)
    for peer in workers(end):
        end.send(peer, b"thanks")
    yield from drain(end)


EVERY_SIZE = Conversation(_takes_every_size, _sends_every_size)


# Both at once


def _floods(end: Transport, peers: list[Peer]) -> Iterator[None]:
    for number in range(FLOOD_COUNT):
        for peer in peers:
            end.send(peer, number.to_bytes(4, "big"))
    frames = yield from take(end, FLOOD_COUNT)
    expected = [number.to_bytes(4, "big") for number in range(FLOOD_COUNT)]
    assert frames == dict.fromkeys(peers, expected)
    yield from drain(end)


FLOOD = Conversation(lambda end: _floods(end, workers(end)), lambda end: _floods(end, [COORDINATOR]))
"""Each side sends all it has before it listens: a transport that waits anywhere does not get through."""


# Huge frames


def _sends_huge(end: Transport) -> Iterator[None]:
    end.send(COORDINATOR, b"first")
    end.send(COORDINATOR, bytes(HUGE_BYTES // (end.size - 1)))
    end.send(COORDINATOR, b"last")
    assert end.unsent_bytes in {0, HUGE_BYTES // (end.size - 1) + 9}
    yield from drain(end)


def _takes_huge(end: Transport) -> Iterator[None]:
    frames = yield from take(end, 3)
    for first, huge, last in frames.values():
        assert (b"first", b"last") == (first, last)
        assert len(huge) == HUGE_BYTES // (end.size - 1)
        assert not any(huge[:: 2**12])


HUGE = Conversation(_takes_huge, _sends_huge)


# Silence


def _says_nothing(end: Transport) -> Iterator[None]:
    for _ in range(100):
        assert end.receive() == []
        assert not end.progress()
        assert end.failed_peers() == set()
    yield


SILENCE = Conversation(_says_nothing, _says_nothing)


# Whom one does not speak to


def _forgets(end: Transport) -> Iterator[None]:
    for peer in workers(end):
        end.send(peer, b"you are heard")
    yield from drain(end)
    for peer in workers(end):
        end.forget(peer)
        end.send(peer, b"and not any more")
    assert end.unsent_bytes == 0
    assert not end.progress()
    yield


def _is_forgotten(end: Transport) -> Iterator[None]:
    assert (yield from take(end, 1)) == {COORDINATOR: [b"you are heard"]}
    for _ in range(100):
        assert end.receive() == []
        yield


FORGET = Conversation(_forgets, _is_forgotten)

# Waiting to be told


def _is_told(end: Transport, count: int) -> Iterator[None]:
    """Look for ``count`` frames from every peer, but only when something says that there may be any."""
    missing = count * (end.size - 1 if is_coordinator(end) else 1)
    for _ in range(LOOKS_MAX):
        if end.arrived() or select.select(list(end.filenos()), [], [], 0)[0]:
            while frames := end.receive():
                missing -= len(frames)
        if not missing:
            return
        end.progress()
        yield
    raise AssertionError(f"{missing} frames were never told of")


def _tells_and_is_told(end: Transport, peers: list[Peer]) -> Iterator[None]:
    for size_bytes in LARGE_SIZES_BYTES:
        for peer in peers:
            end.send(peer, bytes(size_bytes))
    yield from _is_told(end, len(LARGE_SIZES_BYTES))
    yield from drain(end)


TOLD = Conversation(lambda end: _tells_and_is_told(end, workers(end)), lambda end: _tells_and_is_told(end, [COORDINATOR]))
"""Whoever rests until arrived() or a file descriptor says that something came misses nothing."""

ALL = {"every-size": EVERY_SIZE, "flood": FLOOD, "huge": HUGE, "silence": SILENCE, "forget": FORGET, "told": TOLD}
