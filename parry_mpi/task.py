"""A problem made ready for work: its codecs, its roots, and calls into the user's code that say whose fault an error was.

This module must not walk the tree.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec

from parry_mpi.arrays import is_array, is_scalar
from parry_mpi.data import DataCodec, Gathered, NodeCodec, SolutionsCodec
from parry_mpi.errors import ParryError, ProblemError, UsageError
from parry_mpi.job import Job
from parry_mpi.problem import Collection, Number, Optimisation, Problem, overrides

P = ParamSpec("P")
T = TypeVar("T")

SAMPLED_ROOTS = 16
"""How many roots at the beginning, and for a sequence at the end too, are compared between processes. Enough to notice
an unstable order, few enough to cost nothing with 10^9 roots."""

NODE_TEXT_MAX = 200
"""Longest text of a node in an error message."""

OUR_FOLDER = __file__.removesuffix("task.py")


class Task:
    """A problem made ready for work.

    Attributes:
        problem: the user's problem.
        nodes: encodes nodes.
        values: encodes values; of a problem that collects, how many solutions there are.
        solutions: encodes solutions; None if the problem does not collect.
        bounded: whether it is an optimisation that can tell bounds.
    """

    def __init__(self, problem: Problem[Any, Any]) -> None:
        self.problem = problem
        self.bounded = isinstance(problem, Optimisation) and overrides(type(problem), "bound")
        self.solutions: SolutionsCodec | None = None
        value_type = problem.value_type()
        if isinstance(problem, Collection):
            self.solutions, value_type = SolutionsCodec(value_type, problem.solution_dtype), int
        self.values: DataCodec[Any] = DataCodec(value_type, "a value")
        self.nodes: NodeCodec[Any] = NodeCodec(problem.node_type(), problem.node_dtype)
        self._roots: Iterable[Any] = call(problem.roots)
        self.indexed = isinstance(self._roots, Sequence) or is_array(self._roots)
        if is_array(self._roots) and self._roots.ndim != 1:
            raise UsageError("roots() returned an array that is not one-dimensional")

    @property
    def roots_count(self) -> int | None:
        """How many roots there are; None if that shows only as they are pulled."""
        return len(self._roots) if self.indexed else None  # type: ignore[arg-type]

    def encode_found(self, value: Any) -> bytes:
        """Return the bytes of what an exploration found, as a report carries it."""
        return value.encoded() if isinstance(value, Gathered) else self.values.encode(value)

    def root_run(self, first: int, count: int) -> Sequence[Any]:
        """Return the roots ``first`` to ``first + count``, in the same form as NodeCodec.decode gives nodes."""
        nodes = self._indexed_roots(first, count)
        if not self.nodes.are_records:
            return list(nodes)
        if is_array(nodes) and nodes.dtype == self.nodes.dtype:
            return nodes.copy()  # type: ignore[return-value]
        return self.nodes.records(b"".join(map(self.nodes.encode, nodes)))  # type: ignore[return-value]

    def plain_root_run(self, first: int, count: int) -> list[Any]:
        """Return the same roots in the form in which children() and value() get them."""
        if not self.nodes.are_records or is_array(self._roots):
            return plain_nodes(self.root_run(first, count))
        return self.nodes.plain(b"".join(map(self.nodes.encode, self._indexed_roots(first, count))))

    def _indexed_roots(self, first: int, count: int) -> Sequence[Any]:
        assert self.indexed
        return call(lambda: self._roots[first : first + count])  # type: ignore[index]

    def pulled_roots(self, skip: int) -> Iterator[bytes]:
        """Give the encoded roots one after the other, from the given one on, for roots that have no index."""
        roots = iter(call(self.problem.roots))
        pulled = 0
        while True:
            try:
                node = call(next, roots)
            except StopIteration:
                return
            pulled += 1
            if pulled > skip:
                yield self.nodes.encode(node)

    def rewrite_killed(self, job: Job) -> Job:
        """Return a job that was killed as the problem's kill() wants it.

        A run of roots stays as it is: its roots are told by their index, and kill() is asked again once they are nodes.

        Raises:
            ProblemError: kill() raised.
        """
        if job.count:
            return job
        killed = [call(self.problem.kill, node, job.killed) for node in self.nodes.plain(job.node)]
        return msgspec.structs.replace(job, node=b"".join(self.nodes.encode(node) for node in killed))

    def bound_of(self, nodes: Iterable[Any]) -> Number | None:
        """Return the score that nothing at or below these nodes can be better than; None if that is not known.

        What bound() raises does not count here, where it is only asked for to be shown: then it is not known.
        """
        smallest: Number = math.inf
        for node in nodes:
            try:
                bound = self.problem.bound_score(node)  # type: ignore[attr-defined]  # what is bounded has it
            except (Exception, SystemExit):  # noqa: BLE001 the user's code
                return None
            if bound is None:
                return None
            smallest = min(smallest, bound)
        return smallest

    def roots_digest(self) -> str:
        """Return a digest of how many roots there are, of the first and last few, and of what the problem reads from files.

        Raises:
            UsageError: a root cannot be encoded, or a file cannot be read.
            ProblemError: roots() or inputs() raised.
        """
        digest = hashlib.sha256(str(self.roots_count).encode())
        if self.indexed:
            count = len(self._roots)  # type: ignore[arg-type]
            ends = [*range(min(SAMPLED_ROOTS, count)), *range(max(SAMPLED_ROOTS, count - SAMPLED_ROOTS), count)]
            sample: Iterable[bytes] = (self.nodes.encode(self._indexed_roots(index, 1)[0]) for index in ends)
        else:
            sample = itertools.islice(self.pulled_roots(0), SAMPLED_ROOTS)
        for part in itertools.chain(sample, map(content, call(self.problem.inputs))):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()[:16]


def content(path: str | os.PathLike[str]) -> bytes:
    """Return what is in a file that a problem depends on.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"{os.fspath(path)}, which the problem names in inputs(), cannot be read: {error.strerror or error}"
        ) from None


def plain_nodes(nodes: Any) -> list[Any]:
    """Return nodes in the form in which children() and value() get them: records as tuples."""
    return nodes.tolist() if is_array(nodes) else list(nodes)


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the user's code; whatever it raises becomes a ProblemError with the user's own traceback.

    Raises:
        ProblemError: the call raised.
        StopIteration: the call was next() and there is nothing more.
    """
    try:
        return function(*args, **kwargs)
    except (ParryError, StopIteration):
        raise
    except (Exception, SystemExit) as error:  # sys.exit() would end our process as if all were well
        raise problem_error(error) from error


def problem_error(error: BaseException, node: Any = None) -> ProblemError:
    """Describe an exception of the user's code: one line, the user's frames, the node."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(OUR_FOLDER)]
    lines = traceback.format_exception_only(type(error), error)
    details = (
        "".join(["Traceback (most recent call last):\n", *traceback.format_list(frames), *lines]) if frames else "".join(lines)
    )
    return ProblemError(
        " ".join(lines[-1].split()),
        details=details.rstrip("\n"),
        node="" if node is None else node_text(node),
    )


def node_text(node: Any) -> str:
    """Return a node as a short text for a person; never raises, whatever the node's own repr does."""
    try:
        text = repr(node.tolist() if is_array(node) or is_scalar(node) else node)
    except Exception as error:  # noqa: BLE001 the node is the user's: its repr may do anything, and this is for a message only
        text = f"<{type(node).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= NODE_TEXT_MAX else text[: NODE_TEXT_MAX - 3] + "..."
