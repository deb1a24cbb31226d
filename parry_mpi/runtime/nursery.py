"""The nursery: a process that has loaded the problem, never touches MPI or threads, and forks explorers from there.

Forking a warm process takes milliseconds, where starting Python, numpy and a compiled kernel takes a second; and forking after
MPI_Init is forbidden. On MPI ranks the nursery is also the guardian: the process that the launcher started, whose child became the
rank (see runtime.guardian). This module must not know leases.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable

import msgspec

from parry_mpi.errors import PeerLost
from parry_mpi.runtime import processes

REQUEST_BYTES_MAX = 1 << 16

WATCH_S = 1.0
"""How often a nursery looks whether the process that started it is still there."""


GONE = "the process that starts explorers is gone; run the same command again"


class Spawn(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Fork an explorer; its end of a socket pair travels with this request. Answered in order, each with Spawned."""


class Kill(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """End an explorer of yours, now. The nursery does it, because only a parent knows that a process id is still its child's."""

    pid: int


class Spawned(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An explorer was forked; pid 0: it could not be, because of ``error``."""

    pid: int
    error: str = ""


class Ended(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """An explorer is gone."""

    pid: int
    status: int


Request = Spawn | Kill
Answer = Spawned | Ended


class Nursery:
    """The nursery's own side: serve one supervisor until it closes the connection or dies.

    Args:
        control: the connection to the supervisor; one request or answer a packet.
        explore: what a forked explorer does with its socket; it does not return before it is told to leave.
        parent: process id of the parent. When that is gone, so is the run, whatever the supervisor thinks.

    Attributes:
        asked: whether the supervisor ever asked for an explorer, which it does as soon as it is ready to work.
    """

    def __init__(self, control: socket.socket, explore: Callable[[socket.socket], None], parent: int) -> None:
        self._control = control
        self._explore = explore
        self._parent = parent
        self.asked = False
        self._children: set[int] = set()
        self._decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)

    def serve(self) -> None:
        """Answer requests and report deaths until the supervisor or the parent is gone; then end all explorers."""
        sleeper, waker = socket.socketpair()
        sleeper.setblocking(False)
        waker.setblocking(False)
        signal.signal(signal.SIGCHLD, _do_nothing)
        signal.set_wakeup_fd(waker.fileno())
        while os.getppid() == self._parent:
            self._reap()
            readable, _, _ = select.select([self._control, sleeper], [], [], WATCH_S)
            if sleeper in readable:
                sleeper.recv(REQUEST_BYTES_MAX)
            if self._control in readable and not self._request():
                break
        signal.set_wakeup_fd(-1)
        for pid in self._children:
            processes.kill_group(pid)

    def _request(self) -> bool:
        """Take one request; say whether there will be more."""
        try:
            packet, ancillary, _, _ = self._control.recvmsg(REQUEST_BYTES_MAX, socket.CMSG_SPACE(array.array("i").itemsize))
        except ConnectionResetError:
            return False
        if not packet:
            return False
        request = self._decoder.decode(packet)
        if isinstance(request, Kill):
            if request.pid in self._children:
                processes.kill_group(request.pid)
            return True
        self.asked = True
        handles = array.array("i")
        for _, _, data in ancillary:
            handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
        self._spawn(socket.socket(fileno=handles[0]))
        return True

    def _spawn(self, end: socket.socket) -> None:
        def explore() -> None:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            processes.show_as("parry-explorer")
            processes.go_first_without_memory()
            processes.leave_stop_signals_to_others()
            self._explore(end)

        try:
            pid = processes.fork_child(explore, own_group=True)
        except OSError as error:
            self._answer(Spawned(0, f"{error.strerror}"))
        else:
            self._children.add(pid)
            self._answer(Spawned(pid))
        end.close()

    def _reap(self) -> None:
        for pid in list(self._children):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                # What it started goes with it. Until it is waited for, nobody else can have its number.
                processes.kill_group(pid)
                self._children.discard(pid)
                self._answer(Ended(pid, os.waitpid(pid, 0)[1]))

    def _answer(self, answer: Answer) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the supervisor is gone: seen at the next request
            self._control.send(msgspec.msgpack.encode(answer))


class NurseryClient:
    """The supervisor's side of a nursery.

    Args:
        control: the connection to the nursery.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

    def spawn(self, end: socket.socket) -> None:
        """Ask for an explorer that uses a copy of this connection; Spawned tells when it is there.

        Raises:
            PeerLost: the nursery is gone.
        """
        self._ask(lambda: socket.send_fds(self._control, [msgspec.msgpack.encode(Spawn())], [end.fileno()]))

    def kill(self, pid: int) -> None:
        """End an explorer and what it started; Ended tells when it is gone.

        Raises:
            PeerLost: the nursery is gone.
        """
        self._ask(lambda: self._control.send(msgspec.msgpack.encode(Kill(pid))))

    def answers(self, timeout_s: float | None = 0.0) -> list[Answer]:
        """Return what the nursery said, waiting at most so long for the first word; None: as long as it takes.

        Raises:
            PeerLost: the nursery is gone.
        """
        answers: list[Answer] = []
        while select.select([self._control], [], [], 0 if answers else timeout_s)[0]:
            packet = b""
            with contextlib.suppress(ConnectionResetError):
                packet = self._control.recv(REQUEST_BYTES_MAX)
            if not packet:
                raise PeerLost(GONE)
            answers.append(self._decoder.decode(packet))
        return answers

    def fileno(self) -> int:
        """The connection's file descriptor, to wait on."""
        return self._control.fileno()

    def close(self) -> None:
        """Let the nursery end all explorers."""
        self._control.close()

    def _ask(self, send: Callable[[], object]) -> None:
        try:
            send()
        except (BrokenPipeError, ConnectionResetError):
            raise PeerLost(GONE) from None


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a connection that keeps packets whole and notices when the other end is gone."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _do_nothing(_number: int, _frame: object) -> None:
    """Have the signal wake select() through the wake-up file descriptor; ignoring it would lose the wait status."""
