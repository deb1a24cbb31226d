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
CHUNK_BYTES = 1 << 18


class Channel(Generic[T]):
    """One end of a socket pair.

    Args:
        end: the socket; owned by the channel.
        kinds: what may come in.
    """

    def __init__(self, end: socket.socket, kinds: object) -> None:
        self._socket = end
        self._socket.setblocking(False)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kinds)
        self._buffer = bytearray()
        self.closed = False

    def fileno(self) -> int:
        """The socket's file descriptor, to wait on; -1 when closed."""
        return self._socket.fileno()

    def send(self, message: object) -> None:
        """Send a message whole; what comes in meanwhile is taken up, so that two ends that both send never wait for each other."""
        data = self._encoder.encode(message)
        view = memoryview(LENGTH.pack(len(data)) + data)
        while view and not self.closed:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                select.select([self._socket], [self._socket], [])
                self._read()
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True

    def receive(self) -> list[T]:
        """Return the messages that have come in whole; never waits."""
        self._read()
        messages = []
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if len(self._buffer) < LENGTH.size + length:
                break
            messages.append(self._decoder.decode(memoryview(self._buffer)[LENGTH.size : LENGTH.size + length]))
            del self._buffer[: LENGTH.size + length]
        return messages

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until something comes in, or the time is over; say whether something came."""
        return bool(select.select([self._socket], [], [], timeout_s)[0])

    def close(self) -> None:
        """Close this end."""
        self.closed = True
        self._socket.close()

    def _read(self) -> None:
        while not self.closed:
            try:
                data = self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data = b""
            self._buffer += data
            self.closed = not data
