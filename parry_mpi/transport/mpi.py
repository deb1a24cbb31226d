"""The MPI transport: point to point, never blocking; the only module that imports mpi4py, and only when a transport is made.

This module must not know what a frame says.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections import deque
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

import msgspec

from parry_mpi.core.ids import Peer
from parry_mpi.errors import EXIT_STOPPED, LocalProtocolError, PeerLost, UsageError
from parry_mpi.transport import launcher
from parry_mpi.transport.base import COORDINATOR, FRAMES_AT_ONCE
from parry_mpi.transport.launcher import launched, launched_rank, launched_size

if TYPE_CHECKING:
    from mpi4py import MPI

__all__ = ["MpiTransport", "launched", "launched_rank", "launched_size"]

TAG = 1
TAG_END = 2
IN_ORDER, AFTER_A_DEATH = b"o", b"d"
"""The messages by which ranks tell each other, and not their users, that they have come to the end, and to which."""

ARRIVING_BYTES_MAX = 2**28
"""While more than this is on its way in, no further frame is taken up: what waits at the sender costs no memory here."""

LOOK_S = 0.001
MEETING_LOOKS_COUNT = 10_000
"""How long the coordinator waits for the others at an orderly end: 10 s, after everybody has said goodbye."""

FOLLOWING_LOOKS_COUNT = 60_000
"""How long the others wait for it: it may have much to write before it comes, and it is the one that should give up first."""

HOW_TO_INSTALL = 'pip install "parry_mpi[mpich]" and use the mpiexec that comes with it'


class Moving(msgspec.Struct):
    """A frame on its way, in or out; MPI uses the buffer until the request is done."""

    request: MPI.Request
    buffer: bytes | bytearray


class MpiTransport:
    """One rank's end. Only one thread may use it.

    Args:
        comm: whose ranks are the peers, or None for all ranks that the launcher started: this initialises MPI, once in a process.

    Attributes:
        size: how many ranks there are.
        rank: which one this is.
        host: the machine it is on, as MPI calls it.
        unsent_bytes: how much was handed to send() and is still held here.

    Raises:
        UsageError: there is no usable MPI, or it is not the launcher's.
    """

    def __init__(self, comm: MPI.Intracomm | None = None) -> None:
        self._mpi = _initialised()
        self._comm = (comm or self._mpi.COMM_WORLD).Dup()
        self._comm.Set_errhandler(self._mpi.ERRORS_RETURN)
        self.size = self._comm.Get_size()
        self.rank = self._comm.Get_rank()
        self.host = self._mpi.Get_processor_name()
        self.unsent_bytes = 0
        if comm is None:
            _check_launcher(self.size, self._mpi.Get_library_version())
        self._status = self._mpi.Status()
        self._leaving: dict[Peer, deque[Moving]] = {}
        self._arriving: dict[Peer, deque[Moving]] = {}
        self._arriving_bytes = 0
        self._gone: set[Peer] = set()
        self._failures: set[Peer] = set()
        self._abandoned: list[Moving] = []  # MPI may still use their buffers
        self._survives_deaths = False
        self._closed = False

    # In

    def receive(self) -> list[tuple[Peer, bytes]]:
        frames: list[tuple[Peer, bytes]] = []
        for peer in list(self._arriving):
            self._deliver(peer, frames)
        for _ in range(FRAMES_AT_ONCE - len(frames)):
            if self._arriving_bytes > ARRIVING_BYTES_MAX or not self._take_up(frames):
                break
        return frames

    def _take_up(self, frames: list[tuple[Peer, bytes]]) -> bool:
        """Begin to receive the next frame, if there is one; a small one has come as soon as it is begun."""
        try:
            message = self._comm.Improbe(self._mpi.ANY_SOURCE, TAG, self._status)
            if message is None:
                return False
            peer = Peer(self._status.Get_source())
            buffer = bytearray(self._status.Get_count(self._mpi.BYTE))
            request = message.Irecv([buffer, self._mpi.BYTE])
        except self._mpi.Exception as error:
            self._note_failure(error)
            return False
        if peer not in self._arriving and self._is_done(request, peer):
            frames.append((peer, bytes(buffer)))
        elif peer not in self._gone:
            self._arriving.setdefault(peer, deque()).append(Moving(request, buffer))
            self._arriving_bytes += len(buffer)
        return True

    def _deliver(self, peer: Peer, frames: list[tuple[Peer, bytes]]) -> None:
        """Deliver what has come from a peer: small frames wait for the large one that was sent before them."""
        moving = self._arriving[peer]
        while moving and len(frames) < FRAMES_AT_ONCE and self._is_done(moving[0].request, peer):
            buffer = moving.popleft().buffer
            self._arriving_bytes -= len(buffer)
            frames.append((peer, bytes(buffer)))
        if not moving:
            self._arriving.pop(peer, None)

    # Out

    def send(self, peer: Peer, frame: bytes) -> None:
        if self._closed or peer == self.rank or not 0 <= peer < self.size:
            raise LocalProtocolError(f"rank {self.rank} of {self.size} sends to {peer}{' after the end' if self._closed else ''}")
        self._post(peer, frame, TAG)

    def _post(self, peer: Peer, frame: bytes, tag: int) -> None:
        if peer in self._gone:
            return
        try:
            request = self._comm.Isend([frame, self._mpi.BYTE], int(peer), tag)
        except self._mpi.Exception as error:
            self._note_failure(error, peer)
            return
        self._leaving.setdefault(peer, deque()).append(Moving(request, frame))
        self.unsent_bytes += len(frame)

    def progress(self) -> bool:
        for peer in list(self._leaving):
            moving = self._leaving[peer]
            while moving and self._is_done(moving[0].request, peer):
                self.unsent_bytes -= len(moving.popleft().buffer)
            if not moving:
                self._leaving.pop(peer, None)
        return bool(self._leaving)

    # Those who are gone

    def forget(self, peer: Peer) -> None:
        self._gone.add(peer)
        leaving, arriving = self._leaving.pop(peer, deque()), self._arriving.pop(peer, deque())
        self.unsent_bytes -= sum(len(moving.buffer) for moving in leaving)
        self._arriving_bytes -= sum(len(moving.buffer) for moving in arriving)
        self._abandoned += [*leaving, *arriving]
        leaving.clear()
        arriving.clear()

    def failed_peers(self) -> set[Peer]:
        failures, self._failures = self._failures, set()
        return failures

    def _is_done(self, request: MPI.Request, peer: Peer) -> bool:
        try:
            return request.Test()
        except self._mpi.Exception as error:
            self._note_failure(error, peer)
            return False

    def _note_failure(self, error: MPI.Exception, peer: Peer | None = None) -> None:
        """Learn who died.

        Args:
            error: what MPI said.
            peer: with whom it was dealing; None if with any.

        Raises:
            PeerLost: it is not about a peer that died: MPI itself cannot go on.
        """
        dead = self._acknowledged() | ({peer} if peer is not None else set())
        if not dead:
            raise PeerLost(f"MPI on {self.host} (rank {self.rank}) cannot go on: {error}; run the same command again")
        for one in dead - self._gone:
            self._failures.add(one)
            self.forget(one)

    def _acknowledged(self) -> set[Peer]:
        """Return who died, where the implementation tells (Open MPI with ULFM), so that it lets us hear the others again."""
        try:
            failed = self._comm.Get_failed()
            self._comm.Ack_failed()
            ranks = failed.Translate_ranks(list(range(failed.Get_size())), self._comm.Get_group())
        except (self._mpi.Exception, NotImplementedError, AttributeError):
            return set()
        # MPICH may tell, too, but its MPI_Finalize then never returns.
        self._survives_deaths = self._survives_deaths or (bool(ranks) and self._mpi.get_vendor()[0] == "Open MPI")
        return {Peer(rank) for rank in ranks}

    def arrived(self) -> bool:
        if self._failures or any(
            self._is_done(moving[0].request, peer) for peer, moving in list(self._arriving.items()) if moving
        ):
            return True
        if self._arriving_bytes > ARRIVING_BYTES_MAX:
            return False  # nothing more is taken up before some of it has come
        try:
            # A probe finds what an earlier call has taken in, and takes in what is there: only the second one finds what is new.
            return self._is_there() or self._is_there()
        except self._mpi.Exception:
            return True  # receive() learns who died

    def _is_there(self) -> bool:
        return self._comm.Iprobe(self._mpi.ANY_SOURCE, TAG)

    def filenos(self) -> tuple[int, ...]:
        return ()

    # The end

    def close(self, *, orderly: bool, code: int) -> None:
        """End MPI. Afterwards this process must end with the same code, and soon: launchers are left to learn it.

        If anybody died or does not come, MPI cannot be ended in order, and the world is aborted with the code of the coordinator.
        """
        if self._closed:
            return
        self._closed = True
        sys.stdout.flush()
        sys.stderr.flush()
        if not ((orderly or self._survives_deaths) and self._meet()):
            self._abort(code)
        if self._survives_deaths:
            os._exit(code)  # a launcher that tolerates deaths takes this for an end like any other; MPI_Finalize hung at times
        self._mpi.Finalize()
        if self.rank == COORDINATOR:
            launcher.keep_exit_code(code)

    def _meet(self) -> bool:
        """Agree with every rank to end MPI, and say whether that is possible.

        Everybody tells the coordinator to have come here, and then the coordinator tells everybody to go on. That is not a
        barrier of MPI's: one would fail after a death.
        """
        if self.rank != COORDINATOR:
            self._post(COORDINATOR, IN_ORDER, TAG_END)
            return self._wait_for({COORDINATOR}, FOLLOWING_LOOKS_COUNT)
        others = {Peer(rank) for rank in range(1, self.size)}
        if not self._wait_for(others, MEETING_LOOKS_COUNT):
            return False
        for peer in sorted(others):
            self._post(peer, AFTER_A_DEATH if self._survives_deaths else IN_ORDER, TAG_END)
        return self._wait_for(set(), MEETING_LOOKS_COUNT)

    def _wait_for(self, peers: set[Peer], looks_count: int) -> bool:
        """Wait until each of these has come to the end or died, and everything is sent; say whether MPI can be ended then.

        What still arrives was sent too late to matter.
        """
        awaited = set(peers)
        for _ in range(looks_count):
            try:
                self.receive()
                awaited -= self._heard_of_the_end()
                sending = self.progress()
            except PeerLost:
                return False
            if COORDINATOR in self._gone or (self.rank == COORDINATOR and self._gone and not self._survives_deaths):
                return False
            if not sending and awaited <= self._gone:
                return True
            launcher.pause(LOOK_S)
        return False

    def _heard_of_the_end(self) -> set[Peer]:
        """Return who has newly come to the end."""
        heard: set[Peer] = set()
        try:
            while (message := self._comm.Improbe(self._mpi.ANY_SOURCE, TAG_END, self._status)) is not None:
                heard.add(Peer(self._status.Get_source()))
                how = bytearray(1)
                message.Recv([how, self._mpi.BYTE])
                self._survives_deaths = self._survives_deaths or how == AFTER_A_DEATH
        except self._mpi.Exception as error:
            self._note_failure(error)
        return heard

    def _abort(self, code: int) -> NoReturn:
        if self.rank != COORDINATOR:
            code = code or EXIT_STOPPED  # only the coordinator can know that the answer is complete
        launcher.pause(launcher.READING_S)
        self.progress()
        self._mpi.COMM_WORLD.Abort(code)
        os._exit(code)


def _initialised() -> ModuleType:
    """Return mpi4py's MPI, initialised for one thread, and not to be finalised by itself: after a death that would hang for ever.

    Raises:
        UsageError: it cannot be imported, or finds no MPI.
    """
    try:
        import mpi4py  # noqa: PLC0415 a run in one process needs neither it nor its start-up time

        mpi4py.rc.initialize = False
        mpi4py.rc.finalize = False
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"started by an MPI launcher, but MPI cannot be used ({reason}): {HOW_TO_INSTALL}") from None
    if not MPI.Is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a foreign launcher, which _check_launcher refuses
            MPI.Init_thread(MPI.THREAD_FUNNELED)
    return MPI


def initialised() -> bool:
    """Whether MPI was initialised in this process, so that its launcher notices how the process ends."""
    module = sys.modules.get("mpi4py.MPI")
    return module is not None and bool(module.Is_initialized())


def _check_launcher(size: int, library: str) -> None:
    """Refuse an MPI that does not see the other ranks: otherwise every rank would coordinate a run of its own.

    Raises:
        UsageError: it does not.
    """
    expected = launched_size()
    if expected is not None and expected != size:
        name = library.strip().splitlines()[0][:60]
        raise UsageError(
            f"the launcher started {expected} ranks, but this MPI sees {size} ({name}): the two do not belong together; {HOW_TO_INSTALL}"
        )
