"""One life of a run, from the words on the command line to its exit code, on rank 0.

Rank 0 speaks for all: the other ranks load the same problem and print nothing (following.py). This module must not explore.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parry_mpi.cli import loading, parameters
from parry_mpi.cli.display import Display
from parry_mpi.cli.explaining import EXIT_INTERRUPTED, explain_problem_error, explained
from parry_mpi.cli.preparing import Prepared, Request, prepare
from parry_mpi.cli.telling import Ending, Optimised, say, tell
from parry_mpi.core.records import Quarantined
from parry_mpi.errors import EXIT_INTERNAL, ParryError, ProblemError, UsageError
from parry_mpi.problem import Number, Optimisation
from parry_mpi.runtime import processes
from parry_mpi.runtime.coordinating import Outcome, coordinate, decline
from parry_mpi.runtime.coordinator_loop import Watchers
from parry_mpi.store.readers import read_result
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.task import call
from parry_mpi.transport import launcher, mpi
from parry_mpi.transport.base import Transport
from parry_mpi.transport.joined import JoinedTransport

if TYPE_CHECKING:
    from parry_mpi.dashboard.end import Dashboard
    from parry_mpi.transport.bridge.end import BridgeTransport


class World:
    """The other ranks, on rank 0: MPI is initialised only when they have to be told something.

    A process alone has none, and needs no MPI.

    Args:
        launched: whether there are other ranks.
    """

    def __init__(self, *, launched: bool) -> None:
        self._launched = launched
        self._transport: Transport | None = None
        self._orderly = False
        self._told = False

    def transport(self) -> Transport | None:
        """Return the transport to the other ranks, None if there are none."""
        if self._launched and self._transport is None:
            try:
                self._transport = mpi.MpiTransport()
            except BaseException:
                self._launched = False  # they fail in the same way, and cannot be told
                raise
        return self._transport

    def dismissed(self, *, orderly: bool) -> None:
        """Note that the other ranks were told to leave, and whether all of them were heard to."""
        self._told, self._orderly = True, orderly

    def close(self, code: int) -> None:
        """Let the other ranks go, if nobody has told them yet, and end MPI. It may end this process with the code."""
        if not self._told and self._transport is None and code != EXIT_INTERRUPTED:
            with contextlib.suppress(ParryError):
                transport = self.transport()
                if transport is not None:
                    self._orderly = decline(transport, "rank 0 has nothing to explore", transport.size)
        if self._transport is not None:
            self._transport.close(orderly=self._orderly, code=code)
        else:
            launcher.keep_exit_code(code)  # there may be a launcher all the same, with one rank


def run(request: Request) -> int:
    """Live one life of a run as rank 0, or alone, and return the exit code."""
    world = World(launched=launcher.launched())
    code = EXIT_INTERNAL
    try:
        # What there is to say is said before MPI ends: that may be the end of this process too.
        code = explained(lambda: _lead(request, world))
    finally:
        world.close(code)
    return code


def _lead(request: Request, world: World) -> int:
    """Be the coordinator, or find that there is nothing left to do."""
    if (strangers := launcher.strangers_count()) > 1:
        raise UsageError(
            f"srun started {strangers} copies of this command that do not know of each other: add --mpi=pmi2 or --mpi=pmix "
            "(srun --mpi=list tells which there are), or use the mpiexec of your MPI"
        )
    prepared = prepare(request)
    path = request.run_dir or prepared.default_directory
    with RunDirectory.open(path, prepared.identity, progress=say) as directory:
        if directory.finished:
            return tell(_ending_of_finished(prepared, directory), as_json=request.as_json)
        with (
            Display.on_stderr(prepared.title) as display,
            _bridge(request, prepared, path, display.warn) as bridge,
            _dashboard(request, prepared, path, display) as page,
        ):
            ranks = world.transport()
            hub: Transport | None = ranks if bridge is None else JoinedTransport(ranks, bridge)
            watchers = Watchers(display.show, display.warn, bridge, page)
            # coordinate() hears signals. After it they have nothing left to stop: a second one must not take the exit code away.
            processes.ignore_stop_signals()
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
    request: Request, prepared: Prepared, path: Path, display: Display
) -> contextlib.AbstractContextManager[Dashboard | None]:
    """Show the run as a web page, if the user wants that or may want to: who has a terminal may have a browser."""
    if request.dashboard_off or not (request.dashboard or display.watched):
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
