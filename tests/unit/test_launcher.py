"""Who started this process, told from the environment alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import wait_until

from parry_mpi.transport import launcher

PREFIXES = ("PMI_", "PMIX_", "OMPI_", "SLURM_")

BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_TASK_PID": "99"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}

ENVIRONMENTS = {
    "python": ({}, None, 1, False),
    "hydra": ({"PMI_RANK": "2", "PMI_SIZE": "4", "PMI_FD": "9"}, 2, 4, True),
    "hydra-one": ({"PMI_RANK": "0", "PMI_SIZE": "1"}, 0, 1, False),
    "hydra-in-slurm": (
        {"PMI_RANK": "3", "PMI_SIZE": "4", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        3,
        4,
        True,
    ),
    "openmpi-4": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "1"}, 1, 3, True),
    "openmpi-5-in-slurm": (
        BATCH_SCRIPT | {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"},
        0,
        2,
        True,
    ),
    "srun-pmi2": (BATCH_SCRIPT | SRUN | {"PMI_RANK": "0", "PMI_SIZE": "4"}, 0, 4, True),
    "srun-pmix": (BATCH_SCRIPT | SRUN | {"PMIX_RANK": "3"}, 3, 4, True),
    "srun-pmix-one": (BATCH_SCRIPT | SRUN | {"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, 0, 1, False),
    "pmix-of-another-kind": ({"PMIX_RANK": "0"}, 0, None, True),
    "batch-script": (BATCH_SCRIPT, None, 1, False),
    "batch-script-that-exports-nonsense": ({"PMI_RANK": "", "PMI_SIZE": "four"}, None, 1, False),
}


@pytest.fixture
def environment(monkeypatch):
    """An environment in which no launcher has left a trace, to be filled."""
    for name in list(os.environ):
        if name.startswith(PREFIXES):
            monkeypatch.delenv(name)

    def fill(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return fill


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_who_started_us(name, environment):
    """Protects: the same command runs alone or on ranks as it was started, and a batch script is not mistaken for a rank."""
    variables, rank, size, launched = ENVIRONMENTS[name]
    environment(variables)
    assert (rank, size, launched) == (launcher.launched_rank(), launcher.launched_size(), launcher.launched())


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 1),
        (BATCH_SCRIPT, 1),
        (BATCH_SCRIPT | SRUN, 4),
        (BATCH_SCRIPT | SRUN | {"SLURM_STEP_NUM_TASKS": "1"}, 1),
        (BATCH_SCRIPT | SRUN | {"PMI_RANK": "0", "PMI_SIZE": "4"}, 1),
    ],
)
def test_strangers(variables, count, environment):
    """Protects: four runs at once in one folder, started by a bare srun, can be told from one run on four ranks."""
    environment(variables)
    assert count == launcher.strangers_count()


def test_nothing_of_mpi_is_needed():
    """Protects: without mpi4py, and without its start-up time, the command runs in one process."""
    code = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from parry_mpi.transport import inprocess, launcher, mpi\n"
        "from parry_mpi.errors import UsageError\n"
        "assert not mpi.launched() and inprocess.pair()\n"
        "try: mpi.MpiTransport()\n"
        "except UsageError as error: print(error)\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    said = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.startswith("started by an MPI launcher, but MPI cannot be used (")
    assert 'pip install "parry_mpi[mpich]"' in said


@pytest.mark.parametrize(
    ("code", "variables", "kept"), [(75, {"PMI_RANK": "0"}, True), (0, {"PMI_RANK": "0"}, False), (75, {}, False)]
)
def test_keep_exit_code(code, variables, kept):
    """Protects: hydra sees a stopped run's process end before its last output is closed, and takes note of its code."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    program = f"import os; from parry_mpi.transport import launcher; launcher.keep_exit_code({code}); os._exit({code})"
    order = []
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=clean | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    assert process.stdout
    assert process.stderr
    assert code == process.wait(30)
    for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
        os.set_blocking(pipe.fileno(), False)
        if pipe.read() is None:  # still open
            order.append(name)
    assert (["stdout", "stderr"] if kept else []) == order
    wait_until(lambda: process.stdout.read() == b"", "stdout was closed")
    assert (process.stderr.read() is None) == kept
    wait_until(lambda: process.stderr.read() == b"", "stderr was closed")
    process.stdout.close()
    process.stderr.close()
