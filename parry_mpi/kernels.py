"""What compiled kernels need: choose the engine, compile with numba where it is installed, keep the stack between slices.

numba is an extra of parry_mpi and takes half a second to import, so it is looked for without importing it and loaded
only when a kernel is really compiled. This module must not know any problem.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from types import FunctionType
from typing import Any, Literal, TypeVar

import numpy as np

from parry_mpi.errors import UsageError

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


def compiled(function: Function, *, calls: tuple[Callable[..., Any], ...] = (), **options: Any) -> Function:
    """Compile a function, and the functions it calls, with numba; the machine code is cached on disk where that is possible.

    Several processes may compile the same function at the same time: each writes the cache as a whole, the last one wins.

    Args:
        function: plain Python, in the subset that numba compiles.
        calls: functions of the same module that ``function`` calls by name; they are compiled too, callees before callers.
        options: passed to ``numba.njit``.
    """
    settings = tuple(sorted(options.items()))
    for called in calls:
        function.__globals__[called.__name__] = _jitted(called, settings)
    return _jitted(function, settings)  # type: ignore[return-value]


@functools.cache
def _jitted(function: Callable[..., Any], settings: tuple[tuple[str, Any], ...]) -> Callable[..., Any]:
    """Compile one function, once; one that is compiled already stays as it is."""
    import numba  # noqa: PLC0415 an extra, and slow to import: only when a kernel is wanted

    if not isinstance(function, FunctionType):
        return function
    # What numba caches can only be loaded into a module of the same name, but its files are named after the path. The same file
    # loaded under two names (by path and as a module) must therefore have two caches.
    function.__qualname__ = f"{function.__module__}.{function.__name__}"
    try:
        return numba.njit(cache=True, **dict(settings))(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to cache in: compile for this process only
        return numba.njit(**dict(settings))(function)  # type: ignore[no-any-return]


class Stack:
    """The memory of a kernel's depth-first search, kept from one slice to the next so that a slice copies nothing.

    A kernel loads the frontier it is handed, works on the array, and returns ``array[:height]`` as what is left. That is valid
    until the next load; handed in again unchanged, it is recognised and stays where it is.

    Args:
        dtype: of a node.
        room: how many more places than it has nodes the array must have for the kernel to explore one node, that is,
            the largest number of children. A kernel has to stop when it has fewer free places than that.
    """

    def __init__(self, dtype: np.dtype[Any], room: int) -> None:
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
        count = len(frontier)
        self._array = np.empty(2 * count + max(self._room, STACK_ROOM_MIN), self._array.dtype)
        self._array[:count] = frontier
        return self._array
