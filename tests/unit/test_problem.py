"""What a problem class may leave out, and what it is told when it left out too much."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import pytest

from parry_mpi.problem import Enumeration, IndexedRoots, Problem, Slice, overrides

T = TypeVar("T")


class Late(msgspec.Struct):
    """A type that annotations below name as text."""

    field: int = 0


class Numbers(Enumeration[int, int]):
    n: int = 3


class Lists(Enumeration[str, list[int]]):
    pass


class Texts(Enumeration["Late", "str"]):
    pass


class Untyped(Enumeration):
    pass


class HalfTyped(Enumeration[int, T], Generic[T]):
    pass


class Completed(HalfTyped[dict[str, int]]):
    pass


class Kernel(Numbers):
    def explore(self, frontier, budget):
        return Slice(0, frontier[:0], len(frontier))


class Kernels(Kernel):
    """Inherits its kernel from another problem."""


@pytest.mark.parametrize(
    ("problem_class", "node", "value"),
    [
        (Numbers, int, int),
        (Lists, str, list[int]),
        (Texts, Late, str),
        (Untyped, Any, Any),
        (Kernels, int, int),
    ],
)
def test_types_come_from_the_annotation(problem_class, node, value):
    """Protects type safety on the wire: what Enumeration[Node, Value] says is what is decoded, texts and heirs included."""
    assert (node, value) == (problem_class.node_type(), problem_class.value_type())


def test_unbound_types_are_not_guessed():
    """Protects generic problems: a type variable that is still open is Any, not taken for a type."""
    assert (Any, Any) == (HalfTyped.node_type(), HalfTyped.value_type())
    assert (Any, Any) == (Completed.node_type(), Completed.value_type())


def test_zero_and_sum_are_defaults():
    """Protects short problems: numbers, texts and lists need neither zero() nor combine()."""
    assert 0 == Numbers().zero()
    assert [] == Lists().zero()
    assert "" == Texts().zero()
    assert 5 == Numbers().combine(2, 3)
    assert [1, 2] == Lists().combine([1], [2])
    assert 5 == Numbers().add_result(2, 3, "host")


def test_zero_is_asked_for():
    """Protects users of other value types: they are told what to define, by name and type."""
    with pytest.raises(NotImplementedError, match=r"Untyped must define zero\(\).*typing.Any"):
        Untyped().zero()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Numbers().roots(), r"Numbers must define roots\(\)"),
        (lambda: Numbers().value(1), r"Numbers must define value\(node\), or explore\(frontier, budget\)"),
        (lambda: Numbers().explore([1], 1), "Numbers defines no explore"),
    ],
)
def test_missing_methods_are_named(call, told):
    """Protects beginners: what is missing is named."""
    with pytest.raises(NotImplementedError, match=told):
        call()


def test_nodes_are_leaves_and_stay_by_default():
    """Protects sweeps: a problem with neither children() nor kill() has leaves, which stay what they are when killed."""
    assert () == Numbers().children(1)
    assert 7 == Numbers().kill(7, 3)
    assert Problem.node_dtype is None
    assert frozenset() == Problem.incidental


def test_kernel_is_explore_if_defined():
    """Protects kernels: explore() is found, in a base class too, and is not mistaken for the library's placeholder."""
    assert Numbers().kernel() is None
    for problem in (Kernel(), Kernels()):
        explore = problem.kernel()
        assert explore is not None
        assert Slice(0, [], 2, 0) == explore([1, 2], 9)
    assert overrides(Kernels, "explore")
    assert not overrides(Kernels, "combine")
    assert not overrides(Numbers, "add_result")


def test_parameters_are_checked():
    """Protects against typing mistakes: a parameter that does not exist is refused."""
    assert 5 == Numbers(n=5).n
    with pytest.raises(TypeError, match="m"):
        Numbers(m=5)
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.convert({"m": 1}, Numbers)


def test_indexed_roots():
    """Protects sweeps of 10^12 points: roots are computed when asked for, one by one or a slice, and end where they end."""
    roots = IndexedRoots(10**12, lambda index: index * index)
    assert 10**12 == len(roots)
    assert 81 == roots[9]
    assert [4, 9] == roots[2:4]
    assert [(10**12 - 1) ** 2] == roots[10**12 - 1 :]
    for index in (-1, 10**12):
        with pytest.raises(IndexError):
            roots[index]
    assert [0, 1, 4] == list(IndexedRoots(3, lambda index: index * index))


def test_slice_does_not_need_untouched():
    """Protects simple kernels: what they cannot tell, they may leave out."""
    assert 0 == Slice(1, np.empty(0), 1).untouched
