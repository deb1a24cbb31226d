"""The numbers that charts show: bounded, over several lives, and speeds that are true."""

from __future__ import annotations

from support.watching import status

from parry_mpi.dashboard.samples import COLUMNS, SAMPLES_MAX, Samples

HISTORY = {
    "time": 5.0,
    "life": 0,
    "seconds": 5.0,
    "explored": 0.25,
    "nodes": 10,
    "pending": 1,
    "leased": 2,
    "workers": 4,
    "busy": 3,
    "killings": 0,
    "nodes_per_s": 2.5,
    "estimate": None,
    "by_depth": [],
}


def test_begins_with_the_history():
    """Protects charts across restarts: what an earlier coordinator wrote comes first, then what is said now."""
    samples = Samples([HISTORY])
    samples.add(status(moment=7, restarts=1))
    first, second = (dict(zip(COLUMNS, row, strict=True)) for row in samples.table()["rows"])
    assert (5.0, 0, 2.5, 3) == (first["time"], first["life"], first["nodes_per_s"], first["busy"])
    assert (1_800_000_007.0, 1, None, 3) == (second["time"], second["life"], second["nodes_per_s"], second["busy"])


def test_bounded():
    """Protects the page of a run of weeks: charts hold a bounded number of samples, from the beginning to the end."""
    samples = Samples({**HISTORY, "time": float(moment)} for moment in range(5 * SAMPLES_MAX))
    assert SAMPLES_MAX // 2 <= len(samples.table()["rows"]) <= SAMPLES_MAX
    for moment in range(3 * SAMPLES_MAX):
        samples.add(status(workers_count=0, moment=moment))
    times = [row[0] for row in samples.table()["rows"]]
    assert len(times) <= SAMPLES_MAX
    assert 0.0 == times[0]
    assert times == sorted(times)


def test_speed():
    """Protects the reader: the speed is that of the last seconds, not known at once, and a restart does not make it negative."""
    samples = Samples()
    assert samples.add(status(seconds=1.0, nodes=100)) is None
    assert 50.0 == samples.add(status(moment=1, seconds=3.0, nodes=200))
    assert 100.0 == samples.add(status(moment=2, seconds=13.0, nodes=1_200))
    assert samples.add(status(moment=3, seconds=1.0, nodes=900, restarts=1)) is None
    assert 0.0 == samples.add(status(moment=4, seconds=2.0, nodes=900, restarts=1))
