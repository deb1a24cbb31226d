"""Benchmarks of compiled kernels: how much of their bare speed is left on ranks, on one worker and on two, isolated and not.

Bare is the kernel's own speed: nodes by seconds of a loop over it in one process. A run has four speeds to compare with it:
    explored: nodes by the time spent in slices; what the library's slicing costs.
    present: nodes by the time for which each worker was there, from its own joining until nothing was left; what exploring with messages,
        reports, sharing and the last stragglers costs.
    working: nodes by the time from the first worker's joining until nothing was left; all that, and waiting for those that join later.
    seconds: nodes by the "seconds" of --json, which are from rank 0's being ready until the last rank was dismissed.
This module must not judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import Bare, Run, bare, run

Case = tuple[str, ...]

SPEEDS: dict[str, Callable[[Run], float]] = {
    "explored": lambda each: each.nodes * each.workers / each.explored_s,
    "present": lambda each: each.nodes * each.workers / each.present_s,
    "working": lambda each: each.nodes / each.working_s,
    "seconds": lambda each: each.nodes / each.seconds,
}


AGAINST_ONE = frozenset({"queens", "semigroups"})
"""With which trees two workers are compared with one as well; the others would take as long again."""


def queens(setting: Setting, n: int = 15) -> Case:
    """Many small nodes, an even tree."""
    return ("jobs/queens.py", setting.pick(f"n={n}", "n=14", "n=9"))


def even_tree(setting: Setting) -> Case:
    """UTS T1L but for its last level: nodes of a tenth of a microsecond, a geometric tree."""
    return ("jobs/uts.py", *setting.pick(("tree=T1L", "d=12"), ("tree=T1",), ("tree=T1", "d=6")))


def cyclic_tree(setting: Setting) -> Case:
    """UTS T2L: a geometric tree that is broad at some depths and narrow at others."""
    return ("jobs/uts.py", *setting.pick(("tree=T2L",), ("tree=T2",), ("tree=T2", "d=8")))


def short_tree(setting: Setting) -> Case:
    """UTS T3: over in a quarter of a second on two workers, so that what is not exploring shows."""
    return ("jobs/uts.py", *setting.pick(("tree=T3",), ("tree=T3",), ("tree=T3", "b=10")))


def uneven_tree(setting: Setting) -> Case:
    """UTS T3L: a binomial tree, deep, narrow and impossible to divide well."""
    return ("jobs/uts.py", *setting.pick(("tree=T3L",), ("tree=T3",), ("tree=T3", "b=10")))


def semigroups(setting: Setting, genus: int = 33) -> Case:
    """Nodes of 300 bytes."""
    return ("jobs/semigroups.py", setting.pick(f"genus={genus}", "genus=30", "genus=15"))


def kernels(setting: Setting) -> list[Row]:
    """Compare one worker with the bare kernel."""
    rows = []
    for name, case in {"queens": queens(setting), "uts": even_tree(setting), "semigroups": semigroups(setting)}.items():
        ways: dict[str, Callable[[], Any]] = {
            "bare": partial(bare, 1, *case),
            "process": partial(run, setting, 2, *case, "--isolation", "process"),
            "none": partial(run, setting, 2, *case, "--isolation", "none"),
            "alone": partial(run, setting, 1, *case),
        }
        rows += _compared(f"kernels.{name}", _measured(setting, f"kernels.{name}", ways), "the bare kernel", goal=">= 0.95")
    return rows


def two(setting: Setting) -> list[Row]:
    """Compare two workers with two bare kernels side by side, which share caches and clock speed as the workers do, and with one."""
    rows = []
    cases = {
        "queens": queens(setting, 16),
        "uts_T3L": uneven_tree(setting),
        "uts_T2L": cyclic_tree(setting),
        "semigroups": semigroups(setting, 32),
        "uts_T3": short_tree(setting),
    }
    for name, case in cases.items():
        ways: dict[str, Callable[[], Any]] = {"bare": partial(bare, 2, *case), "ranks": partial(run, setting, 3, *case)}
        if name in AGAINST_ONE:
            ways["one"] = partial(run, setting, 2, *case)
        measured = _measured(setting, f"two.{name}", ways)
        ones = measured.pop("one", [])
        rows += _compared(f"two.{name}", measured, "two bare kernels side by side", goal=">= 0.97")
        if ones:
            both, alone = ([SPEEDS["working"](each) for each in runs] for runs in (measured["ranks"], ones))
            rows.append(Row(f"two.{name}.against_one", "nodes/s", both, alone, "1 + 1 ranks", "2, less what two share"))
    return rows


def isolation(setting: Setting) -> list[Row]:
    """Compare explorers in a process of their own with explorers in the rank's, on two workers."""
    rows = []
    for name, case in {"queens": queens(setting), "uneven": short_tree(setting)}.items():
        ways = {way: partial(run, setting, 3, *case, "--isolation", way) for way in ("none", "process")}
        measured = _measured(setting.less(), f"isolation.{name}", ways)
        base = "--isolation none"
        for speed, of in SPEEDS.items():
            without, isolated = ([of(each) for each in measured[way]] for way in ("none", "process"))
            rows.append(Row(f"isolation.{name}.{speed}", "nodes/s", isolated, without, base))
    return rows


def _measured(setting: Setting, title: str, ways: Mapping[str, Callable[[], Any]]) -> dict[str, list[Any]]:
    """Measure ways of exploring one tree, and see to it that all of them found the same."""
    setting.say(f"  {title}: once before, to have everything compiled")
    next(iter(ways.values()))()
    measured = interleaved(setting, title, ways)
    results = [one.result for way in measured.values() for each in way for one in (each if isinstance(each, list) else [each])]
    if any(result != results[0] for result in results):
        raise MeasurementError(f"{title}: answers differ: {results}")
    return measured


def _compared(name: str, measured: dict[str, list[Any]], against: str, goal: str) -> list[Row]:
    """Make rows of all ways but the bare one, each compared with that."""
    bares: list[list[Bare]] = measured["bare"]
    base = [sum(each.nodes / each.seconds for each in side_by_side) for side_by_side in bares]
    rows = [Row(f"{name}.bare", "nodes/s", base)]
    rows.append(Row(f"{name}.bare.load", "s", [max(each.load_s for each in side_by_side) for side_by_side in bares]))
    for way, runs in measured.items():
        if way != "bare":
            rows += [
                Row(f"{name}.{way}.{speed}", "nodes/s", [of(each) for each in runs], base, against, goal)
                for speed, of in SPEEDS.items()
            ]
    return rows
