"""parry_mpi.cli.plot: a picture of every run that has a history, and one clear line for the others."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from xml.etree import ElementTree as ET

import pytest
from support.disk import QUEENS

from parry_mpi.cli.main import main
from parry_mpi.core.state import Changes, Counters
from parry_mpi.store.history import HISTORY_NAME
from parry_mpi.store.run_directory import RunDirectory

needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="matplotlib, the extra plot, is not installed")


def sample(life: int, second: int, **more) -> str:
    numbers = {"time": 1.7e9 + second, "life": life, "seconds": float(second), "explored": second / 20, "nodes": 100 * second}
    numbers |= {"pending": 3, "leased": 2, "workers": 2, "busy": second % 3, "killings": 0, "nodes_per_s": 100.0}
    found = {"nodes": 2000.0, "nodes_low": 1500.0, "nodes_high": 9000.0} if second > 3 else None
    return json.dumps(numbers | {"estimate": found, "by_depth": [[0, 1, 1], [7, 2, 1]]} | more)


@pytest.fixture
def folder(tmp_path):
    """A run without a history."""
    with RunDirectory.open(tmp_path / "run", QUEENS) as directory:
        directory.initialize(Changes(Counters()), b"\x00", phase="stopped")
    return tmp_path / "run"


@needs_matplotlib
@pytest.mark.parametrize("lives", [1, 3])
def test_pictures(folder, lives, tmp_path, capsys):
    """Protects the picture: a PNG and an SVG that others can read, of a run in one life or in several."""
    lines = [sample(life, second) for life in range(lives) for second in range(1, 8)]
    (folder / HISTORY_NAME).write_text("\n".join([*lines, sample(lives - 1, 9, by_depth=[]), '{"time": 17']))
    png, svg = tmp_path / "run.png", tmp_path / "run.SVG"
    assert 0 == main(["plot", str(folder), "--output", str(png)])
    assert 0 == main(["plot", str(folder), "--output", str(svg)])
    assert png.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert png.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert ET.parse(svg).getroot().tag.endswith("svg")  # noqa: S314 our own file
    assert f"{7 * lives + 1} samples" in capsys.readouterr().err


@needs_matplotlib
def test_no_estimate_no_workers(folder, tmp_path):
    """Protects the picture of a run of which little is known: nobody ever came."""
    lines = [sample(0, second, estimate=None, workers=0, busy=0, by_depth=[], nodes=0) for second in range(2)]
    (folder / HISTORY_NAME).write_text("\n".join(lines))
    assert 0 == main(["plot", str(folder), "--output", str(tmp_path / "run.png")])


def told(capsys, *arguments: object) -> str:
    assert 2 == main(["plot", *map(str, arguments)])
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_clear_lines(folder, tmp_path, capsys, monkeypatch):
    """Protects the user: what cannot be drawn is told in one line, with what to do."""
    assert "has no history" in told(capsys, folder, "--output", tmp_path / "run.png")
    assert "does not exist" in told(capsys, tmp_path / "missing", "--output", tmp_path / "run.png")
    assert "a picture is a .png or an .svg" in told(capsys, folder, "--output", tmp_path / "run.pdf")
    (folder / HISTORY_NAME).write_text("\n".join([sample(0, 1), sample(0, 2)]))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "parry_mpi[plot]"' in told(capsys, folder, "--output", tmp_path / "run.png")


@needs_matplotlib
def test_unwritable(folder, tmp_path, capsys):
    """Protects the user from a traceback where nothing can be written."""
    (folder / HISTORY_NAME).write_text("\n".join([sample(0, 1), sample(0, 2)]))
    assert "cannot be written" in told(capsys, folder, "--output", tmp_path / "missing" / "run.png")
