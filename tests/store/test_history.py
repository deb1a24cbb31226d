"""parry_mpi.store.history: bounded, whole after restarts, and never in the way."""

from __future__ import annotations

import itertools
import json

import pytest

from parry_mpi.store.history import DEPTHS_MAX, HISTORY_NAME, History, grouped, read_history

pytestmark = pytest.mark.store


class Run:
    """A run that publishes its status every second, by a clock of its own."""

    def __init__(self, folder, samples_max: int = 4096) -> None:
        self.path = folder / HISTORY_NAME
        self.samples_max = samples_max
        self.now_s = 1_700_000_000.0
        self.life = -1
        self.nodes = 0
        self.begin()

    def begin(self) -> None:
        self.life += 1
        self.seconds = 0.0
        self.history = History(self.path, samples_max=self.samples_max, now=lambda: self.now_s)

    def go_on(self, seconds: int) -> None:
        for _ in range(seconds):
            self.publish("exploring")
            self.now_s += 1.0
            self.seconds += 1.0
            self.nodes += 100

    def publish(self, phase: str) -> None:
        status = dict.fromkeys(("pending", "leased", "workers", "busy", "killings"), 1)
        status |= {"phase": phase, "restarts": self.life, "seconds": self.seconds, "explored": 0.5, "nodes": self.nodes}
        self.history.add(status | {"by_depth": [[0, 1, 2]], "workers_list": ["a lot"]})


def test_every_second(tmp_path):
    """Protects the charts of a run that is watched from its beginning: a sample a second, with its speed."""
    run = Run(tmp_path)
    run.go_on(5)
    samples = read_history(tmp_path)
    assert [0.0, 1.0, 2.0, 3.0, 4.0] == [sample["seconds"] for sample in samples]
    assert [0.0, 100.0, 100.0, 100.0, 100.0] == [sample["nodes_per_s"] for sample in samples]
    assert {"time", "life", "seconds", "explored", "nodes", "pending", "leased", "workers", "busy", "nodes_per_s"} | {
        "estimate",
        "by_depth",
        "killings",
    } == set(samples[0])


def test_bounded(tmp_path):
    """Protects the disk and the reader from a run of a year: the samples cover all of it, and never are more than so many."""
    run = Run(tmp_path, samples_max=16)
    for _ in range(50):
        run.go_on(7)
        assert len(read_history(tmp_path)) <= 16
    seconds = [sample["seconds"] for sample in read_history(tmp_path)]
    assert seconds[0] == 0.0
    assert seconds[-1] >= 350 - 32
    gaps = {later - earlier for earlier, later in itertools.pairwise(seconds)}
    assert gaps == {32.0}


def test_restart(tmp_path):
    """Protects the charts over restarts: a new life goes on at the distance of the one before, and begins with a sample."""
    run = Run(tmp_path, samples_max=16)
    run.go_on(100)
    before = read_history(tmp_path)
    run.begin()
    run.go_on(3)
    assert before == read_history(tmp_path)[: len(before)]
    assert [(1, 0.0)] == [(sample["life"], sample["seconds"]) for sample in read_history(tmp_path)[len(before) :]]


def test_last_numbers(tmp_path):
    """Protects the end of every chart: what a run says when it has ended is kept, however short it was."""
    run = Run(tmp_path, samples_max=4)
    run.go_on(100)
    run.nodes += 1
    run.publish("ended")
    assert run.nodes == read_history(tmp_path)[-1]["nodes"]


def test_torn_line(tmp_path):
    """Protects the history from a crash while it is written: the half line is lost, no other, and the next one stands for itself."""
    run = Run(tmp_path)
    run.go_on(3)
    with run.path.open("ab") as file:
        file.write(b'{"time": 17000000')
    assert len(read_history(tmp_path)) == 3
    run.begin()
    run.go_on(1)
    assert len(read_history(tmp_path)) == 4
    assert all(json.loads(line) for line in run.path.read_text().splitlines())


@pytest.mark.parametrize("line", [b"[]", b"{}", b"\xff\xfe", b"null", b"[" * 10_000])
def test_foreign_lines(tmp_path, line):
    """Protects readers from lines that are no samples."""
    run = Run(tmp_path)
    run.go_on(2)
    with run.path.open("ab") as file:
        file.write(line + b"\n")
    assert len(read_history(tmp_path)) == 2


def test_refusing_disk(tmp_path):
    """Protects the run from a disk that takes nothing: samples are lost, and come again when it takes them."""
    run = Run(tmp_path / "missing")
    run.go_on(2)
    assert read_history(tmp_path / "missing") == []
    (tmp_path / "missing").mkdir()
    run.go_on(2)
    assert len(read_history(tmp_path / "missing")) == 2


def test_full_disk(tmp_path):
    """Protects the history from half lines: with /dev/full in its place nothing is written and nothing raised."""
    run = Run(tmp_path)
    run.path.symlink_to("/dev/full")
    run.history._count = 0  # /dev/full cannot be read to its end
    run.go_on(2)
    assert run.history._last is None


def test_clock_set_back(tmp_path):
    """Protects the history from a clock that is put right: samples go on at once, not when the old time comes again."""
    run = Run(tmp_path)
    run.go_on(2)
    run.now_s -= 3600
    run.go_on(2)
    assert len(read_history(tmp_path)) == 4


def test_grouped_depths():
    """Protects the size of a sample: a tree of a thousand levels has no more rows than others, and no job is left out."""
    rows = [[depth, 1, 2] for depth in range(1500)]
    assert [[0, 1, 2], [1, 1, 2]] == grouped(rows[:2], DEPTHS_MAX)
    few = grouped(rows, DEPTHS_MAX)
    assert len(few) <= DEPTHS_MAX
    assert (1500, 3000) == (sum(row[1] for row in few), sum(row[2] for row in few))
    assert grouped([], DEPTHS_MAX) == []
