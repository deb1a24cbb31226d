"""Any program as a kernel: JSON lines to its stdin and from its stdout, so that a solver in C, Rust or Julia joins without bindings.

The library keeps the frontier: in every slice the program is handed nodes and a budget, and answers with what it found and what is
left. Sharing, reports, restarts and kills therefore work as with any kernel. This module must not know jobs or leases.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from parry_mpi.errors import ExplorerLost, ProblemError, UsageError
from parry_mpi.problem import Explore, Number, Problem, Slice

PROTOCOL = 1
"""Stands in the first line that a program reads."""

LAST_WORDS_LINES = 20
"""How much of what a program says on stderr is kept, to be shown if it fails."""

END_S = 5.0
"""How long a program may take to end once its output is closed."""


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What a program answers to one line.

    Args:
        value: what the explored nodes are worth together; may be left out if there is nothing to tell.
        remaining: the nodes that are left, shallowest first.
        nodes: how many were explored, at least one.
    """

    nodes: int
    remaining: list[Any] = []
    value: Any = None


def external(problem: Problem[Any, Any], command: Sequence[str | os.PathLike[str]]) -> Explore:
    """Return a kernel that has a program do the exploring; what a problem's ``kernel()`` returns.

    The program is started once in each explorer, with the first slice. It reads lines of JSON and answers each with one line:

        {"protocol": 1, "parameters": {...}}                          the first line; no answer is expected
        {"explore": [node, ...], "budget": 1000, "incumbent": null}   explore from the end, at most so many nodes
        {"value": 3, "remaining": [node, ...], "nodes": 1000}         its answer

    Nodes and values are in JSON what they are in Python. What it says on stderr is shown if it fails. It has to end when its stdin
    ends. If a signal kills it, that counts as a kill of the job; if it leaves by itself, it failed, and so did the problem.

    Args:
        problem: whose parameters the program is told, and whose types its answers have.
        command: the program and its arguments.

    Raises:
        UsageError: the command is empty.
    """
    words = [os.fspath(word) for word in command]
    if not words:
        raise UsageError("external() needs a command")
    return _Program(problem, words).explore


class _Program:
    """A program, and the lines to and from it."""

    def __init__(self, problem: Problem[Any, Any], command: list[str]) -> None:
        self._problem = problem
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._last_words: deque[str] = deque(maxlen=LAST_WORDS_LINES)
        self._listener: threading.Thread | None = None
        self._answer = msgspec.json.Decoder(Answer)

    def explore(self, frontier: Any, budget: int, incumbent: Number | None = None) -> Slice:
        """Have the program explore, as any kernel does."""
        process = self._process or self._start()
        self._write(process, {"explore": list(frontier), "budget": budget, "incumbent": incumbent})
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._ended(process)
        try:
            answer = self._answer.decode(line)
            value = msgspec.convert(answer.value, self._problem.value_type())
            nodes = msgspec.convert(answer.remaining, list[self._problem.node_type()])  # type: ignore[misc]
        except (msgspec.MsgspecError, ValueError) as error:
            raise ProblemError(f"{self._name} answered {line[:200]!r}, which makes no sense: {error}") from None
        return Slice(value, nodes, answer.nodes)

    @property
    def _name(self) -> str:
        return Path(self._command[0]).name

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            # It stays in the explorer's process group, which is killed as a whole.
            process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603
        except OSError as error:
            raise ProblemError(f"{self._command[0]} cannot be started: {error.strerror or error}") from None
        self._process = process
        self._listener = threading.Thread(target=self._listen, args=(process.stderr,), daemon=True)
        self._listener.start()
        parameters = {name: getattr(self._problem, name) for name in self._problem.__struct_fields__}
        self._write(process, {"protocol": PROTOCOL, "parameters": parameters})
        return process

    def _write(self, process: subprocess.Popen[bytes], line: dict[str, Any]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(msgspec.json.encode(line) + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise self._ended(process) from None

    def _listen(self, errors: IO[bytes]) -> None:
        for line in errors:
            self._last_words.append(line.decode(errors="replace").rstrip())

    def _ended(self, process: subprocess.Popen[bytes]) -> Exception:
        """Say how the program ended."""
        self._process = None
        try:
            code = process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return ProblemError(f"{self._name} closed its output and went on", details="\n".join(self._last_words))
        assert self._listener is not None
        self._listener.join(END_S)
        if code < 0:
            return ExplorerLost(f"{self._name} was killed by signal {-code}")
        last = f": {self._last_words[-1]}" if self._last_words else ""
        return ProblemError(f"{self._name} left with exit code {code}{last}", details="\n".join(self._last_words))
