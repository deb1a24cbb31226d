"""The command parry-mpi with a transport that notes, on each worker rank, when it asks for a job and when the bundle comes.

    mpiexec -n 3 python -m tests.benchmarks.observed FOLDER run ...

It writes FOLDER/waits-RANK.json, a line for each bundle: both times in nanoseconds of the machine's monotonic clock. This module must
not change what is sent.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from parry_mpi.cli.main import main
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import Bundle, GetJob
from parry_mpi.transport import mpi
from parry_mpi.wire import codec


class ObservedTransport(mpi.MpiTransport):
    """An MPI transport that remembers when it last asked. Decoding a frame once more costs it some microseconds."""

    folder: Path
    _asked_ns = 0

    def send(self, peer: Peer, frame: bytes) -> None:
        super().send(peer, frame)
        if self.rank and not self._asked_ns and any(isinstance(each, GetJob) for each in codec.decode_from_worker(frame)):
            self._asked_ns = time.monotonic_ns()

    def receive(self) -> list[tuple[Peer, bytes]]:
        frames = super().receive()
        if self.rank and self._asked_ns:
            got_ns = time.monotonic_ns()
            for _, frame in frames:
                if any(isinstance(each, Bundle) for each in codec.decode_from_coordinator(frame)):
                    with (self.folder / f"waits-{self.rank}.json").open("a") as file:
                        file.write(f"[{self._asked_ns}, {got_ns}]\n")
                    self._asked_ns = 0
        return frames


if __name__ == "__main__":
    ObservedTransport.folder = Path(sys.argv[1])
    mpi.MpiTransport = ObservedTransport  # type: ignore[misc]
    sys.exit(main(sys.argv[2:]))
