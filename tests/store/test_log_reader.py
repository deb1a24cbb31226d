"""The event log as it is read while somebody writes it."""

from __future__ import annotations

import os

import pytest

from parry_mpi.errors import UsageError
from parry_mpi.store.log import EventLog
from parry_mpi.store.log_reader import LogReader


def numbers(reader):
    return [event["number"] for event in reader.more()]


def test_what_comes_later(tmp_path):
    """Protects who follows a run: each event once, in order, from before the log is there until after it was put aside again."""
    with LogReader(tmp_path) as reader:
        assert [] == numbers(reader)
        log = EventLog(tmp_path / "log.jsonl", size_bytes_max=400)
        seen = []
        for number in range(40):
            log.write("event", number=number)
            if number % 3 == 0:
                seen += numbers(reader)
        seen += numbers(reader)
        log.close()
    assert (tmp_path / "log.jsonl.1").exists()
    assert list(range(40)) == seen


def test_what_was_put_aside_comes_first(tmp_path):
    """Protects the order of a long run's events."""
    log = EventLog(tmp_path / "log.jsonl", size_bytes_max=400)
    for number in range(9):
        log.write("event", number=number)
    log.close()
    with LogReader(tmp_path) as reader:
        found = numbers(reader)
        assert (list(range(found[0], 9)), []) == (found, numbers(reader))
    assert len(found) > len((tmp_path / "log.jsonl").read_text().splitlines())


def test_log_that_was_just_put_aside_is_read_once(tmp_path):
    """Protects from events shown twice: a log may be put aside between two looks at the folder."""
    EventLog(tmp_path / "log.jsonl").write("event", number=1)
    os.link(tmp_path / "log.jsonl", tmp_path / "log.jsonl.1")
    with LogReader(tmp_path) as reader:
        assert [1] == numbers(reader)


FOREIGN = [
    b"what is this",
    b"",
    b"[1]",
    b"{}",
    b'{"event": 3, "time": "x"}',
    b'{"time": "x"}',
    b"\xff\xfe",
    b"\0" * 100,
    b"[" * 100_000,
]


def test_torn_and_foreign_lines(tmp_path):
    """Protects the reader from a log that was damaged: what is ours is read, and a half line once it is whole."""
    path = tmp_path / "log.jsonl"
    whole = b'{"time": "2001-09-09T01:46:40.000+00:00", "event": "event", "number": %d}\n'
    path.write_bytes(b"\n".join([whole % 1, *FOREIGN, whole % 2]) + (whole % 3)[:30])
    with LogReader(tmp_path) as reader:
        assert [1, 2] == numbers(reader)
        with path.open("ab") as file:
            file.write((whole % 3)[30:])
        assert [3] == numbers(reader)


def test_no_run(tmp_path):
    """Protects from a mistyped name: it is said that there is no such folder."""
    with pytest.raises(UsageError, match="does not exist"):
        LogReader(tmp_path / "no")
