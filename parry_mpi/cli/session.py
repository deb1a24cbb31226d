"""One life of a run on rank 0, from a problem that is loaded to the exit code.

Rank 0 speaks for all: the other ranks load the same problem and print nothing (following.py). This module must not explore.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from parry_mpi.cli import loading, parameters
from parry_mpi.cli.display import Display
from parry_mpi.cli.explaining import explain_problem_error
from parry_mpi.cli.leading import World, wants_page
from parry_mpi.cli.preparing import Prepared, Request
from parry_mpi.cli.telling import Ending, Optimised, say, tell
from parry_mpi.core.records import Quarantined
from parry_mpi.errors import ProblemError, UsageError
from parry_mpi.problem import Number, Optimisation
from parry_mpi.runtime import processes
from parry_mpi.runtime.coordinating import Outcome, coordinate
from parry_mpi.runtime.coordinator_loop import Watchers
from parry_mpi.store.readers import read_result
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import call
from parry_mpi.transport.base import Transport
from parry_mpi.transport.joined import JoinedTransport

if TYPE_CHECKING:
    from parry_mpi.dashboard.end import Dashboard
    from parry_mpi.transport.bridge.end import BridgeTransport


def lead(request: Request, prepared: Prepared, world: World, terminal: TextIO | None) -> int:
    """Be the coordinator, or find that there is nothing left to do.

    Args:
        request: what the user asked for.
        prepared: the problem.
        world: the other ranks.
        terminal: where somebody watches, if anybody does; it is closed here.
    """
    path = request.run_dir or prepared.default_directory
    display = Display(prepared.title, terminal, sys.stderr)
    with display, RunDirectory.open(path, prepared.identity, progress=say) as directory:
        if directory.finished:
            return tell(_ending_of_finished(prepared, directory), as_json=request.as_json)
        with (
            _bridge(request, prepared, path, display.warn) as bridge,
            _dashboard(request, prepared, path, display, terminal) as page,
        ):
            ranks = world.transport()
            hub: Transport | None = ranks if bridge is None else JoinedTransport(ranks, bridge)
            watchers = Watchers(display.show, display.warn, bridge, page)
            # coordinate() hears signals. After it they have nothing left to stop: a second one must not take the exit code away.
            processes.ignore_stop_signals()
            world.under_way()
            try:
                outcome = coordinate(prepared.task, directory, hub, request.options, watchers)
            except UsageError as error:
                # Once a run is under way, what is wrong is not what was typed but what the problem returned.
                raise ProblemError(str(error)) from error
        world.dismissed(orderly=outcome.orderly)
    # Only now that the folder is closed: reading would drop the locks that it holds.
    quarantined = read_result(path).quarantined if outcome.view.quarantined else ()
    code = tell(_ending(prepared, path, outcome, quarantined), as_json=request.as_json)
    if outcome.failure is None:
        return code
    failure = outcome.failure
    say(f"when the problem is corrected, `parry-mpi retry {path}` and the same command go on from here")
    return explain_problem_error(ProblemError(failure.error, details=failure.details, node=failure.node, host=failure.host))


def _bridge(
    request: Request, prepared: Prepared, path: Path, say: Callable[[str], None]
) -> contextlib.AbstractContextManager[BridgeTransport | None]:
    """Listen for workers from outside, if the user wants that."""
    if request.bridge is None:
        return contextlib.nullcontext()
    from parry_mpi.cli.bridge import Invitation, opened  # noqa: PLC0415 loads cryptography

    where = loading.absolute(request.where)
    return opened(request.bridge, path, Invitation(where, tuple(request.words), prepared.identity.fingerprint()), say)


def _dashboard(
    request: Request, prepared: Prepared, path: Path, display: Display, terminal: TextIO | None
) -> contextlib.AbstractContextManager[Dashboard | None]:
    """Show the run as a web page, if it is to be."""
    if not wants_page(request, terminal):
        return contextlib.nullcontext()
    from parry_mpi.cli.dashboard import opened  # noqa: PLC0415 loads cryptography, for the folder's access.json

    return opened(request, prepared, path, display.warn)


def _ending(prepared: Prepared, path: Path, outcome: Outcome, quarantined: tuple[Quarantined, ...]) -> Ending:
    view = outcome.view
    return Ending(
        run_dir=path,
        parameters=parameters.all_parameters(prepared.task.problem),
        result=outcome.result,
        complete=outcome.complete,
        finished=outcome.complete or (not outcome.stopped and outcome.failure is None),
        failed=outcome.failure is not None,
        explored=view.explored,
        nodes=view.nodes,
        solved=view.solved,
        killings=view.killings,
        restarts=view.restarts,
        quarantined=quarantined,
        workers=view.workers_seen,
        seconds=outcome.seconds,
        stopped=outcome.stopped,
        meaning=_meaning(prepared, outcome.result) if outcome.complete else "",
        optimised=_optimised(prepared, outcome.view.objective, outcome.view.bound),
    )


def _ending_of_finished(prepared: Prepared, directory: RunDirectory) -> Ending:
    assert directory.snapshot is not None, "a finished run has a state"
    counters = directory.snapshot.counters
    result = prepared.task.values.decode(directory.result)
    return Ending(
        run_dir=directory.path,
        parameters=parameters.all_parameters(prepared.task.problem),
        result=result,
        complete=True,
        finished=True,
        explored=1.0,
        nodes=counters.nodes,
        solved=counters.solved,
        killings=counters.killings,
        restarts=counters.restarts,
        meaning=_meaning(prepared, result),
        optimised=_optimised(prepared, *_proven(prepared, result)),
    )


def _optimised(prepared: Prepared, objective: Number | None, bound: Number | None) -> Optimised | None:
    return Optimised(objective, bound) if isinstance(prepared.task.problem, Optimisation) else None


def _proven(prepared: Prepared, result: Any) -> tuple[Number | None, Number | None]:
    """What is known of the optimum once everything is explored: the best objective, and that nothing is better by the gap."""
    problem = prepared.task.problem
    if result is None or not isinstance(problem, Optimisation):
        return None, None
    return result.objective, result.objective + (problem.gap if problem.sense == "max" else -problem.gap)


def _meaning(prepared: Prepared, result: Any) -> str:
    return str(call(prepared.task.problem.describe, result))
