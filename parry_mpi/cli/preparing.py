"""From the words on the command line to a problem that can be explored.

Every rank does this, so this module imports little; it must not know what a run is, nor print.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from parry_mpi.cli import loading, parameters
from parry_mpi.errors import UsageError
from parry_mpi.problem import Problem
from parry_mpi.runtime.options import Options
from parry_mpi.store.identity import Identity, plain_parameters
from parry_mpi.store.naming import default_run_directory
from parry_mpi.task import Task


class Request(msgspec.Struct, frozen=True):
    """What the user asked for.

    Args:
        where: FILE.py[:Class] or module[:Class].
        words: each NAME=VALUE.
        run_dir: the folder; None for the default.
        as_json: answer as JSON.
        options: how the run goes.
        bridge: where to listen for workers from outside, host and port; None to let nobody in.
        dashboard: where to show the run, host and port; None for the usual address if a terminal is there.
        dashboard_off: show it nowhere.
    """

    where: str
    words: Sequence[str]
    run_dir: Path | None
    as_json: bool
    options: Options
    bridge: tuple[str, int] | None = None
    dashboard: tuple[str, int] | None = None
    dashboard_off: bool = False


class Prepared(msgspec.Struct, frozen=True):
    """A problem that can be explored.

    Args:
        task: the problem, made ready.
        identity: what makes its runs the same run.
    """

    task: Task
    identity: Identity

    @property
    def default_directory(self) -> Path:
        """Where its run goes if the user does not say."""
        return default_run_directory(self.identity.problem, self.identity.parameters)

    @property
    def title(self) -> str:
        """What is run, for a person."""
        given = (f"{name}={value}" for name, value in self.identity.parameters.items() if value is not None)
        return " ".join([self.identity.problem.partition(":")[2], *given])


def prepare(request: Request) -> Prepared:
    """Load a problem with its parameters.

    Raises:
        UsageError: the file, the class or a parameter is not right.
        ProblemError: the user's code raised.
    """
    loaded = loading.load(request.where)
    problem: Problem[Any, Any] = parameters.build(loaded.problem_class, request.words)
    task = Task(problem)
    if request.options.order == "bound" and not task.bounded:
        raise UsageError(
            f"--order bound needs bounds: {loaded.problem_class.__name__} is not an Optimisation that defines bound(node); "
            "leave the option away"
        )
    identity = Identity(
        problem=loaded.name,
        parameters=plain_parameters(parameters.deciding_parameters(problem)),
        source_digest=loaded.source_digest,
        roots_digest=task.roots_digest(),
        node_type=task.nodes.text if task.nodes.are_records else parameters.type_text(problem.node_type()),
        value_type=parameters.type_text(problem.value_type()),
    )
    return Prepared(task, identity)
