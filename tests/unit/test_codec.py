"""Frames: what goes in comes out, and whatever else comes in is refused in one way only."""

from __future__ import annotations

import contextlib
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parry_mpi.core import messages
from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.core.messages import FromCoordinator, FromWorker, Message
from parry_mpi.errors import LocalProtocolError, ProblemError, RemoteProtocolError
from parry_mpi.job import Job
from parry_mpi.wire import codec

WORKER_KINDS = typing.get_args(FromWorker)
COORDINATOR_KINDS = typing.get_args(FromCoordinator)
JOBS = (Job(node=b"\x00\xff", depth=3, killed=1, weight=2**61), Job(first=10, count=10**9, weight=7))


def filled(kind: type[Message]) -> Message:
    """A message of this kind with something in every field."""

    def value(annotation: type) -> object:
        if annotation in {LeaseId, WorkerId}:
            return 2**40 + 5
        if typing.get_origin(annotation) is tuple:
            return JOBS if typing.get_args(annotation)[0] is Job else (1, 2, 2**41)
        return {bool: True, int: 12_345, int | float: 0.5, int | float | None: -7, str: "Zürich\n", bytes: b"\x93\x00"}[
            annotation
        ]

    hints = typing.get_type_hints(kind)
    return kind(**{name: value(hints[name]) for name in kind.__struct_fields__})


ALL = [
    pytest.param(decode, filled(kind), id=kind.__name__)
    for decode, kinds in ((codec.decode_from_worker, WORKER_KINDS), (codec.decode_from_coordinator, COORDINATOR_KINDS))
    for kind in kinds
]
each_kind = pytest.mark.parametrize(("decode", "message"), ALL)


def test_every_kind_is_in_one_direction():
    """Protects: no message is forgotten in the unions that decoding goes by."""
    kinds = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, Message)} - {Message}
    assert kinds == {*WORKER_KINDS, *COORDINATOR_KINDS}
    assert len(kinds) == len(WORKER_KINDS) + len(COORDINATOR_KINDS)


@each_kind
def test_round_trip(decode, message):
    """Protects: what the other side reads is what was said, alone or among others."""
    assert decode(codec.encode([message])) == [message]
    assert decode(codec.encode([message, message])) == [message, message]


def test_empty_frame():
    """Protects: a frame without messages says nothing and breaks nothing."""
    assert codec.decode_from_worker(codec.encode([])) == []


@each_kind
def test_every_truncation_is_refused(decode, message):
    """Protects: half a message is never taken for a whole one."""
    frame = codec.encode([message])
    for length in range(len(frame)):
        with pytest.raises(RemoteProtocolError, match=f"^a frame of {length} bytes cannot be read: "):
            decode(frame[:length])


@each_kind
def test_trailing_bytes_are_refused(decode, message):
    """Protects: nothing can be hidden behind a message."""
    for tail in (b"\x00", b"\xc0", codec.encode([message])):
        with pytest.raises(RemoteProtocolError):
            decode(codec.encode([message]) + tail)


@each_kind
def test_every_flipped_bit(decode, message):
    """Protects: a damaged frame is another valid frame or refused by name, never a crash of the coordinator."""
    frame = codec.encode([message])
    refused = 0
    for position in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[position // 8] ^= 1 << position % 8
        try:
            decoded = decode(bytes(damaged))
        except RemoteProtocolError:
            refused += 1
        else:
            assert all(isinstance(one, Message) for one in decoded)
            assert decode(codec.encode(decoded)) == decoded
    assert refused


@given(st.binary(max_size=200))
def test_anything(frame):
    """Protects: no bytes whatever make decoding raise anything but its one error."""
    for decode in (codec.decode_from_worker, codec.decode_from_coordinator):
        with contextlib.suppress(RemoteProtocolError):
            assert all(isinstance(message, Message) for message in decode(frame))


@given(st.data())
def test_several_damages(data):
    """Protects: no damage to a real frame makes decoding raise anything but its one error."""
    decode, message = data.draw(st.sampled_from([param.values for param in ALL]))
    frame = bytearray(codec.encode([message, message]))
    for _ in range(data.draw(st.integers(1, 5))):
        start = data.draw(st.integers(0, len(frame)))
        frame[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    with contextlib.suppress(RemoteProtocolError):
        decode(bytes(frame))


@each_kind
def test_unknown_fields_and_tags_are_refused(decode, message):
    """Protects: a newer or foreign peer is told so, instead of being understood by half."""
    tag, *fields = msgspec.msgpack.decode(codec.encode([message]))[0]
    for other in ([tag, *fields, 0], ["Nonsense", *fields], [0, *fields], [tag], [], {"type": tag}, None):
        if other == [tag] and not fields:
            continue
        with pytest.raises(RemoteProtocolError):
            decode(msgspec.msgpack.encode([other]))


def test_directions_are_kept_apart():
    """Protects: a worker cannot be made to listen to a worker, nor a coordinator to a coordinator."""
    for kinds, decode in ((WORKER_KINDS, codec.decode_from_coordinator), (COORDINATOR_KINDS, codec.decode_from_worker)):
        for kind in kinds:
            with pytest.raises(RemoteProtocolError):
                decode(codec.encode([filled(kind)]))


def test_lengths_that_lie():
    """Protects: five bytes that announce four thousand million jobs cost no memory."""
    for head in (b"\xdd\xff\xff\xff\xff", b"\x91\xdd\xff\xff\xff\xff\xa8GetBundle", b"\x91\x96\xa6Report\xc6\xff\xff\xff\xff"):
        with pytest.raises(RemoteProtocolError):
            codec.decode_from_worker(head)


@pytest.mark.parametrize("seq", [0, 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_numbers_of_64_bits(seq):
    """Protects: counts are exact up to the last bit that the wire has."""
    assert [messages.Ack(LeaseId(1), seq)] == codec.decode_from_coordinator(codec.encode([messages.Ack(LeaseId(1), seq)]))


@pytest.mark.parametrize("seq", [2**64, -(2**63) - 1, 10**30])
def test_numbers_beyond_64_bits(seq):
    """Protects: a number that the wire cannot carry is not sent as another one."""
    with pytest.raises(LocalProtocolError, match="in Ack"):
        codec.encode([messages.Ack(LeaseId(1), seq)])


def test_numbers_that_are_none():
    """Protects: a number that came as a fraction, text or truth value is not counted."""
    for seq in (1.5, 1.0, "1", True, None):
        with pytest.raises(RemoteProtocolError):
            codec.decode_from_coordinator(msgspec.msgpack.encode([["Ack", 1, seq]]))


def test_text_that_is_not_unicode():
    """Protects: an exception that names a file with undecodable bytes still reaches the user."""
    message = messages.Refused("no such file: caf\udce9")
    assert codec.decode_from_coordinator(codec.encode([messages.Stop(), message])) == [
        messages.Stop(),
        messages.Refused("no such file: caf\\udce9"),
    ]


def test_frames_that_are_too_large(monkeypatch):
    """Protects: nodes too large to be sent are named as the reason, and no frame can fill the coordinator's memory."""
    frame = codec.encode([messages.Refused("x" * 1000)])
    monkeypatch.setattr(codec, "FRAME_SIZE_BYTES_MAX", len(frame))
    assert len(codec.decode_from_coordinator(frame)) == 1
    assert frame == codec.encode([messages.Refused("x" * 1000)])
    monkeypatch.setattr(codec, "FRAME_SIZE_BYTES_MAX", len(frame) - 1)
    with pytest.raises(ProblemError, match="use smaller nodes or values"):
        codec.encode([messages.Refused("x" * 1000)])
    with pytest.raises(RemoteProtocolError, match="larger than any"):
        codec.decode_from_coordinator(frame)
