"""Engines are chosen and stacks kept as problems rely on; tests/problems compiles."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from support.problems import HAVE_NUMBA

from parry_mpi import Best, Engine, Optimisation, kernels, stack_kernel
from parry_mpi.errors import UsageError
from parry_mpi.kernels import STACK_ROOM_MIN, Stack, compiled_wanted

needs_numba = pytest.mark.skipif(not HAVE_NUMBA, reason="numba, an extra, is not installed")

NODE = np.dtype([("a", "<i4"), ("b", "<i8")])


@pytest.fixture
def _without_numba(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("_without_numba")
def test_without_numba_auto_is_plain():
    """Protects machines without the extra: the same command works, slower."""
    assert not compiled_wanted("auto")
    assert not compiled_wanted("python")


@pytest.mark.usefixtures("_without_numba")
def test_without_numba_asking_for_it_is_refused():
    """Protects users from waiting for an engine they do not have."""
    with pytest.raises(UsageError, match=r"numba is not installed: pip install") as refused:
        compiled_wanted("numba")
    assert "\n" not in str(refused.value)


@needs_numba
def test_with_numba_the_parameter_decides():
    """Protects the choice of the engine."""
    assert compiled_wanted("auto")
    assert compiled_wanted("numba")
    assert not compiled_wanted("python")


class Countdown(Optimisation[tuple[int, int], int]):
    """Every node a has a child a - 1; the objective is the sum of the fields."""

    engine: Engine = "auto"

    node_dtype = np.dtype([("a", "<i8"), ("b", "<i8")])

    def roots(self):
        return [(5, 0)]


def count_down(stack, height, budget, known, step):
    """Explore as stack_kernel() wants it, on records or on rows of words."""
    nodes, lowest = 0, height
    while height and nodes < budget and height + 1 <= len(stack):
        height -= 1
        lowest = min(lowest, height)
        nodes += 1
        a, b = (int(each) for each in stack[height].tolist())
        known = min(known, a + b)
        if a:
            stack[height] = np.array((a - step, b), stack.dtype) if stack.dtype.names else (a - step, b)
            height += 1
    return known, height, nodes, lowest


@pytest.fixture
def _interpreted(monkeypatch):
    """Every kernel is wanted, and compiling it changes nothing."""
    monkeypatch.setattr(kernels, "compiled_wanted", lambda engine: engine != "python")
    monkeypatch.setattr(kernels, "compiled", lambda function: function)


@pytest.mark.usefixtures("_interpreted")
@pytest.mark.parametrize("words", [False, True])
def test_stack_kernel_of_an_optimisation(words):
    """Protects those who write kernels: the function gets what is known, and what is no better is no Best."""
    problem = Countdown()
    kernel = stack_kernel(problem, count_down, 1, room=1, value=lambda known: Best(known, known), worst=99, words=words)
    frontier = np.array([(5, 0)], problem.node_dtype)
    first = kernel(frontier, 2, None)
    assert (Best(4, 4), [(3, 0)], 2, 0) == (first.value, first.frontier.tolist(), first.nodes, first.untouched)
    second = kernel(first.frontier, 9, 1)
    assert (Best(0, 0), [], 4) == (second.value, second.frontier.tolist(), second.nodes)
    assert kernel(frontier, 9, -1).value is None


@pytest.mark.usefixtures("_interpreted")
def test_stack_kernel_gives_what_the_function_found():
    """Protects counts: without worst and value the function gets no incumbent, and what it found is the value."""
    kernel = stack_kernel(Countdown(), lambda stack, height, budget: (7, 0, height, 0), room=1)
    done = kernel(np.array([(5, 0)], Countdown.node_dtype), 9)
    assert (7, [], 1, 0) == (done.value, done.frontier.tolist(), done.nodes, done.untouched)


@pytest.mark.usefixtures("_interpreted")
def test_stack_kernel_is_none_for_the_plain_form():
    """Protects engine=python: the library then walks the tree itself."""
    assert stack_kernel(Countdown(engine="python"), count_down, 1, room=1) is None


def half(x):
    return x // 2


def halves(x):
    return sum([half(each) for each in range(x)]) + (halves(x - 1) if x else 0)


also_half = half


def uses(x):
    records = halves(x) + also_half(x)  # a name of its own: there is a function of that name, too
    return records + compiled_wanted("auto") + len(str(x))


def test_what_a_function_calls_is_found():
    """Protects kernels that call others: directly, in comprehensions, by another name, each other and themselves."""
    assert {"halves": halves, "half": half, "also_half": half} == kernels._called(uses)
    assert {"halves": halves, "half": half} == kernels._called(halves)
    assert {} == kernels._called(half)


def records(*values):
    return np.array([(value, -value) for value in values], NODE)


def test_stack_begins_with_the_frontier_and_has_room():
    """Protects kernels: the frontier comes first, and one node's children fit behind it."""
    array = Stack(NODE, room=3).load(records(1, 2))
    assert array["a"][:2].tolist() == [1, 2]
    assert len(array) >= 2 + max(3, STACK_ROOM_MIN)


def test_stack_recognises_its_own_array():
    """Protects the kernels' speed: what a kernel left is not copied when it comes back."""
    stack = Stack(NODE, room=3)
    array = stack.load(records(1, 2, 3))
    assert array is stack.load(array[:2])
    assert array["a"][:3].tolist() == [1, 2, 3]


def test_stack_takes_any_part_of_its_own_array():
    """Protects sharing: the end, or every second node, of what a kernel left becomes the new frontier."""
    stack = Stack(NODE, room=3)
    array = stack.load(records(1, 2, 3, 4, 5))
    array = stack.load(array[1:5])
    assert array["a"][:4].tolist() == [2, 3, 4, 5]
    array = stack.load(array[:4][1::2])
    assert array["a"][:2].tolist() == [3, 5]


def test_stack_takes_every_second_node_from_its_start():
    """Protects sharing: a part that begins where the array begins is still only a part."""
    stack = Stack(NODE, room=3)
    array = stack.load(records(1, 2, 3, 4))
    array = stack.load(array[0:4:2])
    assert array["a"][:2].tolist() == [1, 3]


def test_stack_grows_and_keeps_the_frontier():
    """Protects deep trees: a frontier that leaves too little room moves to a larger array, even if it is the stack's own."""
    stack = Stack(NODE, room=10)
    array = stack.load(records(1))
    full = len(array)
    array["a"] = np.arange(full)
    grown = stack.load(array[: full - 9])
    assert list(range(full - 9)) == grown["a"][: full - 9].tolist()
    assert len(grown) >= 2 * (full - 9)


class Dispatcher:
    """What numba makes of a function, as far as it matters here: machine code by the types of the arguments."""

    def __init__(self, **entries):
        self.overloads = {types: SimpleNamespace(entry_point=entry) for types, entry in entries.items()}


def test_machine_code_is_called_without_asking_for_types():
    """Protects the speed of short slices, and the types of arguments: the code that was loaded for them is called, and no other."""
    mine, other = len, max
    assert kernels._entry(Dispatcher(a=mine), set()) is mine
    assert kernels._entry(Dispatcher(a=other, b=mine), {"a"}) is mine
    assert kernels._entry(Dispatcher(a=mine), {"a"}) is mine
    two = Dispatcher(a=mine, b=other)
    assert kernels._entry(two, {"a", "b"}) is two
    assert kernels._entry(len, set()) is len
