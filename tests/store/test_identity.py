"""Which runs are the same run."""

from __future__ import annotations

import msgspec
import pytest

from parry_mpi.errors import StoreCorrupt
from parry_mpi.store.identity import Identity, digest, plain_parameters

BEGUN = Identity(problem="queens:Queens", parameters={"n": 12, "m": None}, source_digest="aa", roots_digest="bb", node_type="int")


@pytest.mark.parametrize(
    ("expected", "changed"),
    [
        ("belongs to queens:Queens, not to uts:Uts", {"problem": "uts:Uts"}),
        ("belongs to queens:Queens with n=12, not n=14", {"parameters": {"n": 14, "m": None}}),
        ("with n=12, m=null, no k, not n=1, no m, k=x", {"parameters": {"n": 1, "k": "x"}}),
        ("another version of the source of queens:Queens", {"source_digest": "cc"}),
        ("begun with other roots", {"roots_digest": ""}),
        ("of the types int and , not str and ", {"node_type": "str"}),
    ],
)
def test_difference(expected, changed):
    """Protects answers from being mixed out of two problems, and users from having to guess what differs."""
    wanted = msgspec.structs.replace(BEGUN, **changed)
    difference = BEGUN.difference(wanted)
    assert difference is not None
    assert expected in difference
    assert "--run-dir" in difference
    assert "\n" not in difference
    assert wanted.fingerprint() != BEGUN.fingerprint()


def test_same():
    """Protects resuming: neither a round trip to disk nor the order of parameters makes another run of it."""
    values = {"big": 10**40, "nan": float("nan"), "pair": (1, 2), "names": {"b", "a"}, "text": "\N{SNOWMAN}"}
    begun = msgspec.structs.replace(BEGUN, parameters=plain_parameters(values))
    again = Identity.from_json(begun.to_json())
    wanted = msgspec.structs.replace(begun, parameters=dict(reversed(begun.parameters.items())))
    assert list(again.parameters) == list(values)
    assert again.difference(wanted) is None
    assert again.fingerprint() == wanted.fingerprint()


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"problem": 3}'])
def test_damaged(text):
    """Protects against an identity that was made up from garbage."""
    with pytest.raises(StoreCorrupt, match="identity"):
        Identity.from_json(text)


def test_digest():
    """Protects against two sources that only together are the same text."""
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
