"""What several commands have in common in the way they are typed.

This module must not know what an option does, nor import what is slow to load.
"""

from __future__ import annotations

import click

TIMES = "A TIME is 90, 90s, 10m, 2h, or as Slurm writes it: 30:00, 2:00:00, 1-12:00:00."
"""The last line of the help of a command that takes times."""

isolation = click.option(
    "--isolation",
    type=click.Choice(["process", "none"]),
    default="process",
    show_default=True,
    help="Explore in a process of its own, which may crash or hang, or in the worker's.",
)
