"""The command worker up to the moment at which it would connect: where it looks, with which key, for how long, as how many."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import pytest
from support.commands import ROOT
from support.disk import make_run

from parry_mpi.cli import joining, seeking
from parry_mpi.cli.joining import Chorus
from parry_mpi.cli.main import main
from parry_mpi.cli.seeking import Announced
from parry_mpi.errors import PeerLost, StoreCorrupt, UsageError
from parry_mpi.runtime import processes
from parry_mpi.runtime.outside import OutsideOptions, RunIsOver
from parry_mpi.runtime.signals import StopSignals
from parry_mpi.store import keyfiles
from parry_mpi.store.access import Access, open_bridge_files, read_access, write_access

QUEENS = ROOT / "jobs" / "queens.py"
NOBODY = "127.0.0.1:1"
"""An address at which nobody listens: port 1 wants a right that nobody takes for it."""


def announce(run_dir: Path, **changes) -> Access:
    """Write what a coordinator would."""
    run_dir.mkdir(exist_ok=True)
    key = open_bridge_files(run_dir).coordinator_key.public.line
    access = Access(host="127.0.0.1", port=1, server_key=key, problem=str(QUEENS), words=("n=6", "engine=python"), fingerprint="")
    write_access(run_dir, msgspec.structs.replace(access, **changes))
    return read_access(run_dir)


@pytest.fixture(autouse=True)
def _problem_forgotten():
    """Undo what loading a problem does to this process."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in [name for name in sys.modules if name.rstrip("_") == QUEENS.stem]:
        del sys.modules[name]


@pytest.fixture
def told():
    return []


@pytest.fixture
def joined(monkeypatch):
    """What the processes would have been started with, in the place of starting them."""
    calls = []

    def work_outside(load, find, key, options, tell):
        calls.append((load, find, key, options))
        return 0

    monkeypatch.setattr(joining, "work_outside", work_outside)
    monkeypatch.setattr(joining, "work_in_processes", lambda count, one: max(one(index) for index in range(count)))
    return calls


def test_typed(tmp_path, joined):
    """Protects workers without a shared file system: address, problem, parameters and both keys are taken from the command line."""
    key, server = keyfiles.new_key("worker"), keyfiles.new_key("coordinator")
    keyfiles.write_new_key(tmp_path / "key", key)
    words = [str(QUEENS), "n=6", "engine=python", "--key", str(tmp_path / "key"), "--server-key", server.public.line]
    assert main(["worker", "[::1]", *words, "--processes", "3", "--wait", "5s", "--stop-after", "1h", "--isolation", "none"]) == 0
    assert len(joined) == 3
    load, find, used, options = joined[0]
    assert (find().host, find().port, find().server_key) == ("::1", 5129, server.public)
    assert load()[0].problem.n == 6
    assert used.public == key.public
    assert options.wait_s == 5
    assert 3500 < options.stop_after_s <= 3600
    assert options.isolation == "none"


def test_announced(tmp_path, monkeypatch, joined):
    """Protects workers on a shared file system: the folder says everything, and they may be started anywhere."""
    announce(tmp_path / "run")
    monkeypatch.chdir("/")
    monkeypatch.setattr(joining, "default_processes", lambda: 2)
    assert main(["worker", "--run-dir", str(tmp_path / "run")]) == 0
    assert len(joined) == 2
    load, find, used, options = joined[0]
    assert load()[0].problem.n == 6
    assert used.public == keyfiles.read_key(tmp_path / "run" / "worker_key").public
    assert find().port == 1
    announce(tmp_path / "run", port=2)
    assert find().port == 2
    assert (options.wait_s, options.stop_after_s, options.isolation) == (600, None, "process")


def test_announced_with_a_key_of_ones_own(tmp_path, joined):
    """Protects users who may read a folder but not its keys: their own key is used instead."""
    announce(tmp_path / "run")
    (tmp_path / "run" / "worker_key").unlink()
    assert main(["worker", "--run-dir", str(tmp_path / "run")]) == 2
    own = keyfiles.new_key("alice")
    keyfiles.write_new_key(tmp_path / "own", own)
    assert main(["worker", "--run-dir", str(tmp_path / "run"), "--key", str(tmp_path / "own"), "--processes", "1"]) == 0
    assert [call[2].public for call in joined] == [own.public]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--run-dir DIR"),
        ([NOBODY, str(QUEENS)], "--server-key"),
        ([NOBODY, str(QUEENS), "--key", "key"], "--server-key"),
        ([NOBODY, "--key", "key", "--server-key", "key.pub"], "FILE.py"),
        (["--run-dir", "run", NOBODY], "come from the folder"),
        (["--run-dir", "run", "--server-key", "key.pub"], "come from the folder"),
        (["host:port", str(QUEENS), "--key", "key", "--server-key", "key.pub"], "is not an address"),
        (["host:0", str(QUEENS), "--key", "key", "--server-key", "key.pub"], "port 0"),
        ([NOBODY, "nowhere.py", "--key", "key", "--server-key", "key.pub"], "nowhere.py"),
        ([NOBODY, str(QUEENS), "rows=6", "--key", "key", "--server-key", "key.pub"], "rows"),
        ([NOBODY, str(QUEENS), "--key", "nowhere", "--server-key", "key.pub"], "nowhere"),
        ([NOBODY, str(QUEENS), "--key", "key.pub", "--server-key", "key.pub"], "public key"),
        ([NOBODY, str(QUEENS), "--key", "open", "--server-key", "key.pub"], "chmod 600 open"),
        ([NOBODY, str(QUEENS), "--key", "key", "--server-key", "two.pub"], "2 keys"),
    ],
)
def test_mistakes(tmp_path, monkeypatch, joined, words, said, capsys):
    """Protects users from a worker that waits in vain: each mistake is one line before anything is tried."""
    monkeypatch.chdir(tmp_path)
    keyfiles.write_new_key(Path("key"), keyfiles.new_key("worker"))
    Path("open").write_bytes(Path("key").read_bytes())
    Path("open").chmod(0o644)
    Path("two.pub").write_text("".join(f"{keyfiles.new_key(name).public.line}\n" for name in "ab"))
    assert main(["worker", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert joined == []


def test_encrypted_key_in_a_batch_job(tmp_path, capsys):
    """Protects batch jobs: a key that would need somebody to type is refused with what to do, instead of a wait for nobody."""
    keyfiles.write_new_key(tmp_path / "key", keyfiles.new_key("alice"), b"secret")
    with pytest.raises(UsageError, match="--no-passphrase"):
        joining.read_key(tmp_path / "key")


@pytest.mark.parametrize(("answers", "opens"), [("wrong secret", True), ("a b c", False)], ids=["second", "never"])
def test_passphrase(tmp_path, monkeypatch, answers, opens):
    """Protects users who mistype: the passphrase is asked for again, three times in all."""
    keyfiles.write_new_key(tmp_path / "key", keyfiles.new_key("alice"), b"secret")
    typed = iter(answers.encode().split())
    monkeypatch.setattr(joining, "_ask", lambda _: next(typed))
    monkeypatch.setattr(joining, "on_terminal", lambda: True)
    if opens:
        assert joining.read_key(tmp_path / "key").public
    else:
        with pytest.raises(UsageError, match="passphrase is wrong"):
            joining.read_key(tmp_path / "key")
    assert list(typed) == []


def test_finished_run(tmp_path, told, capsys):
    """Protects second allocations that start late: a run that is finished has nothing for them, and that is no failure."""
    make_run(tmp_path / "run", finished=True)
    assert main(["worker", "--run-dir", str(tmp_path / "run")]) == 0
    assert "the run is finished" in capsys.readouterr().err


def test_end_is_seen_after_a_vain_attempt(tmp_path, told):
    """Protects workers of a coordinator that was killed after its last commit: they do not wait for it to come back."""
    run_dir = tmp_path / "run"
    announce(run_dir)
    run = Announced(run_dir, told.append)
    assert run.find().port == 1
    assert run.find().port == 1
    make_run(run_dir, finished=True)
    with pytest.raises(RunIsOver):
        run.find()


def test_not_listening_for_a_while(tmp_path, told):
    """Protects workers between two lives of a run: while nobody announces anything they go on looking."""
    run_dir = tmp_path / "run"
    make_run(run_dir)
    run = Announced(run_dir, told.append)
    assert run.find() is None
    announce(run_dir, port=7)
    assert run.find().port == 7


def test_damaged_announcement(tmp_path, told):
    """Protects users from a worker that tries for ever what cannot work."""
    (tmp_path / "access.json").write_text("{}")
    with pytest.raises(StoreCorrupt):
        Announced(tmp_path, told.append).find()


def test_waits_for_the_run(tmp_path, told, monkeypatch):
    """Protects allocations that start before the run does: they wait, and say for what."""
    run_dir = tmp_path / "run"
    monkeypatch.setattr(seeking.clock, "sleep", lambda _: announce(run_dir))
    access = Announced(run_dir, told.append).wait(60, StopSignals())
    assert access.port == 1
    assert told == [f"waiting for a coordinator: {run_dir} does not exist"]


def test_does_not_wait_for_ever(tmp_path, told):
    """Protects allocations from idling: after --wait a worker gives up, with the reason."""
    with pytest.raises(PeerLost, match="does not exist"):
        Announced(tmp_path / "nowhere", told.append).wait(0, StopSignals())


def test_signal_ends_the_wait(tmp_path, told):
    """Protects users who change their mind: a worker that still waits can be told to leave."""
    stop = StopSignals()
    stop.name = "SIGTERM"
    assert Announced(tmp_path / "nowhere", told.append).wait(60, stop) is None


def test_hints_at_a_bridge_for_one_machine(tmp_path, told, monkeypatch):
    """Protects users on two machines from the default address: a bridge that only its own machine can reach is recognised."""
    announce(tmp_path / "run", port=5129)
    access = msgspec.json.decode((tmp_path / "run" / "access.json").read_bytes())
    (tmp_path / "run" / "access.json").write_bytes(msgspec.json.encode(access | {"machine": "node7"}))
    Announced(tmp_path / "run", told.append).wait(0, StopSignals())
    assert len(told) == 1
    assert "--bridge node7" in told[0]
    assert "ssh -L 5129:127.0.0.1:5129 node7" in told[0]


def test_leaves_before_its_batch_job_ends(monkeypatch):
    """Protects work in progress: a worker in a batch job leaves before the walltime, or earlier if it was told to."""
    monkeypatch.setattr(joining, "slurm_seconds_left", lambda: 1000.0)
    now_ms = joining.clock.now_ms()
    assert 900 < joining._limited(OutsideOptions(), now_ms).stop_after_s < 1000
    assert joining._limited(OutsideOptions(stop_after_s=100), now_ms).stop_after_s <= 100
    assert joining._limited(OutsideOptions(stop_after_s=5000), now_ms).stop_after_s < 1000
    monkeypatch.setattr(joining, "slurm_seconds_left", lambda: None)
    assert joining._limited(OutsideOptions(), now_ms).stop_after_s is None


def test_no_wait():
    """Protects scripts that try once (--wait 0): a coordinator that is there has the time to answer."""
    assert joining._limited(OutsideOptions(wait_s=0), joining.clock.now_ms()).wait_s >= 5


def test_one_voice(capfd):
    """Protects terminals: what every one of many processes says is one line, and so is each time that it happens again."""
    chorus = Chorus()

    def speak() -> None:
        for line in ("connected", "lost", "connected"):
            chorus.say(line)

    for _ in range(3):
        os.waitpid(processes.fork_child(speak), 0)
    chorus.say("leaving")
    assert capfd.readouterr().err.splitlines() == [f"parry-mpi: {line}" for line in ("connected", "lost", "connected", "leaving")]
