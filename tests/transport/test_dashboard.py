"""The dashboard with its real process and sockets, and no run behind it: never in the way, back when it dies, gone when we are."""

from __future__ import annotations

import http.client
import os
import signal
import socket

import pytest
from support.commands import alive, wait_until
from support.watching import START_S, TOKEN, get, opened, quiet_port, shown, status

from parry_mpi.dashboard import end
from parry_mpi.errors import UsageError


def port_of(dashboard: end.Dashboard) -> int:
    return dashboard.address[1]


def test_follows(tmp_path):
    """Protects whoever watches: what rank 0 shows is there over HTTP, event by event, and strangers' bytes do no harm."""
    with opened(tmp_path) as dashboard:
        shown(dashboard, status(moment=1))
        with socket.create_connection(("127.0.0.1", port_of(dashboard))) as stranger:
            stranger.sendall(b"\x16\x03\x01\x00 no HTTP\r\n\r\n")
        stream = http.client.HTTPConnection("127.0.0.1", port_of(dashboard), timeout=60)
        stream.request("GET", f"/events?token={TOKEN}")
        response = stream.getresponse()
        assert "text/event-stream" in response.headers["content-type"]
        lines = iter(response.readline, b"")
        assert b"event: status\n" in lines
        assert b'"time":1800000001.0' in next(lines)
        dashboard.show(status(moment=2))
        assert b"event: status\n" in lines
        assert b'"time":1800000002.0' in next(lines)
        stream.close()
        assert 403 == get(port_of(dashboard), "/api/status?token=wrong").code
        assert b"parry_nodes_total" in get(port_of(dashboard), "/metrics", Authorization=f"Bearer {TOKEN}").body


def test_comes_back(tmp_path):
    """Protects pages that are open: a process that dies is started again, later, on the same port, with what was shown last, told once."""
    warnings: list[str] = []
    with opened(tmp_path, warnings) as dashboard:
        shown(dashboard, status(moment=1))
        first, port = dashboard.pid, port_of(dashboard)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not alive(first), "the process was gone")
        dashboard.show(status(moment=2))
        assert dashboard.pid is None
        assert 1 == len(warnings)
        dashboard.progress(now_ms=0)
        dashboard.progress(now_ms=end.RESTART_MS - 1)
        assert dashboard.pid is None
        dashboard.progress(now_ms=end.RESTART_MS)
        assert dashboard.pid not in {None, first}
        answer = get(port, f"/api/status?token={TOKEN}")  # the connection waits in the kernel until the process is there
        wait_until(lambda: 200 == get(port, f"/api/status?token={TOKEN}").code, "it shows what was shown last", START_S)
        assert answer.code in {200, 503}
        assert 1_800_000_002 == get(port, f"/api/status?token={TOKEN}").json["time"]


def test_gives_up(tmp_path, monkeypatch):
    """Protects the run: a process that dies again and again is let go, and everything else goes on."""
    monkeypatch.setattr(end, "STARTS_MAX", 1)
    warnings: list[str] = []
    with opened(tmp_path, warnings) as dashboard:
        pid = dashboard.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), "the process was gone")
        dashboard.show(status())
        for now_ms in (0, 10**9):
            dashboard.progress(now_ms)
            dashboard.show(status())
        assert dashboard.pid is None
        assert 1 == len(warnings)
        assert "for good" in warnings[0]


def test_never_in_the_way(tmp_path):
    """Protects rank 0: while the process takes nothing, what does not fit into the pipe is dropped; afterwards the next one arrives."""
    with opened(tmp_path) as dashboard:
        shown(dashboard, status(moment=1))
        os.kill(dashboard.pid, signal.SIGSTOP)
        try:
            for moment in range(2, 12):
                dashboard.show(status(workers_count=2_000, moment=moment))
                dashboard.progress(now_ms=0)
            assert not dashboard.handed_over
        finally:
            os.kill(dashboard.pid, signal.SIGCONT)

        def is_handed_over() -> bool:
            dashboard.progress(now_ms=0)
            return dashboard.handed_over

        wait_until(is_handed_over, "the pipe was free", START_S)
        shown(dashboard, status(moment=20))
        dashboard.show({"nonsense": object()})
        dashboard.show(status(workers_count=5_000, moment=21))
        dashboard.finish()
        assert dashboard.handed_over
        wait_until(
            lambda: 5_000 == get(port_of(dashboard), f"/api/status?token={TOKEN}").json["workers"], "the last one is shown"
        )


def test_ports(tmp_path):
    """Protects several runs on one machine: each gets the port that it had, or asked for, or the next one that is free."""
    with end.listen("127.0.0.1", 0) as first:
        taken = first.getsockname()[1]
        with end.listen("127.0.0.1", taken) as second:
            assert taken != second.getsockname()[1]
            with end.listen("127.0.0.1", 0, wish=taken) as third:
                assert third.getsockname()[1] not in {taken, second.getsockname()[1]}
    quiet = quiet_port()
    with end.listen("127.0.0.1", 0, wish=quiet) as fourth:
        assert quiet == fourth.getsockname()[1]
    with pytest.raises(UsageError, match=r"cannot listen on 203\.0\.113\.1"):
        end.listen("203.0.113.1", 8000)
    with pytest.raises(UsageError, match="cannot listen on"):
        end.listen("no such host", 8000)
