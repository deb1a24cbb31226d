"""Every exception has an exit code that says whose fault it was; scripts rely on it."""

from __future__ import annotations

import pytest

from parry_mpi import errors


@pytest.mark.parametrize(
    ("exit_code", "kind"),
    [
        (2, errors.UsageError),
        (2, errors.ParameterError),
        (2, errors.StoreMismatch),
        (4, errors.ProblemError),
        (65, errors.StoreCorrupt),
        (70, errors.LocalProtocolError),
        (70, errors.InvariantError),
        (73, errors.StoreLocked),
        (74, errors.CommitFailed),
        (75, errors.PeerLost),
        (76, errors.RemoteProtocolError),
        (77, errors.AuthenticationError),
        (78, errors.StoreVersionError),
    ],
)
def test_exit_codes(exit_code, kind):
    """Protects scripts: an exit code means one thing, and keeps meaning it."""
    error = kind("what, where, what to do")
    assert exit_code == error.exit_code
    assert "what, where, what to do" == str(error)
    assert isinstance(error, errors.ParryError)


def test_problem_error_tells_where():
    """Protects users whose code raised on another machine: traceback, node and host travel with the error."""
    error = errors.ProblemError("boom", details="Traceback", node="(1, 2)", host="node7")
    assert ("Traceback", "(1, 2)", "node7") == (error.details, error.node, error.host)
    assert ("", "", "") == (errors.ProblemError("boom").details, errors.ProblemError("boom").node, errors.ProblemError("b").host)


def test_invariant_error_tells_its_story():
    """Protects whoever has to find a bug in the protocol: the latest events stand below the invariant that broke."""
    error = errors.InvariantError("no lease is empty", ("1 ms: Tick", "2 ms: Tick"))
    assert "no lease is empty\n  1 ms: Tick\n  2 ms: Tick" == str(error)
    assert ("1 ms: Tick", "2 ms: Tick") == error.story


def test_unreachable_is_loud():
    """Protects against silence: a kind of message that nobody handles is a bug, not something to pass over."""
    with pytest.raises(AssertionError, match="not handled: 7"):
        errors.unreachable(7)
