"""Messages between two processes of one worker, over a socket pair: a length, then msgpack.

This module must not know what the messages mean.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

LENGTH = struct.Struct("!Q")
PIECE_BYTES = 1 << 18
"""What one call reads or writes at most; about what the kernel keeps for a socket."""

MESSAGE_BYTES_MAX = 1 << 32
"""No message of ours comes near this; what looks like a longer one was written by the user's code, into a file that was not its own."""


class Channel(Generic[T]):
    """One end of a socket pair.

    Args:
        end: the socket; owned by the channel.
        kinds: what may come in.

    Attributes:
        closed: nothing more comes in.
    """

    def __init__(self, end: socket.socket, kinds: object) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.closed = False

    def fileno(self) -> int:
        """The socket's file descriptor, to wait on; -1 when closed."""
        return self._socket.fileno()

    def post(self, message: object) -> None:
        """Send as much of a message as goes without waiting; flush() sends the rest."""
        data = self._encoder.encode(message)
        self._outgoing += LENGTH.pack(len(data)) + data
        self.flush()

    def flush(self) -> bool:
        """Go on sending what was posted, without waiting; say whether some of it is left."""
        while self._outgoing and not self.closed:
            try:
                sent = self._socket.send(self._outgoing[:PIECE_BYTES])
            except BlockingIOError:
                return True
            except (BrokenPipeError, ConnectionResetError):
                self._outgoing.clear()  # nobody reads it any more; what was said before that may still be received
                return False
            del self._outgoing[:sent]
        return False

    @property
    def sending(self) -> bool:
        """Whether part of what was posted is still to be sent."""
        return bool(self._outgoing)

    def send(self, message: object) -> None:
        """Send a message whole; what comes in meanwhile is taken up, so that two ends that both send never wait for each other."""
        self.post(message)
        while self.flush():
            select.select([self._socket], [self._socket], [])
            self._read()

    def receive(self) -> list[T]:
        """Return the messages that have come in whole; never waits. What makes no sense closes the channel."""
        self._read()
        messages: list[T] = []
        while len(self._incoming) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._incoming)
            if length <= MESSAGE_BYTES_MAX and len(self._incoming) < LENGTH.size + length:
                break
            try:
                messages.append(self._decoder.decode(self._incoming[LENGTH.size : LENGTH.size + length]))
            except msgspec.DecodeError:
                self.closed = True
                break
            del self._incoming[: LENGTH.size + length]
        return messages

    def close(self) -> None:
        """Close this end."""
        self.closed = True
        self._socket.close()

    def _read(self) -> None:
        while not self.closed:
            try:
                data = self._socket.recv(PIECE_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self._incoming += data
            self.closed = not data
