"""Who explored how much, for the reader of `parry-mpi status`: ranks, and workers from outside by their keys.

This module must not decide anything; the answer does not depend on it.
"""

from __future__ import annotations

import msgspec

from parry_mpi.core.events import Effects
from parry_mpi.core.ids import Peer
from parry_mpi.core.records import Reported
from parry_mpi.transport.base import OUTSIDE, Gate

SHOWN_MAX = 1000
"""Most contributors that are told one by one."""


class Contribution(msgspec.Struct):
    """What one of them did in this life of the coordinator.

    Args:
        nodes, solved: explored nodes and finished jobs.
        explored_us: the time that took.
    """

    nodes: int = 0
    solved: int = 0
    explored_us: int = 0


class Contributions:
    """Add up who did what. There are as many entries as ranks, keys and machines, however often a worker comes and goes.

    Args:
        gate: who knows the workers from outside; None if there are none.
    """

    def __init__(self, gate: Gate | None) -> None:
        self._gate = gate
        self._by_peer: dict[Peer, Contribution] = {}
        self._by_name: dict[tuple[str, str], Contribution] = {}

    def add(self, peer: Peer, effects: Effects) -> None:
        """Note what was accepted of a report from this peer."""
        contribution = self._by_peer.get(peer)
        if contribution is None:
            contribution = self._by_name.setdefault((self.via(peer), effects.folds[0].host), Contribution())
            self._by_peer[peer] = contribution
        for record in effects.records:
            if isinstance(record, Reported):
                contribution.nodes += record.nodes
                contribution.solved += record.solved
                contribution.explored_us += record.explored_us

    def via(self, peer: Peer) -> str:
        """Say where a peer comes in: its rank, or what the gate says about it."""
        return self._gate.describe(peer) if self._gate is not None and peer >= OUTSIDE else f"rank {peer}"

    def forget(self, peer: Peer) -> None:
        """This peer is gone for good; what it did stays."""
        self._by_peer.pop(peer, None)

    def told(self) -> list[dict[str, str | int]]:
        """All of them as plain data, those that did most first."""
        ordered = sorted(self._by_name.items(), key=lambda item: -item[1].nodes)
        return [
            {"via": via, "host": host, "nodes": done.nodes, "solved": done.solved, "explored_us": done.explored_us}
            for (via, host), done in ordered[:SHOWN_MAX]
        ]
