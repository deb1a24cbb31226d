"""What compiled kernels need: choose the engine, compile with numba where it is installed, keep the stack between slices.

Most problems call stack_kernel() and nothing else of it.

numba is an extra of parry_mpi and takes half a second to import, so it is looked for without importing it and loaded
only when a kernel is really compiled. This module must not know any problem.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from parry_mpi.errors import UsageError
from parry_mpi.problem import Explore, Problem, Slice

if TYPE_CHECKING:
    import numpy as np

Engine = Literal["auto", "numba", "python"]
"""How a problem is explored: compiled, plain, or compiled if numba is installed."""

Function = TypeVar("Function", bound=Callable[..., Any])

STACK_ROOM_MIN = 4096
"""Free places on a stack at the start of a slice: what most kernels need never grows beyond this one allocation."""


def compiled_wanted(engine: Engine) -> bool:
    """Whether this engine means the compiled kernel here.

    Raises:
        UsageError: numba was asked for and is not installed.
    """
    if engine == "python":
        return False
    installed = importlib.util.find_spec("numba") is not None
    if engine == "numba" and not installed:
        raise UsageError('engine=numba, but numba is not installed: pip install "parry_mpi[jobs]", or use engine=python')
    return installed


def compiled(function: Function, **options: Any) -> Function:
    """Compile a function with numba, and the functions of its module that it calls by name; cached on disk where that is possible.

    The functions themselves stay as they are. Call it when the whole module is loaded, as in kernel(): what the function names is
    looked up now. Several processes may compile the same function at the same time: each writes the cache as a whole, the last one
    wins.

    Args:
        function: plain Python, in the subset that numba compiles.
        options: passed to ``numba.njit``.
    """
    return _compiled(function, tuple(sorted(options.items())))  # type: ignore[return-value]


@functools.cache
def _compiled(function: Callable[..., Any], settings: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """Compile a function and what it calls, once; what is compiled already stays as it is."""
    if not isinstance(function, FunctionType):
        return function
    names = dict(function.__globals__)  # a copy, in which what is called is the compiled one: the module's own names stay plain
    called = _called(function)
    machine_code = {each: _jitted(each, names, settings) for each in {function, *called.values()}}
    names.update((name, machine_code[each]) for name, each in called.items())
    return machine_code[function]


def _called(function: FunctionType) -> dict[str, FunctionType]:
    """Return the functions of the same module that this one calls, and those that they call, by the names under which they do."""
    import dis  # noqa: PLC0415 not needed before something is compiled

    found: dict[str, FunctionType] = {}
    unseen: list[Any] = [function.__code__]
    while unseen:
        code = unseen.pop()
        unseen += [constant for constant in code.co_consts if isinstance(constant, CodeType)]  # of comprehensions
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            named = function.__globals__.get(name) if instruction.opname == "LOAD_GLOBAL" else None
            if isinstance(named, FunctionType) and named.__module__ == function.__module__ and name not in found:
                found[name] = named
                unseen.append(named.__code__)
    return found


def _jitted(function: FunctionType, names: dict[str, Any], settings: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """Compile a copy of a function that has these global names; numba begins at the first call, when all names are there."""
    import numba  # noqa: PLC0415 an extra, and slow to import: only when a kernel is wanted

    copy = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    copy.__module__, copy.__doc__, copy.__kwdefaults__ = function.__module__, function.__doc__, function.__kwdefaults__
    # What numba caches can only be loaded into a module of the same name, but its files are named after the path. The same file
    # loaded under two names (by path and as a module) must therefore have two caches.
    copy.__qualname__ = f"{function.__module__}.{function.__name__}"
    try:
        return numba.njit(cache=True, **dict(settings))(copy)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to cache in: compile for this process only
        return numba.njit(**dict(settings))(copy)  # type: ignore[no-any-return]


class Stack:
    """The memory of a kernel's depth-first search, kept from one slice to the next so that a slice copies nothing.

    A kernel loads the frontier it is handed, works on the array, and returns ``array[:height]`` as what is left. That is valid
    until the next load; handed in again unchanged, it is recognised and stays where it is.

    Args:
        dtype: of a node: numpy's, or what numpy makes one of.
        room: how many more places than it has nodes the array must have for the kernel to explore one node, that is,
            the largest number of children. A kernel has to stop when it has fewer free places than that.
    """

    def __init__(self, dtype: Any, room: int) -> None:
        import numpy as np  # noqa: PLC0415 slow to load, and of no use before there is a kernel

        self._room = room
        self._array = np.empty(0, dtype)

    def load(self, frontier: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return an array that begins with the frontier and has at least ``room`` free places behind it."""
        count = len(frontier)
        if len(self._array) < count + self._room:
            return self._grown(frontier)
        if not self._begins_with(frontier):
            self._array[:count] = frontier
        return self._array

    def _begins_with(self, frontier: np.ndarray[Any, Any]) -> bool:
        """Whether this frontier is just the beginning of the array."""
        mine = self._array
        return frontier.base is mine and frontier.ctypes.data == mine.ctypes.data and frontier.strides == mine.strides

    def _grown(self, frontier: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np  # noqa: PLC0415 as above

        count = len(frontier)
        self._array = np.empty(2 * count + max(self._room, STACK_ROOM_MIN), self._array.dtype)
        self._array[:count] = frontier
        return self._array


def stack_kernel(
    problem: Problem[Any, Any],
    function: Callable[..., tuple[Any, int, int, int]],
    *arguments: Any,
    room: int,
    value: Callable[[Any], Any] | None = None,
    worst: int | None = None,
    words: bool = False,
) -> Explore | None:
    """Make a kernel of a function that explores from the top of a stack; what most problems' ``kernel()`` returns.

    The function is compiled with those of its module that it calls, and its machine code loaded, now. It is called as
    ``function(stack, height, budget, *arguments)``, and returns what it found, the height of the stack, how many nodes it explored,
    and the lowest height on the way. It has to stop when the stack is empty, when ``budget`` nodes are explored, and when fewer than
    ``room`` places are free.

    Args:
        problem: with a ``node_dtype``, and if it has an ``engine``, the plain form is used where that says so.
        function: what explores, in the subset of Python that numba compiles.
        arguments: handed to it every time: parameters, tables, working memory.
        room: the largest number of children of a node.
        value: makes what was found the value of a Slice; by default it is that already.
        worst: for an Optimisation, and only for that: an objective that every solution beats. The function's fourth argument is
            then the best objective known, or this one, and ``value`` makes a Best of what it found, which is dropped if its objective
            is still that.
        words: hand the stack over as rows of 64-bit words, for a ``node_dtype`` whose size depends on the parameters: one
            compilation serves all sizes.

    Returns:
        The kernel; None where the plain form is to be used.

    Raises:
        UsageError: numba was asked for and is not installed.
    """
    if not compiled_wanted(getattr(problem, "engine", "auto")):
        return None
    import numpy as np  # noqa: PLC0415 as above

    assert problem.node_dtype is not None, "a stack is an array of records"
    machine_code = compiled(function)
    known_before = set(getattr(machine_code, "overloads", ()))
    kernel_of = functools.partial(_over_stack, Stack(problem.node_dtype, room), arguments, value, worst, words)
    # An empty call loads the machine code, once for all the processes forked from this one.
    kernel_of(machine_code)(np.empty(0, problem.node_dtype), 0)
    return kernel_of(_entry(machine_code, known_before))


def _over_stack(
    stack: Stack,
    arguments: tuple[Any, ...],
    value: Callable[[Any], Any] | None,
    worst: int | None,
    words: bool,  # noqa: FBT001 as stack_kernel() got it, by name
    machine_code: Callable[..., Any],
) -> Explore:
    """Return the kernel that calls this machine code; the other arguments are those of stack_kernel()."""

    def explore(frontier: Any, budget: int, incumbent: float | None = None) -> Slice:
        nodes = stack.load(frontier)
        known = () if worst is None else (worst if incumbent is None else int(incumbent),)
        handed = nodes.view("uint64").reshape(len(nodes), -1) if words else nodes
        found, height, explored, lowest = machine_code(handed, len(frontier), budget, *known, *arguments)
        worth = found if value is None else value(found)
        return Slice(None if known and worth.objective == known[0] else worth, nodes[:height], explored, lowest)

    return explore


def _entry(machine_code: Any, known_before: set[Any]) -> Callable[..., Any]:
    """Return the very machine code that was just loaded for the types of our arguments, which are the same in every call.

    Called as usual, numba works out the types of the arguments every time. For an array of records that takes it longer than many a
    slice's exploring: 0.1 to 0.3 ms.
    """
    overloads = getattr(machine_code, "overloads", {})
    ours = [each for types, each in overloads.items() if types not in known_before] or list(overloads.values())
    return ours[0].entry_point if len(ours) == 1 else machine_code  # type: ignore[no-any-return]
