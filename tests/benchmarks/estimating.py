"""How good the estimate of a tree's size is: over real runs, and how often the truth is within its interval, on many random trees.

    python -m tests.benchmarks.estimating runs [--picture FILE]     # real runs on 1 + 2 ranks, and a picture of them (extra plot)
    python -m tests.benchmarks.estimating coverage [--seconds N]    # random trees, without processes or clocks

The tables are those of docs/progress.md. This module must not judge.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from parry_mpi.core.estimate import Estimator
from parry_mpi.core.records import Reported
from parry_mpi.store.history import read_history

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from support.farming import Farm  # noqa: E402
from support.problems import load  # noqa: E402

AT = (0.1, 0.2, 0.4, 0.6, 0.8)
"""Parts of the nodes, or of the time, at which an estimate is compared with the truth."""

RUNS = {
    "UTS T3": ("uts.py", "tree=T3", "engine=python"),
    "UTS T1": ("uts.py", "tree=T1", "engine=python"),
    "queens n=14": ("queens.py", "n=14", "engine=python"),
    "semigroups genus=38": ("semigroups.py", "genus=38"),
}
"""What is run. Compiled, most of them are over before there is an estimate."""

NODES_MIN, NODES_MAX = 3_000, 400_000
"""Random trees outside of that are left out."""


def real_run(words: tuple[str, ...]) -> list[dict[str, Any]]:
    """Run a problem on 1 + 2 ranks and return its history."""
    with tempfile.TemporaryDirectory() as folder:
        mpiexec = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or "mpiexec"
        program = [sys.executable, "-m", "parry_mpi", "run", f"jobs/{words[0]}", *words[1:], "--run-dir", f"{folder}/run"]
        subprocess.run([mpiexec, "-n", "3", *program], cwd=ROOT, check=True, capture_output=True)
        return read_history(f"{folder}/run")


def runs(picture: Path | None) -> None:
    """Compare estimates with the truth over the course of real runs."""
    shown = {}
    for name, words in RUNS.items():
        samples = real_run(words)
        shown[name] = samples
        end = samples[-1]
        cells = []
        for part in AT:
            sample = min(samples, key=lambda each, at=part * end["seconds"]: abs(each["seconds"] - at))
            found = sample["estimate"]
            cells.append(
                f"{found['nodes'] / end['nodes']:.2f} ({found['nodes_low'] / end['nodes']:.2f}-"
                f"{found['nodes_high'] / end['nodes']:.2f})"
                if found
                else "not known"
            )
        print(f"| {name} | {end['nodes']} | {end['seconds']:.0f} s | {' | '.join(cells)} |", flush=True)
    if picture is not None:
        draw(shown, picture)


def draw(shown: dict[str, list[dict[str, Any]]], picture: Path) -> None:
    """Draw estimates over time, both as parts of the truth."""
    from matplotlib.figure import Figure  # noqa: PLC0415 an extra

    figure = Figure(figsize=(10, 6), layout="constrained")
    for chart, (name, samples) in zip(figure.subplots(2, 2, sharex=True, sharey=True).flat, shown.items(), strict=True):
        seconds, nodes = samples[-1]["seconds"], samples[-1]["nodes"]
        times = [sample["seconds"] / seconds for sample in samples]
        known = [(time, sample["estimate"]) for time, sample in zip(times, samples, strict=True) if sample["estimate"]]
        low, middle, high = ([each[key] / nodes for _, each in known] for key in ("nodes_low", "nodes", "nodes_high"))
        chart.fill_between([time for time, _ in known], low, high, color="#d9822b", alpha=0.2, linewidth=0, label="interval")
        chart.plot([time for time, _ in known], middle, color="#d9822b", label="estimate")
        chart.plot(times, [sample["nodes"] / nodes for sample in samples], color="#2a6fbb", label="explored nodes")
        chart.plot(times, [sample["explored"] for sample in samples], color="#8a8f98", linestyle=":", label="explored share")
        chart.axhline(1, color="black", linewidth=0.8)
        chart.set_yscale("log")
        chart.set_ylim(0.04, 25)
        chart.set_xlim(0, 1)
        chart.set_title(f"{name}: {nodes:.3g} nodes, {seconds:.0f} s", fontsize=10)
        chart.set_yticks([0.1, 0.5, 1, 2, 10], ["0.1", "0.5", "1", "2", "10"])
    figure.axes[0].legend(fontsize=8, frameon=False)
    figure.supxlabel("part of the time", fontsize=10)
    figure.supylabel("part of all nodes", fontsize=10)
    figure.savefig(picture)


def trees(seed: int) -> Iterator[tuple[str, Any]]:
    """Give problems without end: families in turn, each with seeds of its own."""
    draw_from = random.Random(seed)
    uts, queens, semigroups = load("uts").UnbalancedTree, load("queens").Queens, load("semigroups").Semigroups
    for round_count in itertools.count():
        for engine in ("auto", "python"):
            kind = "compiled" if engine == "auto" else "python"
            root = draw_from.randrange(10**9)
            yield f"UTS geometric, fixed; {kind}", uts(t=1, a=3, d=draw_from.choice([5, 6]), b=4.0, r=root, engine=engine)
            yield f"UTS geometric, linear; {kind}", uts(t=1, a=0, d=draw_from.choice([10, 11, 12]), b=4.0, r=root, engine=engine)
            yield f"UTS binomial, 0.96; {kind}", uts(t=0, b=400.0, q=0.12, m=8, r=root, engine=engine)
            yield f"UTS binomial, 0.996; {kind}", uts(t=0, b=100.0, q=0.1245, m=8, r=root, engine=engine)
            if round_count < 2:
                yield f"queens; {kind}", queens(n=8 + round_count + (engine == "auto"), engine=engine)
                yield f"semigroups; {kind}", semigroups(genus=17 + round_count + 3 * (engine == "auto"), engine=engine)


def estimates(problem: Any, nodes: int, hands_count: int) -> list[tuple[int, Any]]:
    """Run a problem, with some 300 reports if it has so many nodes, and return the nodes explored and the estimate after each."""
    farm = Farm(problem, hands_count, max(1, nodes // (hands_count * 1500)), 5)
    found: list[tuple[int, Any]] = []
    estimator = Estimator(type(farm.coordinator.state)())
    estimator._state = farm.coordinator.state  # what the farm did before it was asked is taken in below
    for effects in itertools.chain(farm.early, farm.run()):
        for record in effects.records:
            estimator.take(record)
        if any(isinstance(record, Reported) for record in effects.records):
            found.append((farm.coordinator.state.counters.nodes, estimator.estimate()))
    return found


def coverage(seconds: float) -> None:
    """Count how often the truth was in the interval."""
    ends_at, hands = time.process_time() + seconds, itertools.cycle((2, 2, 6))
    counted: dict[str, dict[float, list[tuple[int, Any]]]] = {}
    for name, problem in trees(7):
        if time.process_time() > ends_at:
            break
        nodes = 20_000
        for _ in range(2):  # the first time to see how large it is
            found = estimates(problem, nodes, next(hands))
            if not NODES_MIN <= found[-1][0] <= NODES_MAX or nodes == found[-1][0]:
                break
            nodes = found[-1][0]
        if not NODES_MIN <= nodes <= NODES_MAX or nodes != found[-1][0]:
            continue
        for part in AT:
            estimate = next(each for explored, each in found if explored >= part * nodes)
            if estimate is not None:
                counted.setdefault(name, {}).setdefault(part, []).append((nodes, estimate))
    for name, parts in sorted(counted.items()):
        for part in (0.2, 0.4, 0.8):
            each = parts.get(part, [])
            inside = sum(found.nodes_low <= nodes <= found.nodes_high for nodes, found in each)
            within = sum(0.5 <= found.nodes / nodes <= 2 for nodes, found in each)
            if each:
                middle = statistics.median(found.nodes / nodes for nodes, found in each)
                width = statistics.median(found.nodes_high / found.nodes_low for _, found in each)
                cells = (
                    f"{part:.0%}",
                    len(each),
                    f"{middle:.2f}",
                    f"{within} of {len(each)}",
                    f"{inside} of {len(each)}",
                    f"{width:.1f}",
                )
                print("|", name, "|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("runs", "coverage"))
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time")
    arguments = parser.parse_args()
    if arguments.what == "runs":
        runs(arguments.picture)
    else:
        coverage(arguments.seconds)


if __name__ == "__main__":
    main()
