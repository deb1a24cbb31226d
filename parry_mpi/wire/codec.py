"""Messages into frames and back. A frame is a list of messages, in msgpack; only typed data comes out of it.

This module must not know how frames travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from parry_mpi.core.messages import FromCoordinator, FromWorker, Message
from parry_mpi.errors import LocalProtocolError, ProblemError, RemoteProtocolError

FRAME_SIZE_BYTES_MAX = 2**30
"""Nodes or values that make a larger frame are refused where they arise. MPI counts bytes in a signed 32-bit integer, and a
coordinator has to hold whole frames in memory."""

REASON_LENGTH_MAX = 200
"""Part of the reason may come from the other side; it goes into a log line."""

AnyMessage = TypeVar("AnyMessage", FromWorker, FromCoordinator)

_encoder = msgspec.msgpack.Encoder()
_from_worker: msgspec.msgpack.Decoder[list[FromWorker]] = msgspec.msgpack.Decoder(list[FromWorker])
_from_coordinator: msgspec.msgpack.Decoder[list[FromCoordinator]] = msgspec.msgpack.Decoder(list[FromCoordinator])


def encode(messages: Sequence[FromWorker] | Sequence[FromCoordinator]) -> bytes:
    """Return the frame of some messages.

    Raises:
        ProblemError: it would be larger than FRAME_SIZE_BYTES_MAX: the problem's nodes or values are.
        LocalProtocolError: a number in it does not fit 64 bits.
    """
    try:
        frame = _encoder.encode(messages)
    except UnicodeEncodeError:
        frame = _encoder.encode([_printable(message) for message in messages])
    except OverflowError as error:
        raise LocalProtocolError(
            f"cannot be sent: {error} in {', '.join(type(message).__name__ for message in messages)}"
        ) from None
    if len(frame) > FRAME_SIZE_BYTES_MAX:
        raise ProblemError(
            f"nodes or values of {len(frame)} bytes would have to be sent at once, and {FRAME_SIZE_BYTES_MAX} is the most that can be: "
            "use smaller nodes or values"
        )
    return frame


def decode_from_worker(frame: bytes) -> list[FromWorker]:
    """Return the messages of a frame that a worker sent.

    Raises:
        RemoteProtocolError: it is not such a frame.
    """
    return _decode(_from_worker, frame)


def decode_from_coordinator(frame: bytes) -> list[FromCoordinator]:
    """Return the messages of a frame that a coordinator sent.

    Raises:
        RemoteProtocolError: it is not such a frame.
    """
    return _decode(_from_coordinator, frame)


def _decode(decoder: msgspec.msgpack.Decoder[list[AnyMessage]], frame: bytes) -> list[AnyMessage]:
    if len(frame) > FRAME_SIZE_BYTES_MAX:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes is larger than any that may be sent")
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes cannot be read: {str(error)[:REASON_LENGTH_MAX]}") from None


def _printable(message: Message) -> Message:
    """Replace what is not Unicode: an exception's text may hold a file name with undecodable bytes, and has to get through."""
    texts = {name: value for name, value in msgspec.structs.asdict(message).items() if isinstance(value, str)}
    plain = {name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()}
    return msgspec.structs.replace(message, **plain)
