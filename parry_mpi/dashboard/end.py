"""Rank 0's end of the dashboard: listens, starts the dashboard process, and hands it the status.

It never waits for the process: what does not fit into the pipe is dropped, for there will be another status in a second. If the process
dies it is started again, a few times; the run goes on whatever becomes of it. It ends when this process does, however that comes about.

This module must not know HTTP, nor read a clock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

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

KEPT_BACK = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
"""What must not end the new process before it can ignore it."""

ERROR_BYTES_MAX = 1 << 16
"""What a pipe holds: a traceback."""

_open: set[Dashboard] = set()
"""What a fork has to let go of. It also keeps them from being collected: they end with the process."""


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
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent = memoryview(b"")
        self._latest = b""
        self._starts_count = 0
        self._restart_at_ms: int | None = None
        self._warned = False
        _open.add(self)
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
        if self._unsent and self._socket is not None:
            return
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            self._latest = record(Kind.STATUS, status)
            if self._socket is not None:
                self._unsent = memoryview(self._latest)
                self._push()

    def progress(self, now_ms: int) -> None:
        """Move on what was shown, and start the process again if that is due. Never waits, never raises."""
        if self._unsent:
            self._push()
        if self._socket is None and self._starts_count < STARTS_MAX:
            if self._restart_at_ms is None:
                self._restart_at_ms = now_ms + (RESTART_MS << (self._starts_count - 1))
            elif now_ms >= self._restart_at_ms:
                self._restart_at_ms = None
                self._start()

    def finish(self) -> None:
        """Hand the last status over; the process shows it for as long as this one is there."""
        if self._socket is not None and self._unsent:
            with contextlib.suppress(OSError):
                self._socket.settimeout(FINISH_S)
                self._socket.sendall(self._unsent)
            self._unsent = memoryview(b"")

    def close(self) -> None:
        """Let the process end, without waiting for it."""
        self._starts_count = STARTS_MAX
        self._let_go()
        self._listening.close()
        _open.discard(self)

    def disown(self) -> None:
        """Let go of everything in a fork of the process that started it: the page must end when that one does."""
        self.close()

    def _start(self) -> None:
        self._starts_count += 1
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        try:
            with theirs:
                self._process = _started(theirs, self._listening)
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        self._unsent = memoryview(self._configuration + self._latest)
        self._push()

    def _push(self) -> None:
        while self._unsent and self._socket is not None:
            try:
                sent = self._socket.send(self._unsent[:PIECE_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self._lose(self._last_words())
                return
            self._unsent = self._unsent[sent:]

    def _lose(self, why: str) -> None:
        self._let_go()
        if self._starts_count >= STARTS_MAX:
            self._warn(f"WARNING: the dashboard is gone for good ({why}); the run goes on without it")
        elif not self._warned:
            self._warned = True
            self._warn(f"WARNING: the dashboard is gone ({why}); it is started again, and the run goes on")

    def _last_words(self) -> str:
        """Say how the process ended, as far as that is known without waiting."""
        assert self._process is not None
        assert self._process.stderr is not None
        code, text = self._process.poll(), b""
        with contextlib.suppress(OSError):
            os.set_blocking(self._process.stderr.fileno(), False)
            text = self._process.stderr.read(ERROR_BYTES_MAX) or b""
        lines = text.decode(errors="replace").strip().splitlines()
        return "; ".join([f"exit code {code}" if code is not None else "its end of the pipe is closed", *lines[-1:]])

    def _let_go(self) -> None:
        """Close what leads to the process; it ends by that."""
        self._unsent = memoryview(b"")
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            if self._process.stderr is not None:
                self._process.stderr.close()
            if self._process.poll() is None:
                self._process.returncode = 0  # nobody waits for it
            self._process = None


def _started(theirs: socket.socket, listening: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process with its end of the socket pair and the socket to listen on.

    It finds modules where this process does, and in no other place: a random.py in the user's folder is not for it.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(_absolute(sys.path)),
        "PYTHONSAFEPATH": "1",
        "OPENBLAS_NUM_THREADS": "1",  # numpy comes along with the package, and nothing is calculated
    }
    descriptors = (theirs.fileno(), listening.fileno())
    command = [sys.executable, "-m", "parry_mpi.dashboard.process", *map(str, descriptors)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, KEPT_BACK)
    try:
        return subprocess.Popen(  # noqa: S603 our own module
            command,
            pass_fds=descriptors,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _absolute(folders: Iterable[str]) -> list[str]:
    return [str(Path(folder).absolute()) for folder in folders]


def _disown_all() -> None:
    for dashboard in list(_open):
        dashboard.disown()


os.register_at_fork(after_in_child=_disown_all)
