"""Whole runs that collect, and are killed on the way: every solution is on disk exactly once."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from support import commands
from support.chaos import World, kill_everybody, of_role
from support.commands import ROOT, Started, parry_mpi, run, wait_until
from support.problems import HAVE_NUMBA

from parry_mpi.store.readers import open_solutions

MPIS = [pytest.param(World(mpi), id=mpi.name) for mpi in commands.mpis()[:1]]

SLOW = '''
"""The 8 queens problem with a pause at every node, until there is a file called hurry."""
import os, time
from queens_boards import QueensBoards

class Slow(QueensBoards):
    def kernel(self):
        return None

    def solutions(self, node):
        if not os.path.exists("hurry"):
            time.sleep(0.015)
        return super().solutions(node)
'''
WORDS = ("run", "slow.py", "--run-dir", "here", "--json", "--heartbeat-timeout", "2")


@pytest.fixture
def folder(tmp_path) -> Path:
    shutil.copy(ROOT / "jobs" / "queens_boards.py", tmp_path)
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def solutions_on_disk(folder: Path) -> int:
    if not (folder / "here" / "state.sqlite").exists():
        return 0
    with open_solutions(folder / "here") as solutions:
        return solutions.count


def boards(folder: Path, *words: str, code: int) -> list[tuple[int, ...]]:
    """What the command gives out; it may be asked at any time."""
    told = run(parry_mpi("solutions", "here", *words), folder=folder)
    assert code == told.code, told
    return [tuple(json.loads(line)) for line in told.stdout.splitlines()]


def wait_for_more(command: Started, folder: Path) -> None:
    before = solutions_on_disk(folder)
    wait_until(lambda: solutions_on_disk(folder) > before, "more was found", 40)
    assert command.running


@pytest.mark.parametrize("world", [pytest.param(World(None), id="alone"), *MPIS])
def test_everybody_dies(world, folder):
    """Protects solutions from crashes: an explorer is killed, then the coordinator, then everybody; each board is there once."""
    with world.started(folder, *WORDS) as command:
        wait_for_more(command, folder)
        world.wait_for_explorers(command)[0].kill()
        wait_for_more(command, folder)
        some = boards(folder, code=75)
        assert len(some) == len(set(some)) > 0
        of_role(command, "coordinator")[0].kill()
        command.wait(30)
    with world.started(folder, *WORDS) as command:
        wait_for_more(command, folder)
        kill_everybody(command)
    (folder / "hurry").touch()
    ended = world.run(folder, *WORDS)
    answer = ended.answer
    assert (0, 92, True, 2) == (ended.code, answer["result"], answer["complete"], answer["restarts"]), ended
    found = boards(folder, code=0)
    assert (92, 92) == (len(found), len(set(found)))
    assert set(some) < set(found)
    assert "92\n" == run(parry_mpi("result", "here"), folder=folder).stdout


@pytest.mark.night
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not HAVE_NUMBA or not MPIS, reason="needs an MPI, and the compiled kernel (extra jobs)")
def test_millions(tmp_path):
    """Protects the coordinator's memory, and every one of two million solutions, however fast they come."""
    world = World(commands.mpis()[0], ranks=3)
    peaks_kib = [0]
    words = ("run", str(ROOT / "jobs" / "queens_boards.py"), "n=15", "--run-dir", "here", "--json")
    with world.started(tmp_path, *words) as command:
        wait_until(lambda: peaks_kib.extend(peaks_of(command)) or not command.running, "it ended", 900)
        ended = command.wait()
    seconds = ended.answer["seconds"]
    assert (0, 2279184) == (ended.code, ended.answer["result"]), ended
    given = run(parry_mpi("solutions", "here", "--output", "boards"), folder=tmp_path, deadline_s=300)
    assert 0 == given.code, given
    found, lines = set(), 0
    with (tmp_path / "boards").open("rb") as file:
        for line in file:
            found.add(hash(line))
            lines += 1
    assert 2279184 == lines
    assert len(found) > lines - 10  # hashes of 64 bits: a board that is there twice shows
    size_bytes = (tmp_path / "here" / "state.sqlite").stat().st_size
    print(f"{lines} boards in {seconds} s, {lines / seconds:.0f} a second; {size_bytes / 2**20:.0f} MiB on disk")
    print(f"the coordinator's memory was {max(peaks_kib) / 1024:.0f} MiB at its peak")


def peaks_of(command: Started) -> list[int]:
    """The most memory that the coordinator ever had, in KiB; empty if it is gone."""
    lines: list[str] = []
    for member in of_role(command, "coordinator"):
        with contextlib.suppress(OSError):
            lines += Path(f"/proc/{member.pid}/status").read_text().splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
