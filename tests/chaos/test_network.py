"""Workers from outside over a network that fails in every way, and workers that fail on their own: the answer is exact each time."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.chaos import THOROUGH, nodes_on_disk, of_role
from support.commands import Started, children, parry_mpi, run, started, wait_until
from support.problem_files import nodes_of, trouble_file
from support.proxy import Faults, FaultyProxy

DEPTH = 10
WORDS = ("run", "trouble.py", f"depth={DEPTH}", "pause_ms=2.0", "--run-dir", "here", "--json", "--bridge", "127.0.0.1:0")
PATIENCE = ("--heartbeat-timeout", "2", "--max-kills", "1000000")
"""So that a frozen worker is given up soon, and nobody is blamed for what is done to it."""

SCHEDULES = 6 if THOROUGH else 2
FAULTS_MAX = 40
"""After so many faults the network is healed, so that a schedule comes to an end."""

HURT_S_MAX = 1.5


def access(folder: Path) -> dict:
    return json.loads((folder / "here" / "access.json").read_text())


@contextlib.contextmanager
def open_run(folder: Path, *prefix: str) -> Iterator[Started]:
    """Start a coordinator that workers can join."""
    with started((*prefix, *parry_mpi(*WORDS, *PATIENCE)), folder=folder) as command:
        wait_until(lambda: (folder / "here" / "access.json").exists() or not command.running, "workers could join", 60)
        assert command.running, command.stderr
        yield command


def worker(folder: Path, address: tuple[str, int], processes: int) -> tuple[str, ...]:
    """The command of workers that know the coordinator by an address."""
    keys = ("--key", folder / "here" / "worker_key", "--server-key", folder / "here" / "coordinator_key.pub")
    words = (folder / "trouble.py", *WORDS[2:4], *keys, "--processes", str(processes), "--wait", "60s")
    return parry_mpi("worker", f"{address[0]}:{address[1]}", *words)


def ends_exactly(command: Started, folder: Path) -> dict:
    finished = command.wait(120)
    answer = finished.answer
    assert (0, nodes_of(DEPTH), nodes_of(DEPTH)) == (finished.code, answer["result"], answer["nodes"]), finished
    return answer


def hurt(draw: random.Random, outside: Started) -> str:
    """Kill or freeze one of the worker's processes; say what was done."""
    victims = {"explorer": [member.pid for member in of_role(outside, "explorer")], "supervisor": children(outside.pid)[1:]}
    role = draw.choice(list(victims))
    what = draw.choice(["kill", "freeze"])
    if not victims[role]:
        return "nobody"
    pid = draw.choice(victims[role])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL if what == "kill" else signal.SIGSTOP)
        if what == "freeze":
            time.sleep(draw.uniform(0.0, 3.0))
            os.kill(pid, signal.SIGCONT)
    return f"{what} {role}"


def schedule(seed: int, folder: Path) -> str:
    """Take a run through one schedule to its end."""
    draw = random.Random(seed)
    trouble_file(folder)
    faults = Faults(distance_bytes=draw.choice([1_000, 5_000, 20_000]), faults_max=FAULTS_MAX)
    hurts = []
    with open_run(folder) as command:
        target = ("127.0.0.1", access(folder)["port"])
        with FaultyProxy(target, seed, faults) as proxy, started(worker(folder, proxy.address, 3), folder=folder) as outside:
            wait_until(lambda: nodes_on_disk(folder / "here") > 0 or not command.running, "something was explored", 90)
            for _ in range(draw.randrange(4)):
                time.sleep(draw.uniform(0.1, HURT_S_MAX))
                hurts.append("cut all" if draw.random() < 0.3 else hurt(draw, outside))
                if hurts[-1] == "cut all":
                    proxy.cut_all()
            answer = ends_exactly(command, folder)
            happened = len(proxy.happened)
    return f"seed {seed}: {happened} faults, {hurts}, {answer['killings']} killings, {answer['workers']} workers joined"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SCHEDULES))
def test_faulty_network(tmp_path, seed):
    """Protects the count from a network that delays, cuts, drops, repeats, reorders and damages, and from workers that die."""
    print(schedule(seed, tmp_path))


@pytest.mark.night
@pytest.mark.timeout(3600)
def test_fifty_schedules(tmp_path):
    """Protects the same over fifty schedules."""
    for seed in range(100, 150):
        folder = tmp_path / str(seed)
        folder.mkdir()
        print(schedule(seed, folder), flush=True)


@pytest.fixture
def namespace() -> Iterator[tuple[str, str]]:
    """A network of its own, in which there is nothing but a loopback interface: the program ip, and the network's name."""
    ip = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    name = f"parry-test-{os.getpid()}"
    if ip is None or os.geteuid() != 0:
        pytest.skip("a network namespace needs root and the program ip (iproute2)")
    if run((ip, "netns", "add", name)).code != 0:
        pytest.skip("this machine does not let root make a network namespace")
    try:
        if run((ip, "-n", name, "link", "set", "lo", "up")).code or run((ip, "netns", "exec", name, "true")).code:
            pytest.skip("this machine does not let root use a network namespace")
        yield ip, name
    finally:
        run((ip, "netns", "delete", name))


@pytest.mark.timeout(200)
def test_cut_off(tmp_path, namespace):
    """Protects a run from a network that is gone for a while: nobody is told, connections stay half open, and it goes on after that."""
    trouble_file(tmp_path)
    ip, name = namespace
    inside = (ip, "netns", "exec", name)
    with open_run(tmp_path, *inside) as command:
        joining = worker(tmp_path, ("127.0.0.1", access(tmp_path)["port"]), 2)
        with started((*inside, *joining), folder=tmp_path) as outside:
            wait_until(lambda: nodes_on_disk(tmp_path / "here") > 0, "something was explored", 60)
            assert run((ip, "-n", name, "link", "set", "lo", "down")).code == 0
            wait_until(lambda: "lost" in command.stderr, "the workers were given up", 60)
            assert run((ip, "-n", name, "link", "set", "lo", "up")).code == 0
            answer = ends_exactly(command, tmp_path)
            assert outside.wait(90).code == 0
    assert answer["killings"] >= 1
    assert answer["workers"] >= 3
