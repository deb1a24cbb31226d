"""A coordinator with very many pending jobs: a program that fills one, works through some of them, and says what that took.

    python -m tests.benchmarks.pending JOBS REPETITIONS SECONDS FOLDER

It prints one JSON object. With SECONDS above 0 it also commits as a run does, into FOLDER, and watches how long its loop is held up.
The coordinator, the state and the committer are the ones of a run; the workers are made up, and have no messages on their way.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import count as count_from
from itertools import islice
from pathlib import Path
from typing import Any

from parry_mpi.core.coordinator import Coordinator
from parry_mpi.core.events import Effects, Event, Received, Tick
from parry_mpi.core.ids import JobId, Peer
from parry_mpi.core.jobset import JobSet
from parry_mpi.core.messages import Bundle, GetJob, Hello, Report, Welcome
from parry_mpi.core.policy import Settings
from parry_mpi.core.records import RootsPulled
from parry_mpi.core.state import State
from parry_mpi.job import WHOLE, Job, shares, total_weight
from parry_mpi.runtime.committer import Commit, Committer
from parry_mpi.runtime.coordinator_loop import COMMIT_MS
from parry_mpi.store.identity import Identity
from parry_mpi.store.run_directory import RunDirectory

FINGERPRINT = "pending"
NODE_BYTES = 40
"""A board, a partial tour: what a node of a middling problem weighs."""

DEPTHS = 20
CYCLES = 2_000
"""How often a worker reports and asks again in one repetition."""

JOB_US = 20_000
"""How long a job is said to have taken: a bundle then has ten."""

WORKERS = 64

PORTION = 8_192
"""How many jobs come at once in the beginning: as roots do."""


def jobs_of(count: int) -> Iterator[Job]:
    """Make so many jobs of all depths, which together weigh WHOLE."""
    weight, rest = divmod(WHOLE, count)
    for index in range(count):
        yield Job(index.to_bytes(NODE_BYTES, "big"), index % DEPTHS, 0, weight + (index < rest))


class Farm:
    """A coordinator, its pending jobs and its workers.

    Args:
        count: how many jobs are pending at the beginning.
        committed: whether they are on disk by then, so that nothing but the state has them.
    """

    def __init__(self, count: int, *, committed: bool = True) -> None:
        self.state = State()
        jobs, pulled, unpulled_weight = jobs_of(count), 0, WHOLE
        while portion := tuple(islice(jobs, PORTION)):
            pulled += len(portion)
            unpulled_weight -= total_weight(portion)
            self.state.apply(RootsPulled(portion, pulled, exhausted=pulled == count, unpulled_weight=unpulled_weight))
            if committed:
                self.state.take_changes()
        self.coordinator = Coordinator(self.state, Settings(FINGERPRINT))
        self.now_ms = 0
        self.bundles: dict[int, Bundle] = {}
        self.step(Tick())
        for peer in range(WORKERS):
            hello = Hello(FINGERPRINT, "host", peer, str(peer))
            (_, welcome), *_ = self.step(Received(Peer(peer), hello)).sends
            assert isinstance(welcome, Welcome)
            self._ask(peer, welcome)
        self.ids = dict(self.coordinator.volatile.by_peer)

    def step(self, event: Event) -> Effects:
        """Take a step; remember what is handed out."""
        self.now_ms += 1
        effects = self.coordinator.step(event, self.now_ms)
        for peer, message in effects.sends:
            if isinstance(message, Bundle):
                self.bundles[peer] = message
        return effects

    def cycle(self, peer: int) -> None:
        """Let a worker report that all of its bundle is done but one job, which it shares as two; and ask for the next."""
        bundle = self.bundles.pop(peer)
        last = bundle.jobs[0]
        halves = tuple(Job(last.node, last.depth + 1, 0, weight) for weight in shares(last.weight, 2))
        done = len(bundle.jobs)
        self.step(Received(Peer(peer), Report(bundle.lease, 1, done, b"\x01", done * JOB_US, done, (), halves)))
        self.step(Received(Peer(peer), GetJob(self.ids[Peer(peer)], bundle.lease)))

    def _ask(self, peer: int, welcome: Welcome) -> None:
        self.step(Received(Peer(peer), GetJob(welcome.worker)))


def resident_bytes() -> int:
    """What this process has in memory now; proc(5), statm."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def job_set_us(jobs_set: JobSet, first_id: int) -> tuple[float, float]:
    """How long adding a job, with ids from this one on, and taking out the first one take, in microseconds."""
    more = [Job(b"", index % DEPTHS, 0, 0) for index in range(CYCLES)]
    began_at_s = time.perf_counter()
    for index, job in enumerate(more):
        jobs_set.add(JobId(first_id + index), job)
    added_at_s = time.perf_counter()
    for _ in more:
        first = jobs_set.first()
        assert first is not None
        jobs_set.remove(first)
    ended_at_s = time.perf_counter()
    return (added_at_s - began_at_s) * 1e6 / CYCLES, (ended_at_s - added_at_s) * 1e6 / CYCLES


def step_us(farm: Farm) -> float:
    """How long a step takes, in microseconds: half of them are reports, half hand out a bundle."""
    began_at_s = time.perf_counter()
    for index in range(CYCLES):
        farm.cycle(index % WORKERS)
    return (time.perf_counter() - began_at_s) * 1e6 / (2 * CYCLES)


class Committing:
    """A farm that commits as a run does.

    Args:
        farm: whose state it is.
        folder: where the run directory is made.

    Attributes:
        first_commit_s: how long the first commit took, which has all the jobs.
    """

    def __init__(self, farm: Farm, folder: Path) -> None:
        self._farm = farm
        identity = Identity(problem="pending:Pending", parameters={}, source_digest="0" * 64)
        self._directory = RunDirectory.open(folder, identity)
        began_at_s = time.perf_counter()
        self._directory.initialize(farm.state.take_changes(), b"\x00")
        self.first_commit_s = time.perf_counter() - began_at_s
        self._committer = Committer(self._directory)
        self._cycles = 0

    def watch(self, seconds: float) -> dict[str, float]:
        """Return how long a turn of the loop took, commits by the way or not.

        A turn that does not come back for long is a worker that waits for long: for the lock of the interpreter, which the
        committing thread wants as well, or for the changes to be gathered.
        """
        turns_ms: list[float] = []
        commits_ms: list[float] = []
        commit_at_s, submitted_at_s = 0.0, None
        now_s = began_at_s = time.perf_counter()
        while now_s < began_at_s + seconds or submitted_at_s is not None:
            turn_at_s = now_s
            self._farm.cycle(self._cycles % WORKERS)
            self._cycles += 1
            if (done := self._committer.poll()) is not None:
                assert done.error is None, done.error
                assert submitted_at_s is not None
                commits_ms.append((turn_at_s - submitted_at_s) * 1000)
                submitted_at_s, commit_at_s = None, turn_at_s + COMMIT_MS / 1000
            if submitted_at_s is None and commit_at_s <= turn_at_s < began_at_s + seconds:
                submitted_at_s = turn_at_s
                self._committer.submit(Commit(self._farm.state.take_changes(), b"\x01", finished=False, phase="running"))
            now_s = time.perf_counter()
            turns_ms.append((now_s - turn_at_s) * 1000)
        return {
            "commit_ms": statistics.median(commits_ms),
            "turn_ms_99th": statistics.quantiles(turns_ms, n=100)[-1],
            "turn_ms_max": max(turns_ms),
            "turns_per_s": len(turns_ms) / (now_s - began_at_s),
        }

    def close(self) -> None:
        """Let go of the folder."""
        self._committer.close()
        self._directory.close()


def main() -> None:
    """Be the program."""
    count, repetitions, seconds, folder = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    before_bytes = resident_bytes()
    farm = Farm(count, committed=not seconds)
    told: dict[str, Any] = {"bytes_per_job": (resident_bytes() - before_bytes) / count}
    if seconds:
        committing = Committing(farm, folder / "run")
        told["first_commit_s"] = committing.first_commit_s
        told["pauses"] = [committing.watch(seconds) for _ in range(repetitions)]
        committing.close()
    told["step_us"] = [step_us(farm) for _ in range(repetitions)]
    first_ids = count_from(farm.state.counters.next_job, CYCLES)
    told["add_us"], told["take_us"] = zip(
        *(job_set_us(farm.state.pending, next(first_ids)) for _ in range(repetitions)), strict=True
    )
    told["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(told))


if __name__ == "__main__":
    main()
