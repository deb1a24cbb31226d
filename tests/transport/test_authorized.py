"""The file of authorised keys as the bridge sees it, and records between rank 0 and the bridge process: plain values."""

from __future__ import annotations

from pathlib import Path

from support.bridges import ALICE, MALLORY, key_of

from parry_mpi.transport.bridge.authorized import FILE_BYTES_MAX, AuthorizedKeys, content_of
from parry_mpi.transport.bridge.pair import Kind, Records, record

BOB = key_of("bob")


def file_of(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def test_changes():
    """Protects whoever edits the file: who is in it is in, who is not is out, and silence means that all is well."""
    keys = AuthorizedKeys(Path("here"))
    assert [] == keys.update(file_of(ALICE.public.line, f"connections=3 {BOB.public.line}"))
    assert {ALICE.public.raw: None, BOB.public.raw: 3} == {raw: one.connections_max for raw, one in keys.keys.items()}
    assert [] == keys.update(file_of(BOB.public.line))
    assert {BOB.public.raw} == set(keys.keys)
    assert [] == keys.update(b"")
    assert {} == keys.keys


def test_slips():
    """Protects a key's removal from a slip in another line: each bad line is named once, the good ones count."""
    keys = AuthorizedKeys(Path("here"))
    keys.update(file_of(ALICE.public.line, BOB.public.line))
    slip = file_of("ssh-rsa AAAA", BOB.public.line, "", "no-pty " + MALLORY.public.line) + b"\n\xff"
    complaints = keys.update(slip)
    assert {BOB.public.raw} == set(keys.keys)
    assert ["here, line 1", "here, line 4", "here, line 5"] == [complaint.split(":")[0] for complaint in complaints]
    assert [] == keys.update(slip)


def test_two_limits():
    """Protects from a limit that was meant and is lost: of two for one key the lower one counts, and it is said."""
    keys = AuthorizedKeys(Path("here"))
    complaints = keys.update(
        file_of(ALICE.public.line, f"connections=2 {ALICE.public.line}", f"connections=5 {ALICE.public.line}")
    )
    assert 1 == len(complaints)
    assert "another limit" in complaints[0]
    assert 2 == keys.keys[ALICE.public.raw].connections_max


def test_not_readable(tmp_path):
    """Protects who is in: a file that cannot be read, or is none, takes nothing away, and is complained about once."""
    keys = AuthorizedKeys(tmp_path / "keys")
    keys.update(file_of(ALICE.public.line))
    assert ["cannot be read: nobody new gets in, whoever is in stays"] == [
        complaint.split(" ", 1)[1] for complaint in keys.update(content_of(keys.path))
    ]
    assert [] == keys.update(content_of(keys.path))
    assert (False, {ALICE.public.raw}) == (keys.readable, set(keys.keys))
    keys.path.write_bytes(bytes(FILE_BYTES_MAX + 1))
    assert content_of(keys.path) is None
    keys.path.write_bytes(file_of(BOB.public.line))
    assert [] == keys.update(content_of(keys.path))
    assert (True, {BOB.public.raw}) == (keys.readable, set(keys.keys))


def test_records_in_pieces():
    """Protects what rank 0 and the bridge say to each other: however the bytes come in pieces, the records are the same."""
    sent = [(Kind.RECEIVED, 1 << 40, b""), (Kind.JOINED, 7, b"x" * 300), (Kind.CLOSE, 0, b"y")]
    stream = b"".join(record(*one) for one in sent)
    for size in (1, 2, 7, 13, len(stream)):
        records, got = Records(), []
        for begin in range(0, len(stream), size):
            got += records.take(stream[begin : begin + size])
        assert sent == got
