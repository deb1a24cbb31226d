"""The command parry-mpi: run the subcommand, and turn whatever happens into one line and an exit code.

This module must not know what a subcommand does. It is all that some ranks need, so it imports little.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from parry_mpi.cli.lasting import lasting
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.transport import launcher

EXPLORING = {"run", "worker"}
"""Commands that may have run the user's code in their own process, and what that wants to have done at its end."""

HELP_OPTIONS = ("-h", "--help")


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
    with lasting():
        from parry_mpi.cli.explaining import explained  # noqa: PLC0415 this and what follows loads click, which takes its time
        from parry_mpi.cli.group import parry_mpi  # noqa: PLC0415
    code = explained(lambda: parry_mpi.main(words, prog_name="parry-mpi", standalone_mode=False) or EXIT_COMPLETE, quiet=silent)
    if arguments is None and (launcher.launched() or words[0] not in EXPLORING):
        launcher.leave(code)
    return code
