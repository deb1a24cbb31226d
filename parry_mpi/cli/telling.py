"""Say how a run ended: the answer on stdout, everything else on stderr, and the exit code.

This module must not decide how a run ends; it is handed what there is to tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import msgspec

from parry_mpi.cli.wording import count_text, optimum_text, plural, share_text, time_text
from parry_mpi.core.records import Quarantined
from parry_mpi.data import plain
from parry_mpi.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, EXIT_STOPPED

QUARANTINED_SHOWN_MAX = 20
"""How many quarantined jobs are listed at the end; all of them are in the folder."""

INCOMPLETE = "incomplete"
"""The last phase of a run in which nothing is left to do but jobs are quarantined, as the run directory has it."""


class Optimised(msgspec.Struct, frozen=True):
    """How far an optimisation is.

    Args:
        objective: of the best solution known, None if there is none.
        bound: no solution has a better objective; None if that is not known.
    """

    objective: int | float | None
    bound: int | float | None


class Ending(msgspec.Struct, frozen=True):
    """How a run stands now, in the words of a person.

    Args:
        run_dir: its folder.
        parameters: of the problem.
        result: decoded.
        complete: whether the result is the answer.
        finished: whether nothing is left to do.
        explored: the explored share of the tree, 0 to 1.
        nodes, solved, killings, restarts: counted since the run began.
        quarantined: the jobs that are missing from the result.
        workers: how many took part, as far as it is known.
        seconds: how long this life of the run took; 0 for one that is only read.
        stopped: why it was stopped, or "".
        failed: whether the problem raised, which ends a run early too.
        meaning: what a complete result means, in the problem's words, or "".
        optimised: how far an optimisation is; None for other problems, and where nothing is known of it.
    """

    run_dir: Path
    parameters: dict[str, Any]
    result: Any
    complete: bool
    finished: bool
    explored: float
    nodes: int
    solved: int
    killings: int
    restarts: int
    quarantined: tuple[Quarantined, ...] = ()
    workers: int = 0
    seconds: float = 0.0
    stopped: str = ""
    failed: bool = False
    meaning: str = ""
    optimised: Optimised | None = None

    @property
    def exit_code(self) -> int:
        """The exit code that says so."""
        if self.complete:
            return EXIT_COMPLETE
        return EXIT_INCOMPLETE if self.finished else EXIT_STOPPED


def tell(ending: Ending, *, as_json: bool) -> int:
    """Print the result and how it came about; return the exit code.

    Args:
        ending: what there is to tell.
        as_json: print one JSON object on the last line of stdout, whatever the ending.
    """
    if ending.failed:
        pass  # the problem raised: that is told by itself
    elif not ending.finished:
        why = f" by {ending.stopped}" if ending.stopped else ""
        known = f" ({optimum})" if (optimum := _optimum(ending)) else ""
        say(f"stopped{why} at {share_text(ending.explored)}{known}: the same command goes on from {ending.run_dir}")
    else:
        say(_summary(ending))
    tell_quarantined(ending)
    if as_json:
        click.echo(json_line(ending))
    elif ending.finished:
        click.echo(text(ending.result))
    return ending.exit_code


def tell_quarantined(ending: Ending) -> None:
    """List the jobs that are missing from the result."""
    if not ending.quarantined:
        return
    jobs = plural(len(ending.quarantined), "job")
    say(f"incomplete: {jobs} could not be explored, and what they would have given is missing")
    for each in ending.quarantined[:QUARANTINED_SHOWN_MAX]:
        where = f" on {each.host}" if each.host else ""
        say(f"  {each.error}{where} (depth {each.job.depth}, killed {plural(each.job.killed, 'time')})")
    if len(ending.quarantined) > QUARANTINED_SHOWN_MAX:
        say(f"  and {len(ending.quarantined) - QUARANTINED_SHOWN_MAX} more")
    if details := next((each.details for each in ending.quarantined if each.details), ""):
        say(f"the first of them:\n{details}")
    say(f"they are kept: parry-mpi retry {ending.run_dir} puts them back, then run the same command again")


def say(line: str) -> None:
    """Print a line for the user on stderr."""
    click.echo(f"parry-mpi: {line}", err=True)


def json_line(ending: Ending) -> str:
    """Return the one JSON object that scripts read."""
    known = {
        "result": data_of(ending.result),
        "complete": ending.complete,
        "parameters": data_of(ending.parameters),
        "seconds": round(ending.seconds, 3),
        "solved": ending.solved,
        "nodes": ending.nodes,
        "killings": ending.killings,
        "quarantined": len(ending.quarantined),
        "workers": ending.workers,
        "restarts": ending.restarts,
    }
    if ending.optimised is not None:
        known["bound"] = data_of(ending.optimised.bound)
    return msgspec.json.encode(known).decode()


def text(result: Any) -> str:
    """Return a result as it is printed for a person: numbers and text as they are, everything else as JSON."""
    data = data_of(result)
    return str(data) if isinstance(data, int | float | str) and not isinstance(data, bool) else msgspec.json.encode(data).decode()


def data_of(value: Any) -> Any:
    """Return anything as JSON has it; what JSON does not have, as text. Never raises."""
    try:
        data = plain(value)
        msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError):
        return str(value).encode(errors="backslashreplace").decode()
    return data


def _optimum(ending: Ending) -> str:
    return "" if ending.optimised is None else optimum_text(ending.optimised.objective, ending.optimised.bound)


def _summary(ending: Ending) -> str:
    parts: Iterable[str] = (
        f"{count_text(ending.nodes)} node{'' if ending.nodes == 1 else 's'}",
        f"{count_text(ending.solved)} job{'' if ending.solved == 1 else 's'} solved",
        *([plural(ending.workers, "worker")] if ending.workers else []),
        *([plural(ending.killings, "killing")] if ending.killings else []),
        *([plural(ending.restarts, "restart")] if ending.restarts else []),
    )
    how = "complete" if ending.complete else "finished"
    took = f" in {time_text(ending.seconds)}" if ending.seconds else f", read from {ending.run_dir}"
    meaning = ending.meaning if ending.complete else _optimum(ending)
    meaning += "; " if meaning else ""
    return f"{how}{took}: {meaning}{', '.join(parts)}"
