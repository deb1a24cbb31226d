"""parry_mpi.cli.wording: times as Slurm and people write them, numbers short enough for a line."""

from __future__ import annotations

import pytest

from parry_mpi.cli.wording import address, count_text, estimate_text, plural, seconds, share_text, time_text
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


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (("node7", 5129), "node7"),
        (("node7.site.example", 80), "node7.site.example:80"),
        (("0.0.0.0", 0), "0.0.0.0:0"),  # noqa: S104 what a user may type
        (("127.0.0.1", 5130), ":5130"),
        (("::1", 5129), "[::1]"),
        (("fe80::1%eth0", 65535), "[fe80::1%eth0]:65535"),
    ],
)
def test_address(expected, text):
    """Protects bridges: an address means the host and the port that a person means by it."""
    assert address(text) == expected


@pytest.mark.parametrize(
    "text", ["", " ", "::1", "fe80::1:5129", "host:port", "host:65536", "host:-1", "[::1", "http://host", "a b"]
)
def test_not_an_address(text):
    """Protects users from listening somewhere else than they think, with an IPv6 address without brackets for example."""
    with pytest.raises(UsageError, match="is not an address"):
        address(text)


def test_estimates():
    """Protects whoever plans by an estimate: as few digits as it deserves, and both bounds."""
    whole = {"nodes": 4.1e6, "nodes_low": 3.2e6, "nodes_high": 5.5e6}
    left = {"seconds_left": 720.0, "seconds_left_low": 540.0, "seconds_left_high": 1020.0}
    assert "about 4.1 M nodes (3.2-5.5 M), 12 min left (9-17)" == estimate_text(whole | left)
    assert "about 4.1 M nodes (3.2-5.5 M)" == estimate_text(whole | dict.fromkeys(left))
    wide = {"nodes_low": 3.2e5, "nodes_high": 5.5e9, "seconds_left_low": 5.0, "seconds_left_high": 102_000.0}
    assert "about 4.1 M nodes (320 k - 5.5 G), 12 min left (5 s - 28 h)" == estimate_text(whole | left | wide)
