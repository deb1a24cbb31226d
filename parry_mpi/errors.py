"""The exceptions of parry_mpi and the exit code of each.

Errors are sorted by whose fault they are, because that is what decides what to do about them:

    ParryError
    ├── UsageError            2   what the user typed is wrong; nothing was touched
    │   └── ParameterError    2   a problem's parameter is unknown or has the wrong type
    ├── ProblemError          4   the user's problem raised, or returned what it may not
    ├── StoreError
    │   ├── StoreCorrupt     65   the run directory is damaged
    │   ├── StoreLocked      73   another coordinator holds the run directory
    │   ├── StoreVersionError 78  the run directory was written by a newer parry_mpi
    │   ├── StoreMismatch     2   the run directory belongs to another problem or other parameters
    │   └── CommitFailed     74   the file system refused to take the state
    ├── ExplorerLost          -   what explores is gone, as if it had been killed: the job may be tried again
    ├── LocalProtocolError   70   our own code broke the protocol: a bug in parry_mpi
    ├── InvariantError       70   the state contradicts itself: a bug in parry_mpi
    ├── RemoteProtocolError  76   what the other side sent makes no sense: drop that peer
    ├── AuthenticationError  77   a key or a signature is not the right one: never tried again
    └── PeerLost             75   the other side is gone: run the same command again

This module imports nothing of ours: every other one may import it.
"""

from __future__ import annotations

from typing import NoReturn

EXIT_COMPLETE = 0
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
EXIT_PROBLEM = 4
EXIT_CORRUPT = 65
EXIT_INTERNAL = 70
EXIT_LOCKED = 73
EXIT_IO = 74
EXIT_STOPPED = 75
EXIT_PROTOCOL = 76
EXIT_NOPERM = 77
EXIT_VERSION = 78


class ParryError(Exception):
    """What parry_mpi raises on purpose; its text is one line for the user: what, where, what to do."""

    exit_code = EXIT_INTERNAL


class UsageError(ParryError):
    """What the user asked for cannot be done as asked; nothing was touched."""

    exit_code = EXIT_USAGE


class ParameterError(UsageError):
    """A parameter that the problem does not have, or a value of the wrong type."""


class ProblemError(ParryError):
    """The user's problem raised an exception, or returned something it may not.

    Args:
        text: one line for the user.
        details: the traceback in the user's own code, several lines, or "".
        node: the node that was being explored, as text, or "".
        host: the machine on which it happened, or "" if that is this one.
    """

    exit_code = EXIT_PROBLEM

    def __init__(self, text: str, *, details: str = "", node: str = "", host: str = "") -> None:
        super().__init__(text)
        self.details = details
        self.node = node
        self.host = host


class StoreError(ParryError):
    """Something about the run directory; it is left as it was found."""


class StoreCorrupt(StoreError):
    """The run directory is damaged."""

    exit_code = EXIT_CORRUPT


class StoreLocked(StoreError):
    """Another live coordinator holds the run directory."""

    exit_code = EXIT_LOCKED


class StoreVersionError(StoreError):
    """The run directory was written by a newer parry_mpi."""

    exit_code = EXIT_VERSION


class StoreMismatch(StoreError):
    """The run directory belongs to another problem or to other parameters."""

    exit_code = EXIT_USAGE


class CommitFailed(StoreError):
    """The file system would not take the state; what was committed before is intact."""

    exit_code = EXIT_IO


class ExplorerLost(ParryError):
    """What explores for us is gone, which may be its fault, the job's or the machine's: the job may be tried again."""


class LocalProtocolError(ParryError):
    """Our own code broke the protocol."""


class InvariantError(ParryError):
    """The coordinator's state contradicts itself.

    Args:
        text: which invariant does not hold.
        story: the latest events, oldest first.
    """

    def __init__(self, text: str, story: tuple[str, ...] = ()) -> None:
        super().__init__("\n  ".join((text, *story)))
        self.story = story


class RemoteProtocolError(ParryError):
    """What the other side sent makes no sense; the peer is dropped and nothing changes."""

    exit_code = EXIT_PROTOCOL


class AuthenticationError(ParryError):
    """The other side is not who it should be, or does not let us in; trying again cannot help."""

    exit_code = EXIT_NOPERM


class PeerLost(ParryError):
    """The other side is gone."""

    exit_code = EXIT_STOPPED


def unreachable(value: NoReturn) -> NoReturn:
    """Fail if a match that must be exhaustive is not; the type checker proves that it is (typing.assert_never needs Python 3.11)."""
    raise AssertionError(f"not handled: {value!r}")
