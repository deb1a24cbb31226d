"""Damaged bytes for everything that reads from the network: a short stretch of ``python -m tests.fuzz``."""

from __future__ import annotations

import pytest
from support.fuzzing import STAGES, Fuzzer

from parry_mpi.wire import session


def test_damaged_bytes():
    """Protects against whoever can reach the port: damaged bytes end in one of two errors, with little memory, and nothing is believed."""
    fuzzer = Fuzzer(seed=1)
    fuzzer.run(1500)
    seen = {outcome.rsplit(": ", 1)[0] for outcome in fuzzer.counts}
    assert {*STAGES, "the client", "the server", "decode_from_worker", "decode_from_coordinator"} == seen
    kinds = {outcome.rsplit(": ", 1)[1] for outcome in fuzzer.counts}
    assert {"AuthenticationError", "RemoteProtocolError", "complete", "read", "waits"} == kinds


@pytest.mark.parametrize(
    ("noticed", "verified"),
    [
        (r" believes | lets in ", lambda key, signature, data: True),
        (r" fails with ZeroDivisionError", lambda key, signature, data: 1 // 0),
        (r" takes \d+ bytes at ", lambda key, signature, data: len(bytes(1 << 21)) < 0),
    ],
    ids=["believes", "fails", "takes memory"],
)
def test_fuzzer_notices(monkeypatch, noticed, verified):
    """Protects the test above from being blind: sessions that believe any signature, fail otherwise, or take memory are caught."""
    fuzzer = Fuzzer(seed=1)
    monkeypatch.setattr(session, "verified", verified)
    with pytest.raises(AssertionError, match=noticed):
        fuzzer.run(1500)
