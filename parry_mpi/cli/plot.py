"""The command `parry-mpi plot`: draw how a run went, from the history in its folder.

This module must not change the folder, nor need the problem.
"""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parry_mpi.cli.telling import say
from parry_mpi.cli.wording import count_text, time_text
from parry_mpi.errors import EXIT_COMPLETE, UsageError
from parry_mpi.store.history import read_history
from parry_mpi.store.readers import read_status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("png", "svg")
DOTS_PER_INCH = 110

UNITS_S = ((86400.0, "days", 2), (3600.0, "hours", 2), (60.0, "minutes", 5), (1.0, "seconds", 0))
"""Units of the time axis: seconds, name, and how many of them a run has to have to be drawn in them."""

BLUE, ORANGE, GREEN, GREY, RED = "#2a6fbb", "#d9822b", "#3a9a5b", "#8a8f98", "#b3332e"
DEPTHS_TICKED = 8


@click.command("plot")
@click.argument("run_dir", metavar="DIR")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where to: FILE.png or FILE.svg; by default DIR.png, here."
)
def command(run_dir: str, *, output: Path | None) -> int:
    """Draw how a run went: progress against the estimate, speed, utilisation of workers, jobs by depth. Needs the extra plot."""
    output = output or Path(f"{Path(run_dir).resolve().name}.png")
    kind = output.suffix.lower().lstrip(".")
    if kind not in KINDS:
        raise UsageError(f"{output}: a picture is a .png or an .svg; give --output FILE.png or FILE.svg")
    status = read_status(run_dir)
    samples = read_history(run_dir)
    if len(samples) < 2:
        raise UsageError(
            f"{run_dir} has no history to draw: a run keeps a sample a second" + (", so wait a little" if status["live"] else "")
        )
    figure = draw(samples, title_of(status))
    try:
        figure.savefig(output, format=kind, dpi=DOTS_PER_INCH)
    except OSError as error:
        with contextlib.suppress(OSError):
            output.unlink(missing_ok=True)
        raise UsageError(f"{output} cannot be written ({error.strerror or error})") from error
    say(f"wrote {output}: {len(samples)} samples over {time_text(times_of(samples)[-1])}")
    return EXIT_COMPLETE


def title_of(status: dict[str, Any]) -> str:
    """Name the run and say how it is."""
    parameters = " ".join(f"{name}={value}" for name, value in status.get("parameters", {}).items() if value is not None)
    how = "running" if status.get("live") else "complete" if status.get("complete") else "not finished"
    return f"{status.get('problem', '?')} {parameters}".rstrip() + f"  ({how})"


def times_of(samples: list[dict[str, Any]]) -> list[float]:
    """Return when each sample was taken, in seconds of running: the time between two lives is left out."""
    times: list[float] = []
    before_s, last = 0.0, samples[0]
    for sample in samples:
        if sample["life"] != last["life"]:
            before_s += last["seconds"]
        times.append(max(before_s + sample["seconds"], times[-1] if times else 0.0))
        last = sample
    return times


def draw(samples: list[dict[str, Any]], title: str) -> Figure:
    """Draw the four charts one above the other, over the same time.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 an extra, and slow to import
    except ImportError:
        raise UsageError('plot needs matplotlib: pip install "parry_mpi[plot]"') from None

    times_s = times_of(samples)
    unit_s, unit = next((size, name) for size, name, least in UNITS_S if times_s[-1] >= least * size)
    times = [each / unit_s for each in times_s]
    figure = Figure(figsize=(9, 10), layout="constrained")
    figure.suptitle(title, fontsize=12)
    charts = figure.subplots(4, 1, sharex=True, height_ratios=(3, 2, 2, 3))
    _draw_progress(charts[0], times, samples)
    _draw_speed(charts[1], times, samples)
    _draw_workers(charts[2], times, samples)
    _draw_depths(figure, charts[3], times, samples)
    restarts = [
        time for time, (earlier, later) in zip(times, pairwise(samples), strict=False) if earlier["life"] != later["life"]
    ]
    for chart in charts:
        for number, time in enumerate(restarts):
            label = "restart" if chart is charts[0] and not number else None
            chart.axvline(time, color=RED, linestyle="--", linewidth=1, label=label)
        chart.margins(x=0)
        chart.spines[["top", "right"]].set_visible(False)
    charts[0].legend(loc="best", frameon=False, fontsize=9)
    charts[-1].set_xlabel(f"{unit} of running")
    return figure


def _draw_progress(chart: Axes, times: list[float], samples: list[dict[str, Any]]) -> None:
    """The nodes explored, against how many there seem to be."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    nodes = [sample["nodes"] for sample in samples]
    chart.fill_between(times, nodes, color=BLUE, alpha=0.25, linewidth=0)
    chart.plot(times, nodes, color=BLUE, label="explored")
    known = [sample["estimate"] or {} for sample in samples]
    middle, low, high = ([each.get(name, math.nan) for each in known] for name in ("nodes", "nodes_low", "nodes_high"))
    if any(known):
        chart.plot(times, middle, color=ORANGE, label="estimate of the whole tree, and its interval")
        chart.fill_between(times, low, high, color=ORANGE, alpha=0.2, linewidth=0)
        # The interval may be wild at the beginning; what is drawn is what the middle and the truth need.
        most = max(*nodes, *(each for each in middle if not math.isnan(each)))
        chart.set_ylim(0, 1.6 * most)
    chart.set_ylim(bottom=0)
    chart.set_ylabel("nodes")
    chart.yaxis.set_major_formatter(FuncFormatter(lambda count, _: count_text(count)))
    share = chart.twinx()
    share.plot(times, [100 * sample["explored"] for sample in samples], color=GREY, linestyle=":", linewidth=1.5)
    share.set_ylim(0, 160)
    share.set_yticks([0, 50, 100])
    share.set_ylabel("explored share, % (dotted)", color=GREY)
    share.tick_params(axis="y", colors=GREY)
    share.spines[["top"]].set_visible(False)


def _draw_speed(chart: Axes, times: list[float], samples: list[dict[str, Any]]) -> None:
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    chart.plot(times, [sample["nodes_per_s"] for sample in samples], color=GREEN, linewidth=1)
    chart.set_ylim(bottom=0)
    chart.set_ylabel("nodes/s")
    chart.yaxis.set_major_formatter(FuncFormatter(lambda count, _: count_text(count)))


def _draw_workers(chart: Axes, times: list[float], samples: list[dict[str, Any]]) -> None:
    """How many workers there are, and how many of them have work."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    workers, busy = [sample["workers"] for sample in samples], [sample["busy"] for sample in samples]
    chart.fill_between(times, workers, step="mid", color=GREY, alpha=0.3, linewidth=0, label="connected")
    chart.fill_between(times, busy, step="mid", color=BLUE, alpha=0.8, linewidth=0, label="busy")
    chart.set_ylim(0, 1.35 * max(1, *workers))
    chart.set_ylabel("workers")
    chart.yaxis.set_major_locator(MaxNLocator(integer=True))
    chart.set_title(f"utilisation {utilisation(times, samples):.1%}", fontsize=10, loc="right")
    chart.legend(loc="upper left", frameon=False, fontsize=9, ncols=2)


def utilisation(times: list[float], samples: list[dict[str, Any]]) -> float:
    """Return the share of the workers' time, 0 to 1, in which they had work, as far as samples can tell."""
    steps = [(sample, later - earlier) for sample, (earlier, later) in zip(samples[1:], pairwise(times), strict=True)]
    there = sum(sample["workers"] * step for sample, step in steps)
    return sum(sample["busy"] * step for sample, step in steps) / there if there else 0.0


def _draw_depths(figure: Figure, chart: Axes, times: list[float], samples: list[dict[str, Any]]) -> None:
    """How many jobs there were at each depth, pending and leased together."""
    import numpy as np  # noqa: PLC0415 slow to load
    from matplotlib.colors import LogNorm  # noqa: PLC0415

    depths = sorted({row[0] for sample in samples for row in sample["by_depth"]})
    if not depths:
        chart.set_ylabel("no jobs by depth")
        return
    place = {depth: index for index, depth in enumerate(depths)}
    jobs = np.zeros((len(depths), len(samples)))
    for column, sample in enumerate(samples):
        for depth, pending, leased in sample["by_depth"]:
            jobs[place[depth], column] = pending + leased
    edges = [times[0], *((earlier + later) / 2 for earlier, later in pairwise(times)), times[-1]]
    shown = np.ma.masked_equal(jobs, 0)
    norm = LogNorm(1, max(10.0, float(jobs.max())))
    mesh = chart.pcolormesh(edges, np.arange(len(depths) + 1) - 0.5, shown, norm=norm, cmap="viridis", rasterized=True)
    ticked = range(0, len(depths), -(-len(depths) // DEPTHS_TICKED))
    chart.set_yticks(list(ticked), [str(depths[index]) for index in ticked])
    chart.invert_yaxis()
    chart.set_ylabel("depth of jobs")
    figure.colorbar(mesh, ax=chart, label="jobs, pending and leased", pad=0.01)
