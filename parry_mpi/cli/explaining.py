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
    fail = _say_nothing if quiet else _fail
    try:
        code = function()
        sys.stdout.flush()
    except click.ClickException as error:
        return fail(_one_line(error), EXIT_USAGE)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return fail("interrupted", EXIT_INTERRUPTED)
    except ProblemError as error:
        return error.exit_code if quiet else explain_problem_error(error)
    except (InvariantError, LocalProtocolError):
        return _bug()
    except ParryError as error:
        return fail(str(error), error.exit_code)
    except SystemExit:  # click has met a broken pipe, and has taken care of the buffer
        return EXIT_BROKEN_PIPE
    except BrokenPipeError:
        # What is still in the buffer must not raise again when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        traceback.print_exc()
        return _fail(f"the operating system refused: {error}", EXIT_IO)
    except Exception:  # noqa: BLE001 whatever it is, nobody foresaw it
        return _bug()
    return code


def explain_problem_error(error: ProblemError) -> int:
    """Show the user's own traceback, the node and the machine; return the exit code."""
    if error.details:
        click.echo(error.details, err=True)
    where = f" on {error.host}" if error.host else ""
    node = f", exploring the node {error.node}" if error.node else ""
    return _fail(f"the problem raised{where}{node}: {error}", EXIT_PROBLEM)


def _bug() -> int:
    traceback.print_exc()
    return _fail(
        "this is a bug in parry_mpi: please report it with all of the above; what was committed is intact", EXIT_INTERNAL
    )


def _fail(line: str, code: int) -> int:
    click.echo(f"parry-mpi: {line}", err=True)
    return code


def _say_nothing(_line: str, code: int) -> int:
    return code


def _one_line(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return " ".join(error.format_message().split()) + hint
