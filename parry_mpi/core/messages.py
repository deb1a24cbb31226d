"""What coordinator and workers say to each other: plain typed data, the vocabulary of the protocol.

Every message is a frozen struct with a tag; unknown fields and unknown tags are refused when decoding.
This module must not know how messages are encoded or moved.
"""

from __future__ import annotations

import msgspec

from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.job import Job, total_size_bytes


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True, forbid_unknown_fields=True):
    """Base of all messages."""


# Worker to coordinator


class Hello(Message, frozen=True):
    """I am here and can explore this problem.

    Args:
        fingerprint: digest of the problem's source and parameters; must equal the coordinator's.
        host: name of the machine.
        pid: process id on that machine, for the user to find it.
        token: the same in every repetition of this Hello and different from any other's: a Hello that comes twice joins once.
        heartbeat_ms: how often I promise to send Alive; 0 if I cannot promise it.
    """

    fingerprint: str
    host: str
    pid: int
    token: str
    heartbeat_ms: int = 0


class Unable(Message, frozen=True):
    """I cannot explore this problem at all.

    Args:
        host: name of the machine.
        error: one line.
        details: the traceback in the user's own code, or "".
    """

    host: str
    error: str
    details: str = ""


class GetJob(Message, frozen=True):
    """I can take a bundle.

    Args:
        worker: who.
        seen: the newest lease I ever heard of, or 0. A newer one that I was granted has got lost on the way: send it again.
    """

    worker: WorkerId
    seen: LeaseId = LeaseId(0)


class Report(Message, frozen=True):
    """Since my last report under this lease I found ``value``; this remains; these I give away. One atomic step.

    Args:
        lease: under which lease.
        seq: 1 for the first report of a lease, then 2, 3, ...
        nodes: how many nodes were explored.
        value: what they are worth, encoded as the problem's value; empty when there were none.
        explored_us: how long exploring took, in microseconds.
        solved: how many whole jobs were finished; a run of roots counts each root.
        remaining: what remains to be explored under this lease, next one last. Empty: the lease ends.
        shared: given away to others.
    """

    lease: LeaseId
    seq: int
    nodes: int
    value: bytes
    explored_us: int
    solved: int
    remaining: tuple[Job, ...] = ()
    shared: tuple[Job, ...] = ()


class Failed(Message, frozen=True):
    """The user's code raised; the lease ends, and what my last report left of it goes back.

    Args:
        lease: under which lease.
        seq: the next number, as in Report.
        error: one line, the exception.
        details: the traceback in the user's own code.
        node: the node that raised, as text.
        exact: the last job of my last report is just that node, and nothing else of the lease is to blame.
    """

    lease: LeaseId
    seq: int
    error: str
    details: str = ""
    node: str = ""
    exact: bool = False


class Crashed(Message, frozen=True):
    """The process exploring this lease died; nothing since its last report can be told.

    Args:
        lease: under which lease.
        reason: how it died, one line, such as "killed by signal 11 (SIGSEGV)".
    """

    lease: LeaseId
    reason: str


class Alive(Message, frozen=True):
    """Heartbeat, sent by the supervisor whatever the user's code is doing.

    Args:
        worker: who.
        leases: the leases it still works on.
    """

    worker: WorkerId
    leases: tuple[LeaseId, ...] = ()


class Goodbye(Message, frozen=True):
    """I leave on purpose and hold nothing.

    Args:
        worker: who; 0 if I never joined.
    """

    worker: WorkerId


# Coordinator to worker


class Welcome(Message, frozen=True):
    """You are this worker from now on."""

    worker: WorkerId


class Refused(Message, frozen=True):
    """You may not join; ``reason`` is one line for the user."""

    reason: str


class Bundle(Message, frozen=True):
    """A lease on these jobs; explore the last one first.

    Args:
        lease: the right to report on them; never used twice.
        jobs: at least one.
        share: others are hungry: split one level and give the rest away before exploring.
        careful: a lease on these jobs was killed before: report what is explored next, and wait for the answer, before
            exploring it; first node by node, then in growing stretches. Whatever kills again is then known.
        incumbent: the best score known, None if nothing is looked for or nothing was found; the smallest is the best.
    """

    lease: LeaseId
    jobs: tuple[Job, ...]
    share: bool = False
    careful: bool = False
    incumbent: int | float | None = None


class Ack(Message, frozen=True):
    """Your report ``seq`` under this lease counts."""

    lease: LeaseId
    seq: int


class Share(Message, frozen=True):
    """Others are hungry: give part of this lease away."""

    lease: LeaseId


class Die(Message, frozen=True):
    """Abandon this lease and keep nothing of it: it is not yours, or not any more."""

    lease: LeaseId


class Incumbent(Message, frozen=True):
    """Something better was found: under this lease, what cannot be better than this score need not be explored.

    Args:
        lease: of this coordinator's: what an earlier one said of solutions that it did not commit means nothing any more.
        score: how good it is; the smallest is the best.
    """

    lease: LeaseId
    score: int | float


class Stop(Message, frozen=True):
    """The run stops: hand back what remains, then say Goodbye."""


class Finished(Message, frozen=True):
    """Everything is explored and the answer is on disk. Leave."""


class Rejoin(Message, frozen=True):
    """I do not know you (any more): say Hello again."""


FromWorker = Hello | Unable | GetJob | Report | Failed | Crashed | Alive | Goodbye
FromCoordinator = Welcome | Refused | Bundle | Ack | Share | Die | Incumbent | Stop | Finished | Rejoin


SMALL_BYTES = 1 << 16
"""A longer message is moved in several steps, for each of which both sides have to look."""


def awaited(message: FromWorker | FromCoordinator) -> bool:
    """Whether somebody waits for what follows from this message.

    Signs of life, reports of work that goes on, and their answers keep nobody waiting. As long as nothing else is said a run is calm,
    and those who look for messages may look less often.
    """
    match message:
        case Alive() | Ack() | Incumbent():
            return False
        case Report():
            return not goes_on(message.value, message.remaining, message.shared)
        case _:
            return True


def goes_on(value: bytes, remaining: tuple[Job, ...], shared: tuple[Job, ...]) -> bool:
    """Whether a worker that hands this over has work left, gives none away, and has not much to say."""
    return bool(remaining) and not shared and len(value) + total_size_bytes(remaining) <= SMALL_BYTES
