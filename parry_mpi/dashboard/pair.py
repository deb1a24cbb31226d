"""What rank 0 and the dashboard process say to each other over their socket pair: records of JSON, from rank 0 only.

This module must not know sockets, nor what is in a status.
"""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import Any

import msgspec

HEADER = struct.Struct("!BI")
"""Kind, and the length of what follows in bytes."""

PIECE_BYTES = 1 << 18
"""What one call writes at most; about what the kernel keeps for a socket."""


class Kind(IntEnum):
    """What a record is."""

    CONFIGURATION = 1
    STATUS = 2


class Configuration(msgspec.Struct, frozen=True):
    """What the dashboard process has to know; the first record, so that the token is neither in a file nor on a command line.

    Args:
        token: whoever has it may look.
        run_dir: path of the run's folder, where its history is.
        facts: what a status says about the run that never changes, such as the name of the problem.
    """

    token: str
    run_dir: str
    facts: dict[str, Any]


def record(kind: Kind, content: Any) -> bytes:
    """Return the bytes of a record.

    Raises:
        ValueError, TypeError, RecursionError: JSON does not have it.
    """
    data = encoded(content)
    return HEADER.pack(kind, len(data)) + data


def encoded(content: Any) -> bytes:
    """Return plain data as JSON; text that is none (file names are bytes) loses what cannot be written."""
    try:
        return msgspec.json.encode(content)
    except (UnicodeEncodeError, TypeError, OverflowError):
        return json.dumps(msgspec.to_builtins(content), ensure_ascii=False, default=str).encode(errors="replace")
