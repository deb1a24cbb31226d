"""parry_mpi.cli.telling and explaining: the exit code, the JSON line, and one line for whatever went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from msgspec import Struct
from msgspec.structs import replace

from parry_mpi.cli.explaining import explained
from parry_mpi.cli.result import with_arrays
from parry_mpi.cli.telling import Ending, Optimised, data_of, tell, text
from parry_mpi.core.records import Quarantined
from parry_mpi.data import DataCodec
from parry_mpi.errors import (
    CommitFailed,
    InvariantError,
    ParameterError,
    ProblemError,
    StoreCorrupt,
    StoreLocked,
    StoreMismatch,
    StoreVersionError,
    UsageError,
)
from parry_mpi.job import Job

COMPLETE = Ending(
    run_dir=Path("runs/x"),
    parameters={"n": 3},
    result=10**30,
    complete=True,
    finished=True,
    explored=1.0,
    nodes=15,
    solved=1,
    killings=0,
    restarts=0,
    workers=2,
    seconds=1.5,
)
STOPPED = replace(COMPLETE, complete=False, finished=False, explored=0.29651, stopped="SIGTERM")
INCOMPLETE = replace(COMPLETE, complete=False, quarantined=tuple(Quarantined(Job(depth=4), f"error {i}") for i in range(30)))


class Found(Struct):
    count: int
    where: np.ndarray


def test_complete(capsys):
    """Protects the answer: it stands alone on stdout, and what is said about it on stderr."""
    assert tell(COMPLETE, as_json=False) == 0
    out, err = capsys.readouterr()
    assert out == f"{10**30}\n"
    assert err == "parry-mpi: complete in 1.5 s: 15 nodes, 1 job solved, 2 workers\n"


def test_stopped(capsys):
    """Protects users from taking a part for the whole: no number on stdout, and what to do on stderr."""
    assert tell(STOPPED, as_json=False) == 75
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "parry-mpi: stopped by SIGTERM at 29.6 %: the same command goes on from runs/x\n"


def test_incomplete(capsys):
    """Protects the truth about quarantined jobs: listed, counted, bounded, with what to do."""
    assert tell(INCOMPLETE, as_json=False) == 3
    err = capsys.readouterr().err
    assert "incomplete: 30 jobs could not be explored" in err
    assert "error 19" in err
    assert "error 20" not in err
    assert "and 10 more" in err
    assert "parry-mpi retry runs/x" in err


OPTIMUM = Optimised(72, 65.5)


def test_optimum(capsys):
    """Protects whoever stops an optimisation: how good the best is, and can be, is said with it; never in place of the answer."""
    tell(replace(STOPPED, optimised=OPTIMUM), as_json=False)
    tell(replace(STOPPED, optimised=Optimised(None, 65)), as_json=False)
    tell(replace(STOPPED, optimised=Optimised(None, None)), as_json=False)
    tell(replace(INCOMPLETE, quarantined=(), optimised=OPTIMUM), as_json=False)
    tell(replace(COMPLETE, meaning="the best is 72", optimised=Optimised(72, 72)), as_json=False)
    lines = capsys.readouterr().err.splitlines()
    assert "stopped by SIGTERM at 29.6 % (best 72, bound 65.5): the same command goes on" in lines[0]
    assert "at 29.6 % (bound 65): " in lines[1]
    assert "at 29.6 %: " in lines[2]
    assert "finished in 1.5 s: best 72, bound 65.5; 15 nodes" in lines[3]
    assert "complete in 1.5 s: the best is 72; 15 nodes" in lines[4]


def test_optimum_in_json(capsys):
    """Protects scripts: an optimisation has a bound, null while it is not known, and nothing else has one."""
    for optimised, expected in ((OPTIMUM, 65.5), (Optimised(72, None), None)):
        tell(replace(STOPPED, optimised=optimised), as_json=True)
        assert expected == json.loads(capsys.readouterr().out)["bound"]
    tell(STOPPED, as_json=True)
    assert "bound" not in json.loads(capsys.readouterr().out)


def test_json(capsys):
    """Protects scripts: exactly the promised keys, integers of any size exact."""
    tell(COMPLETE, as_json=True)
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == [
        "result",
        "complete",
        "parameters",
        "seconds",
        "solved",
        "nodes",
        "killings",
        "quarantined",
        "workers",
        "restarts",
    ]
    assert answer["result"] == 10**30


@pytest.mark.parametrize(
    ("expected", "value"),
    [
        ("724", 724),
        ("0.5", 0.5),
        ("some words", "some words"),
        ("true", True),
        ("null", None),
        ('{"count":1,"where":[1,2]}', Found(1, np.array([1, 2]))),
        ("[[1,2]]", [(1, 2)]),
        ("3", np.int64(3)),
    ],
)
def test_text(expected, value):
    """Protects readers and scripts alike: numbers and words as they are, everything else as JSON."""
    assert text(value) == expected


def test_what_json_does_not_have():
    """Protects the end of a long run from a result that cannot be shown: it is shown as text."""
    assert data_of(object()).startswith("<object object")
    assert data_of({(1, 2): 3})


def test_arrays_without_the_problem():
    """Protects `parry-mpi result` where the source is not: arrays are read from what they are on disk."""
    value = {"a": np.arange(3), "b": [1, [2], b"no array"]}
    read = with_arrays(DataCodec(Any, "it").decode(DataCodec(Any, "it").encode(value)))
    assert read["a"].tolist() == [0, 1, 2]
    assert read["b"] == [1, [2], b"no array"]


def raising(error):
    def function() -> int:
        raise error

    return function


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (2, UsageError("it")),
        (2, ParameterError("it")),
        (2, StoreMismatch("it")),
        (2, click.UsageError("it")),
        (65, StoreCorrupt("it")),
        (73, StoreLocked("it")),
        (74, CommitFailed("it")),
        (78, StoreVersionError("it")),
    ],
)
def test_errors(code, error, capsys):
    """Protects scripts that look at exit codes, and people who read one line."""
    assert explained(raising(error)) == code
    assert capsys.readouterr().err == "parry-mpi: it\n"
    assert explained(raising(error), quiet=True) == code
    assert capsys.readouterr().err == ""


def test_problem_error(capsys):
    """Protects authors of problems: their traceback, the machine and the node."""
    error = ProblemError("ValueError: no", details="Traceback: theirs", node="(1, 2)", host="node7")
    assert explained(raising(error)) == 4
    said = "Traceback: theirs\nparry-mpi: the problem raised on node7, exploring the node (1, 2): ValueError: no\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("code", "error"), [(70, InvariantError("it", ("story",))), (70, KeyError("x")), (74, OSError(5, "I/O"))]
)
def test_bugs(code, error, capsys):
    """Protects us from silent bugs: a traceback, a line that asks for a report, on every rank."""
    assert explained(raising(error), quiet=True) == code
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert ("please report it" in err) == (code == 70)


def test_interrupted(capsys):
    """Protects the shell's idea of Ctrl-C."""
    assert explained(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "parry-mpi: interrupted\n"
