"""Benchmarks of the bridge: what signing costs, how many frames a second go to and fro, and what workers outside cost those inside.

This module must not judge.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from parry_mpi.core.ids import WorkerId
from parry_mpi.core.messages import Alive
from parry_mpi.store.access import read_access
from parry_mpi.transport.base import COORDINATOR
from parry_mpi.transport.bridge.end import BridgeTransport
from parry_mpi.transport.tcp import Address, TcpTransport
from parry_mpi.wire import codec
from parry_mpi.wire.keys import PrivateKey, new_private_key, read_private_key, read_public_key, verified
from tests.benchmarks.harness import MeasurementError, Row, Setting, interleaved
from tests.benchmarks.running import DEADLINE_S, PROBLEMS, Run, cpu_s, going, read_run
from tests.support.commands import parry_mpi, started, wait_until

FRAME = codec.encode([Alive(WorkerId(1), ())]).ljust(300, b"\0")
"""About as long as a report."""

RANKS = 3
CHATTERS = 8
CHATTER_HZ = 20
"""How often each of the chatters says something: a real worker does so five to ten times a second."""


def bridge(setting: Setting) -> list[Row]:
    """Measure the bridge by itself, then runs that use it."""
    seconds = setting.pick(3.0, 1.0, 0.2)
    trips = {f"{count}": partial(_round_trips, seconds, count) for count in (1, CHATTERS)}
    raw = interleaved(setting.less(), "bridge", {"signing": partial(_signing, seconds), **trips})
    rows = [Row("bridge.sign_and_verify", "/s", raw["signing"])]
    limit = "one signature and its verification"
    for count in trips:
        rows.append(Row(f"bridge.round_trips.{count}", "/s", [each[0] for each in raw[count]], raw["signing"], limit))
        rows.append(Row(f"bridge.process.{count}", "us/frame", [each[1] for each in raw[count]]))
    return rows + _runs(setting)


def _runs(setting: Setting) -> list[Row]:
    """Jobs that cost nothing: on ranks, outside, and on ranks while others keep the bridge busy."""
    points = setting.pick(10_000_000, 3_000_000, 2_000)  # long enough for the clients' start not to matter
    words = (PROBLEMS + ":Nothing", f"points={points}")
    ways = {
        "ranks": partial(_run, setting, RANKS, words, 0),
        "open": partial(_run, setting, RANKS, (*words, "--bridge", "127.0.0.1:0"), 0),
        "chatter": partial(_run, setting, RANKS, (*words, "--bridge", "127.0.0.1:0"), CHATTERS),
        "outside": partial(_outside, setting, (*words, "--bridge", "127.0.0.1:0")),
    }
    measured = interleaved(setting.less(), "bridge", ways)
    if wrong := [each.result for runs in measured.values() for each in runs if each.result != points]:
        raise MeasurementError(f"{points} jobs were counted as {wrong}")
    speed = {name: [points / each.working_s for each in runs] for name, runs in measured.items()}
    against = "1 + 2 ranks without a bridge"
    return [
        Row("bridge.small.ranks", "jobs/s", speed["ranks"]),
        Row("bridge.small.open", "jobs/s", speed["open"], speed["ranks"], against),
        Row("bridge.small.chatter", "jobs/s", speed["chatter"], speed["ranks"], f"{against}; {CHATTERS} signing clients"),
        Row("bridge.small.outside", "jobs/s", speed["outside"], speed["ranks"], f"{against}; 2 workers outside instead"),
    ]


def _signing(seconds: float) -> float:
    """Sign and verify for so long; return how often a second one core can do both."""
    key = new_private_key(bytes(32))
    count, began_at_s = 0, time.perf_counter()
    while time.perf_counter() < began_at_s + seconds:
        signature = key.sign(FRAME)
        assert verified(key.public.raw, signature, FRAME)
        count += 1
    return count / (time.perf_counter() - began_at_s)


def _round_trips(seconds: float, clients: int) -> tuple[float, float]:
    """Answer every frame of some clients for so long.

    Returns:
        Frames answered a second, and how many microseconds of processor time the bridge process used for each.
    """
    with tempfile.TemporaryDirectory(prefix="parry-bridge-") as folder:
        key, authorized_keys = new_private_key(bytes(32)), Path(folder) / "authorized_keys"
        authorized_keys.write_text(f"{key.public.line}\n")
        end = BridgeTransport("127.0.0.1", 0, key, authorized_keys)
        command = [sys.executable, "-m", "tests.benchmarks.bridging", "echo", str(end.address[1]), str(clients)]
        process = subprocess.Popen(command)
        try:
            wait_until(partial(_answer, end), "a client said something", 30)
            count, cpu_before_s, began_at_s = 0, cpu_s(end.pid), time.perf_counter()
            while time.perf_counter() < began_at_s + seconds:
                count += _answer(end)
            took_s = time.perf_counter() - began_at_s
            return count / took_s, (cpu_s(end.pid) - cpu_before_s) * 1e6 / max(count, 1)
        finally:
            process.kill()
            process.wait()
            end.close(orderly=False, code=0)


def _answer(end: BridgeTransport) -> int:
    """Send back what came in; return how many frames that were."""
    frames = end.receive()
    for peer, frame in frames:
        end.send(peer, frame)
    end.progress()
    return len(frames)


def _run(setting: Setting, ranks: int, words: tuple[str, ...], chatters: int) -> Run:
    began_at_s = time.monotonic()
    with going(setting, ranks, *words) as (process, directory), _chatter(directory, chatters):
        return read_run(process.wait(DEADLINE_S), directory, time.monotonic() - began_at_s)


def _outside(setting: Setting, words: tuple[str, ...]) -> Run:
    began_at_s = time.monotonic()
    with going(setting, 1, *words) as (process, directory):
        wait_until((directory / "access.json").exists, "workers could join", 60)
        with started(parry_mpi("worker", "--run-dir", directory, "--processes", "2")):
            return read_run(process.wait(DEADLINE_S), directory, time.monotonic() - began_at_s)


@contextlib.contextmanager
def _chatter(directory: Path, count: int) -> Iterator[None]:
    """Keep the bridge of a run busy with so many authorised clients."""
    if not count:
        yield
        return
    wait_until((directory / "access.json").exists, "workers could join", 60)
    process = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.bridging", "chatter", str(directory), str(count)])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _clients(address: Address, key: PrivateKey, count: int) -> list[TcpTransport]:
    draw = random.Random(1)
    return [
        TcpTransport(lambda: address, key, os.urandom(16), lambda: time.monotonic_ns() // 1_000_000, draw) for _ in range(count)
    ]


def _be_clients() -> None:
    """Be some clients in this process: say a frame as soon as the last was answered, or now and then."""
    what, where, count = sys.argv[1:]
    if what == "echo":
        key = new_private_key(bytes(32))
        clients = _clients(Address("127.0.0.1", int(where), key.public), key, int(count))
        waiting = [False] * len(clients)
        while True:
            for number, client in enumerate(clients):
                answered = bool(client.receive())
                waiting[number] = client.connected and waiting[number] and not answered
                if client.connected and not waiting[number]:
                    client.send(COORDINATOR, FRAME)
                    waiting[number] = True
                client.progress()
    access = read_access(Path(where))
    key = read_private_key((Path(where) / "worker_key").read_bytes(), "worker_key")
    clients = _clients(Address(access.host, access.port, read_public_key(access.server_key, "access.json")), key, int(count))
    frame = codec.encode([Alive(WorkerId(1), ())])
    while True:
        for client in clients:
            client.receive()
            client.send(COORDINATOR, frame)
            client.progress()
        time.sleep(1 / CHATTER_HZ)


if __name__ == "__main__":
    _be_clients()
