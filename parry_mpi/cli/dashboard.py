"""The dashboard of a run: opened before the run begins, announced to its user and in its folder.

This module must not know how a run goes, nor what its page looks like.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from parry_mpi.cli.preparing import Prepared, Request
from parry_mpi.cli.wording import DASHBOARD_PORT, LOOPBACK
from parry_mpi.dashboard.end import Dashboard, listen
from parry_mpi.dashboard.pair import Configuration
from parry_mpi.errors import ParryError
from parry_mpi.store.access import DashboardAccess, read_dashboard_access, write_dashboard_access
from parry_mpi.store.holder import this_process

TOKEN_BYTES = 24
"""Nobody guesses one of 2^192."""

DEFAULT_ADDRESS = (LOOPBACK, DASHBOARD_PORT)


@contextlib.contextmanager
def opened(request: Request, prepared: Prepared, run_dir: Path, say: Callable[[str], None]) -> Iterator[Dashboard | None]:
    """Let a run be watched from now on, until this process ends.

    Args:
        request: says where to listen; if it does not, what goes wrong is told and costs the user nothing but the page.
        prepared: what is run.
        run_dir: its folder, which this process holds.
        say: called with a line for the user.

    Raises:
        UsageError: nobody can listen where the user wants that.
        CommitFailed: the file system refuses for now.
    """
    try:
        dashboard = _open(request.dashboard or DEFAULT_ADDRESS, prepared, run_dir, say)
    except ParryError as error:
        if request.dashboard is not None:
            raise
        say(f"no dashboard: {error}")
        yield None
        return
    try:
        yield dashboard
    finally:
        dashboard.finish()


def _open(wanted: tuple[str, int], prepared: Prepared, run_dir: Path, say: Callable[[str], None]) -> Dashboard:
    before = read_dashboard_access(run_dir)
    wish = before.port if before is not None and before.wanted == wanted else None
    listening = listen(*wanted, wish)
    try:
        host, port = listening.getsockname()[:2]
        token = before.token if before is not None else secrets.token_urlsafe(TOKEN_BYTES)
        write_dashboard_access(run_dir, DashboardAccess(host=host, port=port, wanted=wanted, token=token))
    except BaseException:
        listening.close()
        raise
    facts = {
        "title": prepared.title,
        "problem": prepared.identity.problem,
        "parameters": prepared.identity.parameters,
        "run_dir": str(run_dir.absolute()),
    }
    dashboard = Dashboard(listening, Configuration(token, str(run_dir.absolute()), facts), say)
    say(f"dashboard: {url(host, port, token)}{_advice(host)}")
    return dashboard


def url(host: str, port: int, token: str) -> str:
    """Return what to open in a browser; for "all addresses", under this machine's name."""
    if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
        host = this_process().host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/?token={token}"


def _advice(host: str) -> str:
    if ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        return f" on {this_process().host}"  # in a batch job's output nobody else says where that is
    return " (not encrypted: whoever can listen on the way reads the token and the numbers)"
