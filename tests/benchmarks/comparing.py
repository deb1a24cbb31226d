"""Benchmark of jobs that cost nothing, against other programs that farm out jobs: how many a second, each in its recommended way.

Every peer is a program of its own (tests.benchmarks.peers), in a network of its own that has nothing but a loopback interface if it
opens ports, so that none of its servers can be reached. One that cannot be run here is named with the reason. This module must not
judge.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import PROBLEMS, run
from tests.support.commands import ROOT, started

RANKS = 3

PEER_DEADLINE_S = 180.0
"""No peer takes so long for what it is given; one that does hangs."""

BATCHES = (100, 1_000, 10_000, 100_000)
"""Chunk sizes of which the best counts."""

UNSHARE = ("unshare", "--net", "--map-root-user")
"""unshare(1): a network of one's own, for which one need not be root."""


@dataclass(frozen=True)
class Peer:
    """A way of letting another program do jobs that cost nothing.

    Args:
        name: in the table.
        module: its program, in tests.benchmarks.peers.
        package: what has to be installed, as importlib knows it.
        distribution: the same, as pip knows it.
        jobs: how many at full size; about a second of work.
        way: in words, for the table.
        batches: jobs handed over together; of several sizes the best counts.
        ranks: whether it runs on MPI ranks; otherwise it starts its processes itself.
    """

    name: str
    module: str
    package: str
    distribution: str
    jobs: int
    way: str
    batches: Sequence[int] = (1,)
    ranks: bool = False


PEERS = (
    Peer("mpi4py.one", "mpi4py_futures", "mpi4py", "mpi4py", 10_000, "mpi4py.futures, chunksize 1", ranks=True),
    Peer("mpi4py.best", "mpi4py_futures", "mpi4py", "mpi4py", 10**6, "mpi4py.futures, best chunksize", BATCHES, ranks=True),
    Peer("schwimmbad.one", "schwimmbad_pool", "schwimmbad", "schwimmbad", 30_000, "schwimmbad MPIPool", ranks=True),
    Peer(
        "schwimmbad.own_loop",
        "schwimmbad_pool",
        "schwimmbad",
        "schwimmbad",
        10**6,
        "schwimmbad MPIPool, the user's own loop over best batches",
        BATCHES,
        ranks=True,
    ),
    Peer("pybnb", "pybnb_nodes", "pybnb", "pybnb", 20_000, "pybnb, nodes of a tree", ranks=True),
    Peer("dask.one", "dask_map", "distributed", "distributed", 2_000, "dask.distributed, a future a job"),
    Peer("dask.bag", "dask_map", "distributed", "distributed", 10**6, "dask.bag, best partitions", BATCHES[2:]),
    Peer("ray.one", "ray_pool", "ray", "ray", 3_000, "ray, a remote call a job"),
    Peer("ray.pool", "ray_pool", "ray", "ray", 10**6, "ray's Pool, best chunksize", BATCHES[2:]),
    Peer("parsl", "parsl_apps", "parsl", "parsl", 2_000, "parsl, high-throughput executor"),
    Peer("executorlib", "executorlib_map", "executorlib", "executorlib", 5_000, "executorlib, block allocation"),
    Peer("hyperqueue", "hyperqueue_programs", "hyperqueue", "hyperqueue", 3_000, "HyperQueue, programs that do nothing"),
)


def peers(setting: Setting) -> list[Row]:
    """Count jobs a second: ours and those on MPI ranks in turn; the others, which are slow to start, after one another."""
    points = setting.pick(1_000_000, 1_000_000, 2_000)
    tried = {peer: _tried(setting, peer) for peer in PEERS if _can_run(setting, peer)}
    able = {peer: max(speeds, key=lambda batch: statistics.median(speeds[batch])) for peer, speeds in tried.items() if speeds}
    ways: dict[str, Callable[[], tuple[float, float]]] = {
        name: partial(_ours, setting, points, *words)
        for name, words in {
            "index": (":Nothing", "source=index"),
            "generator": (":Nothing", "source=generator"),
            "own_loop": (":NothingLooped",),
        }.items()
    }
    ways |= {peer.name: partial(_once, setting, peer, batch) for peer, batch in able.items() if peer.ranks}
    measured = interleaved(setting, "peers", ways)
    speed = {name: [each[0] for each in pairs] for name, pairs in measured.items()}
    speed |= {peer.name: tried[peer][batch] for peer, batch in able.items() if not peer.ranks}
    rows = [
        Row("peers.parry_mpi.index", "jobs/s", speed["index"], against="roots by index; from the first worker's joining"),
        Row("peers.parry_mpi.index.seconds", "jobs/s", [each[1] for each in measured["index"]], against="start and end included"),
        Row("peers.parry_mpi.generator", "jobs/s", speed["generator"], against="roots from a generator on rank 0"),
        Row("peers.parry_mpi.own_loop", "jobs/s", speed["own_loop"], against="explore(): the user's own loop over a frontier"),
    ]
    return rows + [_row(peer, batch, speed) for peer, batch in able.items()]


def _row(peer: Peer, batch: int, speed: dict[str, list[float]]) -> Row:
    """A peer's line: its ratio says how many times as many jobs a second ours does."""
    ours = speed["own_loop" if peer.name.endswith("own_loop") else "index"]
    batched = f" ({batch})" if len(peer.batches) > 1 else ""
    goal = {"mpi4py.one": "ours >= 300 x", "mpi4py.best": "ours >= 1.5 x"}.get(peer.name, "")
    return Row(f"peers.{peer.name}", "jobs/s", speed[peer.name], ours, f"{peer.way}{batched}, as a part of ours", goal)


def _can_run(setting: Setting, peer: Peer) -> bool:
    """Whether a peer is installed and may be run here; notes why not."""
    if importlib.util.find_spec(peer.package) is None:
        setting.note(f"{peer.way}: not run, as {peer.distribution} is not installed (extra peers)")
    elif not peer.ranks and (why := _why_no_loopback()):
        setting.note(f"{peer.way}: not run, as it would open ports on every network here, and {why}")
    else:
        return True
    return False


@functools.cache
def _why_no_loopback() -> str:
    """Why this machine gives us no network of our own; "" if it does."""
    if shutil.which(UNSHARE[0]) is None:
        return "there is no unshare(1) to keep it from that"
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return "unshare(1) is not allowed to keep it from that" if tried.returncode else ""


def _tried(setting: Setting, peer: Peer) -> dict[int, list[float]]:
    """Return jobs a second for each batch size; none if a peer cannot be run at all. On ranks one try tells which size is best."""
    tries: dict[int, list[float]] = {}
    for batch in peer.batches:
        try:
            tries[batch] = _theirs(setting, peer, batch, 1 if peer.ranks else setting.repetitions)
            setting.say(f"  peers, {peer.name}: {statistics.median(tries[batch]):,.0f} jobs/s with {batch} at a time")
        except (MeasurementError, AssertionError) as error:
            setting.note(f"{peer.way}: not run with {batch} at a time: {_last_line(str(error))}")
    return tries


def _ours(setting: Setting, points: int, problem: str, *words: str) -> tuple[float, float]:
    """Do jobs with parry_mpi; return how many a second from the first worker's joining, and from rank 0's being ready."""
    done = run(setting, RANKS, PROBLEMS + problem, f"points={points}", *words)
    if done.result != points:
        raise MeasurementError(f"{points} jobs were counted as {done.result}")
    return points / done.working_s, points / done.seconds


def _once(setting: Setting, peer: Peer, batch: int) -> tuple[float, float]:
    speed = _theirs(setting, peer, batch, 1)[0]
    return speed, speed


def _theirs(setting: Setting, peer: Peer, batch: int, repetitions: int) -> list[float]:
    """Let a peer do its jobs, so many times after one start; return how many a second that were."""
    jobs = max(10, peer.jobs // setting.pick(1, 2, 500))
    return [jobs / seconds for seconds in _told(setting, peer, jobs, min(batch, jobs), repetitions)["seconds"]]


def _told(setting: Setting, peer: Peer, *numbers: int) -> dict[str, Any]:
    """Run a peer's program with its three numbers; return what it says."""
    words = ("-m", "tests.benchmarks.peers", peer.module, *map(str, numbers))
    command = setting.mpi.python_ranks(RANKS, *words) if peer.ranks else (*UNSHARE, sys.executable, *words)
    path = f"{setting.mpi.bin}{os.pathsep}{os.environ.get('PATH', '')}"  # parsl looks for a program of its own there
    environment = {**setting.mpi.environment, "PATH": path, "PYTHONPATH": str(ROOT)}
    with started(command, environment=environment) as process:
        finished = process.wait(PEER_DEADLINE_S)
    # Some pools end their ranks in ways that a launcher calls a failure, after the answer: the answer counts.
    answers = [line for line in finished.stdout.splitlines() if line.startswith('{"jobs"')]
    if not answers:
        raise MeasurementError(str(finished))
    return dict(json.loads(answers[-1]))


def _last_line(text: str) -> str:
    """What an error says at its end."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")[:200]


SIMPLE = Peer("pybnb", "pybnb_simple", "pybnb", "pybnb", 65_535, "pybnb, the example of its README", ranks=True)


def branching(setting: Setting) -> list[Row]:
    """Count nodes a second in the example of pybnb's README, written for both; ours goes on to a smaller gap, to last longer."""
    halving = PROBLEMS + ":Halving"
    ways: dict[str, Callable[[], float]] = {"ours": partial(_nodes_per_s, setting, halving)}
    if with_pybnb := _can_run(setting, SIMPLE):
        ways["pybnb"] = lambda: _theirs(setting, SIMPLE, 1, 1)[0]
    speed = interleaved(setting, "branching", ways)
    rows = [Row("branching.parry_mpi", "nodes/s", speed["ours"], against="from the first worker's joining")]
    if "pybnb" in speed:
        rows.append(Row("branching.pybnb", "nodes/s", speed["pybnb"], speed["ours"], f"{SIMPLE.way}, as a part of ours"))
    return rows + _rulers(setting.less(), with_pybnb=with_pybnb)


def _nodes_per_s(setting: Setting, problem: str) -> float:
    done = run(setting, RANKS, problem)
    return done.nodes / done.working_s


GOLOMB = Peer("pybnb", "pybnb_golomb", "pybnb", "pybnb", 1, "pybnb, jobs/golomb.py in its own plain Python", ranks=True)

GOLOMB_WAYS = {
    "best_first": "pybnb, best bound first, its default",
    "depth_first": "pybnb, depth first",
    "nested": "pybnb, its NestedSolver: a worker keeps a node for a tenth of a second",
}
"""Those of tests.benchmarks.peers.pybnb_golomb, by number."""


def _rulers(setting: Setting, *, with_pybnb: bool) -> list[Row]:
    """Prove the same Golomb ruler the shortest in both, with the same children() and bound(): nodes, seconds, nodes a second."""
    marks, length = setting.pick((9, 44), (9, 44), (6, 17))
    ways: dict[str, Callable[[], tuple[float, float]]] = {"parry_mpi": partial(_our_ruler, setting, marks, length)}
    if with_pybnb:
        ways |= {name: partial(_their_ruler, setting, marks, length, way) for way, name in enumerate(GOLOMB_WAYS)}
    measured = interleaved(setting, f"branching.golomb_{marks}", ways)
    ours = measured["parry_mpi"]
    rows = []
    for way, pairs in measured.items():
        name = f"branching.golomb_{marks}.{way}"
        theirs = way in GOLOMB_WAYS
        words = f"{GOLOMB_WAYS[way]}; compared with ours" if theirs else "from the first worker's joining"
        for measure, unit, of in RULER_MEASURES:
            rows.append(
                Row(f"{name}.{measure}", unit, [of(*each) for each in pairs], [of(*each) for each in ours if theirs], words)
            )
    return rows


RULER_MEASURES: tuple[tuple[str, str, Callable[[float, float], float]], ...] = (
    ("nodes", "nodes", lambda nodes, _: nodes),
    ("seconds", "s", lambda _, seconds: seconds),
    ("speed", "nodes/s", lambda nodes, seconds: nodes / seconds),
)
"""What is told of a search that had so many nodes and took so many seconds."""


def _our_ruler(setting: Setting, marks: int, length: int) -> tuple[float, float]:
    """Return how many nodes and seconds ours takes."""
    done = run(setting, RANKS, "jobs/golomb.py", f"n={marks}", "engine=python")
    if not done.result or done.result["objective"] != length:
        raise MeasurementError(f"the shortest ruler with {marks} marks is {length} long, not as in {done.result}")
    return done.nodes, done.working_s


def _their_ruler(setting: Setting, marks: int, length: int, way: int) -> tuple[float, float]:
    """Return how many nodes and seconds pybnb takes."""
    told = _told(setting, GOLOMB, marks, way, 1)
    if told["lengths"] != [length]:
        raise MeasurementError(f"the shortest ruler with {marks} marks is {length} long; pybnb has proven {told['lengths']}")
    return told["nodes"][0], told["seconds"][0]


def versions() -> dict[str, str]:
    """The versions of the peers that are installed."""
    found = {}
    for distribution in dict.fromkeys(peer.distribution for peer in PEERS):
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found
