"""Benchmark of the dashboard: what it costs a run that somebody has its page open.

This module must not judge.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from parry_mpi.store.access import DashboardAccess, read_dashboard_access
from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import DEADLINE_S, Run, going, read_run
from tests.support.commands import wait_until

RANKS = 3
QUEENS = {14: 365596, 16: 14772512, 8: 92}
"""Boards and their answers (https://oeis.org/A000170); 16 take two workers some ten seconds."""


def dashboard(setting: Setting) -> list[Row]:
    """Explore the same tree with nobody watching, with a dashboard that nobody looks at, and with a page open."""
    size = setting.pick(16, 14, 8)
    words = ("jobs/queens.py", f"n={size}")
    ways = {
        "off": partial(_run, setting, words, looked_at=False),
        "on": partial(_run, setting, (*words, "--dashboard", "127.0.0.1:0"), looked_at=False),
        "open": partial(_run, setting, (*words, "--dashboard", "127.0.0.1:0"), looked_at=True),
    }
    measured = interleaved(setting, "dashboard", ways)
    if wrong := [each.result for runs in measured.values() for each in runs if each.result != QUEENS[size]]:
        raise MeasurementError(f"{QUEENS[size]} boards were counted as {wrong}")
    speed = {name: [each.nodes / each.working_s for each in runs] for name, runs in measured.items()}
    against = "1 + 2 ranks without a dashboard"
    return [
        Row("dashboard.off", "nodes/s", speed["off"]),
        Row("dashboard.on", "nodes/s", speed["on"], speed["off"], against),
        Row("dashboard.open", "nodes/s", speed["open"], speed["off"], f"{against}; one page is open"),
    ]


def _run(setting: Setting, words: tuple[str, ...], *, looked_at: bool) -> Run:
    began_at_s = time.monotonic()
    with going(setting, RANKS, *words) as (process, directory), _page(directory, looked_at=looked_at):
        return read_run(process.wait(DEADLINE_S), directory, time.monotonic() - began_at_s)


@contextlib.contextmanager
def _page(directory: Path, *, looked_at: bool) -> Iterator[None]:
    """Ask for what an open page asks for, from a process of its own."""
    if not looked_at:
        yield
        return
    wait_until(lambda: read_dashboard_access(directory) is not None, "the run could be watched", 60)
    client = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.watching", str(directory)])
    try:
        yield
        if client.poll() not in {None, 0}:
            raise MeasurementError("the page could not be followed")
    finally:
        client.kill()
        client.wait()


def _follow(access: DashboardAccess) -> None:
    """Be an open page until the run ends: follow the events, and ask for the workers after each."""
    stream = http.client.HTTPConnection(access.host, access.port)
    stream.request("GET", f"/events?token={access.token}")
    rows = http.client.HTTPConnection(access.host, access.port)
    response = stream.getresponse()
    with contextlib.suppress(OSError, http.client.HTTPException):  # the run has ended
        while line := response.readline():
            if line.startswith(b"event: status"):
                rows.request("GET", f"/api/workers?limit=200&token={access.token}")
                rows.getresponse().read()


if __name__ == "__main__":
    found = read_dashboard_access(Path(sys.argv[1]))
    assert found is not None
    _follow(found)
