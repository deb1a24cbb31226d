"""parry_mpi.cli.display and terminal: what is shown, and that showing never holds a run up."""

from __future__ import annotations

import os
import pty

import pytest

from parry_mpi.cli.display import FIRST_LINE_MS, LINE_MS, Display, facts
from parry_mpi.cli.terminal import find_terminal, takes_more
from parry_mpi.core.estimate import Estimate
from parry_mpi.core.view import View
from parry_mpi.runtime import clock


def view_of(**numbers) -> View:
    zeros = dict.fromkeys(View.__struct_fields__[1:-1], 0) | {
        "phase": "exploring",
        "roots_left": False,
        "objective": None,
        "bound": None,
    }
    return View(**(zeros | numbers))


@pytest.fixture
def at_ms(monkeypatch):
    """A clock that is set by hand."""
    now = [1_000]
    monkeypatch.setattr(clock, "now_ms", lambda: now[0])

    def set_to(ms: int) -> None:
        now[0] = 1_000 + ms

    return set_to


def test_facts():
    """Protects the line's length: what is usually zero is shown only if it is not."""
    assert facts(view_of(workers=3, busy=2, pending=4, roots_left=True)) == [
        "0 jobs solved",
        "4+ pending",
        "0 leased",
        "2 of 3 workers busy",
    ]
    assert facts(view_of(objective=72))[0] == "best 72"
    assert facts(view_of(objective=72, bound=0))[0] == "best 72, bound 0"
    assert facts(view_of(workers=1, killings=2, quarantined=1))[-3:] == ["1 worker idle", "2 killings", "1 quarantined"]


def test_plain_lines(at_ms, tmp_path):
    """Protects log files: none for a short run, then one line now and then, with the speed of the last seconds."""
    with (tmp_path / "log").open("w") as log, Display("Queens n=8", None, log) as display:
        for ms in range(0, FIRST_LINE_MS + 2 * LINE_MS, 200):
            at_ms(ms)
            display.show(view_of(nodes=ms * 10, explored=0.5, workers=3, busy=3))
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("parry-mpi: 50.0 % explored after 2 s, 20.0 k nodes (10.0 k/s), 0 jobs solved")


def test_panel(at_ms):
    """Protects people who watch: all numbers are in the panel, and it is gone at the end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as reader:
        with Display("Queens n=8", terminal, terminal) as display:
            display.show(view_of(nodes=1_020_000, explored=0.296, workers=3, busy=2, pending=7))
        shown = reader.read(100_000).decode()
    for text in ("Queens n=8", "29.6 % explored", "1.02 M nodes", "7 pending", "2 of 3 workers busy", "exploring"):
        assert text in shown


def test_estimate(at_ms, tmp_path):
    """Protects the time left that people plan with: it is in the line while it is known."""
    with (tmp_path / "log").open("w") as log, Display("Queens n=8", None, log) as display:
        known = view_of(nodes=1000, estimate=Estimate(4.1e6, 3.2e6, 5.5e6, 720.0, 540.0, 1020.0))
        display.show(known)
        assert " of about 4.1 M nodes (3.2-5.5 M), 12 min left (9-17), " in display.line(known, 2000)
        assert "about" not in display.line(view_of(nodes=1000, estimate=None), 2000)


def test_full_pipe(at_ms):
    """Protects the run from a reader that has stopped reading: the line is left out instead of waiting."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with os.fdopen(read_end, "rb"), os.fdopen(write_end, "w") as pipe:
        assert takes_more(pipe)
        try:
            while True:
                os.write(write_end, b"x" * 65536)
        except BlockingIOError:
            assert not takes_more(pipe)
        display = Display("Queens", None, pipe)
        at_ms(FIRST_LINE_MS)
        display.show(view_of())


def test_closed_file(at_ms, tmp_path):
    """Protects the run from a log that is gone."""
    log = (tmp_path / "log").open("w")
    log.close()
    display = Display("Queens", None, log)
    at_ms(FIRST_LINE_MS)
    display.show(view_of())


def test_no_terminal(monkeypatch, tmp_path):
    """Protects files from control characters: a file is no terminal."""
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr("sys.stderr", log)
        assert find_terminal() is None
