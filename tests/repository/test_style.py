"""The house rules that can be read off the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from support.commands import ROOT

FILE_LINES_MAX = 500
LONGER_FILES = {
    "tests/support/simulation.py": 520,  # one world: every kind of trouble reaches into it
}
FUNCTION_LINES_MAX = 50
"""What is longer usually hides two."""

SOURCES = sorted(path for folder in ("parry_mpi", "jobs", "tests") for path in (ROOT / folder).rglob("*.py"))
TESTS = [path for path in SOURCES if path.name.startswith("test_")]

OTHER_WORDS = re.compile(r"master|slave|campaign|work_?item|chunk|steal|todo|fixme", re.IGNORECASE)
"""Words for which this project has another one (worker, run, job, bundle, share), and marks of unfinished work."""

MAY_SLEEP = ("chaos", "benchmarks")
"""Layers that let real time pass on purpose."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_source(path):
    """Protects readers: each file is short, says what it is for, and is made of short functions."""
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= LONGER_FILES.get(name_of(path), FILE_LINES_MAX)
    assert not text.strip() or ast.get_docstring(tree), "the module has no docstring"
    long = [function.name for function in functions(tree) if function.end_lineno - function.lineno >= FUNCTION_LINES_MAX]
    assert long == [], f"functions of more than {FUNCTION_LINES_MAX} lines"


@pytest.mark.parametrize("path", [path for path in SOURCES if path not in TESTS], ids=name_of)
def test_words(path):
    """Protects the vocabulary: one word for a thing, everywhere, and nothing left for later in the code."""
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    names |= {function.name for function in functions(ast.parse(path.read_text()))}
    assert [name for name in sorted(names) if OTHER_WORDS.search(name)] == []
    assert re.findall(r"\b(?:TODO|FIXME|XXX)\b", path.read_text()) == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_say_what_they_protect(path):
    """Protects the tests' worth: whoever breaks one reads what a user would lose."""
    tests = [function for function in functions(ast.parse(path.read_text())) if function.name.startswith("test_")]
    silent = [test.name for test in tests if not (ast.get_docstring(test) or "").startswith("Protects")]
    assert silent == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_tests_do_not_sleep(path):
    """Protects the speed and the steadiness of the tests: they wait for a condition, not for a while."""
    if path.relative_to(ROOT / "tests").parts[0] in MAY_SLEEP:
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if getattr(call, "attr", getattr(call, "id", "")) == "sleep"] == []


def test_paths_of_one_machine():
    """Protects other people's machines: no file of the project names a folder that only its author has."""
    files = [*SOURCES, *ROOT.glob("*.*"), *ROOT.glob("slurm/*"), *ROOT.glob("docs/**/*.md")]
    pattern = re.compile(r"/(?:root|home|Users)/\w")
    assert [name_of(path) for path in files if path.is_file() and pattern.search(path.read_text())] == []
