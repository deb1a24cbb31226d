"""The command `python -m tests.benchmarks [--quick] [--publish] [NAME ...]`: run benchmarks, print a table, write JSON and a picture.

This module must not measure, and its exit code tells only whether everything could be measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    bridging,
    comparing,
    exploring,
    growing,
    optimising,
    plotting,
    publishing,
    sharing,
    sweeping,
    waiting,
    watching,
)
from tests.benchmarks.harness import REPETITIONS, Row, Section, Setting, Size, machine, measured_section, table
from tests.support.commands import ROOT, mpis

BENCHMARKS: dict[str, tuple[str, Callable[[Setting], list[Row]]]] = {
    "kernels": ("one worker and a bare kernel", exploring.kernels),
    "two": ("two workers and two bare kernels side by side", exploring.two),
    "isolation": ("explorers in a process of their own, and in the rank's", exploring.isolation),
    "idle": ("processors used while waiting", waiting.idle),
    "memory": ("rank 0's memory in a long sweep", sweeping.memory),
    "start": ("four ranks from nothing to the answer of a small run", waiting.start),
    "share": ("from asking for a job to getting it, while another worker holds the only lease", sharing.share),
    "peers": ("jobs that cost nothing, against other programs that farm out jobs", comparing.peers),
    "branching": ("a small branch and bound, written for pybnb and for this", comparing.branching),
    "optimisation": ("branch and bound, with incumbents shared and not", optimising.optimisation),
    "pending": ("ever more pending jobs, and commits", growing.pending),
    "ranks": ("one tree on ever more ranks of this machine", growing.ranks),
    "simulated": ("many simulated workers", growing.simulated),
    "simulated-large": ("very many simulated workers", growing.simulated_large),
    "dashboard": ("a run with nobody watching, and with its page open", watching.dashboard),
    "bridge": ("workers outside MPI: signatures, frames, and jobs that cost nothing", bridging.bridge),
}

ONLY_BY_NAME = frozenset({"simulated-large"})
"""What takes long, and does not depend on the machine."""

OUTPUT = ROOT / "build" / "benchmarks.json"
"""Where the figures go by default; build/ is not part of the project."""


def main() -> int:
    """Be the command."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    options = _options()
    if options.render:
        _present(json.loads(options.output.read_text()), options)
        return 0
    installed = {mpi.name: mpi for mpi in mpis()}
    if not installed or (options.mpi and options.mpi not in installed):
        _say(f"no MPI, or not this one; there is {', '.join(installed) or 'none'}")
        return 2
    mpi = installed[options.mpi] if options.mpi else next(iter(installed.values()))
    size: Size = "tiny" if options.tiny else "quick" if options.quick else "full"
    about: dict[str, Any] = {**machine(mpi), "size": size}
    about["versions"] |= comparing.versions()
    sections: list[Section] = []
    kept = _kept(options) if options.add else []
    began_at_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="parry-benchmarks-") as scratch:
        setting = Setting(mpi, size, options.repetitions or REPETITIONS[size], Path(scratch), _say)
        for name in options.names or [name for name in BENCHMARKS if name not in ONLY_BY_NAME]:
            title, measure = BENCHMARKS[name]
            sections.append(measured_section(setting, name, title, measure))
            document = _document(about, kept, sections)
            _write(options.output, document)  # whatever ends this early, what was measured is kept
    print(", ".join(f"{key} {value}" for key, value in about.items() if key != "versions"))
    print(", ".join(f"{key} {value}" for key, value in about["versions"].items()))
    print(table(sections))
    _say(f"{(time.monotonic() - began_at_s) / 60:.1f} minutes; written to {options.output}")
    _present(document, options)
    return int(any(section.failure for section in sections))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure parry_mpi on this machine.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which benchmarks, by default all: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="smaller problems, three repetitions instead of five")
    parser.add_argument("--tiny", action="store_true", help="only try whether everything works; the figures mean nothing")
    parser.add_argument("--repetitions", type=int, metavar="N", help="how often each way is measured")
    parser.add_argument("--mpi", metavar="NAME", help="which MPI, by default that of this environment")
    parser.add_argument("--output", type=Path, metavar="FILE", default=OUTPUT, help="where the figures go as JSON")
    parser.add_argument("--add", action="store_true", help="keep what FILE has of benchmarks that are not measured now")
    parser.add_argument("--publish", action="store_true", help="put the figures into docs/performance.md and README.md")
    parser.add_argument("--render", action="store_true", help="measure nothing: picture and pages from the figures in FILE")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}; there is {', '.join(BENCHMARKS)}")
    return options


def _kept(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What was measured before and is not measured now."""
    before = json.loads(options.output.read_text())["sections"] if options.output.exists() else []
    return [section for section in before if section["name"] not in options.names]


def _document(about: dict[str, Any], kept: list[dict[str, Any]], sections: list[Section]) -> dict[str, Any]:
    """All that is known, in the order of the list of benchmarks."""
    order = list(BENCHMARKS)
    told = [*kept, *(section.as_data() for section in sections)]
    return {**about, "sections": sorted(told, key=lambda section: order.index(section["name"]))}


def _present(document: dict[str, Any], options: argparse.Namespace) -> None:
    """Draw the picture, and publish if that is wanted."""
    picture = publishing.PICTURE if options.publish else options.output.with_suffix(".svg")
    if plotting.plot(document, picture):
        _say(f"drawn as {picture}")
    if options.publish:
        publishing.publish(document)
        _say(f"put into {publishing.PAGE} and {publishing.README}")


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
