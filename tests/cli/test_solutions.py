"""parry_mpi.cli.solutions: what a run has collected, as JSON lines, CSV and Parquet."""

from __future__ import annotations

import csv
import importlib.util
import json

import msgspec
import numpy as np
import pytest
from support.disk import QUEENS

from parry_mpi.cli import solutions as module
from parry_mpi.cli.main import main
from parry_mpi.core.state import Changes, Counters
from parry_mpi.data import SolutionsCodec
from parry_mpi.store.rows import Collected
from parry_mpi.store.run_directory import RunDirectory

HAVE_PYARROW = importlib.util.find_spec("pyarrow") is not None
POINT = np.dtype([("x", "<i2"), ("at", "<f4", (2,))])


class Named(msgspec.Struct):
    name: str
    size: int


def keep(folder, *reports, dtype=None, finished=True, phase="finished"):
    """Make a run that has collected these solutions."""
    codec = SolutionsCodec(list, dtype)
    with RunDirectory.open(folder, QUEENS) as directory:
        directory.initialize(Changes(Counters(unpulled_weight=0)), b"\x00")
        collected = {}
        for number, report in enumerate(reports, 1):
            gathered = codec.gather()
            gathered.add(report)
            collected[number] = Collected(gathered.count, gathered.encoded())
        directory.commit(Changes(Counters(unpulled_weight=0)), b"\x01", finished=finished, phase=phase, collected=collected)


def given(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["solutions", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


CASES = {
    "rows": ([[(1, 2), (3, 4)], [(5, 6)]], [[1, 2], [3, 4], [5, 6]], ["1,2", "1,2", "3,4", "5,6"]),
    "records": (
        [[Named("a", 1), Named("b", 2)]],
        [{"name": "a", "size": 1}, {"name": "b", "size": 2}],
        ["name,size", "a,1", "b,2"],
    ),
    "numbers": ([[7], [2**70]], [7, str(2**70)], ["solution", "7", str(2**70)]),
    "nested": ([[[1, [2]]], [[3]]], [[1, [2]], [3]], ["solution", '"[1,[2]]"', "[3]"]),
    "arrays": ([[{"at": np.array([1, 2])}]], [{"at": [1, 2]}], ["solution", '"{""at"":[1,2]}"']),
}


@pytest.mark.parametrize("case", CASES)
def test_formats(tmp_path, capsys, case):
    """Protects readers of solutions of every kind: JSON tells them as they are, CSV has columns where they are flat."""
    reports, as_json, as_csv = CASES[case]
    keep(tmp_path, *reports)
    code, out, err = given(capsys, tmp_path)
    assert (0, "") == (code, err)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [json.loads(json.dumps(each)) for each in as_json] == [
        str(line) if isinstance(line, int) and line > 2**64 else line for line in lines
    ]
    code, out, _ = given(capsys, tmp_path, "--format", "csv")
    assert (0, as_csv) == (code, out.splitlines())


def test_arrays_of_records(tmp_path, capsys):
    """Protects solutions with a solution_dtype: their fields keep their names, also where the problem's source is not."""
    keep(tmp_path, np.array([(1, (0.5, 1.0)), (2, (0.25, 2.0))], POINT), dtype=POINT)
    _, out, _ = given(capsys, tmp_path)
    assert [{"x": 1, "at": [0.5, 1.0]}, {"x": 2, "at": [0.25, 2.0]}] == [json.loads(line) for line in out.splitlines()]


def test_file_and_limit(tmp_path, capsys):
    """Protects --output and --limit: a file is there when it is complete, with as many as were asked for."""
    keep(tmp_path / "run", [(i, -i) for i in range(100)], [(i, -i) for i in range(100, 150)])
    for limit, expected in ((0, 0), (1, 1), (100, 100), (120, 120), (1000, 150)):
        code, out, err = given(capsys, tmp_path / "run", "--format", "csv", "--output", tmp_path / "points.csv", "--limit", limit)
        assert (0, "") == (code, out)
        assert f"wrote {expected} solution" in err
        with (tmp_path / "points.csv").open() as file:
            assert [[str(i), str(-i)] for i in range(expected)] == list(csv.reader(file))[1:]
    assert ["points.csv", "run"] == sorted(path.name for path in tmp_path.iterdir())


def test_small_pieces(tmp_path, capsys, monkeypatch):
    """Protects memory: solutions are decoded some at a time, and none is lost between two pieces."""
    monkeypatch.setattr(module, "SOLUTIONS_AT_ONCE", 7)
    keep(tmp_path, [[i] for i in range(50)], [[i] for i in range(50, 60)])
    _, out, _ = given(capsys, tmp_path)
    assert [[i] for i in range(60)] == [json.loads(line) for line in out.splitlines()]
    _, out, _ = given(capsys, tmp_path, "--limit", 52)
    assert 52 == len(out.splitlines())


@pytest.mark.parametrize(
    ("finished", "phase", "code", "text"),
    [
        (False, "running", 75, "the run is not finished: these are the 1"),
        (False, "incomplete", 3, "are missing"),
        (True, "finished", 0, ""),
    ],
)
def test_exit_codes(tmp_path, capsys, finished, phase, code, text):
    """Protects scripts from taking some of the solutions for all of them."""
    keep(tmp_path, [(1, 2)], finished=finished, phase=phase)
    found, out, err = given(capsys, tmp_path)
    assert (code, "[1,2]\n") == (found, out)
    assert text in err


def test_none(tmp_path, capsys):
    """Protects those who ask the wrong run: they are told in a line."""
    keep(tmp_path)
    code, out, err = given(capsys, tmp_path, "--format", "csv")
    assert (0, "") == (code, out)
    assert "no solutions are kept in" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["run", "--format", "csv"], "does not fit the columns of the first one (1, 2): use --format jsonl"),
        (["run", "--format", "xml"], "'xml' is not one of"),
        (["run", "--format", "parquet"], "a Parquet file needs a name: add --output FILE"),
        (["run", "--output", "no/where"], "no/where cannot be written"),
    ],
)
def test_wrong_use(tmp_path, capsys, monkeypatch, arguments, text):
    """Protects users: what is wrong is said in one line, with exit code 2."""
    monkeypatch.chdir(tmp_path)
    keep(tmp_path / "run", [(1, 2), (1, 2, 3)])
    code, _, err = given(capsys, *arguments)
    assert 2 == code
    assert text in err
    assert "Traceback" not in err


@pytest.mark.skipif(HAVE_PYARROW, reason="pyarrow, an extra, is installed")
def test_without_pyarrow(tmp_path, capsys):
    """Protects users without the extra: they are told what to install, and no file is left behind."""
    keep(tmp_path / "run", [(1, 2)])
    code, _, err = given(capsys, tmp_path / "run", "--format", "parquet", "--output", tmp_path / "x")
    assert 2 == code
    assert 'pip install "parry_mpi[parquet]"' in err
    assert ["run"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("case", ["rows", "records", "nested lists", "none"])
def test_parquet(tmp_path, capsys, monkeypatch, case):
    """Protects those who go on with tables: the file has a column for each place or field, and every solution."""
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, an extra, is not installed")
    monkeypatch.setattr(module, "SOLUTIONS_AT_ONCE", 2)
    reports, expected = {
        "rows": ([[(1, 2), (3, 4), (5, 6)], [(7, 8)]], {"1": [1, 3, 5, 7], "2": [2, 4, 6, 8]}),
        "records": ([[Named("a", 1)], [Named("b", 2)]], {"name": ["a", "b"], "size": [1, 2]}),
        "nested lists": ([[[[1], [2]], [[3]]]], {"solution": [[[1], [2]], [[3]]]}),
        "none": ([], {"solution": []}),
    }[case]
    keep(tmp_path / "run", *reports)
    code, _, _ = given(capsys, tmp_path / "run", "--format", "parquet", "--output", tmp_path / "x")
    assert (0, expected) == (code, pq.read_table(tmp_path / "x").to_pydict())


@pytest.mark.skipif(not HAVE_PYARROW, reason="pyarrow, an extra, is not installed")
def test_parquet_of_mixed_types(tmp_path, capsys):
    """Protects from a table that is wrong: a column has one type, and what does not fit is said."""
    keep(tmp_path / "run", [(1, 2)], [("a", 2)])
    code, _, err = given(capsys, tmp_path / "run", "--format", "parquet", "--output", tmp_path / "x")
    assert 2 == code
    assert "cannot be put into columns of one type each" in err
