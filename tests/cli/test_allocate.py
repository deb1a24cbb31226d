"""The command `parry-mpi allocate` over a run directory that says what we want, and Slurm's commands as scripts of ours."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from support.commands import ROOT, parry_mpi, run, started, wait_until
from support.disk import QUEENS

from parry_mpi.core.state import State
from parry_mpi.runtime import batch
from parry_mpi.store.run_directory import RunDirectory

FAKES = {
    "squeue": 'echo "squeue $*" >>"$LOG"; [ ! -e "$HERE/mute" ] || { echo "no controller" >&2; exit 1; }; cat "$HERE/queue"',
    "sbatch": """echo "sbatch $* RUN_DIR=$RUN_DIR" >>"$LOG"
[ ! -e "$HERE/refuse" ] || { echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }
id=$((100 + $(wc -l <"$HERE/queue"))); echo "$id PENDING" >>"$HERE/queue"; echo "$id;cluster" """,
    "scancel": """echo "scancel $*" >>"$LOG"
while read -r id state; do [[ " $* " == *" $id "* ]] || echo "$id $state"; done <"$HERE/queue" >"$HERE/new"
mv "$HERE/new" "$HERE/queue" """,
}
"""They note what they are called with; the queue is a file."""

WORDS = ("--max", "2", "--interval", "0.2")


class Site:
    """A run that is exploring as far as its folder says, with this process as its coordinator, and a queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run_dir = folder / "run"
        self.script = folder / "workers.sbatch"
        self.script.write_text("#!/bin/sh\n")
        (folder / "queue").write_text("")
        (folder / "calls").write_text("")
        for name, body in FAKES.items():
            fake = folder / "bin" / name
            fake.parent.mkdir(exist_ok=True)
            fake.write_text(f"#!/usr/bin/env bash\n{body}\n")
            fake.chmod(0o755)
        self.directory = RunDirectory.open(self.run_dir, QUEENS)
        self.directory.initialize(State().take_changes(), b"0")
        (self.run_dir / "access.json").write_text("{}")
        self.publish(pending=50)
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HERE": str(folder),
            "LOG": str(folder / "calls"),
            "SLURM_JOB_NAME": "interactive",
        }

    def publish(self, **numbers: int) -> None:
        status = {"phase": "exploring", "leased": 3, "workers": 3, "busy": 3, "roots_left": False, **numbers}
        self.directory.publish(status)

    def command(self, *words: str) -> tuple[str, ...]:
        return parry_mpi("allocate", self.run_dir, "--script", self.script, *WORDS, *words)

    def calls(self, program: str) -> list[str]:
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(f"{program} ")]

    def queue(self) -> list[str]:
        return (self.folder / "queue").read_text().splitlines()


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.directory.close()


def test_fills_the_queue_and_empties_it(site):
    """Protects whoever leaves it running: the queue is filled with marked jobs once, and Ctrl-C leaves nothing behind in it."""
    with started(site.command("--", "--time", "1:00:00"), environment=site.environment) as process:
        wait_until(lambda: len(site.queue()) == 2, "two were submitted")
        wait_until(lambda: len(site.calls("squeue")) >= 4, "it looked again")
        (site.folder / "queue").write_text("100 PENDING\n101 RUNNING\n")
        process.process.send_signal(signal.SIGINT)
        finished = process.wait()
    assert 75 == finished.code, finished
    assert ["101 RUNNING"] == site.queue(), finished
    assert 2 == len(site.calls("sbatch")), finished
    name = batch.name_of(site.run_dir)
    assert f"--time 1:00:00 --job-name {name}" in site.calls("sbatch")[0]
    assert site.calls("sbatch")[0].endswith(f"RUN_DIR={site.run_dir}")
    assert f"--name {name}" in site.calls("squeue")[0]
    assert "all allocations that are allowed are queued or running" in finished.stderr


def test_refusals(site):
    """Protects a busy site, and the user who has to know: a refusal is told in its own words, and not repeated at once."""
    (site.folder / "refuse").touch()
    with started(site.command(), environment=site.environment) as process:
        wait_until(lambda: len(site.calls("squeue")) >= 4, "it looked again")
        process.process.send_signal(signal.SIGTERM)
        finished = process.wait()
    assert 1 == len(site.calls("sbatch")), finished
    assert "not submitted, trying again in 30 s or later: sbatch: sbatch: error: QOSMaxSubmitJobPerUserLimit" in finished.stderr


def test_a_queue_that_cannot_be_seen(site):
    """Protects the queue when the controller does not answer: not knowing how many there are, it submits none."""
    (site.folder / "mute").touch()
    with started(site.command(), environment=site.environment) as process:
        wait_until(lambda: len(site.calls("squeue")) >= 2, "it looked again")
        process.process.send_signal(signal.SIGTERM)
        finished = process.wait()
    assert [] == site.calls("sbatch"), finished
    assert 1 == finished.stderr.count("nothing is submitted or cancelled: squeue: no controller"), finished


def test_ends_with_the_run(site):
    """Protects the queue after the answer: what waits is cancelled, by a command that was restarted meanwhile, too."""
    (site.folder / "queue").write_text("100 PENDING\n101 RUNNING\n")
    site.directory.commit(State().take_changes(), b"0", finished=True, phase="finished")
    site.directory.close()
    finished = run(site.command(), environment=site.environment)
    assert 0 == finished.code, finished
    assert ["101 RUNNING"] == site.queue(), finished
    assert ["scancel --state=PENDING 100"] == site.calls("scancel")


def test_dry_run(site):
    """Protects the careful: --dry-run says what would be done and why, and does nothing."""
    finished = run(site.command("--dry-run"), environment=site.environment)
    assert 0 == finished.code, finished
    assert "more workers would be fed; submitting 2 (50 pending, 3 of 3 workers busy; allocations: 0 queued" in finished.stderr
    assert [] == site.calls("sbatch")


def test_wrong_use(site):
    """Protects from waiting for nothing: a folder that holds no run, and a script that is not there, are refused at once."""
    finished = run(parry_mpi("allocate", site.folder / "nowhere", "--script", site.script))
    assert (2, 1) == (finished.code, len(finished.stderr.splitlines())), finished
    finished = run(parry_mpi("allocate", site.run_dir, "--script", "nowhere.sbatch"))
    assert (2, 1) == (finished.code, len(finished.stderr.splitlines())), finished
    assert "nowhere.sbatch does not exist" in finished.stderr


def test_described():
    """Protects readers: the page for clusters names each option that there is, and no other."""
    options = set(re.findall(r"^ {2}(--[\w-]+)", run(parry_mpi("allocate", "--help")).stdout, re.MULTILINE))
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert options - {"--dry-run"} == set(re.findall(r"^\| `(--[\w-]+)", page, re.MULTILINE))
    assert "`--dry-run`" in page


def test_names(tmp_path):
    """Protects two runs of one name from each other's batch jobs, and a link to a folder from looking like another one."""
    (tmp_path / "a" / "run n=5").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "run n=5")
    assert batch.name_of(tmp_path / "link") == batch.name_of(tmp_path / "a" / "run n=5")
    assert batch.name_of(tmp_path / "a" / "run n=5").startswith("parry-run_n=5-")
    assert batch.name_of(tmp_path / "b" / "run n=5") != batch.name_of(tmp_path / "a" / "run n=5")


def test_status_of_the_fake(site):
    """Protects these tests: the folder is read as a live run."""
    finished = run(parry_mpi("status", site.run_dir, "--json"))
    assert json.loads(finished.stdout)["pending"] == 50
