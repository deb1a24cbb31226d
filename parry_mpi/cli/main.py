"""The command parry-mpi: find the subcommand, run it, and turn whatever happens into one line and an exit code.

Subcommands are imported when they are wanted, so that `parry-mpi --help` and `parry-mpi status` start fast.
This module must not know what a subcommand does.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from parry_mpi import __version__
from parry_mpi.cli.explaining import explained
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.transport import launcher

COMMANDS = {
    "run": "Explore a problem, or go on exploring it.",
    "status": "Show how far a run is, while it runs and after.",
    "log": "Show what happened in a run.",
    "plot": "Draw how a run went.",
    "result": "Print the answer of a run.",
    "solutions": "Give out the solutions that a run has collected.",
    "retry": "Put the quarantined jobs of a run back.",
    "worker": "Join a run from outside MPI.",
    "keygen": "Make a key to join runs with.",
    "authorize": "Say which keys may join a run.",
    "allocate": "Keep batch jobs with workers queued for a run, as long as they help.",
}
"""Each is the attribute ``command`` of the module of its name."""

EXPLORING = {"run", "worker"}
"""Commands that may have run the user's code in their own process, and what that wants to have done at its end."""

HELP_OPTIONS = ("-h", "--help")


class Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"parry_mpi.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": list(HELP_OPTIONS)})
@click.version_option(__version__, prog_name="parry-mpi")
def parry_mpi() -> None:
    """Exhaustive search on clusters: count, sweep and enumerate trees exactly, whatever dies on the way."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    Args:
        arguments: without the name of the program; those of this process by default.
    """
    if sys.stderr is None:  # closed by whoever started us; click would take stdout instead
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 it stays open as long as we live
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    # Workers from outside are each on their own, also when a launcher started several of them.
    silent = (launcher.launched_rank() or 0) > 0 and words[0] != "worker"
    if silent and (words[0] != "run" or set(HELP_OPTIONS) & set(words)):
        return EXIT_COMPLETE  # rank 0 shows the help, the status or the answer: once is enough
    code = explained(lambda: parry_mpi.main(words, prog_name="parry-mpi", standalone_mode=False) or EXIT_COMPLETE, quiet=silent)
    if arguments is None and (launcher.launched() or words[0] not in EXPLORING):
        launcher.leave(code)
    return code
