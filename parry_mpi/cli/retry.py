"""The command `parry-mpi retry`: put the quarantined jobs of a run back.

This module must not change the run directory otherwise.
"""

from __future__ import annotations

import click

from parry_mpi.cli.telling import say
from parry_mpi.cli.wording import plural
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.store.readers import retry


@click.command("retry")
@click.argument("run_dir", metavar="DIR")
def command(run_dir: str) -> int:
    """Put the quarantined jobs of a run back, to be handed out again when the run is started the next time."""
    count = retry(run_dir, progress=say)
    if count:
        say(
            f"{plural(count, 'job')} put back; run the same command as before, and {'it is' if count == 1 else 'they are'} explored again"
        )
    else:
        say("nothing is quarantined in this run")
    return EXIT_COMPLETE
