"""parry-mpi log: what a person is shown of what happened."""

from __future__ import annotations

import ast
import functools
import json
import re
import time
from itertools import chain, count, repeat

import pytest
from click.testing import CliRunner
from support.commands import ROOT

from parry_mpi.cli import log as module
from parry_mpi.cli.events import BAD, EVENTS, GOOD, STRANGE, colour_of, in_words
from parry_mpi.cli.log import begin_of, command, line
from parry_mpi.errors import UsageError
from parry_mpi.runtime import clock
from parry_mpi.store.log import EventLog

STAMP = "2026-11-22T13:30:00.250+00:00"


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def folder(tmp_path):
    """A run in which little happened, an hour ago, and something just now."""
    now_s = clock.wall_s()
    log = EventLog(tmp_path / "log.jsonl", now=lambda: now_s - 3600)
    log.write("joined", worker=1, host="node7", pid=12345)
    log.write("joined", worker=2, host="node8", pid=12346)
    log.write("killed", lease=7, worker=1, host="node7", why="it crashed")
    log.close()
    log = EventLog(tmp_path / "log.jsonl", now=lambda: now_s)
    log.write("outside refused", address="10.0.0.1:5", key="SHA256:x", why="not authorised")
    log.write("left", worker=2, host="node8", nodes=1234567)
    log.close()
    return tmp_path


def shown(folder, *words):
    done = CliRunner().invoke(command, [str(folder), *words], standalone_mode=False, catch_exceptions=False)
    return done.stdout.splitlines()


def names(folder, *words):
    return [event["event"] for event in map(json.loads, shown(folder, *words, "--json"))]


def test_line():
    """Protects who reads the log: local time, what it is, and what that means."""
    event = {"time": STAMP, "event": "left", "worker": 2, "host": "node8", "nodes": 1234567}
    expected = "2026-11-22 14:30:00.250  left                  worker 2 on node8 left, having explored 1,234,567 nodes"
    assert expected == re.sub(r"\x1b\[\d*m", "", line(event))


def test_filters(folder):
    """Protects who looks for something: each filter leaves out what it says, and together they leave out what any of them does."""
    assert ["joined", "joined", "killed", "outside refused", "left"] == names(folder)
    assert ["joined", "killed"] == names(folder, "--worker", "1")
    assert ["killed"] == names(folder, "--lease", "7")
    assert ["outside refused", "left"] == names(folder, "--event", "left", "--event", "outside-refused")
    assert ["outside refused", "left"] == names(folder, "--since", "10m")
    assert ["left"] == names(folder, "--since", "10m", "--worker", "2")
    assert [] == names(folder, "--worker", "2", "--event", "killed")


def test_unknown_event(folder):
    """Protects from a search for nothing: the name is refused in one line that lists what there is."""
    with pytest.raises(UsageError, match=r"no event 'kiled'; there are: opened, .*killed.*outside refused") as refused:
        shown(folder, "--event", "kiled")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("since", ["", "yesterday", "2026-13-01", "2026-11-22T25:00", "1x"])
def test_wrong_time(since):
    """Protects from a time that was mistyped."""
    with pytest.raises(UsageError, match="is not a time"):
        begin_of(since)


def test_time_is_local():
    """Protects who writes a time as the log shows it."""
    assert clock.wall_s_of(STAMP) == begin_of("2026-11-22T14:30:00.250") == begin_of(" 2026-11-22 14:30:00.250")


@pytest.fixture
def following(folder, monkeypatch):
    """A run that is alive for two looks; in every pause something happens, or what the test says."""
    alive = chain([True, True], repeat(False))
    written = EventLog(folder / "log.jsonl")
    monkeypatch.setattr(module, "read_status", lambda _folder: {"live": next(alive)})
    monkeypatch.setattr(module.clock, "now_ms", count().__next__)
    monkeypatch.setattr(module.clock, "sleep", lambda _seconds: written.write("shared", worker=1, lease=2, jobs=3))
    monkeypatch.setattr(module, "LIVE_MS", 2)
    yield
    written.close()


@pytest.mark.usefixtures("following")
def test_follow_until_the_run_ends(folder):
    """Protects who waits for something to happen: what comes is shown, to the last event, and then it is over."""
    before = ["joined", "joined", "killed", "outside refused", "left"]
    found = names(folder, "--follow")
    assert before == found[:5]
    assert {"shared"} == set(found[5:])


@pytest.mark.usefixtures("following")
def test_follow_until_interrupted(folder, monkeypatch):
    """Protects who ends it with Ctrl-C: that is no error."""

    def interrupted(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.clock, "sleep", interrupted)
    assert ["joined", "joined", "killed", "outside refused", "left"] == names(folder, "--follow")


def test_no_colour_but_on_a_terminal(folder):
    """Protects files and pipes: colours are for terminals."""
    assert "\x1b" not in "".join(shown(folder))
    done = CliRunner().invoke(command, [str(folder)], standalone_mode=False, color=True)
    assert "\x1b[31m" in done.stdout


def test_words_of_other_versions_and_of_strangers():
    """Protects the reader's terminal, and those who read the log of another version."""
    assert "peer 3, why 1" == in_words({"time": STAMP, "event": "something new", "peer": 3, "why": 1})
    assert "worker 1 on ? is lost: ?[2J?" == in_words({"time": STAMP, "event": "lost", "worker": 1, "why": "\x1b[2J\u202e"})
    assert line({"time": "no time", "event": "\x1b[2Jnew"}).startswith("?????")
    assert "\x1b[2J" not in line({"time": "no time", "event": "\x1b[2Jnew"})


@functools.cache
def told_events():
    """Every event that the package writes, with the names of its fields as far as they stand there, else None."""
    found = {}
    for path in (ROOT / "parry_mpi").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if name in {"_note", "log", "_tell", "tell"} and isinstance(node.args[0].value, str):
                    fields = {keyword.arg for keyword in node.keywords if keyword.arg}
                    found.setdefault(node.args[0].value, []).append(fields if len(node.args) == 1 else None)
    return found


def test_every_event_is_known():
    """Protects the reader from events without an explanation: what is written is in the table and in the documentation, all of it."""
    told = set(told_events()) | {"bridge lost"}  # the one that is handed on as a pair
    documented = set(re.findall(r"^\| `([a-z ]+)`", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE))
    assert set(EVENTS) == told == documented
    assert GOOD | BAD | STRANGE <= set(EVENTS)
    assert colour_of("lost") == "red"


def test_sentences_have_the_fields_there_are():
    """Protects the words from question marks: what a sentence names is written."""
    for name, calls in told_events().items():
        wanted = set(re.findall(r"{(\w+)}", EVENTS[name]))
        for fields in calls:
            assert fields is None or wanted <= fields, name
