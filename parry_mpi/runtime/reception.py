"""The coordinator's reception: takes in what arrives, and keeps the books of which ranks came and left and of who explored how much.

This module must not decide anything: the coordinator knows nothing of these books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from parry_mpi.core.events import Effects
from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import FromWorker, Goodbye
from parry_mpi.errors import RemoteProtocolError
from parry_mpi.runtime.contributions import Contributions
from parry_mpi.transport.base import OUTSIDE, Gate, Transport
from parry_mpi.wire import codec

Tell = Callable[..., None]
"""Called with an event and its facts, as keywords."""


class Reception:
    """Takes in messages and keeps the books.

    Args:
        transport: to the workers.
        gate: where workers from outside come in; None if none can.
        tell: told of everything that is for the log.

    Attributes:
        seen, departed, lost: the ranks that were ever heard of, those that said goodbye, and those that were given up since they
            were last heard of. Workers from outside have no place here: there may be any number of them in a year.
        contributions: who explored how much.
    """

    def __init__(self, transport: Transport, gate: Gate | None, tell: Tell) -> None:
        self.seen: set[Peer] = set()
        self.departed: set[Peer] = set()
        self.lost: set[Peer] = set()
        self.contributions = Contributions(gate)
        self._transport = transport
        self._gate = gate
        self._tell = tell

    @property
    def open(self) -> bool:
        """Whether workers may come in that nobody started along with the coordinator."""
        return self._gate is not None

    @property
    def everybody_left(self) -> bool:
        """Whether every rank said goodbye."""
        return len(self.departed) == self._transport.size - 1

    def frames(self) -> Iterator[tuple[Peer, Sequence[FromWorker]]]:
        """Give what arrived, frame by frame; one that makes no sense is told of and left out."""
        frames = self._transport.receive()
        heard = {peer for peer, _ in frames if peer < OUTSIDE}
        self.seen |= heard
        self.lost -= heard
        for peer, frame in frames:
            try:
                messages = codec.decode_from_worker(frame)
            except RemoteProtocolError as error:
                self._tell("undecodable", peer=int(peer), why=str(error))
                continue
            if peer < OUTSIDE and any(isinstance(message, Goodbye) for message in messages):
                self.departed.add(peer)
            yield peer, messages

    def gone(self) -> Iterator[tuple[Peer, str]]:
        """Give those that became known to be gone for good, and why."""
        for peer in self._transport.failed_peers():
            self.contributions.forget(peer)
            yield peer, "its process is gone" if peer < OUTSIDE else "its connection is over"

    def gave_up(self, peer: Peer) -> None:
        """Note that the coordinator holds this peer for dead."""
        if peer < OUTSIDE:
            self.lost.add(peer)

    def explored(self, peer: Peer, effects: Effects) -> None:
        """Note what was accepted of a report from this peer."""
        self.contributions.add(peer, effects)

    def look_at_gate(self) -> None:
        """Tell what happened there."""
        for event, facts in self._gate.notes() if self._gate is not None else ():
            self._tell(event, **facts)
