"""parry_mpi.cli.wording: times as Slurm and people write them, numbers short enough for a line."""

from __future__ import annotations

import pytest

from parry_mpi.cli.wording import count_text, plural, seconds, share_text, time_text
from parry_mpi.errors import UsageError


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (90, "90"),
        (90, "90s"),
        (0.5, "500ms"),
        (1.5, "1.5"),
        (600, "10m"),
        (5400, "1h30m"),
        (7200, "2h"),
        (86400, "1d"),
        (1800, "30:00"),
        (7200, "2:00:00"),
        (129600, "1-12"),
        (93600, "1-02:00:00"),
        (93900, "1-02:05"),
        (0, "0"),
    ],
)
def test_seconds(expected, text):
    """Protects walltimes: a time means what Slurm or a person means by it."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1x", "-5", "10 20", "1:2:3:4", "h", "1-", "90s90"])
def test_not_a_time(text):
    """Protects against a time that is silently read as another."""
    with pytest.raises(UsageError, match="is not a time"):
        seconds(text)


@pytest.mark.parametrize(
    ("expected", "value"),
    [("0.25 s", 0.25), ("12 s", 12.3), ("1:00", 59.9), ("3:25", 205), ("2:03:25", 7405), ("1 d 02:03:25", 93805)],
)
def test_time_text(expected, value):
    """Protects readers of a time from counting seconds."""
    assert time_text(value) == expected


@pytest.mark.parametrize(
    ("expected", "value"),
    [("0", 0), ("724", 724), ("14.2 k", 14200), ("1.00 M", 999_999), ("1.02 M", 1_020_000), ("365 k", 365_000), ("5000 T", 5e15)],
)
def test_count_text(expected, value):
    """Protects the width of a line: any count in three digits."""
    assert count_text(value) == expected


@pytest.mark.parametrize(("expected", "share"), [("0.0 %", 0), ("29.6 %", 0.296), ("99.9 %", 0.99999), ("100.0 %", 1)])
def test_share_text(expected, share):
    """Protects the meaning of 100 %: never before all is explored."""
    assert share_text(share) == expected


def test_plural():
    """Protects the ear."""
    assert (plural(1, "job"), plural(2, "job")) == ("1 job", "2 jobs")
