"""The subcommands of parry-mpi, and the help that lists them.

Subcommands are imported when they are wanted, so that `parry-mpi --help` and `parry-mpi status` start fast.
This module must not know what a subcommand does.
"""

from __future__ import annotations

import importlib

import click

from parry_mpi import __version__
from parry_mpi.cli.lasting import lasting
from parry_mpi.cli.main import HELP_OPTIONS

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


class Commands(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        with lasting():
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
