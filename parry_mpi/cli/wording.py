"""Numbers and times as people read and write them.

This module must not know what they are about.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from parry_mpi.errors import UsageError

UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "ms": 0.001}

BRIDGE_PORT = 5129
"""Where a bridge listens if nobody says otherwise; Parry's own port."""

DASHBOARD_PORT = 8000
"""Where a dashboard listens if nobody says otherwise, or at the next port that is free."""

OFF = "off"

PORT_MAX = 65535

LOOPBACK = "127.0.0.1"

_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+(?:%\w+)?)\]|(?P<host>[^\s:/\[\]]*))(?::(?P<port>[0-9]{1,5}))?")

_WITH_UNITS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhd]?)\s*")
_SLURM = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?")


def seconds(text: str) -> float:
    """Read a time: 90, 90s, 10m, 2h, 1h30m, 1d, or as Slurm writes it, 30:00, 2:00:00, 1-12, 1-02:00:00.

    Raises:
        UsageError: it is none of these.
    """
    text = text.strip().lower()
    parts = _WITH_UNITS.findall(text)
    if parts and _WITH_UNITS.sub("", text) == "" and (len(parts) == 1 or all(unit for _, unit in parts)):
        return math.fsum(float(number) * UNITS_S[unit] for number, unit in parts)
    match = _SLURM.fullmatch(text)
    if match is None or (match[1] is None and match[3] is None):
        raise UsageError(f"{text!r} is not a time: write 90, 90s, 10m, 2h, or as Slurm does 30:00, 2:00:00, 1-12:00:00")
    days, first, second, third = (int(group or 0) for group in match.groups())
    if match[1] is None and match[4] is None:  # minutes:seconds, without hours
        return 60.0 * first + second
    return 86400.0 * days + 3600 * first + 60 * second + third


def address(text: str, default_port: int = BRIDGE_PORT) -> tuple[str, int]:
    """Read where a bridge listens: HOST, HOST:PORT, :PORT for this machine alone, IPv6 addresses as [::1] or [::1]:PORT.

    Args:
        text: what was typed.
        default_port: if it names none.

    Returns:
        Host and port; the port may be 0.

    Raises:
        UsageError: it is none of these.
    """
    match = _ADDRESS.fullmatch(text.strip() or "/")
    port = int(match["port"] or default_port) if match else PORT_MAX + 1
    if match is None or port > PORT_MAX:
        raise UsageError(
            f"{text!r} is not an address: write HOST or HOST:PORT, such as node7:{default_port} or [::1]:{default_port}"
        )
    return match["six"] or match["host"] or LOOPBACK, port


def dashboard_address(text: str) -> tuple[str, int] | str:
    """Read where a dashboard listens, an address or only a port of this machine; OFF for nowhere.

    Raises:
        UsageError: it is none of these.
    """
    text = text.strip()
    if text.lower() in {OFF, "none"}:
        return OFF
    return address(f":{text}" if text.isascii() and text.isdigit() else text, DASHBOARD_PORT)


def time_text(seconds: float) -> str:
    """Return a time such as "0.25 s", "12 s", "3:25", "2:03:25", "1 d 02:03:25"."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02}:{minute:02}:{second:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def count_text(count: float) -> str:
    """Return a large number in three digits: "724", "14.2 k", "1.02 M"."""
    if count < 1000:
        return f"{count:.0f}"
    for unit in ("k", "M", "G", "T"):  # noqa: B007 the last one serves for whatever is larger
        count /= 1000
        if count < 999.5:
            break
    digits = 2 if count < 9.995 else 1 if count < 99.95 else 0
    return f"{count:.{digits}f} {unit}"


def estimate_text(estimate: Mapping[str, float | None]) -> str:
    """Return an estimate such as "about 4.1 M nodes (3.2-5.5 M), 12 min left (9-17)", with as few digits as it deserves.

    Args:
        estimate: as in the status: nodes, seconds_left, and both with _low and _high.
    """
    text = f"about {_range_text(estimate, 'nodes', _rough_count, ' nodes')}"
    if estimate.get("seconds_left") is None:
        return text
    return f"{text}, {_range_text(estimate, 'seconds_left', _rough_time, ' left')}"


def _range_text(estimate: Mapping[str, float | None], name: str, rough: Callable[[float], tuple[str, str]], noun: str) -> str:
    """Return a number, what it counts, and its bounds; the unit of the lower one is left out if the upper one has the same."""
    (middle, unit), (low, low_unit), (high, high_unit) = (rough(estimate[name + end] or 0.0) for end in ("", "_low", "_high"))
    between = f"{low}-{high}" if low_unit == high_unit else f"{low}{low_unit} - {high}"
    own_unit = "" if high_unit == low_unit == unit and noun == " left" else high_unit
    return f"{middle}{unit}{noun} ({between}{own_unit})"


def _rough_count(count: float) -> tuple[str, str]:
    """Return a large number in two digits, and its unit."""
    number, _, unit = count_text(count).partition(" ")
    return (f"{float(number):.2g}" if float(number) < 100 else f"{float(number):.0f}"), unit and f" {unit}"


def _rough_time(time_s: float) -> tuple[str, str]:
    """Return a time as people say it, and its unit."""
    for most_s, unit_s, unit in ((90, 1, " s"), (5400, 60, " min"), (129_600, 3600, " h")):
        if time_s < most_s:
            return f"{time_s / unit_s:.0f}", unit
    return count_text(time_s / 86400).replace(" ", ""), " d"


def share_text(share: float) -> str:
    """Return a share of the whole such as "29.6 %"; rounded down, so that nothing is called all before it is."""
    return f"{math.floor(min(max(share, 0.0), 1.0) * 1000 + 1e-9) / 10:.1f} %"


def optimum_text(objective: float | None, bound: float | None) -> str:
    """Return what is known of an optimum: "best 72, bound 65", and what is not known is left out."""
    known = (("best", objective), ("bound", bound))
    return ", ".join(f"{name} {value}" for name, value in known if value is not None)


def plural(count: int, noun: str) -> str:
    """Return "1 job", "2 jobs"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
