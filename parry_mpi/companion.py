"""A companion: a process of ours beside this one, at the other end of a socket pair, that ends when this one does.

What it has to know, secrets above all, is told over the pair: command lines and environments are for everybody on the machine to read.
Both sides are here: `Companion` starts it, and `begin()` is the first thing that it calls.

This module must not know what the two say to each other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Protocol

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What launchers and terminals send to everybody in a group: this process decides when to stop, and needs its companions until then."""

ERROR_BYTES_MAX = 1 << 16
"""What a pipe holds: a traceback."""


class Companion:
    """This process's end. A fork of this process has to `leave()` it: the companion could not see otherwise when this one is gone.

    Args:
        module: the program that is started, by its full name.
        sockets: what it is given beside its end of the pair; they stay open here too.

    Attributes:
        socket: this end of the pair; it blocks.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, module: str, *sockets: socket.socket) -> None:
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _started(module, theirs.fileno(), *(each.fileno() for each in sockets))
        except OSError:
            self.socket.close()
            raise

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def last_words(self, wait_s: float = 0) -> str:
        """Say how the process ended, as far as that is known within ``wait_s``: its exit code and its last line on stderr."""
        try:
            how = f"exit code {self._process.wait(wait_s)}"
        except subprocess.TimeoutExpired:
            how = "it hangs" if wait_s else "its end of the pair is closed"
        text = b""
        assert self._process.stderr is not None
        with contextlib.suppress(OSError):
            os.set_blocking(self._process.stderr.fileno(), False)
            text = self._process.stderr.read(ERROR_BYTES_MAX) or b""
        return "; ".join([how, *text.decode(errors="replace").strip().splitlines()[-1:]])

    def end(self, wait_s: float = 0) -> None:
        """Wait for the process to end; kill it if it takes longer than ``wait_s``."""
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.leave()

    def leave(self) -> None:
        """Close what leads to the process, without a word to it nor waiting for it; it ends by that unless another has the pair open."""
        self.socket.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        if self._process.poll() is None:
            self._process.returncode = 0  # nobody waits for it, and in a fork it is not our child


def _started(module: str, *descriptors: int) -> subprocess.Popen[bytes]:
    """Start a program of ours with these file descriptors.

    It finds modules where this process does, and in no other place: a random.py in the user's folder is not for it.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(Path(folder).absolute()) for folder in sys.path),
        "PYTHONSAFEPATH": "1",
    }
    # None of them must end the new process before it can ignore it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        return subprocess.Popen(  # noqa: S603 our own module
            [sys.executable, "-m", module, *map(str, descriptors)],
            pass_fds=descriptors,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin() -> list[socket.socket]:
    """In the companion: be deaf to stop signals, and return its end of the pair and what else it was given."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    sockets = [socket.socket(fileno=int(word)) for word in sys.argv[1:]]
    for each in sockets:
        each.set_inheritable(False)
    return sockets


class Owner(Protocol):
    """Who has companions."""

    def disown(self) -> None:
        """Let go of them and of all that they were given, in a fork of the process that started them."""


_owners: set[Owner] = set()
"""Keeps them from being collected, too: companions that nobody ended end with the process."""


def disown_in_forks(owner: Owner) -> None:
    """Have ``owner`` let go of its companions in every fork of this process from now on."""
    _owners.add(owner)


def owns_no_more(owner: Owner) -> None:
    """Forget an owner whose companions have ended."""
    _owners.discard(owner)


def _disown_all() -> None:
    for owner in list(_owners):
        owner.disown()


os.register_at_fork(after_in_child=_disown_all)
