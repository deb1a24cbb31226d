"""parry_mpi.cli.loading: which class is meant, whose fault it is if there is none, and what the source digest covers."""

from __future__ import annotations

import sys

import pytest

from parry_mpi.cli.loading import load
from parry_mpi.errors import ProblemError, UsageError

WALKS = """
from parry_mpi import Enumeration

class Walks(Enumeration[int, int]):
    n: int = 3
    def roots(self): return [0]
    def value(self, node): return 1
"""


@pytest.fixture(autouse=True)
def _imports_forgotten(tmp_path, monkeypatch):
    """Undo what loading does to this process, so that the next test finds none of it."""
    modules, path = dict(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a source changed twice within a second must be read anew
    yield
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)
    sys.path[:] = path


def forget(*names: str) -> None:
    for name in names:
        sys.modules.pop(name, None)


def test_file(tmp_path):
    """Protects the plain command: the only problem in a file need not be named."""
    (tmp_path / "walks.py").write_text(WALKS)
    loaded = load("walks.py")
    assert (loaded.problem_class.__name__, loaded.name) == ("Walks", "walks:Walks")


def test_module_is_the_same_problem_as_its_file(tmp_path):
    """Protects a run that was begun with FILE.py and is continued with the module's name."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "walks.py").write_text(WALKS)
    by_file, by_module = load("jobs/walks.py:Walks"), load("jobs.walks:Walks")
    assert (by_file.name, by_file.source_digest) == (by_module.name, by_module.source_digest)


def test_named_like_a_standard_module(tmp_path):
    """Protects everybody else's `import random` from a problem in a file random.py, and its type hints from the other."""
    random = sys.modules.get("random")
    (tmp_path / "random.py").write_text("from __future__ import annotations\nNode = int\n" + WALKS.replace("[int,", "[Node,"))
    loaded = load("random.py")
    assert loaded.problem_class.node_type() is int
    assert loaded.name == "random:Walks"
    assert sys.modules.get("random") is random


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("gone.py", "there is no file gone.py"),
        ("gone_away", "there is no module gone_away"),
        ("json.gone_away", "there is no module json.gone_away"),
        ("./", "./ is a folder"),
        ("./notes.txt", "notes.txt is not a Python file"),
        ("walks.py:Runs", "walks.py has no class Runs; it has Walks"),
        ("walks.py:helper", "helper in walks.py is not a problem"),
        ("walks.py:a b", "is not the name of a class"),
        ("no-module", "neither a Python file nor the name of a module"),
        ("two.py", "name one of them: two.py:Walks, two.py:Steps"),
        ("none.py", "has no problem in it"),
    ],
)
def test_wrong_name(tmp_path, where, said):
    """Protects the user from a traceback for a slip of the pen: one line that says what there is."""
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "none.py").write_text("from parry_mpi import Enumeration\n")
    (tmp_path / "walks.py").write_text(WALKS + "def helper(): pass\n")
    (tmp_path / "two.py").write_text(WALKS + "class Steps(Walks): pass\nclass _Hidden(Walks): pass\n")
    with pytest.raises(UsageError) as caught:
        load(where)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("x = 1\nprint(y)", "NameError: name 'y' is not defined"),
    ],
)
def test_source_that_raises(tmp_path, source, said):
    """Protects the blame: an exception of the user's own source is theirs, with their line and no frame of ours."""
    (tmp_path / "walks.py").write_text(source)
    with pytest.raises(ProblemError) as caught:
        load("walks.py")
    assert str(caught.value).startswith("walks.py cannot be imported: ")
    assert said in str(caught.value)
    assert "loading.py" not in caught.value.details
    assert "importlib" not in caught.value.details
    assert "walks" not in sys.modules


def test_module_that_imports_what_is_missing(tmp_path):
    """Protects the blame: a module that is there but lacks another one is not "no module"."""
    (tmp_path / "walks.py").write_text("import walks_helper_gone")
    with pytest.raises(ProblemError, match="walks_helper_gone"):
        load("walks")


def test_imports_of_its_own_folder(tmp_path):
    """Protects problems of several files: what stands beside the file is found, now and later, but shadows nothing of ours."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "walks.py").write_text("import steps_beside\n" + WALKS)
    (tmp_path / "far" / "steps_beside.py").write_text("")
    load("far/walks.py")
    assert sys.path[-1] == str(tmp_path / "far")
    assert sys.path.count(str(tmp_path / "far")) == 1


def test_digest_covers_what_it_imports(tmp_path):
    """Protects answers: a run is not continued with another version of the source or of a helper beside it."""
    (tmp_path / "walks.py").write_text("import steps_beside\n" + WALKS)
    (tmp_path / "steps_beside.py").write_text("STEPS = 1")
    (tmp_path / "unrelated.py").write_text("")
    before = load("walks.py").source_digest
    forget("walks", "steps_beside")
    (tmp_path / "unrelated.py").write_text("changed = True")
    assert load("walks.py").source_digest == before
    forget("walks", "steps_beside")
    (tmp_path / "steps_beside.py").write_text("STEPS = 2")
    assert load("walks.py").source_digest != before


def test_digest_leaves_out_other_peoples_code(tmp_path):
    """Protects runs from an upgrade of a library that happens to be installed below the problem's folder."""
    library = tmp_path / "venv" / "lib" / "site-packages" / "library_below.py"
    library.parent.mkdir(parents=True)
    library.write_text("")
    sys.path.append(str(library.parent))
    (tmp_path / "walks.py").write_text("import library_below\n" + WALKS)
    before = load("walks.py").source_digest
    forget("walks", "library_below")
    library.write_text("version = 2")
    assert load("walks.py").source_digest == before


def test_digest_does_not_depend_on_the_place(tmp_path):
    """Protects clusters on which the folder has another path on another machine."""
    digests = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "walks.py").write_text(WALKS)
        digests.append(load(f"{place}/walks.py").source_digest)
        forget("walks")
    assert digests[0] == digests[1]
