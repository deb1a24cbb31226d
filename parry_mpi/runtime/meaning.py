"""What the result means so far, in the problem's words, for the reader of a status.

This module must not hold up or end a run: what the user's code raises here is swallowed, and it is called seldom if it is slow.
"""

from __future__ import annotations

from typing import Any

import msgspec

from parry_mpi.data import plain
from parry_mpi.problem import Problem
from parry_mpi.runtime import clock

TEXT_LENGTH_MAX = 2_000
"""How much of a result's text is told; all of it comes at the end."""

HTML_LENGTH_MAX = 500_000
"""What the problem may draw; more would have to be sent to every page whenever the result changes."""

PART_MAX = 0.02
"""The problem's words take no more than this part of the coordinator's time."""


class Meaning:
    """Puts a result into words, again when it has changed.

    Args:
        problem: whose words they are.
        draws: whether anybody looks at drawings.

    Attributes:
        text: of the result so far, or "".
        html: as the problem draws it, or "".
    """

    def __init__(self, problem: Problem[Any, Any], *, draws: bool) -> None:
        self.text = ""
        self.html = ""
        self._problem = problem
        self._draws = draws
        self._told: tuple[Any, bool] | None = None
        self._next_at_us = 0

    def facts(self, result: Any, *, complete: bool, version: int) -> dict[str, str]:
        """Return what a status says about the result.

        Args:
            result: found so far.
            complete: whether it is the answer.
            version: another number each time the result may have changed; it need not be compared then.
        """
        began_at_us = clock.now_us()
        if self._told != (version, complete) and (complete or began_at_us >= self._next_at_us):
            self._told = version, complete
            self.text = _shortened(self._words(result, complete=complete))
            self.html = self._drawn(result) if self._draws else ""
            ended_at_us = clock.now_us()
            self._next_at_us = ended_at_us + round((ended_at_us - began_at_us) / PART_MAX)
        return {"result_text": self.text, "result_html": self.html}

    def _words(self, result: Any, *, complete: bool) -> str:
        """What it is and, once it is the answer, what it means: "there is none" would be wrong before."""
        try:
            meaning = str(self._problem.describe(result)) if complete else ""
            if result is None:
                return meaning
            data = plain(result)
            is_text = isinstance(data, int | float | str) and not isinstance(data, bool)
            return "\n".join(filter(None, (meaning, str(data) if is_text else msgspec.json.encode(data).decode())))
        except Exception as error:  # noqa: BLE001 whatever the user's code raises
            return f"(it cannot be shown: {type(error).__name__})"

    def _drawn(self, result: Any) -> str:
        try:
            html: object = self._problem.html(result)
        except Exception:  # noqa: BLE001 whatever the user's code raises
            return ""
        return html if isinstance(html, str) and len(html) <= HTML_LENGTH_MAX else ""


def _shortened(text: str) -> str:
    """The text as any encoding can write it, with its middle left out if it is long."""
    text = text.encode(errors="backslashreplace").decode()
    if len(text) <= TEXT_LENGTH_MAX:
        return text
    half = TEXT_LENGTH_MAX // 2 - 2
    return f"{text[:half]} … {text[-half:]}"
