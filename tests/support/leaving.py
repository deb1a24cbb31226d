"""A program for ranks: they meet, wait until rank 0 is signalled, and leave in the way that is asked for.

Usage: leaving.py READY_FILE orderly|unexpectedly|bereaved

Bereaved: the last rank dies before, which only an MPI that survives it can be asked to go through.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from parry_mpi.core.ids import Peer
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.transport.mpi import MpiTransport

STOPPED = 75
asked = threading.Event()
turn = threading.Event()


def main(ready: Path, how: str) -> int:
    signal.signal(signal.SIGUSR1, lambda *_: asked.set())
    end = MpiTransport()
    if end.rank != COORDINATOR:
        end.send(COORDINATOR, b"here")
        if how == "bereaved" and end.rank == end.size - 1:
            while end.progress():
                turn.wait(0.001)
            os.kill(os.getpid(), signal.SIGKILL)
        while not end.receive():
            end.progress()
            turn.wait(0.001)
        end.close(orderly=True, code=0)
        return 0
    here: set[Peer] = set()
    while len(here) < end.size - 1:
        here |= {peer for peer, _ in end.receive()}
        turn.wait(0.001)
    ready.touch()
    while not asked.is_set():
        turn.wait(0.001)
    dead: set[Peer] = set()
    while how == "bereaved" and not dead:
        end.receive()
        dead = end.failed_peers()
        turn.wait(0.001)
    if how != "unexpectedly":
        for peer in here - dead:
            end.send(peer, b"leave")
    end.close(orderly=how == "orderly", code=STOPPED)
    return STOPPED


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
