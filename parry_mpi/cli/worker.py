"""The command `parry-mpi worker`: its arguments and options.

This module must not know what a worker does: joining.py does. It is imported by `parry-mpi worker --help` too, so it imports little.
"""

from __future__ import annotations

from pathlib import Path

import click

from parry_mpi.cli import numerics
from parry_mpi.cli.options import TIMES, isolation
from parry_mpi.cli.wording import address, seconds
from parry_mpi.errors import UsageError

TYPED = "parry-mpi worker HOST:PORT FILE.py [NAME=VALUE ...] --key FILE --server-key FILE"
ANNOUNCED = "parry-mpi worker --run-dir DIR"


@click.command("worker", epilog=TIMES)
@click.argument("words", metavar="[HOST[:PORT] FILE.py[:Class]|MODULE[:Class] [NAME=VALUE]...]", nargs=-1)
@click.option(
    "--run-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Take address, problem, parameters and keys from a run's folder, on a file system that both see.",
)
@click.option(
    "--key", metavar="FILE", type=click.Path(path_type=Path), help="The private key to join with; by default DIR/worker_key."
)
@click.option("--server-key", metavar="FILE|LINE", help="The coordinator's public key: coordinator_key.pub of the run's folder.")
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(min=1),
    help="How many processes explore; by default one for each core there is.",
)
@click.option(
    "--wait",
    metavar="TIME",
    type=seconds,
    default="10m",
    show_default=True,
    help="How long to look for a coordinator that does not answer (then exit code 75).",
)
@click.option("--stop-after", metavar="TIME", type=seconds, help="Hand back what remains and leave after so long.")
@isolation
def command(
    words: tuple[str, ...],
    run_dir: Path | None,
    key: Path | None,
    server_key: str | None,
    *,
    processes: int | None,
    wait: float,
    stop_after: float | None,
    isolation: str,
) -> int:
    """Join a run from outside MPI, over the bridge that `parry-mpi run --bridge` opens.

    The problem must be the coordinator's, with the same parameters: its file is needed on both sides. Workers may come and go
    while the run lasts; a signal or --stop-after has them hand back what remains.
    """
    if run_dir is not None:
        if words or server_key is not None:
            raise UsageError(
                f"with --run-dir, address, problem, parameters and the coordinator's key come from the folder: {ANNOUNCED}"
            )
    elif len(words) < 2 or key is None or server_key is None:
        raise UsageError(f"write `{TYPED}`, or `{ANNOUNCED}` where the run's folder can be seen")
    numerics.start_no_threads()
    from parry_mpi.cli import joining  # noqa: PLC0415 this and what follows is slow to load, and not needed for --help
    from parry_mpi.runtime.outside import OutsideOptions  # noqa: PLC0415

    options = OutsideOptions(isolation=isolation, wait_s=wait, stop_after_s=stop_after)
    if run_dir is not None:
        return joining.join_announced(run_dir, key, processes, options)
    assert key is not None and server_key is not None, "checked above"
    return joining.join_typed(address(words[0]), joining.request_for(words[1], words[2:]), key, server_key, processes, options)
