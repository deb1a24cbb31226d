"""parry_mpi.cli.status: what a person is shown of a run."""

from __future__ import annotations

from parry_mpi.cli.status import lines

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
