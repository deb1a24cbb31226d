"""Signals that ask a run to stop: noted by a handler that does nothing else, looked at by the loop.

This module must not decide what to do about them.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C; what batch systems and launchers send at the end; what Slurm sends before it (--signal=USR1)."""


class StopSignals:
    """Note stop signals while the ``with`` block lasts.

    Attributes:
        name: of the first one that came, or "".
        seen: whether the loop has acted on it.
        impatient: whether a second Ctrl-C or SIGTERM came: stop at once.
    """

    def __init__(self) -> None:
        self.name = ""
        self.seen = False
        self.impatient = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopSignals:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # A launcher passes one Ctrl-C on while the terminal delivers it too: the same signal twice within one look of the
        # loop is one wish.
        if self.name and self.seen and number != signal.SIGUSR1:
            self.impatient = True
        self.name = self.name or signal.Signals(number).name
