"""The command `parry-mpi result`: print the answer that is in a run directory.

This module must not need the problem: a run directory can be read where its source is not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from parry_mpi.cli import numerics
from parry_mpi.cli.telling import INCOMPLETE, Ending, Optimised, tell
from parry_mpi.data import DataCodec
from parry_mpi.store.readers import StoredResult, last_published, read_result


@click.command("result")
@click.argument("run_dir", metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, as run does.")
def command(run_dir: str, *, as_json: bool) -> int:
    """Print the answer of a run; exit code 75 if it is not finished, 3 if quarantined jobs are missing from it."""
    numerics.start_no_threads()
    ending = ending_of(read_result(run_dir), Path(run_dir), last_published(Path(run_dir)))
    return tell(ending, as_json=as_json)


def ending_of(stored: StoredResult, run_dir: Path, published: dict[str, Any]) -> Ending:
    """Return what there is to tell of a run that is only read; only its coordinator knew how to read its bounds, and published them."""
    counters = stored.counters
    result = with_arrays(DataCodec(Any, "the result").decode(stored.result)) if stored.result else None
    return Ending(
        run_dir=run_dir,
        parameters=stored.identity.parameters,
        result=result,
        complete=stored.complete,
        finished=stored.finished or stored.phase == INCOMPLETE,
        explored=stored.explored,
        nodes=counters.nodes,
        solved=counters.solved,
        killings=counters.killings,
        restarts=counters.restarts,
        quarantined=stored.quarantined,
        optimised=Optimised(published.get("objective"), published.get("bound")) if published.get("sense") else None,
    )


def with_arrays(value: Any) -> Any:
    """Put numpy arrays in the place of what they became on the wire: their dtype, shape and bytes."""
    import numpy as np  # noqa: PLC0415 not needed for --help

    if isinstance(value, dict):
        return {key: with_arrays(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 3 and isinstance(value[1], list) and isinstance(value[2], bytes):
        try:
            descr: Any = value[0] if isinstance(value[0], str) else [tuple(each) for each in value[0]]
            dtype = np.lib.format.descr_to_dtype(descr)
            if math.prod(value[1]) * dtype.itemsize == len(value[2]):
                return np.frombuffer(value[2], dtype).reshape(value[1])
        except (TypeError, ValueError, KeyError):
            return value
    return [with_arrays(each) for each in value]
