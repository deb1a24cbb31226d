"""The event log."""

from __future__ import annotations

import json
import resource

import pytest

from parry_mpi.store.log import EventLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines(tmp_path):
    """Protects scripts that read the log: an object a line, with a time they can parse."""
    log = EventLog(tmp_path / "log.jsonl", now=lambda: 1e9)
    log.write("opened", workers=3, path=tmp_path)
    log.close()
    log.write("closed")
    log.close()
    expected = {"time": "2001-09-09T01:46:40.000+00:00", "event": "opened", "workers": 3, "path": str(tmp_path)}
    assert lines(tmp_path / "log.jsonl") == [expected, {"time": expected["time"], "event": "closed"}]


@pytest.mark.parametrize("torn", [b'{"event": "x', b"\0" * 70000, b"x" * 100])
def test_torn_line(tmp_path, torn):
    """Protects a log whose writer was killed: only the half line is lost."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "whole"}\n' + torn)
    log = EventLog(path)
    log.write("next")
    log.close()
    events = [line for line in path.read_bytes().split(b"\n") if line.strip(b"\0")]
    assert [json.loads(event.strip(b"\0"))["event"] for event in events] == ["whole", "next"]


def test_bounded(tmp_path):
    """Protects the disk of a run that lasts for months."""
    log = EventLog(tmp_path / "log.jsonl", size_bytes_max=1000)
    for number in range(100):
        log.write("event", number=number)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "log.jsonl.1"]
    assert all(path.stat().st_size <= 1100 for path in tmp_path.iterdir())
    kept = [line["number"] for name in ("log.jsonl.1", "log.jsonl") for line in lines(tmp_path / name)]
    assert kept == list(range(kept[0], 100))


def test_never_raises(tmp_path):
    """Protects the run: nothing that is wrong with its log stops it."""
    log = EventLog(tmp_path / "missing" / "log.jsonl")
    log.write("event")
    cycle = []
    cycle.append(cycle)
    log.write("event", loop=cycle)
    log.close()
    log.close()


def test_full_disk(tmp_path):
    """Protects the log of a run that lived through a full disk: events are missing, and every line is whole."""
    log = EventLog(tmp_path / "log.jsonl")
    log.write("before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "log.jsonl").stat().st_size + 10, hard))
    try:
        log.write("torn")
        log.write("torn again")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.write("after")
    log.close()
    assert [line["event"] for line in lines(tmp_path / "log.jsonl")] == ["before", "after"]
