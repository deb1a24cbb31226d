"""The command `parry-mpi status`: show how far a run is, from its folder alone.

This module must not change the folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from parry_mpi.cli.telling import INCOMPLETE
from parry_mpi.cli.wording import optimum_text, share_text, time_text
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.store.readers import read_status

COUNTS = ("nodes", "solved", "pending", "leased", "shared", "workers", "busy", "killings", "quarantined", "restarts")
"""What is shown of the numbers, in this order, as far as it is there; --json has all of them."""

CONTRIBUTIONS_MAX = 20
"""How many of those who explored are listed."""


@click.command("status")
@click.argument("run_dir", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with all numbers.")
def command(run_dir: str, *, as_json: bool) -> int:
    """Show how far a run is, while it runs and after."""
    status = read_status(run_dir)
    if as_json:
        click.echo(json.dumps(status, default=str))
    else:
        click.echo("\n".join(lines(status)))
    return EXIT_COMPLETE


def lines(status: dict[str, Any]) -> Iterator[str]:
    """Give what a person wants to know of a status, line by line."""
    parameters = " ".join(f"{name}={value}" for name, value in status.get("parameters", {}).items())
    yield f"{status.get('problem', '?')} {parameters}".rstrip()
    yield f"  {_how(status)}"
    if "explored" in status:
        yield f"  explored     {share_text(status['explored'])}"
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
