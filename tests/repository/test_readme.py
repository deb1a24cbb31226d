"""What the README and the pages behind it promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.commands import ROOT, parry_mpi, run

from parry_mpi import errors

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def only_problem(page: str) -> str:
    """The one block of Python in a page."""
    (found,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    return found


TUTORIAL, SWEEP, RULER = map(only_problem, ("README.md", "docs/problems.md", "docs/optimisation.md"))


def test_tutorial_problem(tmp_path):
    """Protects the newcomer: the problem of the tutorial, as printed, gives the literature's count (A001411)."""
    (tmp_path / "walks.py").write_text(TUTORIAL)
    finished = run(parry_mpi("run", "walks.py", "n=6", "--json"), folder=tmp_path)
    assert finished.code == 0, finished
    assert finished.answer["result"] == 780


def test_tutorial_problem_is_short():
    """Protects the newcomer's ten minutes: the class to write has about 20 lines."""
    assert len(TUTORIAL[TUTORIAL.index("class ") :].split("\n\n")) <= 5
    assert len([line for line in TUTORIAL.splitlines() if line]) <= 20


def test_sweep_problem(tmp_path):
    """Protects readers of the reference: its example of a sweep runs as printed."""
    (tmp_path / "sweep.py").write_text(SWEEP)
    finished = run(parry_mpi("run", "sweep.py", "points=100", "--json"), folder=tmp_path)
    assert finished.code == 0, finished
    assert finished.answer["result"] == 0.25


def test_ruler_problem(tmp_path):
    """Protects readers of the reference: its example of an optimisation finds the known optimum (A003022) as printed."""
    (tmp_path / "golomb.py").write_text(RULER)
    finished = run(parry_mpi("run", "golomb.py", "marks=6", "--json"), folder=tmp_path)
    assert finished.code == 0, finished
    assert finished.answer["result"]["objective"] == 17


def test_exit_codes():
    """Protects scripts: the table of exit codes has each code that parry_mpi can end with, and no other."""
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert {value for name, value in vars(errors).items() if name.startswith("EXIT_")} == listed


def test_commands_exist():
    """Protects readers: each command and option that a table names is there, and each command that is there is named."""
    described = set(re.findall(r"^\| `parry-mpi (\w+)", README, re.MULTILINE))
    help_text = run(parry_mpi("--help")).stdout
    offered = set(re.findall(r"^ {2}(\w+)  ", help_text[help_text.index("Commands:") :], re.MULTILINE))
    assert offered == described
    helps = {name: run(parry_mpi(name, "--help")).stdout for name in offered}
    options = {name: set(re.findall(r"^ {2}(--[\w-]+)", text, re.MULTILINE)) for name, text in helps.items()}
    tables = "".join(page.read_text() for page in PAGES)
    listed = set(re.findall(r"^\| `(--[\w-]+)", tables, re.MULTILINE))
    assert options["run"] | options["worker"] <= listed <= set().union(*options.values())


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:jobs|slurm|tests)/[\w./]+|[\w.]+\.(?:md|cfg))`", README))))
def test_files_exist(path):
    """Protects readers: a file that the README names is there."""
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("job", sorted(path.name for path in Path(ROOT, "jobs").glob("*.py")))
def test_jobs_are_listed(job):
    """Protects users from overlooking a problem: every file of jobs/ is in the README's table."""
    assert f"| `jobs/{job}` |" in README


def anchors(page: Path) -> set[str]:
    """Where links into a page may lead: its headings, as GitHub makes names of them."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """Protects readers from a page that was moved: each link to another page or heading of the project has its end."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            there = page.parent / name if name else page
            assert there.is_file(), target
            assert not anchor or anchor in anchors(there), target
