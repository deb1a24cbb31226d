"""What the coordinator is told and what it answers: the events into step() and the effects out of it.

This module must not decide anything.
"""

from __future__ import annotations

import enum

import msgspec

from parry_mpi.core.ids import Peer
from parry_mpi.core.messages import FromCoordinator, FromWorker
from parry_mpi.core.state import AnyRecord
from parry_mpi.job import Job


class Phase(enum.Enum):
    """How far a coordinator is; it only ever moves down this list."""

    EXPLORING = "exploring"
    STOPPING = "stopping"  # leases are being handed back
    SETTLING = "settling"  # nothing is leased any more; the last commit is on its way
    ENDED = "ended"  # the last commit is on disk and everybody was told


class Failure(msgspec.Struct, frozen=True):
    """Why a run could not go on: the user's problem raised.

    Args:
        error: one line.
        details: the traceback in the user's own code, or "".
        node: the node, as text, or "".
        host: on which machine.
    """

    error: str
    details: str = ""
    node: str = ""
    host: str = ""


class Received(msgspec.Struct, frozen=True):
    """A message came in."""

    peer: Peer
    message: FromWorker


class PeerGone(msgspec.Struct, frozen=True):
    """The transport knows that this peer is gone for good (an MPI rank died, a connection is over)."""

    peer: Peer
    why: str


class RootsRead(msgspec.Struct, frozen=True):
    """The answer to Effects.pull: more roots.

    Args:
        jobs: new jobs, weights already divided.
        pulled: how many roots have been read in all.
        exhausted: there are no more.
        unpulled_weight: what is left of WHOLE for the roots still to come.
    """

    jobs: tuple[Job, ...]
    pulled: int
    exhausted: bool
    unpulled_weight: int


class StopAsked(msgspec.Struct, frozen=True):
    """The run shall stop and be resumable.

    Args:
        why: for the user, such as "SIGTERM".
        at_once: do not wait for leases to be handed back.
    """

    why: str
    at_once: bool = False


class ProblemRaised(msgspec.Struct, frozen=True):
    """The user's code raised in the coordinator's process, or in a worker that cannot begin. The run stops."""

    failure: Failure


class Improved(msgspec.Struct, frozen=True):
    """Something better than all that was known has been added to the result.

    Args:
        score: how good it is; the smallest is the best.
        enough: nothing better is asked for: the search is over.
    """

    score: int | float
    enough: bool = False


class Committed(msgspec.Struct, frozen=True):
    """Everything up to the last record is on disk."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


Event = Received | PeerGone | RootsRead | StopAsked | ProblemRaised | Improved | Committed | Tick


class Fold(msgspec.Struct, frozen=True):
    """Add this value to the result, in this order. What the result is, and how values add up, is the problem's business."""

    value: bytes
    host: str


class Note(msgspec.Struct, frozen=True):
    """Something for the log, and for the reader of it.

    Args:
        event: one word or two, such as "killed".
        facts: plain data.
    """

    event: str
    facts: dict[str, str | int | float]


class Effects(msgspec.Struct):
    """What shall happen now, in this order: apply was done; fold, note, send; then wait.

    Args:
        records: the durable facts; already applied to the state.
        folds: values to add to the result.
        sends: messages to deliver.
        notes: lines for the log.
        pull: how many more roots are wanted; answered by RootsRead. 0 for none.
        must_commit: answer with Committed as soon as everything up to here is on disk.
        wake_at_ms: when to come back with a Tick at the latest, or None.
    """

    records: list[AnyRecord] = msgspec.field(default_factory=list)
    folds: list[Fold] = msgspec.field(default_factory=list)
    sends: list[tuple[Peer, FromCoordinator]] = msgspec.field(default_factory=list)
    notes: list[Note] = msgspec.field(default_factory=list)
    pull: int = 0
    must_commit: bool = False
    wake_at_ms: int | None = None
