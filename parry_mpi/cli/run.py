"""The command `parry-mpi run`: its arguments and options.

This module must not know what a run does: session.py does. It is imported by `parry-mpi run --help` too, so it imports little.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from parry_mpi.cli import numerics
from parry_mpi.cli.lasting import lasting
from parry_mpi.cli.options import TIMES, isolation
from parry_mpi.cli.wording import OFF, address, dashboard_address, seconds
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.transport import launcher


@click.command("run", epilog=TIMES)
@click.argument("problem", metavar="FILE.py[:Class]|MODULE[:Class]")
@click.argument("parameters", metavar="[NAME=VALUE]...", nargs=-1)
@click.option(
    "--run-dir", metavar="DIR", type=click.Path(path_type=Path), help="Where the state is kept; by default under runs/."
)
@click.option(
    "--bridge",
    metavar="HOST[:PORT]",
    type=address,
    help="Let workers outside MPI join at this address (`parry-mpi worker`); 0.0.0.0 for all of the machine's, port 5129 by default.",
)
@click.option(
    "--dashboard",
    metavar="HOST:PORT",
    type=dashboard_address,
    help="Show the run as a web page at this address, or the next free port; 'off' for none. By default on a terminal only, at "
    "127.0.0.1:8000.",
)
@click.option("--where", is_flag=True, help="Only print the run directory of this command, if there is nothing wrong with it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on the last line of stdout.")
@click.option("--stop-after", metavar="TIME", type=seconds, help="Stop after so long, to be continued (exit code 75).")
@isolation
@click.option(
    "--on-error",
    type=click.Choice(["stop", "quarantine"]),
    default="stop",
    show_default=True,
    help="What to do if the problem raises: stop the run, or put the job aside and go on.",
)
@click.option(
    "--order",
    type=click.Choice(["depth", "bound"]),
    default="depth",
    show_default=True,
    help="Hand out the shallowest jobs first, which are the largest, or those with the best bounds (of an Optimisation).",
)
@click.option(
    "--max-kills",
    metavar="N",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Put a job aside that killed its worker so often.",
)
@click.option(
    "--heartbeat-timeout",
    metavar="TIME",
    type=seconds,
    default="30s",
    show_default=True,
    help="A worker that is silent so long is lost.",
)
@click.option(
    "--patience",
    metavar="TIME",
    type=seconds,
    default="1m",
    show_default=True,
    help="Take its jobs from a worker that does not share for so long while others idle; 0: never.",
)
@click.option(
    "--grace",
    metavar="TIME",
    type=seconds,
    default="10s",
    show_default=True,
    help="How long a stop waits for jobs to be handed back.",
)
def command(
    problem: str,
    parameters: tuple[str, ...],
    run_dir: Path | None,
    *,
    bridge: tuple[str, int] | None,
    dashboard: tuple[str, int] | str | None,
    where: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Explore a problem, or go on exploring it.

    Started by mpiexec, mpirun or srun, rank 0 coordinates and the others explore; started alone, one process does both.
    Parameters are the fields of the problem class. The same command continues a run that was stopped or killed, and answers at
    once if it is finished.
    """
    numerics.start_no_threads()
    with lasting():
        from parry_mpi.cli.preparing import Request, prepare  # noqa: PLC0415 this and what follows is slow to load, not needed for --help
        from parry_mpi.runtime.options import Options  # noqa: PLC0415

    times = {f"{name}_s": options.pop(name) for name in ("heartbeat_timeout", "patience", "grace", "stop_after")}
    watched = dashboard if isinstance(dashboard, tuple) else None
    request = Request(problem, parameters, run_dir, as_json, Options(**options, **times), bridge, watched, dashboard == OFF)
    if where:
        click.echo(run_dir or prepare(request).default_directory)
        return EXIT_COMPLETE
    if launcher.launched() and launcher.launched_rank() != 0:
        with lasting():
            from parry_mpi.cli.following import follow  # noqa: PLC0415
        return follow(request)
    with lasting():
        from parry_mpi.cli import leading  # noqa: PLC0415
    return leading.run(request)
