"""A dashboard without a run behind it: statuses made up, and a reader of its pages."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parry_mpi.dashboard.end import Dashboard, listen
from parry_mpi.dashboard.pair import Configuration
from parry_mpi.store.access import DashboardAccess, read_dashboard_access
from support import chaos
from support.commands import Started, alive, wait_until

TOKEN = "made-up-token-of-some-length"  # noqa: S105

FACTS = {"title": "Queens n=12", "problem": "queens:Queens", "parameters": {"n": 12}, "run_dir": "/somewhere/runs/queens-n=12"}


START_S = 60
"""A loaded machine takes its time to start Python."""


def quiet_port() -> int:
    """A port that is free now, and that nobody is given who asks for any: it is still free when a run comes back for it."""
    for port in range(20_000 + os.getpid() % 9_000, 30_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def workers(count: int, moment: int = 0) -> list[dict[str, Any]]:
    """A list of workers as a status has it."""
    return [
        {
            "worker": number,
            "host": f"node{number // 128:03}",
            "pid": 4000 + number,
            "lease": None if number % 97 == 0 else 10 * number,
            "jobs": 0 if number % 97 == 0 else 1 + number % 5,
            "nodes": 1_000_000 + 7919 * number % 500_000 + 40_000 * moment,
            "nodes_per_s": 40_000.0 + 37 * (number % 211),
            "killed": int(number % 501 == 0),
            "heard_ms_ago": 200 + number * 13 % 900,
            "via": f"rank {number}"
            if number % 10
            else f"alice@lab (SHA256:{number:043}) from 10.0.{number // 256}.{number % 256}",
            "depth": None if number % 97 == 0 else 4 + number % 7,
            "joined_ms_ago": 3_600_000 + 1000 * moment,
            "granted_ms_ago": None if number % 97 == 0 else 150 * (number % 60),
        }
        for number in range(1, count + 1)
    ]


def status(workers_count: int = 3, moment: int = 0, **changes: Any) -> dict[str, Any]:
    """A whole status, as a coordinator hands it to its page.

    Args:
        workers_count: how many workers there are.
        moment: seconds since the story began.
        changes: what is different.
    """
    listed = workers(workers_count, moment)
    busy = sum(each["lease"] is not None for each in listed)
    pending = round(4_000 + 2_500 * math.sin(moment / 60) + 300 * math.sin(moment / 7))
    depths = [[depth, round(pending * math.exp(-((depth - 9) ** 2) / 18) / 7.5), 40 + 3 * depth] for depth in range(2, 19)]
    told = {
        "version": 1,
        "time": 1_800_000_000.0 + moment,
        "phase": "exploring",
        "explored": min(1.0, 0.1 + moment / 2_000),
        "nodes": 10_000_000 + moment * 200_000 + round(20_000 * math.sin(moment / 9)),
        "solved": 5_000 + moment,
        "pending": pending,
        "leased": sum(each["jobs"] for each in listed),
        "quarantined": 0,
        "killings": 0,
        "restarts": 0,
        "reports": 9_000 + 3 * moment,
        "shared": 1_200 + moment,
        "roots_left": False,
        "workers": workers_count,
        "busy": busy,
        "workers_seen": workers_count,
        "decided": False,
        "complete": False,
        "by_depth": depths,
        "workers_list": listed,
        "quarantined_jobs": [],
        "commit_s": 0.012,
        "result_text": str(14_200 + moment),
        "result_html": "",
        "seconds": float(moment + 1),
        "host": "node000",
        "contributions": [],
        "estimate": None,
    }
    return told | changes


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(port: int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    """Ask a dashboard on this machine."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


@contextlib.contextmanager
def opened(run_dir: Any, warnings: list[str] | None = None, token: str = TOKEN) -> Iterator[Dashboard]:
    """A dashboard with its process, on a free port; on the way out its process has to be gone."""
    warn = warnings.append if warnings is not None else print
    dashboard = Dashboard(listen("127.0.0.1", 0), Configuration(token, str(run_dir), FACTS), warn)
    pids = {dashboard.pid}
    try:
        yield dashboard
    finally:
        pids.add(dashboard.pid)
        dashboard.close()
        wait_until(lambda: not any(pid and alive(pid) for pid in pids), "the dashboard process was gone")


def shown(dashboard: Dashboard, told: dict[str, Any]) -> None:
    """Have a status shown, and wait until it is."""
    port = dashboard.address[1]

    def is_there() -> bool:
        dashboard.progress(0)
        answer = get(port, f"/api/status?token={TOKEN}")
        return answer.code == 200 and answer.json["time"] == told["time"]

    dashboard.show(told)
    wait_until(is_there, "the status was shown", START_S)


def watched(command: Started, folder: Path) -> DashboardAccess:
    """Wait until a run can be watched, and something of it is on disk."""

    def is_there() -> bool:
        access = read_dashboard_access(folder / "here")
        assert command.running, command.stderr
        return access is not None and access.token in command.stderr and chaos.nodes_on_disk(folder / "here") > 0

    wait_until(is_there, "the run was watched and under way", START_S)
    access = read_dashboard_access(folder / "here")
    assert access is not None
    return access
