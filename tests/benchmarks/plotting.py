"""Draw the figures: jobs that cost nothing, for everybody who can do them, and how much of a bare kernel's speed is left.

This module must not measure; without matplotlib (extra plot) it draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OURS, THEIRS = "#c03b2b", "#7f8c9a"


def plot(document: Mapping[str, Any], path: Path) -> bool:
    """Draw what there is into a file.

    Returns:
        Whether there is a picture; not without matplotlib, nor without figures.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 an extra
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    sections = {section["name"]: section["rows"] for section in document["sections"]}
    panels = [draw for name, draw in PANELS.items() if any(sections.get(each) for each in name.split())]
    if not panels:
        return False
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "parry_mpi", "font.size": 9})
    figure = Figure(figsize=(8, 3.4 * len(panels)), layout="constrained")
    for axes, draw in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        draw(axes, sections)
    figure.savefig(path, metadata={"Date": None})
    return True


def _jobs(axes: Any, sections: Mapping[str, list[dict[str, Any]]]) -> None:
    """Jobs a second, on a scale of powers of ten."""
    rows = sorted(sections["peers"], key=lambda row: row["figure"])
    own = [row["name"].startswith("peers.parry_mpi") for row in rows]
    names = [
        f"parry_mpi, {row['against']}".split(";")[0] if ours else row["against"].removesuffix(", as a part of ours")
        for row, ours in zip(rows, own, strict=True)
    ]
    axes.barh(names, [row["figure"] for row in rows], color=[OURS if ours else THEIRS for ours in own])
    axes.set_xscale("log")
    axes.set_title("jobs that cost nothing, a second, on two workers", loc="right")


def _kernels(axes: Any, sections: Mapping[str, list[dict[str, Any]]]) -> None:
    """How much of the bare speed is left."""
    rows = [row for name in ("kernels", "two") for row in sections.get(name, []) if row["name"].endswith(".working")]
    axes.barh(
        [row["name"].removesuffix(".working") for row in reversed(rows)], [row["ratio"] for row in reversed(rows)], color=OURS
    )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlim(0, 1.1)
    axes.set_title("speed of compiled kernels, as a part of their bare speed", loc="right")


def _growth(axes: Any, sections: Mapping[str, list[dict[str, Any]]]) -> None:
    """One tree on ever more ranks."""
    rows = [row for row in sections["ranks"] if row["name"].endswith(".working")]
    counts = [int(row["name"].split(".")[1]) for row in rows]
    axes.plot(counts, [row["figure"] for row in rows], marker="o", color=OURS)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ranks, on a machine with few cores")
    axes.set_title("nodes a second, n queens", loc="right")


PANELS = {"peers": _jobs, "kernels two": _kernels, "ranks": _growth}
"""By the benchmarks of which one is needed."""
