"""Messages into frames and back. A frame is a list of messages, in msgpack; only typed data comes out of it.

This module must not know how frames travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from parry_mpi.core.messages import FromCoordinator, FromWorker
from parry_mpi.errors import RemoteProtocolError

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_from_worker: msgspec.msgpack.Decoder[list[FromWorker]] = msgspec.msgpack.Decoder(list[FromWorker])
_from_coordinator: msgspec.msgpack.Decoder[list[FromCoordinator]] = msgspec.msgpack.Decoder(list[FromCoordinator])


def encode(messages: Sequence[FromWorker] | Sequence[FromCoordinator]) -> bytes:
    """Return the frame of some messages."""
    return _encoder.encode(messages)


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


def _decode(decoder: msgspec.msgpack.Decoder[list[T]], frame: bytes) -> list[T]:
    try:
        return decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes cannot be read: {error}") from None
