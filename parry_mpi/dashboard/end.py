"""Rank 0's end of the dashboard: listens, starts the dashboard process, and hands it the status.

It never waits for the process: what does not fit into the pipe is dropped, for there will be another status in a second. If the process
dies it is started again, a few times; the run goes on whatever becomes of it. It ends when this process does, however that comes about.

This module must not know HTTP, nor read a clock.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

from parry_mpi.companion import Companion, disown_in_forks, owns_no_more
from parry_mpi.dashboard.pair import PIECE_BYTES, Configuration, Kind, record
from parry_mpi.errors import UsageError

BACKLOG = 64
"""Connections that the kernel keeps until they are taken up, also while the process is started again."""

PORTS_TRIED_MAX = 100
"""How many ports after the one that was asked for are tried; people run several searches on one machine."""

STARTS_MAX = 5
"""How often the process is started before the run goes on without it."""

RESTART_MS = 1_000
"""How long to wait before it is started again; twice as long each time."""

FINISH_S = 0.5
"""How long the last status may take to be handed over."""


def listen(host: str, port: int, wish: int | None = None) -> socket.socket:
    """Listen at an address, or at the next port that is free.

    Args:
        host: of this machine.
        port: the first to try; 0: anywhere.
        wish: a port to try first.

    Raises:
        UsageError: this machine has no such address, or one may not listen there.
    """
    after = range(port, min(port + PORTS_TRIED_MAX, 1 << 16)) if port else ()
    ports = [*([wish] if wish else []), *after, 0]
    try:
        family, _, _, _, address = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"the dashboard cannot listen on {host}: {error}; --dashboard HOST:PORT chooses another address"
        ) from None
    for each in ports:
        found = socket.socket(family, socket.SOCK_STREAM)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((address[0], each, *address[2:]))
            found.listen(BACKLOG)
        except OSError as error:
            found.close()
            if error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"the dashboard cannot listen on {host}:{each}: {error.strerror}; choose another address"
                ) from None
        else:
            return found
    raise UsageError(f"the dashboard finds no free port on {host}")


class Dashboard:
    """Rank 0's end. Only one thread may use it.

    Args:
        listening: the socket on which the process takes connections; this object owns it from now on.
        configuration: what the process has to know.
        warn: called with a line for the user.

    Attributes:
        address: host and port.
    """

    def __init__(self, listening: socket.socket, configuration: Configuration, warn: Callable[[str], None]) -> None:
        self.address: tuple[str, int] = listening.getsockname()[:2]
        self._listening = listening
        self._configuration = record(Kind.CONFIGURATION, configuration)
        self._warn = warn
        self._process: Companion | None = None
        self._unsent = memoryview(b"")
        self._latest = b""
        self._starts_count = 0
        self._restart_at_ms: int | None = None
        self._warned = False
        disown_in_forks(self)
        self._start()

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def handed_over(self) -> bool:
        """Whether the process was handed all that was shown and not dropped."""
        return not self._unsent

    def show(self, status: dict[str, Any]) -> None:
        """Show this from now on; dropped if the process has not yet taken what came before. Never waits, never raises."""
        if self._unsent and self._process is not None:
            return
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            self._latest = record(Kind.STATUS, status)
            if self._process is not None:
                self._unsent = memoryview(self._latest)
                self._push()

    def progress(self, now_ms: int) -> None:
        """Move on what was shown, and start the process again if that is due. Never waits, never raises."""
        if self._unsent:
            self._push()
        if self._process is None and self._starts_count < STARTS_MAX:
            if self._restart_at_ms is None:
                self._restart_at_ms = now_ms + (RESTART_MS << (self._starts_count - 1))
            elif now_ms >= self._restart_at_ms:
                self._restart_at_ms = None
                self._start()

    def finish(self) -> None:
        """Hand the last status over; the process shows it for as long as this one is there."""
        if self._process is not None and self._unsent:
            with contextlib.suppress(OSError):
                self._process.socket.settimeout(FINISH_S)
                self._process.socket.sendall(self._unsent)
            self._unsent = memoryview(b"")

    def close(self) -> None:
        """Let the process end, without waiting for it."""
        self._starts_count = STARTS_MAX
        self._let_go()
        self._listening.close()
        owns_no_more(self)

    def disown(self) -> None:
        self.close()

    def _start(self) -> None:
        self._starts_count += 1
        try:
            self._process = Companion("parry_mpi.dashboard.process", self._listening)
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        self._process.socket.setblocking(False)
        self._unsent = memoryview(self._configuration + self._latest)
        self._push()

    def _push(self) -> None:
        while self._unsent and self._process is not None:
            try:
                sent = self._process.socket.send(self._unsent[:PIECE_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self._lose(self._process.last_words())
                return
            self._unsent = self._unsent[sent:]

    def _lose(self, why: str) -> None:
        self._let_go()
        if self._starts_count >= STARTS_MAX:
            self._warn(f"WARNING: the dashboard is gone for good ({why}); the run goes on without it")
        elif not self._warned:
            self._warned = True
            self._warn(f"WARNING: the dashboard is gone ({why}); it is started again, and the run goes on")

    def _let_go(self) -> None:
        """Close what leads to the process; it ends by that."""
        self._unsent = memoryview(b"")
        if self._process is not None:
            self._process.leave()
            self._process = None
