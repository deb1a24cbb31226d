"""Compiling a kernel costs its time once, and what is cached on disk serves whoever loads the file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.commands import ROOT
from support.problems import HAVE_NUMBA

from parry_mpi import compiled

pytestmark = pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")


def twice(x):
    return 2 * x


def four_times(x):
    return twice(twice(x))


def factorial(x):
    return x * factorial(x - 1) if x > 1 else 1


def test_function_and_what_it_calls_are_compiled_once():
    """Protects start-up and the user's module: compiling again returns what was compiled, and no name means anything else after it."""
    plain = four_times
    function = compiled(four_times)
    assert function(5) == 20
    assert function.nopython_signatures
    assert function is compiled(four_times)
    assert (plain, int) == (four_times, type(twice(1)))
    assert not hasattr(twice, "nopython_signatures")
    assert "test_compiled" not in four_times.__qualname__


def test_function_may_call_itself():
    """Protects recursive kernels: the compiled function calls the compiled one."""
    assert compiled(factorial)(10) == 3_628_800


def test_compiled_function_stays_as_it_is():
    """Protects those who use numba themselves."""
    function = compiled(four_times)
    assert function is compiled(function)


LOADER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location(sys.argv[1], sys.argv[2])
sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module.answer())
"""

KERNEL = """
from parry_mpi import compiled
def callee(x): return x + 1
def caller(x): return callee(x) + 1
def answer(): return compiled(caller)(40)
"""


def test_cache_serves_a_file_that_is_loaded_under_two_names(tmp_path):
    """Protects the second user of a cache: machine code cached under one module name does not break another."""
    file = tmp_path / "problem.py"
    file.write_text(KERNEL)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    for name in ("one", "other"):
        command = [sys.executable, "-c", LOADER, name, str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert list((tmp_path / "cache").rglob("*.nbi"))
