"""The command `parry-mpi status`: show how far a run is, from its folder alone, once or again and again.

This module must not change the folder.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from parry_mpi.cli.telling import INCOMPLETE
from parry_mpi.cli.wording import count_text, estimate_text, optimum_text, share_text, time_text
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.runtime import clock
from parry_mpi.store.readers import read_status

COUNTS = ("nodes", "solved", "pending", "leased", "shared", "workers", "busy", "killings", "quarantined", "restarts")
"""What is shown of the numbers, in this order, as far as it is there; --json has all of them."""

CONTRIBUTIONS_MAX = 20
"""How many of those who explored are listed."""


WATCH_MS = 1_000
"""How often --watch looks: as often as a coordinator publishes."""

BEGIN, LINE_END, END = "\x1b[H", "\x1b[K\n", "\x1b[J"
"""Go to the upper left corner; clear to the end of the line, and below: what was there is written over, so that nothing flickers."""


@click.command("status")
@click.argument("run_dir", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all numbers.")
@click.option("--watch", is_flag=True, help="Look again every second until the run ends; Ctrl-C ends the watching, not the run.")
def command(run_dir: str, *, as_json: bool, watch: bool) -> int:
    """Show how far a run is, while it runs and after."""
    status = read_status(run_dir)
    if watch:
        try:
            status = _watched(run_dir, status, as_json=as_json)
        except KeyboardInterrupt:  # the way to end it, not an accident
            return EXIT_COMPLETE
    click.echo(json.dumps(status, default=str) if as_json else "\n".join(lines(status)))
    return EXIT_COMPLETE


def _watched(run_dir: str, status: dict[str, Any], *, as_json: bool) -> dict[str, Any]:
    """Show a run for as long as there is somebody who coordinates it; return how it is then."""
    on_screen = sys.stdout.isatty() and not as_json
    if on_screen and status["live"]:
        click.clear()
    while status["live"]:
        next_at_ms = clock.now_ms() + WATCH_MS
        if on_screen:
            click.echo(screen(status, *shutil.get_terminal_size()), nl=False)
        else:
            click.echo(json.dumps(status, default=str) if as_json else line(status))
        clock.sleep(max(0, next_at_ms - clock.now_ms()) / 1000)
        status = read_status(run_dir)
    if on_screen:
        click.echo(BEGIN + END, nl=False)
    return status


def screen(status: dict[str, Any], columns: int, rows: int) -> str:
    """Return what a terminal of this size has to be sent to show a status, in the place of the one before."""
    shown = [each[: columns - 1] for each in lines(status)][: rows - 1]
    return BEGIN + "".join(each + LINE_END for each in shown) + END


def line(status: dict[str, Any]) -> str:
    """Return the numbers of a run that goes on, on one line."""
    told = [f"{share_text(status.get('explored', 0.0))} explored", f"{count_text(status.get('nodes', 0))} nodes"]
    told += [f"{status[name]:,} {name}" for name in ("pending", "leased", "workers", "busy") if name in status]
    told += [f"{status[name]:,} {name}" for name in ("killings", "quarantined") if status.get(name)]
    return f"{status.get('phase', 'exploring')}: {', '.join(told)}"


def lines(status: dict[str, Any]) -> Iterator[str]:
    """Give what a person wants to know of a status, line by line."""
    parameters = " ".join(f"{name}={value}" for name, value in status.get("parameters", {}).items())
    yield f"{status.get('problem', '?')} {parameters}".rstrip()
    yield f"  {_how(status)}"
    if "explored" in status:
        yield f"  explored     {share_text(status['explored'])}"
    if status.get("estimate"):
        yield f"  estimate     {estimate_text(status['estimate'])}"
    if optimum := optimum_text(status.get("objective"), status.get("bound")):
        yield f"  optimum      {optimum}"
    for name in COUNTS:
        if name in status:
            yield f"  {name:<12} {status[name]:,}"
    if "walltime_left_s" in status:
        left_s, margin_s = status["walltime_left_s"], status["margin_s"]
        yield f"  walltime     ends {status['walltime_ends_at']} (in {time_text(max(0.0, left_s))}); stops {margin_s:.0f} s before"
    yield from _contributions(status.get("contributions", ()))
    for job in status.get("quarantined_jobs", ()):
        yield f"  quarantined: {job['error']}, on {job['host'] or '?'} (depth {job['depth']}, killed {job['killed']} times)"


def _contributions(contributions: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Say who explored how much since the coordinator was started, if there was more than one."""
    if len(contributions) < 2:
        return
    nodes = sum(each["nodes"] for each in contributions) or 1
    for each in contributions[:CONTRIBUTIONS_MAX]:
        yield f"  {each['nodes']:>15,} nodes ({share_text(each['nodes'] / nodes)}): {each['via']} on {each['host']}"
    if len(contributions) > CONTRIBUTIONS_MAX:
        yield f"  ... and {len(contributions) - CONTRIBUTIONS_MAX} more that explored less; --json has them"


def _how(status: dict[str, Any]) -> str:
    if status.get("live"):
        return f"running on {status.get('host')} (process {status.get('pid')}): {status.get('phase', 'exploring')}"
    if status.get("complete"):
        return "complete"
    if status.get("finished") or status.get("phase") == INCOMPLETE:
        return "finished, but incomplete: quarantined jobs are missing from the answer"
    return "not running, not finished: the same command goes on"
