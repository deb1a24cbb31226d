"""Runs of the real command, in one process and on ranks: the answer, what is told about it, stopping and going on."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from support import commands
from support.commands import Mpi, parry_mpi, run, started, wait_until

QUEENS = commands.ROOT / "jobs" / "queens.py"

STEPS = '''
"""A tree in which every node can be counted by hand, and takes as long as it is told to."""
import time
from parry_mpi import Enumeration

class Steps(Enumeration[int, int]):
    depth: int = 10
    pause_ms: float = 0
    poison: int = -1

    def roots(self):
        return [1]

    def children(self, node):
        if node == self.poison:
            raise ValueError("this node is poison")
        time.sleep(self.pause_ms / 1000)
        return [2 * node, 2 * node + 1] if node < 2 ** self.depth else []

    def value(self, node):
        return 1
'''


def all_worlds() -> list:
    return [pytest.param(None, id="alone"), *(pytest.param(mpi, id=mpi.name) for mpi in commands.mpis())]


@pytest.fixture(params=all_worlds())
def world(request) -> Mpi | None:
    """Every MPI that is installed here, and none."""
    return request.param


@pytest.fixture(params=all_worlds()[:2])
def some_world(request) -> Mpi | None:
    """One MPI, and none: for what depends on there being ranks, but not on whose they are."""
    return request.param


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "steps.py").write_text(STEPS)
    return tmp_path


def command(world: Mpi | None, *arguments: str | Path, ranks: int = 3) -> tuple[str, ...]:
    return parry_mpi(*arguments) if world is None else world.ranks(ranks, *arguments)


def environment(world: Mpi | None) -> dict[str, str]:
    return {} if world is None else world.environment


def lines(text: str) -> list[str]:
    """What the command itself said, without what a launcher adds."""
    return [line for line in text.splitlines() if line.startswith("parry-mpi: ")]


def test_answer(world, folder):
    """Protects the main promise: the same command gives the same exact answer alone and on ranks, and then from the folder."""
    words = command(world, "run", QUEENS, "n=8", "engine=python")
    first = run(words, folder=folder, environment=environment(world))
    assert (first.code, first.stdout.strip()) == (0, "92"), first
    assert "complete in" in lines(first.stderr)[-1], first
    again = run(words, folder=folder, environment=environment(world))
    assert (again.code, again.stdout.strip()) == (0, "92"), again
    assert "read from runs/queens-n=8" in lines(again.stderr)[-1], again
    assert [path.name for path in (folder / "runs").iterdir()] == ["queens-n=8"]


def test_json(some_world, folder):
    """Protects scripts: the last line on stdout is one JSON object with the keys that were promised."""
    finished = run(
        command(some_world, "run", "steps.py", "depth=7", "--json"), folder=folder, environment=environment(some_world)
    )
    answer = finished.answer
    assert finished.code == 0, finished
    assert answer.pop("seconds") > 0
    assert answer.pop("solved") >= 1
    assert answer.pop("workers") in ({1} if some_world is None else {1, 2})  # a rank that starts late finds the work done
    assert answer == {
        "result": 255,
        "complete": True,
        "parameters": {"depth": 7, "pause_ms": 0.0, "poison": -1},
        "nodes": 255,
        "killings": 0,
        "quarantined": 0,
        "restarts": 0,
    }


def test_stop_and_go_on(world, folder):
    """Protects walltimes: a run that stops says so with 75, keeps what it found, and the same command ends it exactly."""
    words = command(world, "run", "steps.py", "depth=9", "pause_ms=2", "--json")
    stopped = run((*words, "--stop-after", "700ms"), folder=folder, environment=environment(world))
    assert stopped.code == 75, stopped
    found = stopped.answer
    assert 0 < found["result"] < 1023
    assert found["result"] == found["nodes"]
    assert not found["complete"]
    assert "the same command goes on from runs/steps-" in lines(stopped.stderr)[-1]
    ended = run(words, folder=folder, environment=environment(world))
    assert (ended.code, *(ended.answer[key] for key in ("result", "nodes", "restarts"))) == (0, 1023, 1023, 1), ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1], ids=lambda number: number.name)
def test_signal(folder, number):
    """Protects work from Ctrl-C, from a batch system's end and from its warning: each stops in good order."""
    words = parry_mpi("run", "steps.py", "depth=12", "pause_ms=1", "--json", "--run-dir", "here")
    with started(words, folder=folder) as process:
        wait_until((folder / "here" / "status.json").exists, "the run was under way")
        os.kill(process.pid, number)
        finished = process.wait()
    assert finished.code == 75, finished
    assert f"stopped by {number.name} at" in lines(finished.stderr)[-1]
    assert finished.answer["result"] == finished.answer["nodes"]


def test_killed_and_started_again(world, folder):
    """Protects what is on disk: after a SIGKILL of everything the same command goes on from there to the exact answer."""
    words = command(world, "run", "steps.py", "depth=11", "pause_ms=2", "--json", "--run-dir", "here")

    def explored() -> bool:
        status = folder / "here" / "status.json"
        return status.exists() and json.loads(status.read_text())["status"]["nodes"] > 50

    with started(words, folder=folder, environment=environment(world)) as process:
        wait_until(explored, "some of it was explored")
        commands.kill_tree(process.process)
    ended = run(words, folder=folder, environment=environment(world))
    assert (ended.code, *(ended.answer[key] for key in ("result", "nodes", "restarts"))) == (0, 4095, 4095, 1), ended


def test_status_while_running_and_after(folder):
    """Protects the view of a run from outside: live numbers while it runs, those of the folder after."""
    words = parry_mpi("run", "steps.py", "depth=12", "pause_ms=1", "--run-dir", "here")
    with started(words, folder=folder) as process:
        wait_until((folder / "here" / "status.json").exists, "the run published its status")
        live = run(parry_mpi("status", "here"), folder=folder)
        assert f"(process {process.pid}): exploring" in live.stdout, live
        assert "Steps" in live.stdout.splitlines()[0]
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait().code == 75
    after = run(parry_mpi("status", "here"), folder=folder)
    assert "not running, not finished: the same command goes on" in after.stdout, after


def test_result(folder):
    """Protects the answer's availability: result reads it from the folder, without the problem's source."""
    run(parry_mpi("run", "steps.py", "depth=5", "--run-dir", "done"), folder=folder)
    run(parry_mpi("run", "steps.py", "depth=9", "pause_ms=5", "--run-dir", "begun", "--stop-after", "0.3"), folder=folder)
    (folder / "steps.py").unlink()
    done = run(parry_mpi("result", "done"), folder=folder)
    assert (done.code, done.stdout.strip()) == (0, "63"), done
    as_json = run(parry_mpi("result", "done", "--json"), folder=folder)
    assert (as_json.answer["result"], as_json.answer["complete"]) == (63, True)
    begun = run(parry_mpi("result", "begun"), folder=folder)
    assert (begun.code, begun.stdout) == (75, ""), begun
    assert "stopped at" in begun.stderr


def test_structured_results(folder):
    """Protects results that are more than a number: run and result print the same, and JSON has the names."""
    (folder / "shape.py").write_text(
        "import numpy as np\nfrom msgspec import Struct\nfrom parry_mpi import Enumeration\n"
        "class Found(Struct):\n    count: int\n    histogram: np.ndarray\n"
        "class Shape(Enumeration[int, Found]):\n"
        "    def roots(self): return range(4)\n"
        "    def value(self, node): return Found(1, np.eye(4, dtype=np.int64)[node])\n"
        "    def zero(self): return Found(0, np.zeros(4, np.int64))\n"
        "    def combine(self, a, b): return Found(a.count + b.count, a.histogram + b.histogram)\n"
    )
    printed = run(parry_mpi("run", "shape.py"), folder=folder).stdout
    assert json.loads(printed) == {"count": 4, "histogram": [1, 1, 1, 1]}
    assert run(parry_mpi("result", "runs/shape"), folder=folder).stdout == printed


def test_quarantine_and_retry(some_world, folder):
    """Protects the truth: jobs that cannot be explored are listed, the exit code says incomplete, and retry puts them back."""
    words = command(
        some_world, "run", "steps.py", "depth=4", "poison=5", "--on-error", "quarantine", "--json", "--run-dir", "here"
    )
    incomplete = run(words, folder=folder, environment=environment(some_world))
    answer = incomplete.answer
    assert (incomplete.code, *(answer[key] for key in ("result", "complete", "quarantined"))) == (3, 24, False, 1), incomplete
    assert "ValueError: this node is poison" in incomplete.stderr
    assert "parry-mpi retry here" in lines(incomplete.stderr)[-1]
    assert run(words, folder=folder, environment=environment(some_world)).code == 3
    assert run(parry_mpi("result", "here"), folder=folder).code == 3
    assert "incomplete" in run(parry_mpi("status", "here"), folder=folder).stdout
    retried = run(parry_mpi("retry", "here"), folder=folder)
    assert (retried.code, retried.stderr.strip().partition(";")[0]) == (0, "parry-mpi: 1 job put back"), retried
    assert run(parry_mpi("status", "here", "--json"), folder=folder).answer["quarantined"] == 0


@pytest.mark.parametrize("isolation", ["process", "none"])
def test_isolation(some_world, folder, isolation):
    """Protects the choice between safety and simplicity: the answer is the same in both."""
    words = command(some_world, "run", "steps.py", "depth=8", "--isolation", isolation)
    finished = run(words, folder=folder, environment=environment(some_world))
    assert (finished.code, finished.stdout.strip()) == (0, "511"), finished


def test_prints_of_the_problem(some_world, folder):
    """Protects the JSON line from what the user's code prints: it is the last one."""
    (folder / "loud.py").write_text(STEPS.replace("return 1\n", "print('at', node, flush=True); return 1\n"))
    finished = run(command(some_world, "run", "loud.py", "depth=4", "--json"), folder=folder, environment=environment(some_world))
    assert finished.answer["result"] == 31, finished


def test_plain_lines(folder):
    """Protects log files: where nobody watches, a plain line now and then, and no control characters."""
    words = parry_mpi("run", "steps.py", "depth=12", "pause_ms=1", "--run-dir", "here")
    with started(words, folder=folder) as process:
        wait_until(lambda: "% explored after" in process.stderr, "a line was printed")
        os.kill(process.pid, signal.SIGTERM)
        finished = process.wait()
    assert "\x1b" not in finished.stderr
    assert all(line.startswith("parry-mpi: ") for line in finished.stderr.splitlines()), finished


IN_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def test_panel(world, folder):
    """Protects people who watch: a panel on their terminal, under a launcher too, and the cursor is left alone."""
    words = command(world, "run", "steps.py", "depth=9", "pause_ms=2")
    watched = (sys.executable, "-c", IN_A_TERMINAL, *words)
    finished = run(watched, folder=folder, environment={**environment(world), "TERM": "xterm"})
    assert finished.code == 0, finished
    assert "Steps depth=9" in finished.stdout
    assert "% explored" in finished.stdout
    assert "workers busy" in finished.stdout or "1 worker busy" in finished.stdout
    assert "\x1b[?25l" not in finished.stdout
    assert finished.stdout.split()[-1] == "1023" or "complete in" in finished.stdout.splitlines()[-1]


def test_nobody_reads(folder):
    """Protects shells: a reader that went away gives the code of a broken pipe and no traceback."""
    run(parry_mpi("run", "steps.py", "depth=4", "--run-dir", "here"), folder=folder)
    finished = run(("bash", "-c", f"{parry_mpi()[0]} status here > >(:); echo $?"), folder=folder)
    assert finished.stdout.strip() == "141", finished
    assert "Traceback" not in finished.stderr


def test_module_name_and_python_m(folder):
    """Protects the other ways to say the same: a module's name, and python -m parry_mpi."""
    words = (sys.executable, "-m", "parry_mpi", "run", "steps:Steps", "depth=3")
    finished = run(words, folder=folder)
    assert (finished.code, finished.stdout.strip()) == (0, "15"), finished
    assert "read from" in run(parry_mpi("run", "steps.py", "depth=3"), folder=folder).stderr
