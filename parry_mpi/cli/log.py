"""The command `parry-mpi log`: show what happened in a run, from its folder alone, also while it goes on.

This module must not change the folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from parry_mpi.cli.events import EVENTS, colour_of, in_words, named
from parry_mpi.cli.wording import seconds
from parry_mpi.errors import EXIT_COMPLETE, UsageError
from parry_mpi.runtime import clock
from parry_mpi.store.log_reader import LogReader
from parry_mpi.store.readers import read_status

LOOK_S = 0.2
"""How often --follow looks for something new."""

LIVE_MS = 1_000
"""How often --follow looks whether the run is still there."""

NAME_WIDTH = max(map(len, EVENTS))

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}.*")


@click.command("log")
@click.argument("run_dir", metavar="DIR")
@click.option("--follow", is_flag=True, help="Go on showing what happens, until the run ends or Ctrl-C.")
@click.option("--worker", type=int, metavar="N", help="Only what is about this worker.")
@click.option("--lease", type=int, metavar="N", help="Only what is about this lease.")
@click.option("--event", "names", multiple=True, metavar="NAME", help="Only events of this name; may be given several times.")
@click.option("--since", metavar="TIME", help="Only what happened after 2026-11-22T14:30, or in the last 90s, 10m, 2h.")
@click.option("--json", "as_json", is_flag=True, help="Print the events as they are in the log, a JSON object a line.")
def command(
    run_dir: str, *, follow: bool, worker: int | None, lease: int | None, names: tuple[str, ...], since: str | None, as_json: bool
) -> int:
    """Show what happened in a run, while it runs and after: a line an event."""
    wanted = {named(name) for name in names}
    if unknown := sorted(wanted - set(EVENTS)):
        raise UsageError(f"there is no event {unknown[0]!r}; there are: {', '.join(EVENTS)}")
    since_s = None if since is None else begin_of(since)

    def shown(event: dict[str, Any]) -> bool:
        return (
            (worker is None or event.get("worker") == worker)
            and (lease is None or event.get("lease") == lease)
            and (not wanted or event["event"] in wanted)
            and (since_s is None or _wall_s(event) >= since_s)
        )

    for event in filter(shown, all_events(Path(run_dir), follow=follow)):
        click.echo(json.dumps(event) if as_json else line(event))
    return EXIT_COMPLETE


def all_events(run_dir: Path, *, follow: bool) -> Iterator[dict[str, Any]]:
    """Give the events of a run; with ``follow`` also those to come, until it ends or the user wants no more."""
    with LogReader(run_dir) as reader:
        yield from reader.more()
        try:
            while follow:
                # Whether it lives is asked before the rest is read: what it wrote last is then not missed.
                live = bool(read_status(run_dir)["live"])
                look_again_at_ms = clock.now_ms() + LIVE_MS
                yield from reader.more()
                while live and clock.now_ms() < look_again_at_ms:
                    clock.sleep(LOOK_S)
                    yield from reader.more()
                follow = live
        except KeyboardInterrupt:  # the way to end it, not an accident
            return


def line(event: dict[str, Any]) -> str:
    """Return an event as a person reads it: the local time, what it is, and what that means."""
    name = event["event"]
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f"{_local_time(event)}  {click.style(f'{shown:<{NAME_WIDTH}}', fg=colour_of(name))}  {in_words(event)}".rstrip()


def begin_of(since: str) -> float:
    """Return the seconds since 1970 of a local time, or of a time that is so long ago.

    Raises:
        UsageError: it is neither.
    """
    try:
        return clock.wall_s_of(since.strip()) if _DATE.fullmatch(since.strip()) else clock.wall_s() - seconds(since)
    except (ValueError, OverflowError):
        raise UsageError(f"--since {since!r} is not a time: write 2026-11-22T14:30:00, or 90s, 10m, 2h") from None
    except UsageError as error:
        raise UsageError(f"--since: {error}, or 2026-11-22T14:30:00") from None


def _wall_s(event: dict[str, Any]) -> float:
    try:
        return clock.wall_s_of(event["time"])
    except (ValueError, OverflowError):
        return 0.0


def _local_time(event: dict[str, Any]) -> str:
    try:
        return clock.local_time_of(event["time"])
    except (ValueError, OverflowError):
        return "?" * 23
