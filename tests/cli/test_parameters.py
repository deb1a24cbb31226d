"""parry_mpi.cli.parameters: values typed as the class says, and one line about whatever does not fit."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, field

from parry_mpi import Enumeration, Optimisation
from parry_mpi.cli.parameters import all_parameters, build, deciding_parameters, type_text
from parry_mpi.errors import ParameterError, ProblemError


class Everything(Enumeration[int, int]):
    n: Annotated[int, Meta(ge=1, le=32)] = 8
    big: int = 0
    share: float = 0.5
    name: str = ""
    fast: bool = False
    shape: Literal["wide", "deep"] = "wide"
    base: Literal[2, 10] = 10
    limit: int | None = None
    label: str | None = None
    sizes: list[int] = field(default_factory=list)
    pair: tuple[int, str] = (0, "")
    table: dict[str, int] = field(default_factory=dict)
    anything: Any = None

    incidental = frozenset({"fast"})


class Demanding(Enumeration[int, int]):
    n: int
    m: int = 1

    def __post_init__(self) -> None:
        if self.m > self.n:
            raise ValueError("m may not be\nlarger than n")
        if self.m == 0:
            raise RuntimeError("a mistake in the problem")


class Bare(Enumeration[int, int]):
    pass


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("n=12", 12),
        ("n=1e1", 10),
        ("big=1000000000000000000000000000000", 10**30),
        ("big=-3", -3),
        ("share=1", 1.0),
        ("share=2.5e-3", 0.0025),
        ("name=12", "12"),
        ("name=", ""),
        ("name=true", "true"),
        ("name=a=b", "a=b"),
        ("fast=yes", True),
        ("fast=FALSE", False),
        ("fast=off", False),
        ("fast=1", True),
        ("shape=deep", "deep"),
        ("base=2", 2),
        ("limit=none", None),
        ("limit=5", 5),
        ("label=None", None),
        ("label=5", "5"),
        ("sizes=[1, 2]", [1, 2]),
        ("sizes=1,2,3", [1, 2, 3]),
        ("sizes=7", [7]),
        ("sizes=", []),
        ("pair=3,x", (3, "x")),
        ('table={"a": 1}', {"a": 1}),
        ("anything=[1]", [1]),
    ],
)
def test_values(word, value):
    """Protects what users mean by a value, type by type."""
    name = word.partition("=")[0]
    assert all_parameters(build(Everything, [word]))[name] == value
    assert type(all_parameters(build(Everything, [word]))[name]) is type(value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["n=abc"], "n=abc is not possible: n: int, 1 to 32 (default 8)"),
        (["n=33"], "n=33 is not possible"),
        (["n=2.5"], "n=2.5 is not possible"),
        (["n="], "n= is not possible"),
        (["fast=maybe"], "fast: bool (default False)"),
        (["shape=flat"], "shape: wide | deep (default wide)"),
        (["limit=x"], "limit: int | none (default none)"),
        (["sizes=1,x"], "sizes: list of int (default [])"),
        (["pair=1"], "pair: tuple of int, str"),
        (["table={"], "table: dict of str, int"),
        (["n=\udcff"], "is not possible"),
        (["N=3"], "Everything has no parameter N; there is n: int, 1 to 32 (default 8); big: int"),
        (["12"], "12 is not a parameter: write NAME=VALUE"),
        (["=12"], "=12 is not a parameter"),
        (["n=1", "n=2"], "n is given twice"),
    ],
)
def test_wrong(words, said):
    """Protects users from guessing: one line that says what is wrong and what there is."""
    with pytest.raises(ParameterError) as caught:
        build(Everything, words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing():
    """Protects users of a problem without defaults: what must be given is named with its type."""
    with pytest.raises(ParameterError, match=r"^Demanding needs n: int \(must be given\)$"):
        build(Demanding, ["m=1"])


def test_no_parameters():
    """Protects users of a problem without parameters from an empty list."""
    with pytest.raises(ParameterError, match="Bare has no parameters"):
        build(Bare, ["n=1"])


def test_refused_by_the_problem():
    """Protects checks across parameters: a ValueError of the problem's own is the user's mistake, on one line."""
    with pytest.raises(ParameterError, match=r"^Demanding refuses these parameters: m may not be larger than n$"):
        build(Demanding, ["n=1", "m=2"])


def test_mistake_in_the_problem():
    """Protects the blame: any other exception is a mistake in the problem, with its traceback."""
    with pytest.raises(ProblemError, match="RuntimeError: a mistake in the problem") as caught:
        build(Demanding, ["n=1", "m=0"])
    assert "__post_init__" in caught.value.details


def test_incidental():
    """Protects run directories from being divided by what cannot change the answer."""
    problem = build(Everything, ["fast=yes", "n=3"])
    assert "fast" not in deciding_parameters(problem)
    assert deciding_parameters(problem)["n"] == 3


class Best(Optimisation[int, int]):
    n: int = 3


class Roughly(Best):
    gap: float = 5


@pytest.mark.parametrize(
    ("kind", "words", "expected"),
    [
        (Best, [], {"n": 3}),
        (Best, ["gap=0", "n=4"], {"n": 4}),
        (Best, ["gap=2"], {"n": 3, "gap": 2}),
        (Best, ["gap=2.5"], {"n": 3, "gap": 2.5}),
        (Roughly, [], {"n": 3, "gap": 5}),
        (Roughly, ["gap=0"], {"n": 3}),
    ],
)
def test_parameters_of_the_library(kind, words, expected):
    """Protects run directories: what the library has for every problem of a type is named only where it is not as the library has it."""
    problem = build(kind, words)
    assert expected == all_parameters(problem) == deciding_parameters(problem)
    assert list(expected) == list(all_parameters(problem))


@pytest.mark.parametrize(
    ("word", "said"), [("gap=-1", "gap=-1 is not possible: gap: int, >= 0"), ("m=1", "there is n: int (default 3); gap: ")]
)
def test_wrong_parameters_of_the_library(word, said):
    """Protects users: the problem's own parameters are listed first."""
    with pytest.raises(ParameterError, match=re.escape(said)):
        build(Best, [word])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "int"),
        (Annotated[int, Meta(ge=1)], "int, >= 1"),
        (Annotated[float, Meta(gt=0, lt=1)], "float, > 0, < 1"),
        (tuple[int, ...], "tuple of int, ..."),
        (list[str] | None, "list of str | none"),
        (Any, "any"),
    ],
)
def test_type_text(kind, text):
    """Protects people who do not read type annotations."""
    assert type_text(kind) == text
