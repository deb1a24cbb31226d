"""Opening run directories: what is created, taken up, or refused with nothing touched."""

from __future__ import annotations

import contextlib
import json
import os
import stat

import msgspec
import pytest
from support.disk import QUEENS, MadeUpRun, content, dead_holder_lock, make_run, program, read_only, same

from parry_mpi.core.state import Changes, Counters
from parry_mpi.errors import LocalProtocolError, StoreError, StoreLocked, StoreMismatch, UsageError
from parry_mpi.store.readers import read_result
from parry_mpi.store.run_directory import RunDirectory
from parry_mpi.store.sqlite_reader import load


def tree(folder):
    """Every name below a folder, folders too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_create_and_resume(tmp_path):
    """Protects the main promise: the same command goes on where the last one stopped."""
    folder = tmp_path / "runs" / "queens-n=12"
    run = MadeUpRun(3)
    with RunDirectory.open(folder, QUEENS) as directory:
        assert (directory.snapshot, directory.result, directory.finished) == (None, b"", False)
        with pytest.raises(LocalProtocolError):
            directory.commit(Changes(Counters()), b"")
        directory.initialize(run.advance(), run.result)
        directory.commit(run.advance(), run.result, phase="stopped")
    with RunDirectory.open(folder, QUEENS) as directory:
        assert same(run.snapshot, directory.snapshot)
        assert (directory.result, directory.finished, directory.phase) == (run.result, False, "stopped")
        directory.commit(run.advance(), run.result)
        directory.forget_snapshot()
    assert same(run.snapshot, load(folder / "state.sqlite").snapshot)
    events = [json.loads(line)["event"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert events == ["opened", "opened"]
    assert not list(folder.glob("coordinator.*"))


def test_finished(tmp_path):
    """Protects a finished run: it answers at once, to several at a time, where nothing may be written, and is never changed."""
    run = make_run(tmp_path / "run", finished=True)
    with read_only(tmp_path / "run", tmp_path / "disk") as folder:
        before = content(folder)
        with RunDirectory.open(folder, QUEENS) as one, RunDirectory.open(folder, QUEENS) as two:
            assert one.finished
            assert two.result == run.result
            assert same(run.snapshot, two.snapshot)
            assert one.refresh() is False
            one.publish({})
            one.log("event")
            with pytest.raises(LocalProtocolError, match="finished"):
                one.commit(Changes(Counters()), b"")
        assert content(folder) == before


@pytest.mark.parametrize("finished", [False, True])
def test_another_problem(tmp_path, finished):
    """Protects a run from being continued as another one: refused in one line that says what differs."""
    make_run(tmp_path, finished=finished)
    before = content(tmp_path)
    with pytest.raises(
        StoreMismatch, match=r"belongs to queens:Queens with n=12, not n=14: choose another folder with --run-dir"
    ):
        RunDirectory.open(tmp_path, msgspec.structs.replace(QUEENS, parameters={"n": 14}))
    assert content(tmp_path) == before


def test_changed_source(tmp_path):
    """Protects the answer from being mixed out of two versions of a problem."""
    make_run(tmp_path)
    with pytest.raises(StoreMismatch, match="another version of the source of queens:Queens"):
        RunDirectory.open(tmp_path, msgspec.structs.replace(QUEENS, source_digest="other"))


def test_held(tmp_path):
    """Protects a running coordinator: a second one is told who holds the folder, and touches nothing."""
    with program("commit", tmp_path / "run", 1) as holder:
        assert (holder.stdout.readline(), holder.stdout.readline()) == ("1\n", "2\n")
        names = tree(tmp_path)
        with pytest.raises(StoreLocked, match=rf"process {holder.pid}\), which is alive"):
            RunDirectory.open(tmp_path / "run", QUEENS)
        assert tree(tmp_path) == names
        assert holder.stdout.readline()


@pytest.mark.parametrize("name", ["thesis.tex", ".git", "state.db"])
def test_folder_in_use(tmp_path, name):
    """Protects folders in which somebody keeps something else."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=rf"holds other files \({name}, ...\) and no run"):
        RunDirectory.open(tmp_path, QUEENS)
    assert tree(tmp_path) == [name]


def test_no_folder(tmp_path):
    """Protects files that are named as a run directory by mistake, and makes no folders on the way."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    for path in ("file", "file/run", "nowhere", "a/" + "x" * 300):
        with pytest.raises(UsageError, match="--run-dir"):
            RunDirectory.open(tmp_path / path, QUEENS)
    assert tree(tmp_path) == ["file", "nowhere"]


def test_not_writable(tmp_path):
    """Protects users whose folder may not be written: one clear line, before any work is done."""
    make_run(tmp_path / "folder" / "run")
    (tmp_path / "folder" / "empty").mkdir()
    with read_only(tmp_path / "folder", tmp_path / "disk") as folder:
        before = tree(folder)
        for name in ("run", "empty", "new", "new/er"):
            if os.geteuid() and name in ("run", "empty"):
                (folder / name).chmod(0o555)
            with pytest.raises(UsageError, match=r"cannot be used \((Read-only|Permission).*--run-dir"):
                RunDirectory.open(folder / name, QUEENS)
        assert tree(folder) == before


LEFT_BEHIND = ["coordinator.tmp-abc", "log.jsonl", "status.json", "state.sqlite.new", "state.sqlite.new-journal", "access.json"]


def test_cut_short(tmp_path):
    """Protects runs that were killed before their first commit: the same command begins them again."""
    for name in LEFT_BEHIND:
        (tmp_path / name).write_text("half")
    dead_holder_lock(tmp_path, 4)
    run = make_run(tmp_path)
    assert same(run.snapshot, load(tmp_path / "state.sqlite").snapshot)
    assert "state.sqlite.new" not in tree(tmp_path)
    assert not list(tmp_path.glob("coordinator.*"))


@pytest.mark.parametrize("existing", [False, True])
def test_never_begun(tmp_path, existing):
    """Protects the file system from the debris of a run that is refused after its folder was opened."""
    folder = tmp_path / "runs" / "queens-n=12"
    if existing:
        folder.mkdir(parents=True)
    before = tree(tmp_path)
    with RunDirectory.open(folder, QUEENS) as directory:
        if not existing:
            directory.log("problem raised")
            directory.publish({})
    assert tree(tmp_path) == before


def test_generations_grow(tmp_path):
    """Protects the fence: a folder never gives the number of a lock away twice, however often it is opened."""
    make_run(tmp_path)
    seen = []
    for _ in range(3):
        with RunDirectory.open(tmp_path, QUEENS) as directory:
            seen.append(directory._lock.generation)
    assert seen == [2, 3, 4]


def test_number_given_away(tmp_path):
    """Protects the fence from a candidate that was slow between its first look and taking the lock."""
    run = make_run(tmp_path)
    make_run(tmp_path / "other")
    for _ in range(3):
        RunDirectory.open(tmp_path, QUEENS).close()
    from parry_mpi.store import run_directory  # noqa: PLC0415 only this test looks that deep

    stale = run_directory.summarize(tmp_path / "other" / "state.sqlite")
    with run_directory._open_locked(tmp_path, QUEENS, stale, 0, None) as directory:
        assert directory._lock.generation == 5
        directory.commit(run.advance(), run.result)


def test_published(tmp_path):
    """Protects whoever reads status.json: it is whole at every moment, and never stops the run."""
    make_run(tmp_path)
    with RunDirectory.open(tmp_path, QUEENS) as directory:
        directory.publish({"workers": 3, "path": tmp_path})
        (tmp_path / "status.json.tmp").mkdir()
        directory.publish({"workers": 4})
        published = json.loads((tmp_path / "status.json").read_text())
    assert published["status"] == {"workers": 3, "path": str(tmp_path)}
    assert published["parameters"] == {"n": 12}


def test_lost_writes_nothing(tmp_path):
    """Protects the folder from every kind of writing by a coordinator that lost it."""
    make_run(tmp_path)
    with contextlib.closing(RunDirectory.open(tmp_path, QUEENS)) as directory:
        (tmp_path / "coordinator.3.lock").write_bytes((tmp_path / "coordinator.2.lock").read_bytes())
        assert directory.refresh() is False
        before = content(tmp_path)
        directory.publish({"workers": 3})
        directory.log("event")
        with pytest.raises(StoreError):
            directory.commit(Changes(Counters()), b"")
        assert content(tmp_path) == before
    assert read_result(tmp_path).counters.reports == 5


def test_modes(tmp_path):
    """Protects groups that share a folder: files are made as the user's umask says."""
    make_run(tmp_path)
    assert stat.S_IMODE((tmp_path / "state.sqlite").stat().st_mode) & 0o044 == 0o044 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
