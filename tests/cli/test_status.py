"""parry_mpi.cli.status: what a person is shown of a run."""

from __future__ import annotations

import json
from itertools import chain, repeat

import pytest
from click.testing import CliRunner

from parry_mpi.cli import status as module
from parry_mpi.cli.status import command, line, lines, screen

LIVE = {
    "live": True,
    "host": "node7",
    "pid": 5,
    "phase": "exploring",
    "problem": "queens:Queens",
    "parameters": {"n": 8},
    "nodes": 1234,
}


def test_a_live_run():
    """Protects whoever looks in on a run: what it is, where it is, and its numbers."""
    shown = list(lines(LIVE))
    assert ["queens:Queens n=8", "  running on node7 (process 5): exploring"] == shown[:2]
    assert "  nodes        1,234" in shown


def test_the_walltime():
    """Protects whoever wonders when a batch job will stop: its end, and how long before; nothing where there is no end."""
    ends = {"walltime_ends_at": "2026-11-22T17:03:19", "walltime_left_s": 3605.2, "margin_s": 13.9}
    expected = "  walltime     ends 2026-11-22T17:03:19 (in 1:00:05); stops 14 s before"
    assert expected in list(lines({**LIVE, **ends}))
    assert "walltime" not in "".join(lines(LIVE))


def test_the_optimum():
    """Protects whoever wonders whether to go on: what is known of an optimum, and nothing of what has none."""
    assert "  optimum      best 72, bound 0" in list(lines({**LIVE, "explored": 0.5, "objective": 72, "bound": 0}))
    assert "optimum" not in "".join(lines({**LIVE, "explored": 0.5, "objective": None, "bound": None}))


OVER = {"live": False, "finished": True, "complete": True, "problem": "queens:Queens", "nodes": 2000}


@pytest.fixture
def run(monkeypatch):
    """A run that is seen alive so many times, or is interrupted by the user; and no time passes."""

    def as_seen(*seen):
        story = chain(seen, repeat(OVER))
        monkeypatch.setattr(module, "read_status", lambda _folder: next(story))
        monkeypatch.setattr(module.clock, "sleep", lambda _seconds: None)

    return as_seen


def shown(*words):
    done = CliRunner().invoke(command, ["here", *words], standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0
    return done.stdout.splitlines()


def test_watching_on_no_terminal(run):
    """Protects logs and pipes: a line a look without any control characters, and at the end how it ended."""
    more = {**LIVE, "nodes": 15000, "explored": 0.25, "pending": 3, "leased": 1, "workers": 4, "busy": 2, "killings": 1}
    run(LIVE, more)
    expected = [
        "exploring: 0.0 % explored, 1.23 k nodes",
        "exploring: 25.0 % explored, 15.0 k nodes, 3 pending, 1 leased, 4 workers, 2 busy, 1 killings",
    ]
    assert [*expected, *lines(OVER)] == shown("--watch")
    assert line(more) == expected[1]


def test_watching_for_scripts(run):
    """Protects scripts that watch: an object a line, the last one says that it is over."""
    run(LIVE, LIVE)
    assert [LIVE, LIVE, OVER] == list(map(json.loads, shown("--watch", "--json")))


def test_watching_what_is_over(run):
    """Protects from watching for ever: a run that nobody coordinates is shown once."""
    run()
    assert list(lines(OVER)) == shown("--watch") == shown()


def test_watching_until_interrupted(run, monkeypatch):
    """Protects who ends the watching with Ctrl-C: that is no error."""

    def interrupted(_seconds):
        raise KeyboardInterrupt

    run(LIVE, LIVE)
    monkeypatch.setattr(module.clock, "sleep", interrupted)
    assert [line(LIVE)] == shown("--watch")


def test_screen():
    """Protects a small terminal: nothing is longer or higher than it, and nothing of what was there before stays."""
    sent = screen(LIVE, 20, 4)
    assert sent.startswith("\x1b[H")
    assert sent.endswith("\x1b[K\n\x1b[J")
    assert ["queens:Queens n=8", "  running on node7 ", "  nodes        1,23"] == [
        each.removesuffix("\x1b[K") for each in sent.removeprefix("\x1b[H").split("\n")[:-1]
    ]
