"""Turn whatever ends a command into one line on stderr and an exit code.

This module must not know commands; it is imported by all of them, so it imports little.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable

import click

from parry_mpi.errors import (
    EXIT_INTERNAL,
    EXIT_IO,
    EXIT_PROBLEM,
    EXIT_USAGE,
    InvariantError,
    LocalProtocolError,
    ParryError,
    ProblemError,
)

EXIT_INTERRUPTED = 130
"""Ctrl-C, before or after a run: what shells expect, 128 + SIGINT. During a run it is a stop, 75."""

EXIT_BROKEN_PIPE = 141
"""Nobody reads our output any more: 128 + SIGPIPE."""


def explained(function: Callable[[], int], *, quiet: bool = False) -> int:
    """Call a function that returns an exit code; if it raises, say what happened and return the code for that. Never raises.

    Args:
        function: what to call.
        quiet: say nothing but what is a bug of ours: another rank says the rest.
    """
    try:
        code = function()
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 whatever it is, the user is told in a line
        return explain(error, quiet=quiet)
    return code


def explain(error: BaseException, *, quiet: bool = False) -> int:
    """Say what happened and return the exit code for it; ``quiet`` as above."""
    fail = _say_nothing if quiet else _fail
    match error:
        case ProblemError():
            code = error.exit_code if quiet else explain_problem_error(error)
        case ParryError() if not isinstance(error, InvariantError | LocalProtocolError):
            code = fail(str(error), error.exit_code)
        case click.exceptions.Exit():
            code = error.exit_code
        case click.ClickException():
            code = fail(_one_line(error), EXIT_USAGE)
        case KeyboardInterrupt() | click.Abort():
            code = fail("interrupted", EXIT_INTERRUPTED)
        case SystemExit():  # click has met a broken pipe, and has taken care of the buffer
            code = EXIT_BROKEN_PIPE
        case BrokenPipeError():
            # What is still in the buffer must not raise again when the interpreter flushes it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = EXIT_BROKEN_PIPE
        case OSError():
            traceback.print_exception(error)
            code = _fail(f"the operating system refused: {error}", EXIT_IO)
        case _:
            traceback.print_exception(error)
            code = _fail(
                "this is a bug in parry_mpi: please report it with all of the above; what was committed is intact", EXIT_INTERNAL
            )
    return code


def explain_problem_error(error: ProblemError) -> int:
    """Show the user's own traceback, the node and the machine; return the exit code."""
    if error.details:
        click.echo(error.details, err=True)
    where = f" on {error.host}" if error.host else ""
    node = f", exploring the node {error.node}" if error.node else ""
    return _fail(f"the problem raised{where}{node}: {error}", EXIT_PROBLEM)


def _fail(line: str, code: int) -> int:
    click.echo(f"parry-mpi: {line}", err=True)
    return code


def _say_nothing(_line: str, code: int) -> int:
    return code


def _one_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return " ".join(error.format_message().split()) + hint
