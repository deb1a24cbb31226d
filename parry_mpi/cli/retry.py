"""The command `parry-mpi retry`: let a run go on after its problem was corrected.

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
    """Let a run go on after its problem was corrected.

    The jobs that were put aside are explored again when the run is started the next time, and that may be with a corrected
    source. What was counted before still counts.
    """
    count = retry(run_dir, progress=say)
    if count:
        say(
            f"{plural(count, 'job')} put back; run the same command as before, and {'it is' if count == 1 else 'they are'} explored again"
        )
    else:
        say("no job was put aside; run the same command as before, and it goes on, with a corrected source if need be")
    return EXIT_COMPLETE
