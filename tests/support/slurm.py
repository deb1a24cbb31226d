"""A real Slurm for tests, brought up by the program that PARRY_TEST_SLURM names, and its jobs.

This module must not know what a job runs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.commands import ROOT, last_json, run, wait_until

UP_DEADLINE_S = 120
"""Bringing it up may include the installation of its packages."""

CPUS = {"SLURM_LAB_CPUS": "48"}
"""What the node claims to have, whatever there is: batch jobs that mostly wait run side by side."""

CANCEL_DEADLINE_S = 20
"""A requeued job is looked at again after 5 s, and ranks that ignore SIGTERM are killed after as many."""


@dataclass(frozen=True)
class Slurm:
    """A Slurm that takes jobs.

    Args:
        environment: what its commands need. TMPDIR too: a batch job inherits that of whoever submits it, and Slurm makes the folder
            again if it is gone by then.
    """

    environment: dict[str, str]

    def submit(self, script: Path, *options: str, folder: Path = ROOT, environment: Mapping[str, str]) -> BatchJob:
        """Submit a script; the batch job writes to ``folder/slurm-ID.out``.

        Args:
            script: what to submit.
            options: for sbatch.
            folder: where sbatch is called.
            environment: what the script finds in its environment.
        """
        command = ("sbatch", "--parsable", *options, str(script))
        # Launchers keep folders of one name in TMPDIR, so jobs that run side by side do not share one.
        own = {"TMPDIR": tempfile.mkdtemp(prefix="job-", dir=self.environment["TMPDIR"])}
        finished = run(command, folder=folder, environment=self.environment | own | dict(environment))
        assert finished.code == 0, finished
        return BatchJob(self, finished.stdout.strip(), folder)

    def call(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it says."""
        finished = run(command, environment=self.environment)
        assert finished.code == 0, finished
        return finished.stdout


@dataclass(frozen=True)
class BatchJob:
    """A batch job that was submitted.

    Args:
        slurm: where.
        id: its number.
        folder: where its output is.
    """

    slurm: Slurm
    id: str
    folder: Path

    def field(self, name: str) -> str:
        """What ``scontrol show job`` says about one thing, such as JobState."""
        found = re.search(rf"\b{name}=(\S*)", self.slurm.call("scontrol", "-o", "show", "job", self.id))
        assert found, f"batch job {self.id} has no {name}"
        return found[1]

    @property
    def output(self) -> str:
        """What script and ranks have written so far, over all restarts."""
        path = self.folder / f"slurm-{self.id}.out"
        return path.read_text() if path.exists() else ""

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object that the run printed last; what it said on stderr is in the same file."""
        return last_json("\n".join(line for line in self.output.splitlines() if line.startswith("{")), self.output)

    def warn(self) -> None:
        """Send the script what Slurm sends when the walltime is near."""
        self.slurm.call("scancel", "-b", "--signal=USR1", self.id)

    def cancel(self) -> None:
        """End the job at once if it has not ended yet, with everything that it started."""
        if not self.ended():
            self.slurm.call("scancel", "--full", "--signal=KILL", self.id)
            self.slurm.call("scancel", self.id)
            self.wait(CANCEL_DEADLINE_S)

    def ended(self) -> str | None:
        """The final state of a job that has ended for good, None for one that may still run."""
        state = self.field("JobState")
        return None if state in {"PENDING", "RUNNING", "COMPLETING", "REQUEUED"} else state

    def wait(self, deadline_s: float) -> str:
        """Wait until the job has ended for good and return its final state."""
        try:
            return wait_until(self.ended, f"batch job {self.id} has ended", deadline_s)
        except AssertionError as error:
            raise AssertionError(f"{error}; its output:\n{self.output}") from None


@contextlib.contextmanager
def slurm_up(program: str) -> Iterator[Slurm]:
    """Bring a Slurm up, and down again with all its jobs."""
    folder = tempfile.mkdtemp(prefix="parry-slurm-")  # not pytest's own folder: Slurm's sockets want a short path
    try:
        subprocess.run(
            [program, "up", folder], check=True, stdout=subprocess.DEVNULL, timeout=UP_DEADLINE_S, env=os.environ | CPUS
        )
        exports = subprocess.run([program, "env", folder], check=True, capture_output=True, text=True).stdout
        configuration = re.search(r"SLURM_CONF=['\"]?([^'\"\s;]+)", exports)
        assert configuration, exports
        scratch = Path(folder, "tmp")
        scratch.mkdir()
        yield Slurm({"SLURM_CONF": configuration[1], "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "TMPDIR": str(scratch)})
    finally:
        subprocess.run([program, "down", folder], check=True, stdout=subprocess.DEVNULL, timeout=UP_DEADLINE_S)
        shutil.rmtree(folder, ignore_errors=True)
