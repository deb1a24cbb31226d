"""Whole runs whose processes are killed or stopped, one kind after the other: the answer stays exact, and nothing ever hangs."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from support import chaos, commands
from support.chaos import THOROUGH, Life, World, live_and_die, nodes_on_disk, of_role, redone_max
from support.commands import ROOT, Finished, parry_mpi, run, wait_until
from support.problem_files import nodes_of, traced_nodes, trouble_file
from support.problems import HAVE_NUMBA

MPIS = [pytest.param(World(mpi), id=mpi.name) for mpi in commands.mpis()]
ENOUGH = MPIS if THOROUGH else MPIS[:1]
"""For what depends on the MPI little: all of them only where there is time."""

DEPTH = 13
PAUSE_MS = 2.0
SLOW = (f"depth={DEPTH}", f"pause_ms={PAUSE_MS}", "hurry=hurry")
"""It would take half a minute, but for the file that makes it hurry once what was to happen has happened."""
WORDS = ("run", "trouble.py", *SLOW, "--run-dir", "here", "--json", "--heartbeat-timeout", "2")


@pytest.fixture(params=[pytest.param(World(None), id="alone"), *ENOUGH])
def world(request) -> World:
    return request.param


@pytest.fixture(params=MPIS)
def ranks(request) -> World:
    """Ranks of every MPI."""
    return request.param


@pytest.fixture(params=ENOUGH)
def some_ranks(request) -> World:
    """Ranks of one MPI, or of all when there is time."""
    return request.param


@pytest.fixture
def folder(tmp_path) -> Path:
    trouble_file(tmp_path)
    (tmp_path / "trace").mkdir()
    return tmp_path


def explored_a_little(folder: Path) -> bool:
    return nodes_on_disk(folder / "here") > 100


def hurry(folder: Path) -> None:
    """Let the run come to its end."""
    (folder / "hurry").touch()


def ends_exactly(world: World, folder: Path, *, restarts: int) -> None:
    """Run the same command once more, to the end."""
    hurry(folder)
    ended = world.run(folder, *WORDS)
    answer = ended.answer
    assert (0, nodes_of(DEPTH), nodes_of(DEPTH)) == (ended.code, answer["result"], answer["nodes"]), ended
    assert answer["restarts"] == restarts


def everybody_again_and_again(world: World, folder: Path, kills: int, depth: int) -> None:
    """Kill a run as a whole so many times, at random moments, and see what that costs."""
    words = ("run", "trouble.py", f"depth={depth}", f"pause_ms={PAUSE_MS}", "trace=trace", "--run-dir", "here", "--json")
    draw = random.Random(depth)
    lives: list[Life] = []
    bound = redone_max(world, PAUSE_MS)
    while len(lives) < kills and isinstance(life := live_and_die(world, folder, words, draw), Life):
        lives.append(life)
        print(f"{world}, life {len(lives)}: {life}")
        assert life.redone <= bound, life
    ended = world.run(folder, *words, deadline_s=240)
    answer = ended.answer
    assert (0, nodes_of(depth), nodes_of(depth)) == (ended.code, answer["result"], answer["nodes"]), ended
    assert answer["restarts"] <= len(lives)
    redone = traced_nodes(folder / "trace") - nodes_of(depth)
    most = max(life.redone for life in lives)
    print(f"{world}: {len(lives)} kills, {redone / len(lives):.0f} nodes done again at each, {most} at most; allowed {bound}")
    assert redone <= len(lives) * bound


def test_everybody(world, folder):
    """Protects work from power failures: at most a report and a commit interval is done again, and nothing is counted twice."""
    everybody_again_and_again(world, folder, *((5, 12) if THOROUGH else (3, 10)))


@pytest.mark.night
@pytest.mark.timeout(1200)
def test_everybody_fifty_times(world, folder):
    """Protects the same over a night of power failures."""
    everybody_again_and_again(world, folder, 50, 14)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGSTOP] if THOROUGH else [signal.SIGKILL], ids=lambda number: number.name
)
def test_one_rank(ranks, folder, number):
    """Protects the other ranks from one that dies or freezes: they finish without it, and the launcher learns the right code."""
    with ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        of_role(command, "worker")[0].send(number)
        wait_until(lambda: "is lost" in command.stderr, "it was given up")
        hurry(folder)
        finished = command.wait()
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 1) == (finished.code, answer["result"], answer["killings"]), finished
    assert "is lost: no sign of life for 2 s" in finished.stderr
    assert answer["restarts"] == 0


def test_rank_killed_while_it_starts(ranks, folder):
    """Protects from a hang: while MPI is being initialised the others wait for every rank, so the run ends, and can be run again."""
    hurry(folder)
    with ranks.started(folder, *WORDS) as command:
        starting = wait_until(lambda: of_role(command, "worker") or not command.running, "a rank was there", 60)
        if command.running:
            starting[0].kill()
        finished = command.wait(90)
    if finished.code:
        again = ranks.run(folder, *WORDS)
        assert (0, nodes_of(DEPTH)) == (again.code, again.answer["result"]), again
    assert finished.code in {0, 75} or "Open MPI" in finished.stderr, finished


def workers_of_status(folder: Path) -> int:
    return int(run(parry_mpi("status", "here", "--json"), folder=folder).answer["workers"])


def test_rank_that_comes_back(some_ranks, folder):
    """Protects the count from a rank that was given up and goes on: what it says of its old lease counts for nothing."""
    with some_ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        with chaos.paused(of_role(command, "worker")[0]):
            wait_until(lambda: "is lost" in command.stderr, "it was given up")
        wait_until(lambda: workers_of_status(folder) == 2, "it was back")
        hurry(folder)
        finished = command.wait()
    answer = finished.answer
    assert (0, nodes_of(DEPTH), 1, 3) == (finished.code, answer["result"], answer["killings"], answer["workers"]), finished


def test_all_workers(some_ranks, folder):
    """Protects from waiting for ever for workers that do not come back: the run ends with 75, and the same command finishes it."""
    with some_ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        for worker in of_role(command, "worker"):
            worker.kill()
        finished = command.wait()
    assert finished.code == 75, finished
    assert "stopping: no worker is left" in finished.stderr
    ends_exactly(some_ranks, folder, restarts=1)


@pytest.mark.parametrize("role", ["coordinator", "guardian"])
def test_what_the_launcher_sees(ranks, folder, role):
    """Protects from a world that hangs: where the launcher ends everything at a death, it does so at once, and nothing is lost."""
    with ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        of_role(command, role)[0].kill()
        finished = command.wait(20)
    assert finished.code not in {0, 2, 3, 4}, finished
    ends_exactly(ranks, folder, restarts=1)


def test_launcher(some_ranks, folder):
    """Protects a machine from ranks without a launcher: they are gone with it, and the same command finishes the run."""
    with some_ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        ranks_before = chaos.members(command)
        command.process.kill()
        wait_until(lambda: not any(commands.alive(each.pid) for each in ranks_before), "everybody was gone")
    ends_exactly(some_ranks, folder, restarts=1)


def test_launchers_helpers(some_ranks, folder):
    """Protects a machine from ranks that are left over when everything but them is killed."""
    with some_ranks.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        everybody = chaos.members(command)
        for each in everybody:
            if each.role in {"other", "coordinator"}:
                each.kill()
        wait_until(lambda: not any(commands.alive(each.pid) for each in everybody), "everybody was gone")
    ends_exactly(some_ranks, folder, restarts=1)


def test_frozen_guardian(some_ranks, folder):
    """Protects a run from a guardian that does nothing: its rank gets no new explorer, but its jobs go to others."""
    with some_ranks.started(folder, *WORDS, "--patience", "1") as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        with chaos.paused(of_role(command, "guardian")[0]):
            of_role(command, "explorer")[0].kill()
            hurry(folder)
            wait_until(lambda: nodes_of(DEPTH) == nodes_on_disk(folder / "here"), "all was explored", 40)
        finished = command.wait()
    assert (0, nodes_of(DEPTH)) == (finished.code, finished.answer["result"]), finished


def test_nursery(folder):
    """Protects a run in one process from the loss of what starts explorers: 75, and the same command finishes it."""
    world = World(None)
    with world.started(folder, *WORDS) as command:
        wait_until(lambda: explored_a_little(folder), "some of it was explored")
        of_role(command, "nursery")[0].kill()
        finished = command.wait()
    assert finished.code == 75, finished
    assert "run the same command again" in finished.stderr
    ends_exactly(world, folder, restarts=1)


@pytest.mark.skipif(not HAVE_NUMBA and not THOROUGH, reason="takes a minute without the compiled kernel (extra jobs)")
@pytest.mark.timeout(600)
def test_explorers(folder):
    """Protects the count from explorers that die all the time: UTS T3 is exact, and every killing is told."""
    kills_wanted, interval_s, engine = (20, 1.0, "python") if THOROUGH else (4, 0.3, "auto")
    world = World(commands.mpis()[0] if commands.mpis() else None, ranks=2)
    draw = random.Random(3)
    kills = 0
    with world.started(
        folder, "run", ROOT / "jobs" / "uts.py", "tree=T3", f"engine={engine}", "--run-dir", "here", "--json"
    ) as command:
        wait_until(lambda: nodes_on_disk(folder / "here") or not command.running, "it was under way", 60)
        while kills < kills_wanted and command.running:
            wait_until(lambda: explorers(command) or not command.running, "there was an explorer")
            for victim in draw.sample(found := explorers(command), min(1, len(found))):
                victim.kill()
                kills += 1
            chaos.pass_time(interval_s)
        finished = command.wait(300)
    assert_t3(finished)
    print(f"{kills} kills, {finished.answer['killings']} of them of a lease")
    assert kills // 2 <= finished.answer["killings"] <= kills


def explorers(command: commands.Started) -> list[chaos.Member]:
    return of_role(command, "explorer")


def assert_t3(finished: Finished) -> None:
    answer = finished.answer
    expected = {"nodes": 4_112_897, "depth": 1572, "leaves": 3_599_034}
    assert (0, expected, True) == (finished.code, answer["result"], answer["complete"]), finished
