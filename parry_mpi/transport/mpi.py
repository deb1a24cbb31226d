"""The MPI transport: point to point, never blocking; the only module that imports mpi4py.

This module must not know what a frame says.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from parry_mpi.core.ids import Peer
from parry_mpi.errors import UsageError
from parry_mpi.transport.base import FRAMES_AT_ONCE

TAG = 1

RANK_VARIABLES = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")
"""What launchers set. SLURM_NTASKS counts only beside a rank variable: a batch script without srun has it, too."""

LEAVING_S = 10.0
"""How long an orderly end waits for the other ranks to come to the same point."""

READING_S = 0.2
"""How long the launcher is given to read what was printed before the world is aborted."""

LOOK_S = 1e-3


@dataclass
class Arriving:
    """A frame on its way in."""

    source: Peer
    buffer: bytearray
    request: Any


class MpiTransport:
    """One rank's end.

    Attributes:
        size: how many ranks there are.
        rank: which one this is.
    """

    def __init__(self) -> None:
        try:
            from mpi4py import MPI  # noqa: PLC0415 initialises MPI: only in the process that is to be a rank
        except ImportError as error:
            raise UsageError(
                f'started by an MPI launcher, but MPI cannot be used: {error}; pip install "parry_mpi[mpich]"'
            ) from None
        self._mpi = MPI
        self._comm = MPI.COMM_WORLD.Dup()
        self._comm.Set_errhandler(MPI.ERRORS_RETURN)
        self.size = self._comm.Get_size()
        self.rank = self._comm.Get_rank()
        self._status = MPI.Status()
        self._arriving: deque[Arriving] = deque()
        self._leaving: list[tuple[Any, bytes, Peer]] = []
        self._failed: set[Peer] = set()
        self._failed_told: set[Peer] = set()

    def receive(self) -> list[tuple[Peer, bytes]]:
        for _ in range(FRAMES_AT_ONCE):
            if not self._take_up():
                break
        frames: list[tuple[Peer, bytes]] = []
        held_up: set[Peer] = set()
        for _ in range(len(self._arriving)):
            arriving = self._arriving.popleft()
            # A large frame may still be on its way while a small one behind it has come: order is kept for each peer.
            if arriving.source not in held_up and arriving.request.Test():
                frames.append((arriving.source, bytes(arriving.buffer)))
            else:
                held_up.add(arriving.source)
                self._arriving.append(arriving)
        return frames

    def send(self, peer: Peer, frame: bytes) -> None:
        if peer in self._failed:
            return
        try:
            self._leaving.append((self._comm.Isend([frame, self._mpi.BYTE], int(peer), TAG), frame, peer))
        except self._mpi.Exception as error:
            self._note_failure(error)

    def progress(self) -> bool:
        if self._leaving:
            self._leaving = [entry for entry in self._leaving if not self._is_sent(entry)]
        return bool(self._leaving)

    def failed_peers(self) -> set[Peer]:
        new = self._failed - self._failed_told
        self._failed_told |= new
        return new

    def close(self, *, orderly: bool, code: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        if orderly and self._meet():
            self._comm.Free()
            self._mpi.Finalize()
            return
        time.sleep(READING_S)
        self._mpi.COMM_WORLD.Abort(code)

    def _take_up(self) -> bool:
        """Begin to receive the next frame, if there is one."""
        try:
            message = self._comm.Improbe(self._mpi.ANY_SOURCE, TAG, self._status)
            if message is None:
                return False
            buffer = bytearray(self._status.Get_count(self._mpi.BYTE))
            request = message.Irecv([buffer, self._mpi.BYTE])
        except self._mpi.Exception as error:
            self._note_failure(error)
            return False
        self._arriving.append(Arriving(Peer(self._status.Get_source()), buffer, request))
        return True

    def _is_sent(self, entry: tuple[Any, bytes, Peer]) -> bool:
        request, _, peer = entry
        if peer in self._failed:
            return True
        try:
            return bool(request.Test())
        except self._mpi.Exception as error:
            self._note_failure(error)
            return peer in self._failed

    def _note_failure(self, error: Exception) -> None:
        """Learn who died, where the implementation tells (Open MPI with ULFM); else let the error through."""
        try:
            group = self._comm.Get_failed()
            self._comm.Ack_failed()
            world = self._comm.Get_group()
            ranks = group.Translate_ranks(list(range(group.Get_size())), world)
        except (self._mpi.Exception, NotImplementedError):
            raise error from None
        if not len(ranks):
            raise error
        self._failed |= {Peer(rank) for rank in ranks}

    def _meet(self) -> bool:
        """Wait for every rank to come here; say whether they did in time."""
        ends_at = time.monotonic() + LEAVING_S
        while self.progress():
            if time.monotonic() > ends_at:
                return False
            time.sleep(LOOK_S)
        request = self._comm.Ibarrier()
        while not request.Test():
            if time.monotonic() > ends_at:
                return False
            time.sleep(LOOK_S)
        return True


def launched() -> bool:
    """Whether an MPI launcher started this process as one of several ranks. Does not touch MPI."""
    return launched_rank() is not None and launched_size() > 1


def launched_rank() -> int | None:
    """The rank that the launcher gave this process, or None. Does not touch MPI."""
    return _first_number(RANK_VARIABLES)


def launched_size() -> int:
    """How many ranks the launcher started; 1 without a launcher. Does not touch MPI."""
    return (_first_number(SIZE_VARIABLES) or 1) if launched_rank() is not None else 1


def _first_number(names: tuple[str, ...]) -> int | None:
    for name in names:
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return None
