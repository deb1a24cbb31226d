"""Programs that explore: a solver in C gives the known answers, and one that fails, dies or talks nonsense is dealt with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import ROOT, parry_mpi, run

FAULTY = '''
"""Counts a tree whose nodes are numbers, and does what it is told at one of them."""
import json, os, signal, sys
parameters = json.loads(sys.stdin.readline())["parameters"]
for line in sys.stdin:
    asked = json.loads(line)
    node = asked["explore"].pop()
    if node == 5:
        fault = parameters["fault"]
        if fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "once" and not os.path.exists("once"):
            open("once", "w").close()
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "fails":
            print("cannot go on", file=sys.stderr)
            sys.exit(3)
        if fault == "nonsense":
            print("these are no nodes")
            continue
    children = [2 * node, 2 * node + 1] if node < 16 else []
    print(json.dumps({"value": 1, "remaining": asked["explore"] + children, "nodes": 1}), flush=True)
'''

PROBLEM = """
import sys

from parry_mpi import Enumeration, external

class Faulty(Enumeration[int, int]):
    fault: str = "none"

    def roots(self):
        return [1]

    def kernel(self):
        return external(self, [sys.executable, "faulty.py"])
"""


@pytest.fixture(scope="module")
def solver(tmp_path_factory) -> Path:
    """The C program, compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: cc is not there")
    program = tmp_path_factory.mktemp("c") / "queens_external"
    source = ROOT / "jobs" / "queens_external.c"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return program


@pytest.mark.parametrize(("n", "answer"), [(1, 1), (6, 4), (9, 352)])
def test_solver_in_c(tmp_path, solver, n, answer):
    """Protects whoever has a solver already: a program in C explores, and the answer is the known one."""
    finished = run(
        parry_mpi("run", ROOT / "jobs" / "queens_external.py", f"n={n}", f"program={solver}", "--json"), folder=tmp_path
    )
    assert (0, answer) == (finished.code, finished.answer["result"]), finished


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "faulty.py").write_text(FAULTY)
    (tmp_path / "problem.py").write_text(PROBLEM)
    return tmp_path


def outcome(folder: Path, fault: str, *options: str):
    return run(parry_mpi("run", "problem.py", f"fault={fault}", "--json", *options), folder=folder)


def test_none(folder):
    """Protects the protocol: a program in any language sees each node once."""
    assert 31 == outcome(folder, "none").answer["result"]


def test_killed_once(folder):
    """Protects a run from a program that crashes: the job is tried again, and the answer is exact."""
    answer = outcome(folder, "once").answer
    assert (31, 1) == (answer["result"], answer["killings"])


def test_killed_always(folder):
    """Protects the rest of the tree from a node that always kills the program: it is put aside, and everything else is counted."""
    finished = outcome(folder, "killed")
    assert (3, 31 - 7) == (finished.code, finished.answer["result"]), finished
    assert "killed by signal 9" in finished.stderr


@pytest.mark.parametrize(("fault", "said"), [("fails", "exit code 3: cannot go on"), ("nonsense", "makes no sense")])
def test_it_is_the_problems_fault(folder, fault, said):
    """Protects whoever wrote the program from a puzzle: what it said, and how it ended, is shown as the problem's own error."""
    finished = outcome(folder, fault)
    assert finished.code == 4, finished
    assert said in finished.stderr


def test_missing(folder):
    """Protects from a program that is not there: one clear line."""
    (folder / "problem.py").write_text(PROBLEM.replace("sys.executable", '"./nowhere"'))
    finished = outcome(folder, "none")
    assert finished.code == 4, finished
    assert "./nowhere cannot be started" in finished.stderr
