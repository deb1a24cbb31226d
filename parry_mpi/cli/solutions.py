"""The command `parry-mpi solutions`: give out what a run has collected, as a stream, also while the run goes on.

This module must not need the problem, nor hold more than a piece of the solutions at a time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import click
import msgspec
import numpy as np

from parry_mpi.cli.result import with_arrays
from parry_mpi.cli.tables import CsvWriter, JsonWriter, ParquetWriter, Writer
from parry_mpi.cli.telling import INCOMPLETE, say
from parry_mpi.cli.wording import plural
from parry_mpi.data import DataCodec
from parry_mpi.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, EXIT_STOPPED, StoreCorrupt, UsageError
from parry_mpi.store.readers import open_solutions
from parry_mpi.store.solutions import StoredSolutions

SOLUTIONS_AT_ONCE = 1 << 14
"""How many solutions are held decoded; a report may have a hundred times as many."""

NEW_SUFFIX = ".new"
"""Added to the name of an output file until it is complete."""

MAKERS: dict[str, Callable[[IO[bytes]], Writer]] = {"jsonl": JsonWriter, "csv": CsvWriter, "parquet": ParquetWriter}

Plain = int | float | str | bool | None
_FLAT: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list[Plain | list[Plain] | dict[str, Plain]])
"""Reads what most solutions are, numbers or rows of them, in which there can be no arrays to look for."""


@click.command("solutions")
@click.argument("run_dir", metavar="DIR")
@click.option(
    "--format",
    "kind",
    type=click.Choice(list(MAKERS)),
    default="jsonl",
    show_default=True,
    help="JSON, one solution a line; a table as text; or a Parquet file (extra parquet).",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of stdout.")
@click.option("--limit", type=click.IntRange(min=0), help="Give out so many at most.")
def command(run_dir: str, *, kind: str, output: Path | None, limit: int | None) -> int:
    """Give out the solutions that a run has collected so far; exit code 75 if there may be more, 3 if some are missing for good.

    Their order means nothing, but it stays the same.
    """
    if kind == "parquet" and output is None:
        raise UsageError("a Parquet file needs a name: add --output FILE")
    with open_solutions(run_dir) as solutions:
        with _writer(kind, output) as writer:
            given = 0
            for piece in pieces(solutions, limit):
                writer.write(piece)
                given += len(piece)
        return _told(solutions, given, run_dir, to_file=output is not None)


def pieces(solutions: StoredSolutions, limit: int | None) -> Iterator[list[Any]]:
    """Give solutions as plain data, some at a time: records as dicts, everything else as it was."""
    left = solutions.count if limit is None else limit
    for body in solutions.reports() if left else ():
        for piece in decoded(body):
            yield piece[:left]
            left -= len(piece[:left])
            if not left:
                break
        if not left and limit is not None:
            return


def decoded(body: bytes) -> Iterator[list[Any]]:
    """Give the solutions of one report, some at a time.

    Raises:
        StoreCorrupt: this is something else.
    """
    try:
        items: Any = _FLAT.decode(body)
    except msgspec.MsgspecError:
        try:
            items = DataCodec(Any, "what was collected").decode(body)
        except UsageError as error:
            raise StoreCorrupt(str(error)) from None
        array = with_arrays(items)
        items = array if isinstance(array, np.ndarray) else [with_arrays(item) for item in items]
    for start in range(0, len(items), SOLUTIONS_AT_ONCE):
        piece = items[start : start + SOLUTIONS_AT_ONCE]
        yield _records(piece) if isinstance(piece, np.ndarray) else piece


def _records(array: np.ndarray[Any, Any]) -> list[Any]:
    """Return an array as plain data: a record as a dict of its fields."""
    names = array.dtype.names
    rows = array.tolist()
    return rows if names is None else [dict(zip(names, row, strict=True)) for row in rows]


@contextlib.contextmanager
def _writer(kind: str, output: Path | None) -> Iterator[Writer]:
    """Open what is written to. A file appears when it is complete, or not at all."""
    if output is None:
        stdout = sys.stdout.buffer
        with contextlib.closing(MAKERS[kind](stdout)) as writer:
            yield writer
        stdout.flush()
        return
    new = output.with_name(output.name + NEW_SUFFIX)
    try:
        with new.open("wb") as file, contextlib.closing(MAKERS[kind](file)) as writer:
            yield writer
        new.replace(output)
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)


def _told(solutions: StoredSolutions, given: int, run_dir: str, *, to_file: bool) -> int:
    """Say on stderr what this was, and return the exit code."""
    if not solutions.count:
        say(f"no solutions are kept in {run_dir}" + ("" if solutions.finished else " so far") + "; only a Collection keeps any")
    elif to_file:
        say(f"wrote {plural(given, 'solution')}")
    if solutions.finished:
        return EXIT_COMPLETE
    if solutions.phase == INCOMPLETE:
        say(f"incomplete: the solutions of {plural(solutions.quarantined, 'quarantined job')} are missing")
        return EXIT_INCOMPLETE
    say(f"the run is not finished: these are the {solutions.count} solutions that were there when this began")
    return EXIT_STOPPED
