"""Independent pieces of pure work on all processors: each has a process that reads pieces and answers them, one a line.

Processes of our own, because those of concurrent.futures leave a helper behind, or fork a process that may have threads.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

TESTS = Path(__file__).parents[1]

PROCESSES_MAX = 8
"""More would mostly start up: the longest piece decides."""


@contextlib.contextmanager
def answers(function: str, pieces: Iterable[str | int]) -> Iterator[Callable[[str | int], object]]:
    """Work on pieces in other processes, in their order.

    Args:
        function: "module:name" of a function that takes a piece and returns what JSON can say.
        pieces: what it is called with.

    Yields:
        A function that waits for the answer to a piece; what the work raised fails the test with its traceback.
    """
    pieces = list(pieces)
    count = max(1, min(len(os.sched_getaffinity(0)), PROCESSES_MAX, len(pieces)))
    processes = [_start(function) for _ in range(count)]
    free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
    for process in processes:
        free.put(process)

    def work(piece: str | int) -> tuple[bool, object]:
        process = free.get()
        try:
            return _ask(process, piece)
        finally:
            free.put(process)

    threads = ThreadPoolExecutor(count)
    futures: dict[str | int, Future[tuple[bool, object]]] = {piece: threads.submit(work, piece) for piece in pieces}

    def answer(piece: str | int) -> object:
        well, told = futures[piece].result()
        if not well:
            pytest.fail(str(told), pytrace=False)
        return told

    try:
        yield answer
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        threads.shutdown()
        for process in processes:
            process.communicate()


def chosen(request: pytest.FixtureRequest, parameter: str) -> list:
    """The values of a parameter with which the tests of this module will be run."""
    return [
        item.callspec.params[parameter]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and hasattr(item, "callspec")
        and parameter in item.callspec.params
    ]


def _start(function: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "support.pool", function],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def _ask(process: subprocess.Popen[str], piece: str | int) -> tuple[bool, object]:
    """Have a process work on a piece; return whether it went well, and the answer or what went wrong."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(piece) + "\n")
        process.stdin.flush()
        if line := process.stdout.readline():
            well, told = json.loads(line)
            return well, told
    return False, f"the process that was to work on {piece!r} died"


def _serve(function: str) -> None:
    module, name = function.split(":")
    work = getattr(importlib.import_module(module), name)
    for line in sys.stdin:
        try:
            answer = True, work(json.loads(line))
        except Exception:  # noqa: BLE001 whatever it is, the test must be told
            answer = False, traceback.format_exc()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1])
