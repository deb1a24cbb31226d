"""Wrong use of the real command: one clear line, the promised exit code, and nothing touched."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from support import commands
from support.commands import Finished, Mpi, parry_mpi, run, started, wait_until

SOURCE = """
from parry_mpi import Enumeration

class Steps(Enumeration[int, int]):
    depth: int = 3
    how: str = ""

    def roots(self):
        if self.how == "roots": raise ValueError("no roots today")
        if self.how == "no data": return [object()]
        return [1]

    def children(self, node):
        if self.how == "slow":
            import time; time.sleep(0.01)
        if node == 5 and self.how == "raises": raise ValueError("five is odd")
        return [2 * node, 2 * node + 1] if node < 2 ** self.depth else []

    def value(self, node):
        return "one" if self.how == "value" else 1
"""


def all_worlds() -> list:
    return [pytest.param(None, id="alone"), *(pytest.param(mpi, id=mpi.name) for mpi in commands.mpis())]


@pytest.fixture(params=all_worlds())
def world(request) -> Mpi | None:
    return request.param


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "steps.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import no_such_module_at_all\n")
    return tmp_path


def parry(world: Mpi | None, folder: Path, *arguments: str) -> Finished:
    words = parry_mpi(*arguments) if world is None else world.ranks(3, *arguments)
    return run(words, folder=folder, environment={} if world is None else world.environment)


def said(finished: Finished) -> list[str]:
    """The lines of the command itself, without what a launcher adds."""
    return [line for line in finished.stderr.splitlines() if line.startswith("parry-mpi: ")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run", "gone.py"], "there is no file gone.py"),
        (["run", "steps.py:Gone"], "steps.py has no class Gone; it has Steps"),
        (["run", "steps.py", "width=3"], "Steps has no parameter width; there is depth: int (default 3)"),
        (["run", "steps.py", "depth=deep"], "depth=deep is not possible: depth: int (default 3)"),
        (["run", "steps.py", "3"], "3 is not a parameter: write NAME=VALUE"),
        (["run", "steps.py", "--stop-after", "soon"], "'soon' is not a time"),
        (["run", "steps.py", "--max-kills", "0"], "Invalid value for '--max-kills'"),
        (["run", "steps.py", "--jsno"], "No such option '--jsno'"),
        (
            ["run", "steps.py", "--order", "bound"],
            "--order bound needs bounds: Steps is not an Optimisation that defines bound(node)",
        ),
        (["run"], "Missing argument"),
        (["walk"], "No such command 'walk'"),
        (["status", "gone"], "gone does not exist"),
        (["result", "."], ". is no run directory"),
        (["retry", "."], ". is no run directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(folder, words, line):
    """Protects users from guessing and their folders from half-begun runs: one line, exit code 2, nothing created."""
    finished = parry(None, folder, *words)
    assert finished.code == 2, finished
    assert len(finished.stderr.splitlines()) == 1, finished
    assert line in finished.stderr
    assert finished.stdout == ""
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("words", [["gone.py"], ["steps.py", "depth=deep"], ["steps.py", "--jsno"]], ids=" ".join)
def test_usage_on_ranks(world, folder, words):
    """Protects readers of a job's log: the line comes once, not once a rank, and the launcher returns 2 and does not hang."""
    finished = parry(world, folder, "run", *words)
    assert finished.code == 2, finished
    assert len(said(finished)) == 1, finished
    assert not (folder / "runs").exists()


def test_source_that_cannot_be_imported(world, folder):
    """Protects the blame: an exception of the user's source is shown with their traceback, exit code 4."""
    finished = parry(world, folder, "run", "broken.py")
    assert finished.code == 4, finished
    assert 'broken.py", line 1' in finished.stderr
    assert "No module named 'no_such_module_at_all'" in said(finished)[-1]
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("how", "text"),
    [("raises", "ValueError: five is odd"), ("roots", "ValueError: no roots today"), ("value", "a value does not come back")],
)
def test_problem_that_raises(world, folder, how, text):
    """Protects authors of problems: what their code raised, where and at which node, exit code 4, on ranks too."""
    finished = parry(world, folder, "run", "steps.py", f"how={how}")
    assert finished.code == 4, finished
    assert text in said(finished)[-1]
    assert "the problem raised" in said(finished)[-1]
    if how == "raises":
        assert ", exploring the node 5: " in said(finished)[-1]
        assert 'raise ValueError("five is odd")' in finished.stderr


def test_node_that_is_no_data(world, folder):
    """Protects authors of problems: a node that cannot be sent is refused before anything is begun, with what can be."""
    finished = parry(world, folder, "run", "steps.py", "how=no data")
    assert (finished.code, len(said(finished))) == (2, 1), finished
    assert "a node cannot be sent" in said(finished)[0]
    assert not (folder / "runs").exists()


def test_folder_of_another_run(world, folder):
    """Protects answers: a folder of other parameters is refused and left as it is."""
    assert parry(None, folder, "run", "steps.py", "depth=3", "--run-dir", "here").code == 0
    before = {path.name: path.read_bytes() for path in (folder / "here").iterdir()}
    finished = parry(world, folder, "run", "steps.py", "depth=4", "--run-dir", "here")
    assert (finished.code, len(said(finished))) == (2, 1), finished
    assert "depth=3" in said(finished)[0]
    assert "depth=4" in said(finished)[0]
    assert {path.name: path.read_bytes() for path in (folder / "here").iterdir()} == before


def test_folder_that_cannot_be_written(folder):
    """Protects users from a traceback: a folder in which nothing can be created is named, with what to do."""
    (folder / "file").write_text("")
    finished = parry(None, folder, "run", "steps.py", "--run-dir", "file/here")
    assert (finished.code, len(finished.stderr.splitlines())) == (2, 1), finished
    assert "file/here cannot be used" in finished.stderr


def test_folder_in_use(world, folder):
    """Protects a run from a second coordinator: it is told who holds the folder, exit code 73."""
    words = ["run", "steps.py", "depth=12", "how=slow", "--run-dir", "here"]
    with started(parry_mpi(*words), folder=folder) as first:
        wait_until((folder / "here" / "status.json").exists, "the first run was under way")
        second = parry(world, folder, *words)
        assert (second.code, len(said(second))) == (73, 1), second
        assert f"process {first.pid}" in said(second)[0]
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait().code == 75


def test_damaged_folder(folder):
    """Protects against a wrong answer from a damaged state: it is named, exit code 65."""
    assert parry(None, folder, "run", "steps.py", "--run-dir", "here").code == 0
    state = folder / "here" / "state.sqlite"
    state.write_bytes(state.read_bytes()[:3000])
    finished = parry(None, folder, "run", "steps.py", "--run-dir", "here")
    assert (finished.code, len(finished.stderr.splitlines())) == (65, 1), finished


ONE_RANK = """
import os
from parry_mpi import Enumeration

if os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK")) == os.environ["WHO"]:
    if os.environ["WHAT"] == "library":
        os.environ["MPI4PY_LIBMPI"] = "/nowhere/libmpi.so"
    else:
        import parry_mpi.runtime.processes
        parry_mpi.runtime.processes.ignore_stop_signals = None

class One(Enumeration[int, int]):
    def roots(self): return [1]
    def value(self, node): return 1
"""


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("what", "code", "line"), [("library", 2, "MPI cannot be used"), ("fault", 70, "this is a bug in parry_mpi")]
)
@pytest.mark.parametrize("mpi", [pytest.param(mpi, id=mpi.name) for mpi in commands.mpis()])
def test_one_rank_cannot_begin(mpi, what, code, line, rank, tmp_path):
    """Protects an allocation: a rank that fails before MPI is there says why and ends all; nobody waits for it until the walltime."""
    (tmp_path / "one.py").write_text(ONE_RANK)
    environment = {**mpi.environment, "WHO": str(rank), "WHAT": what}
    finished = run(mpi.ranks(3, "run", "one.py"), folder=tmp_path, environment=environment)
    assert (code, True) == (finished.code, any(line in each for each in said(finished))), finished
