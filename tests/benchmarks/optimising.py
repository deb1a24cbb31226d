"""Benchmark of branch and bound: how many nodes are explored on ranks, for each that one process explores, with incumbents shared and not.

What is explored depends on what is known when: on several workers a search looks at nodes that one alone would have left out, and the
other way round. Shared is the problem as it is in jobs/; not shared, its explorers do not listen (tests.benchmarks.unshared), and
everything else is the same, messages included. Every answer is checked against the optimum. This module must not judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import Run, run

WORKERS = (1, 2, 4)

UNSHARED = "tests.benchmarks.unshared"

ALONE = "alone"


@dataclass(frozen=True)
class Case:
    """An instance whose optimum is known.

    Args:
        name: in the table.
        shared: its file in jobs/.
        unshared: its class in tests.benchmarks.unshared.
        words: its parameters.
        optimum: the objective that every run has to find: of the literature for rulers, found before for random instances.
    """

    name: str
    shared: str
    unshared: str
    words: tuple[str, ...]
    optimum: int


def rulers(n: int, optimum: int) -> Case:
    """Golomb rulers with the compiled kernel, ten thousand nodes a millisecond: those with few marks are over before anything is shared."""
    return Case(f"golomb_{n}", "jobs/golomb.py", "Golomb", (f"n={n}", "engine=numba"), optimum)


def cliques(n: int, density: float, seed: int, optimum: int) -> Case:
    """A random graph in plain Python; sizes of cliques are small integers, so there are few improvements."""
    words = (f"n={n}", f"density={density}", f"seed={seed}", "engine=python")
    return Case(f"clique_{n}", "jobs/clique.py", "Clique", words, optimum)


def tours(n: int, seed: int, optimum: int) -> Case:
    """Random cities in plain Python; there are many lengths of tours, so there are many improvements."""
    return Case(f"tsp_{n}", "jobs/tsp.py", "Tsp", ("cities=random", f"n={n}", f"seed={seed}"), optimum)


def optimisation(setting: Setting) -> list[Row]:
    """Count nodes and seconds on one process, and on one to four workers with incumbents shared and not shared."""
    setting = setting.less()
    cases = setting.pick(
        (rulers(10, 55), rulers(11, 72), rulers(12, 85), cliques(150, 0.6, 1, 13), tours(30, 0, 4493)),
        (rulers(10, 55), rulers(11, 72), rulers(12, 85), cliques(120, 0.7, 1, 15), tours(25, 0, 4022)),
        (rulers(7, 25), cliques(100, 0.6, 1, 11), tours(25, 1, 4691)),
    )
    setting.say("  optimisation: once before, to have everything compiled")
    for problem in (cases[0].shared, f"{UNSHARED}:{cases[0].unshared}"):
        run(setting, 1, problem, "n=6", "engine=numba")
    rows = []
    for case in cases:
        rows += _rows(case, interleaved(setting, f"optimisation.{case.name}", _ways(setting, case)))
    return rows


def _ways(setting: Setting, case: Case) -> dict[str, Callable[[], Run]]:
    """All ways of solving one instance: "alone", "1+2.shared", ..."""
    ways = {ALONE: partial(_solved, setting, case, 1, case.shared)}
    for workers in WORKERS:
        ways[f"1+{workers}.shared"] = partial(_solved, setting, case, 1 + workers, case.shared)
        ways[f"1+{workers}.unshared"] = partial(_solved, setting, case, 1 + workers, f"{UNSHARED}:{case.unshared}")
    return ways


def _solved(setting: Setting, case: Case, ranks: int, problem: str) -> Run:
    """Solve an instance and see to it that the answer is right."""
    done = run(setting, ranks, problem, *case.words)
    found = done.result and done.result["objective"]
    if found != case.optimum:
        raise MeasurementError(f"{case.name}: {problem} on {ranks} ranks says that the best is {found}, not {case.optimum}")
    return done


def _rows(case: Case, measured: dict[str, list[Run]]) -> list[Row]:
    """Compare the nodes of all ways with those of one process, and the seconds too."""
    nodes = {way: [float(each.nodes) for each in runs] for way, runs in measured.items()}
    seconds = {way: [each.working_s for each in runs] for way, runs in measured.items()}
    rows = []
    for way in measured:
        name = f"optimisation.{case.name}.{way}"
        others = way != ALONE
        rows.append(Row(f"{name}.nodes", "nodes", nodes[way], nodes[ALONE] if others else (), "one process" if others else ""))
        rows.append(Row(f"{name}.seconds", "s", seconds[way], seconds[ALONE] if others else (), "one process" if others else ""))
    return rows
