"""Slurm's commands, as far as a run asks for more workers with them; each call is bounded in time.

This module must not decide anything.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from parry_mpi.errors import ParryError
from parry_mpi.runtime.allocating import Allocation

CALL_S = 60.0
"""How long a command may take: a busy controller needs tens of seconds."""

NAME_MAX = 40
"""How much of the folder's name is shown in that of a batch job."""


class BatchError(ParryError):
    """The batch system refused, or did not answer; what it said, in one line."""


def name_of(run_dir: Path) -> str:
    """Return the name of all batch jobs that work for a run: the same for the same folder, on whatever machine it is asked for."""
    real = os.path.realpath(run_dir)
    readable = re.sub(r"[^\w.=-]+", "_", Path(real).name)[:NAME_MAX]
    return f"parry-{readable}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"


def allocations(name: str) -> list[Allocation]:
    """List our batch jobs of this name that have not ended.

    Raises:
        BatchError: Slurm does not tell. That is not the same as that there are none.
    """
    command = ("squeue", "--noheader", "--user", str(os.getuid()), "--name", name, "--format", "%i %T")
    found = []
    for line in _call(command).splitlines():
        job_id, _, state = line.strip().partition(" ")
        if job_id:
            found.append(Allocation(job_id, queued=state.strip() in {"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT"}))
    return found


def submit(script: Path, name: str, options: Sequence[str], environment: Mapping[str, str]) -> str:
    """Submit a script once and return the number of the batch job.

    Args:
        script: what to run.
        name: of the batch job; whatever the options say.
        options: further words for sbatch.
        environment: added to that of the batch job.

    Raises:
        BatchError: it was refused.
    """
    told = _call(("sbatch", "--parsable", *options, "--job-name", name, str(script)), environment)
    job_id = told.strip().splitlines()[-1].partition(";")[0] if told.strip() else ""
    if not job_id.isdigit():
        raise BatchError(f"sbatch said {told.strip()!r} instead of a job's number")
    return job_id


def cancel_queued(job_ids: Sequence[str]) -> None:
    """Cancel those of these batch jobs that have not been started.

    Raises:
        BatchError: Slurm refuses.
    """
    if job_ids:
        _call(("scancel", "--state=PENDING", *job_ids))


def _call(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    # Within a batch job, what Slurm says about that one would be taken for options of the next.
    own = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") or name == "SLURM_CONF"}
    try:
        finished = subprocess.run(  # noqa: S603 the user's own words for the user's own Slurm
            list(command),
            capture_output=True,
            check=False,
            text=True,
            errors="replace",
            timeout=CALL_S,
            env={**own, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for us: half a submission would leave a batch job that nobody knows
        )
    except OSError as error:
        raise BatchError(f"{command[0]} cannot be started ({error.strerror or error})") from error
    except subprocess.TimeoutExpired as error:
        raise BatchError(f"{command[0]} did not answer for {CALL_S:.0f} s") from error
    if finished.returncode:
        said = (finished.stderr.strip() or finished.stdout.strip()).splitlines()
        raise BatchError(f"{command[0]}: {said[-1] if said else f'exit code {finished.returncode}'}")
    return finished.stdout
