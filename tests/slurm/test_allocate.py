"""`parry-mpi allocate` with slurm/workers.sbatch, under a real Slurm."""

from __future__ import annotations

import signal

import pytest
from support.commands import ROOT, mpis, parry_mpi, started, wait_until
from support.slurm import Slurm

from parry_mpi.runtime import batch
from parry_mpi.store.access import ACCESS_NAME
from parry_mpi.store.readers import read_status

POINTS = 20_000
SWEEP = '''
"""Points that each take a while, so that many are pending."""
import os, time
from parry_mpi import Enumeration, IndexedRoots

class Sweep(Enumeration[int, int]):
    points: int
    hurry: str   # a file: while it exists a point takes nothing

    def roots(self):
        return IndexedRoots(self.points, int)

    def value(self, node):
        if not os.path.exists(self.hurry):
            time.sleep(0.015)
        return node
'''

DEADLINE_S = 120
UNFINISHED = "PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"

pytestmark = pytest.mark.timeout(300)


def queue(slurm: Slurm, run_dir, state: str) -> list[str]:
    return slurm.call("squeue", "-h", "-n", batch.name_of(run_dir), "-t", state, "-o", "%i").split()


def test_brings_workers(slurm, tmp_path):
    """Protects the user of an allocation that is too small: workers come by themselves, help, and leave no batch job behind."""
    (tmp_path / "sweep.py").write_text(SWEEP)
    run_dir, mpi = tmp_path / "run", mpis()[0]
    words = (f"points={POINTS}", f"hurry={tmp_path / 'hurry'}")
    run = ("run", tmp_path / "sweep.py", *words, "--run-dir", run_dir, "--bridge", "127.0.0.1:0", "--json")
    allocate = ("allocate", run_dir, "--max", "2", "--interval", "1", "--script", ROOT / "slurm" / "workers.sbatch", "--")
    environment = {**mpi.environment, **slurm.environment}
    with started(mpi.ranks(2, *run), environment=environment) as coordinator:
        wait_until((run_dir / ACCESS_NAME).exists, "the run listens", DEADLINE_S)
        later = parry_mpi(*allocate, "--begin=now+1hour", f"--output={tmp_path / 'later.out'}")
        with started(later, environment=environment) as command:
            wait_until(lambda: queue(slurm, run_dir, "PENDING"), "a batch job is queued", DEADLINE_S)
            command.process.send_signal(signal.SIGTERM)
            stopped = command.wait(DEADLINE_S)
        assert (75, []) == (stopped.code, queue(slurm, run_dir, UNFINISHED)), stopped
        now = parry_mpi(*allocate, "--cpus-per-task=2", f"--output={tmp_path / 'now.out'}")
        with started(now, environment=environment) as command:
            wait_until(
                lambda: read_status(run_dir).get("busy", 0) >= 3, "one of ours and two of the batch job's explore", DEADLINE_S
            )
            (tmp_path / "hurry").touch()
            answered = coordinator.wait(DEADLINE_S)
            ended = command.wait(DEADLINE_S)
        assert (POINTS * (POINTS - 1) // 2, True) == (answered.answer["result"], answered.answer["complete"]), answered
        assert 0 == ended.code, ended
        wait_until(lambda: not queue(slurm, run_dir, UNFINISHED), "the workers' batch jobs have ended", DEADLINE_S)
