"""Who explored how much: added up by who they are, not by how often they came."""

from __future__ import annotations

from parry_mpi.core.events import Effects, Fold
from parry_mpi.core.ids import LeaseId, Peer
from parry_mpi.core.records import Reported, Voided
from parry_mpi.runtime.contributions import SHOWN_MAX, Contributions
from parry_mpi.transport.base import OUTSIDE


class Names:
    """A gate that knows its guests by their last digit."""

    def notes(self):
        return []

    def describe(self, peer):
        return f"guest {peer % 2}"


def reported(nodes: int, host: str = "node7") -> Effects:
    """What comes of a report."""
    return Effects(
        records=[Voided(LeaseId(3), ()), Reported(LeaseId(1), 1, nodes, 10 * nodes, 1, (), ())], folds=[Fold(b"", host)]
    )


def test_added_up():
    """Protects the reader of a status: a worker that came back under another number is the same, another machine is not."""
    contributions = Contributions(Names())
    contributions.add(Peer(OUTSIDE + 1), reported(5))
    contributions.add(Peer(2), reported(7))
    contributions.add(Peer(OUTSIDE + 3), reported(6))
    contributions.add(Peer(OUTSIDE + 1), reported(1))
    contributions.add(Peer(OUTSIDE + 5), reported(1, "node8"))
    assert [
        {"via": "guest 1", "host": "node7", "nodes": 12, "solved": 3, "explored_us": 120},
        {"via": "rank 2", "host": "node7", "nodes": 7, "solved": 1, "explored_us": 70},
        {"via": "guest 1", "host": "node8", "nodes": 1, "solved": 1, "explored_us": 10},
    ] == contributions.told()


def test_bounded():
    """Protects the status file of a run with very many ranks: it lists those that did most."""
    contributions = Contributions(None)
    for rank in range(SHOWN_MAX + 5):
        contributions.add(Peer(rank), reported(rank))
    told = contributions.told()
    assert (SHOWN_MAX, SHOWN_MAX + 4) == (len(told), told[0]["nodes"])


def test_gone():
    """Protects rank 0 in a run of a year: of a worker that is gone its contribution is kept, and nothing else."""
    contributions = Contributions(Names())
    contributions.add(Peer(OUTSIDE + 1), reported(5))
    contributions.forget(Peer(OUTSIDE + 1))
    contributions.forget(Peer(OUTSIDE + 2))
    contributions.add(Peer(OUTSIDE + 3), reported(2))
    assert [7] == [each["nodes"] for each in contributions.told()]
