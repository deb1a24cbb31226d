"""Status, result and retry."""

from __future__ import annotations

import shutil

import msgspec
import pytest
from support.commands import wait_until
from support.disk import QUEENS, content, dead_holder_lock, make_run, program, read_only

from parry_mpi.core.ids import JobId
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Changes, Counters
from parry_mpi.errors import StoreLocked, StoreMismatch, UsageError
from parry_mpi.job import WHOLE, Job
from parry_mpi.store.holder import this_process
from parry_mpi.store.readers import HEARTBEAT_WATCH_S, last_published, read_result, read_status, retry
from parry_mpi.store.run_directory import RunDirectory

POISON = Quarantined(Job(b"x", killed=5, depth=3, weight=WHOLE // 4), "ZeroDivisionError", "Traceback", "node7")


@pytest.fixture
def incomplete(tmp_path):
    """A run that finished with a quarantined job."""
    folder = tmp_path / "run"
    with RunDirectory.open(folder, QUEENS) as directory:
        counters = Counters(next_job=JobId(8), unpulled_weight=0, roots_exhausted=True, solved=9)
        directory.initialize(Changes(counters, quarantined_put={JobId(7): POISON}), b"\x05", finished=True, phase="finished")
    return folder


def test_result(tmp_path):
    """Protects the answer on disk: it says of itself whether it is complete."""
    folder = tmp_path / "run"
    with RunDirectory.open(folder, QUEENS) as directory:
        directory.initialize(Changes(Counters(unpulled_weight=WHOLE // 2)), b"\x01")
        part = read_result(folder)
        directory.commit(Changes(Counters(unpulled_weight=0)), b"\x02", finished=True, phase="finished")
    whole = read_result(folder)
    assert (part.result, part.complete, part.finished, part.explored) == (b"\x01", False, False, 0.5)
    assert (whole.result, whole.complete, whole.finished, whole.explored) == (b"\x02", True, True, 1.0)
    assert whole.identity == QUEENS


def test_incomplete(incomplete):
    """Protects against taking an answer for complete from which a job is missing."""
    stored, status = read_result(incomplete), read_status(incomplete)
    assert (stored.complete, stored.finished, stored.explored, stored.quarantined) == (False, True, 0.75, (POISON,))
    assert (status["complete"], status["quarantined"], status["solved"], status["live"]) == (False, 1, 9, False)
    assert status["quarantined_jobs"] == [{"error": "ZeroDivisionError", "host": "node7", "killed": 5, "depth": 3}]


def test_retry(incomplete):
    """Protects the way back from quarantine: the job is pending again, and the run not finished any more."""
    assert retry(incomplete) == 1
    with RunDirectory.open(incomplete, QUEENS) as directory:
        assert not directory.finished
        assert dict(directory.snapshot.pending.items()) == {JobId(8): POISON.job}
        assert directory.snapshot.quarantined == {}
        assert directory.result == b"\x05"
        with pytest.raises(StoreLocked):
            retry(incomplete)
    assert retry(incomplete) == 0


def test_retry_lets_a_corrected_source_go_on(incomplete):
    """Protects a run whose problem was corrected: it goes on with the new source, and from then on with no other."""
    corrected = msgspec.structs.replace(QUEENS, source_digest="corrected source")
    with pytest.raises(StoreMismatch, match="parry-mpi retry"):
        RunDirectory.open(incomplete, corrected)
    retry(incomplete)
    with RunDirectory.open(incomplete, corrected) as directory:
        assert dict(directory.snapshot.pending.items()) == {JobId(8): POISON.job}
    assert read_result(incomplete).identity == corrected
    with pytest.raises(StoreMismatch, match="another version of the source"):
        RunDirectory.open(incomplete, QUEENS)


def test_status_of_a_live_run(tmp_path):
    """Protects `parry-mpi status`: while a run is alive it shows what the coordinator says, not what is on disk."""
    folder = tmp_path / "run"
    make_run(folder)
    with RunDirectory.open(folder, QUEENS) as directory:
        assert read_status(folder)["live"] is False  # Nothing was published yet.
        directory.publish({"workers": 3})
        status = read_status(folder)
        assert (status["live"], status["workers"], status["parameters"]) == (True, 3, {"n": 12})
    after = read_status(folder)
    assert (after["live"], after["reports"]) == (False, 5)
    dead_holder_lock(folder, 3)
    assert read_status(folder)["live"] is False


def test_what_is_kept_of_an_optimum(tmp_path):
    """Protects whoever stopped a run: what was proven is still told, zero included, by the numbers that its coordinator published last."""
    folder = tmp_path / "run"
    with RunDirectory.open(folder, QUEENS) as directory:
        directory.initialize(Changes(Counters()), b"")
        directory.publish({"sense": "min", "objective": 0, "bound": -3.5, "contributions": [], "phase": "exploring"})
    status = read_status(folder)
    assert ("min", 0, -3.5) == (status["sense"], status["objective"], status["bound"])
    assert "contributions" not in status


def test_what_the_last_life_published(tmp_path):
    """Protects what one life learns from another: it can be read by the next one, and nonsense is read as nothing."""
    folder = tmp_path / "run"
    with RunDirectory.open(folder, QUEENS) as directory:
        assert last_published(folder) == {}
        directory.initialize(Changes(Counters()), b"")
        directory.publish({"stopping_s": 2.5})
    with RunDirectory.open(folder, QUEENS):
        assert last_published(folder) == {"stopping_s": 2.5}
    (folder / "status.json").write_text("[1, 2")
    assert last_published(folder) == {}


@pytest.mark.parametrize("alive", [False, True])
def test_status_of_a_run_elsewhere(tmp_path, alive):
    """Protects the status of a run on another machine: alive is who moves while we look, whatever the clocks say."""
    make_run(tmp_path)
    holder = msgspec.structs.replace(this_process("token"), host="node17", boot="other")
    path = tmp_path / "coordinator.9.lock"
    path.write_bytes(holder.to_bytes())
    published = {"token": "token", "problem": "queens:Queens", "parameters": {"n": 12}, "status": {"workers": 8}}
    (tmp_path / "status.json").write_bytes(msgspec.json.encode(published))
    now_s = 0.0

    def wait(seconds):
        nonlocal now_s
        now_s += seconds
        if alive and now_s > 1:
            path.write_bytes(msgspec.structs.replace(holder, beat=1).to_bytes())

    status = read_status(tmp_path, now=lambda: now_s, sleep=wait)
    assert (status["live"], status.get("host"), status.get("workers")) == ((True, "node17", 8) if alive else (False, None, None))
    assert (now_s >= HEARTBEAT_WATCH_S) is not alive


@pytest.mark.parametrize("locks", ["with-locks", "without-locks"])
def test_while_committing(tmp_path, locks):
    """Protects reading the result of a run that commits all the time: always one whole commit, also where locks do not work."""
    with program("commit", tmp_path / "run", 1, locks) as committer:
        committer.stdout.readline()
        seen = [read_result(tmp_path / "run").counters.reports]

        def look():
            seen.append(read_result(tmp_path / "run").counters.reports)
            return len(seen) > 20 and seen[-1] > seen[0] + 3

        wait_until(look, "the run went on while it was read")
    assert seen == sorted(seen)
    assert seen[0] > 0


def test_read_only(tmp_path):
    """Protects colleagues who may look at a run but not write."""
    run = make_run(tmp_path / "run")
    with read_only(tmp_path / "run", tmp_path / "disk") as folder:
        before = content(folder)
        assert read_result(folder).result == run.result
        assert read_status(folder)["reports"] == 5
        with pytest.raises(UsageError, match="cannot be used"):
            retry(folder)
        assert content(folder) == before


@pytest.mark.parametrize("use", [read_result, read_status, retry])
def test_no_run_directory(tmp_path, use):
    """Protects users from a wrong path: one line, and nothing is created."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file", tmp_path / "missing"):
        with pytest.raises(UsageError, match=r"no run directory|does not exist"):
            use(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_copied_folder(tmp_path):
    """Protects folders that are copied to another place, with all that is in them."""
    run = make_run(tmp_path / "run")
    with RunDirectory.open(tmp_path / "run", QUEENS):
        shutil.copytree(tmp_path / "run", tmp_path / "copy ?#%")
    assert read_result(tmp_path / "copy ?#%").result == run.result
