"""Show a run while it goes on: a panel on a terminal, a plain line now and then elsewhere. All of it goes to stderr.

This module must not decide anything, and must never hold up or end the run that it shows.
"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

import click
import msgspec

from parry_mpi.cli.telling import say
from parry_mpi.cli.terminal import takes_more
from parry_mpi.cli.wording import count_text, estimate_text, optimum_text, share_text, time_text
from parry_mpi.core.view import View
from parry_mpi.runtime import clock

if TYPE_CHECKING:
    from rich.live import Live
    from rich.panel import Panel

FIRST_LINE_MS = 2_000
"""A run that is over by then needs no line."""

LINE_MS = 10_000
"""A plain line so often: a night of them is still a short file."""

PANEL_MS = 200

COLUMNS, ROWS = 80, 24
"""Size of a terminal that does not say."""

SPEED_MS = 5_000
"""The speed shown is that of the last so many milliseconds: steady enough to read, quick enough to show a change."""


class Display:
    """Shows a run. It is a context manager, and ``show`` is called as often as anybody likes.

    Args:
        title: what is run.
        terminal: where to draw the panel; None for plain lines.
        lines: where plain lines go.
    """

    def __init__(self, title: str, terminal: TextIO | None, lines: TextIO) -> None:
        self._title = title
        self._terminal = terminal
        self._lines = lines
        self._live: Live | None = None
        self._began_at_ms = clock.now_ms()
        self._next_at_ms = self._began_at_ms + (0 if terminal else FIRST_LINE_MS)
        self._latest: collections.deque[tuple[int, int]] = collections.deque()

    def show(self, view: View) -> None:
        """Show how far the run is, if it is time to. Never raises."""
        now_ms = clock.now_ms()
        self._note(now_ms, view.nodes)
        if now_ms < self._next_at_ms:
            return
        self._next_at_ms = now_ms + (PANEL_MS if self._terminal else LINE_MS)
        stream = self._terminal or self._lines
        if not takes_more(stream):
            return
        with contextlib.suppress(OSError, ValueError):  # a terminal that was closed, a full disk: the run goes on
            if self._terminal is not None:
                self._draw(self._terminal, view, now_ms)
            else:
                click.echo(f"parry-mpi: {self.line(view, now_ms)}", file=stream)

    def warn(self, line: str) -> None:
        """Tell the user something that is worth a line of its own. Never raises."""
        with contextlib.suppress(OSError, ValueError):
            if self._live is not None:  # take the panel away; it is drawn again below the line
                self._live.stop()
                self._live = None
            say(line)

    def line(self, view: View, now_ms: int) -> str:
        """Return the numbers of a run on one line."""
        elapsed = time_text((now_ms - self._began_at_ms) / 1000)
        speed = f"{count_text(view.nodes)} nodes ({count_text(self._nodes_per_s())}/s)"
        whole = f" of {estimated(view)}" if view.estimate else ""
        return f"{share_text(view.explored)} explored after {elapsed}, {speed}{whole}, {', '.join(facts(view))}"

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._live is not None:
                self._live.stop()
        if self._terminal is not None and self._terminal is not sys.stderr:
            with contextlib.suppress(OSError, ValueError):
                self._terminal.close()

    def _note(self, now_ms: int, nodes: int) -> None:
        self._latest.append((now_ms, nodes))
        while len(self._latest) > 2 and self._latest[1][0] <= now_ms - SPEED_MS:
            self._latest.popleft()

    def _nodes_per_s(self) -> float:
        (first_ms, first), (last_ms, last) = self._latest[0], self._latest[-1]
        return (last - first) * 1000 / (last_ms - first_ms) if last_ms > first_ms else 0.0

    def _draw(self, terminal: TextIO, view: View, now_ms: int) -> None:
        from rich.console import ConsoleDimensions  # noqa: PLC0415 slow to import: only when somebody watches

        panel = self._panel(view, now_ms)
        if self._live is None:
            self._live = _live(terminal, panel)
            self._live.start()
        # Looked up each time, for it may be resized; rich would ask stdout, which may be a file. Some terminals do not say.
        columns, rows = os.get_terminal_size(terminal.fileno())
        self._live.console.size = ConsoleDimensions(columns or COLUMNS, rows or ROWS)
        self._live.update(panel, refresh=True)

    def _panel(self, view: View, now_ms: int) -> Panel:
        from rich.panel import Panel  # noqa: PLC0415 slow to import: only when somebody watches
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        elapsed = time_text((now_ms - self._began_at_ms) / 1000)
        first = Text(
            f"{share_text(view.explored)} explored   {elapsed}   {count_text(self._nodes_per_s())} nodes/s", style="bold"
        )
        bar = ProgressBar(total=1.0, completed=view.explored)
        last = Text(f"{count_text(view.nodes)} nodes, {', '.join(facts(view))}")
        rows = Table.grid(expand=True)
        for row in (first, bar):
            rows.add_row(row)
        if view.estimate:
            rows.add_row(Text(estimated(view)))
        rows.add_row(last)
        return Panel(rows, title=Text(self._title), title_align="left", subtitle=view.phase, subtitle_align="right")


def estimated(view: View) -> str:
    """Say how large the tree seems to be, and how long the rest will take; "" while that is not known."""
    return estimate_text(msgspec.structs.asdict(view.estimate)) if view.estimate else ""


def facts(view: View) -> list[str]:
    """Return the numbers of a run that are not about nodes; what is usually zero only if it is not."""
    optimum = optimum_text(view.objective, view.bound)
    found = [
        *([optimum] if optimum else []),
        f"{view.solved} jobs solved",
        f"{view.pending}{'+' if view.roots_left else ''} pending",
        f"{view.leased} leased",
        f"{view.busy} of {view.workers} workers busy" if view.workers != 1 else f"1 worker {'busy' if view.busy else 'idle'}",
    ]
    found += [f"{view.killings} killings"] if view.killings else []
    found += [f"{view.quarantined} quarantined"] if view.quarantined else []
    return found


def _live(terminal: TextIO, panel: Panel) -> Live:
    from rich.console import Console  # noqa: PLC0415 slow to import: only when somebody watches
    from rich.live import Live  # noqa: PLC0415

    class VisibleCursor(Console):
        """Leaves the cursor alone: a run that is killed must not leave a terminal without one."""

        def show_cursor(self, show: bool = True) -> bool:  # noqa: FBT001, FBT002 rich's own signature
            return show

    console = VisibleCursor(file=terminal, force_terminal=True)
    # No thread, because explorers are forked; and nothing of ours is redirected, because what the user's code prints is not ours.
    return Live(panel, console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
