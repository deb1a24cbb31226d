"""Make Markdown of the figures, and put it between two marks in docs/performance.md and README.md.

It works from the JSON alone, so figures can be published later, and elsewhere, than they were measured. This module must not measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import number_text
from tests.support.commands import ROOT

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
"""What stands between these is written by `python -m tests.benchmarks --publish` and by nobody else."""

PAGE = ROOT / "docs" / "performance.md"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "performance.svg"

SECONDS_LONG = ("queens", "uts_T3L", "uts_T2L")
"""The trees that keep two workers busy for seconds, and show exploring rather than beginning and ending."""

Row = Mapping[str, Any]


def publish(document: Mapping[str, Any]) -> None:
    """Put the figures into the page and the README.

    Raises:
        ValueError: a file has no place for them.
    """
    _replace(PAGE, page(document))
    _replace(README, summary(document))


def page(document: Mapping[str, Any]) -> str:
    """Return all figures as Markdown."""
    parts = [_about(document)]
    if PICTURE.exists():
        parts.append(f"![jobs a second, kernels, ranks]({PICTURE.name})")
    for section in document["sections"]:
        parts.append(f"### {section['name']}: {section['title']}")
        if section["failure"]:
            parts.append(f"Not measured: {section['failure'].splitlines()[0]}")
        if section["rows"]:
            parts.append(TABLES.get(section["name"], _table)(section["rows"]))
        parts += [f"- {note}" for note in section["notes"]]
        if section["busy"] > 0.1:
            parts.append(f"(Others used {section['busy']:.0%} of the cores just before: these figures are not worth much.)")
    return "\n\n".join(parts)


def summary(document: Mapping[str, Any]) -> str:
    """Return the few lines of the README."""
    rows = {row["name"]: row for section in document["sections"] for row in section["rows"]}
    lines = [line for line in (_jobs(rows), _kernels(rows), _branching(rows), _sharing(rows), _start(rows)) if line]
    head = ["| on two cores | | compared with |", "| --- | --- | --- |"]
    return "\n".join([*head, *lines]) if lines else "(to be measured)"


def _jobs(rows: Mapping[str, Row]) -> str:
    ours, theirs = rows.get("peers.parry_mpi.index"), [rows.get("peers.mpi4py.best"), rows.get("peers.mpi4py.one")]
    if ours is None or None in theirs:
        return ""
    best, one = (ours["figure"] / row["figure"] for row in theirs if row)
    times = f"{best:.1f} times mpi4py.futures at its best chunksize, {number_text(one)} times one by one"
    return f"| jobs that cost nothing, 1 + 2 ranks, state on disk | {number_text(ours['figure'])} a second | {times} |"


def _kernels(rows: Mapping[str, Row]) -> str:
    shares = [rows[name]["ratio"] for case in SECONDS_LONG if (name := f"two.{case}.ranks.working") in rows]
    if not shares:
        return ""
    percent = f"{min(shares):.1%}" if len(shares) == 1 else f"{min(shares):.1%} to {max(shares):.1%}"
    return f"| compiled kernels (n queens, UTS), 1 + 2 ranks | {percent} of their bare speed | two bare processes side by side |"


def _branching(rows: Mapping[str, Row]) -> str:
    ours, theirs = rows.get("branching.parry_mpi"), rows.get("branching.pybnb")
    if ours is None or theirs is None:
        return ""
    times = f"{number_text(ours['figure'] / theirs['figure'])} times pybnb, on its own example"
    nested = next(
        (row for name, row in rows.items() if name.startswith("branching.golomb") and name.endswith("nested.seconds")), None
    )
    if nested:
        times += f"; its NestedSolver takes {nested['ratio']:.2g} times as long for a Golomb ruler"
    return f"| branch and bound in plain Python, 1 + 2 ranks | {number_text(ours['figure'])} nodes a second | {times} |"


def _sharing(rows: Mapping[str, Row]) -> str:
    row = rows.get("share.process.median")
    return f"| an idle worker waits for work that another has | {number_text(row['figure'])} ms (median) | |" if row else ""


def _start(rows: Mapping[str, Row]) -> str:
    row = rows.get("start.queens.compiled")
    if row is None:
        return ""
    return f"| four ranks, from nothing to a small answer | {number_text(row['figure'])} s | {row['ratio']:.1f} times an MPI hello world |"


def _about(document: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    size = "" if document["size"] == "full" else f" **Size {document['size']}: only to try it.**"
    return (
        f"Measured {document['date'][:10]} on {document['cores']} cores ({document['processor']}), {document['system']}, "
        f"Python {document['python']}, commit {document['commit']}.{size}\n\n{versions}."
    )


def _table(rows: list[Row]) -> str:
    lines = ["| | figure | ratio | spread | n | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        ratio = "" if row["ratio"] is None else number_text(row["ratio"])
        words = ", ".join(filter(None, (row["against"], row["goal"] and f"goal {row['goal']}")))
        figure = f"{number_text(row['figure'])} {row['unit']}"
        spread = f"{row['spread']:.1%}" if row["n"] > 1 else ""
        lines.append(f"| {row['name']} | {figure} | {ratio} | {spread} | {row['n']} | {words} |")
    return "\n".join(lines)


def _peers(rows: list[Row]) -> str:
    """The comparison with others, fastest first, with how many times as many jobs ours does."""
    lines = ["| | jobs a second | ours does | spread |", "| --- | ---: | ---: | ---: |"]
    for row in sorted(rows, key=lambda row: -row["figure"]):
        own = row["name"].startswith("peers.parry_mpi")
        way = f"**parry_mpi**, {row['against']}" if own else row["against"].removesuffix(", as a part of ours")
        times = "" if row["ratio"] is None else f"{number_text(1 / row['ratio'])} times as many"
        lines.append(f"| {way} | {number_text(row['figure'])} | {times} | {row['spread']:.1%} |")
    return "\n".join(lines)


def _optimisation(rows: list[Row]) -> str:
    """Nodes and seconds on so many ranks, incumbents shared and not, side by side."""
    by_name = {row["name"].removeprefix("optimisation."): row for row in rows}
    lines = [
        "| | ranks | nodes, shared | of one process | s | nodes, not shared | of one process | s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in by_name.items():
        case, *way, measure = name.split(".")
        if measure == "nodes" and way == ["alone"]:
            lines.append(f"| {case} | one process | {number_text(row['figure'])} | 1 | {_seconds(by_name, name)} | | | |")
        elif measure == "nodes" and way[1] == "shared":
            ways = (name, f"{case}.{way[0]}.unshared.nodes")
            cells = [
                f"{number_text(by_name[each]['figure'])} | {_times(by_name[each])} | {_seconds(by_name, each)}" for each in ways
            ]
            lines.append(f"| | {way[0].replace('+', ' + ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _seconds(by_name: Mapping[str, Row], nodes_name: str) -> str:
    return number_text(by_name[f"{nodes_name.removesuffix('nodes')}seconds"]["figure"])


def _times(row: Row) -> str:
    """The median ratio, and the smallest and the largest if they differ from it."""
    ratios = [value / base for value, base in zip(row["values"], row["base"], strict=True)]
    middle, least, most = (f"{ratio:.3g}" for ratio in (row["ratio"], min(ratios), max(ratios)))
    return middle if least == most else f"{middle} ({least} to {most})"


TABLES = {"peers": _peers, "optimisation": _optimisation}
"""Benchmarks whose figures are not told line by line."""


def _replace(path: Path, text: str) -> None:
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} and {END}, between which figures would go")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
