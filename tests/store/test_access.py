"""How a run is joined from outside: access.json and the bridge's keys."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess

import msgspec
import pytest
from support.disk import QUEENS

from parry_mpi.errors import StoreCorrupt, StoreVersionError, UsageError
from parry_mpi.store import keyfiles
from parry_mpi.store.access import (
    Access,
    DashboardAccess,
    NoBridge,
    joinable,
    open_bridge_files,
    read_access,
    read_dashboard_access,
    remove_access,
    write_access,
    write_dashboard_access,
)
from parry_mpi.store.authorized import authorize, authorized, remove
from parry_mpi.store.holder import this_process
from parry_mpi.store.run_directory import RunDirectory, create_for_keys
from parry_mpi.wire.keys import AuthorizedKey, PassphraseNeeded, new_private_key

ACCESS = Access(
    host="127.0.0.1",
    port=5129,
    server_key="ssh-ed25519 AAAA coordinator",
    problem="/somewhere/queens.py:Queens",
    words=("n=12", "note=a b", "name=\udcff"),
    fingerprint="ab" * 32,
)


WATCHED = DashboardAccess(host="127.0.0.1", port=8001, wanted=("127.0.0.1", 8000), token="t" * 32, machine=this_process().host)


def public_key(number, comment=""):
    return new_private_key(bytes([number]) * 32, comment).public


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_access_round_trip(tmp_path):
    """Protects workers that join through the folder: they learn what the run was started with, and only its owner can read it."""
    write_access(tmp_path, ACCESS)
    assert read_access(tmp_path) == msgspec.structs.replace(ACCESS, machine=this_process().host)
    assert mode_of(tmp_path / "access.json") == 0o600
    write_access(tmp_path, msgspec.structs.replace(ACCESS, port=1))
    assert read_access(tmp_path).port == 1
    assert [path.name for path in tmp_path.iterdir()] == ["access.json"]
    remove_access(tmp_path)
    remove_access(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_dashboard_access(tmp_path):
    """Protects open pages: the token and the port outlive the bridge and the coordinator, for the owner's eyes only."""
    assert read_dashboard_access(tmp_path) is None
    write_dashboard_access(tmp_path, WATCHED)
    assert (WATCHED, 0o600, False) == (read_dashboard_access(tmp_path), mode_of(tmp_path / "access.json"), joinable(tmp_path))
    with pytest.raises(NoBridge, match="can only be watched"):
        read_access(tmp_path)
    write_access(tmp_path, ACCESS)
    assert (WATCHED, ACCESS.port, True) == (read_dashboard_access(tmp_path), read_access(tmp_path).port, joinable(tmp_path))
    write_dashboard_access(tmp_path, msgspec.structs.replace(WATCHED, port=8002))
    assert ACCESS.port == read_access(tmp_path).port
    remove_access(tmp_path)
    assert (8002, False) == (read_dashboard_access(tmp_path).port, joinable(tmp_path))


@pytest.mark.parametrize("changed", [{"token": "short"}, {"port": 0}, {"token": 7}, {"wanted": []}])
def test_damaged_dashboard_access(tmp_path, changed):
    """Protects the run from a file that somebody wrote into: it is written anew, with a token that nobody can guess."""
    write_dashboard_access(tmp_path, WATCHED)
    content = json.loads((tmp_path / "access.json").read_text())
    content["dashboard"] |= changed
    (tmp_path / "access.json").write_text(json.dumps(content))
    assert read_dashboard_access(tmp_path) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104 what a user may type
def test_access_names_the_machine(tmp_path, host):
    """Protects workers on other machines: a bridge that listens on all addresses is found under the name of its machine."""
    write_access(tmp_path, msgspec.structs.replace(ACCESS, host=host))
    assert read_access(tmp_path).host == this_process().host


def test_no_bridge(tmp_path):
    """Protects users who forgot --bridge, or mistyped the folder: they are told which."""
    with pytest.raises(NoBridge, match="--bridge"):
        read_access(tmp_path)
    with pytest.raises(NoBridge, match="does not exist"):
        read_access(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 1}', '{"version": "1"}', "\x00" * 9, "[" * 100_000],
    ids=["empty", "list", "object", "partial", "text", "zeros", "deep"],
)
def test_damaged_access(tmp_path, content):
    """Protects users from a traceback: a damaged access.json is named, with what to do."""
    (tmp_path / "access.json").write_text(content)
    with pytest.raises(StoreCorrupt, match=r"access\.json is damaged"):
        read_access(tmp_path)


@pytest.mark.parametrize("changed", [{"port": 0}, {"port": 65536}, {"host": ""}])
def test_access_without_an_address(tmp_path, changed):
    """Protects workers from connecting to nowhere for ever."""
    write_access(tmp_path, ACCESS)
    content = json.loads((tmp_path / "access.json").read_text())
    (tmp_path / "access.json").write_text(json.dumps(content | changed))
    with pytest.raises(StoreCorrupt, match="no address"):
        read_access(tmp_path)


def test_access_of_another_version(tmp_path):
    """Protects users of two versions: workers say so and do not guess."""
    (tmp_path / "access.json").write_text('{"version": 2, "hosts": []}')
    with pytest.raises(StoreVersionError, match="version 2"):
        read_access(tmp_path)


def test_bridge_files(tmp_path):
    """Protects a run's identity: its keys are made once, for its owner only, the worker key may join, and the folder is still a run's."""
    folder = tmp_path / "run"
    folder.mkdir()
    files = open_bridge_files(folder)
    assert {path.name: mode_of(path) for path in folder.iterdir()} == {
        "authorized_keys": 0o600,
        "coordinator_key": 0o600,
        "coordinator_key.pub": 0o644,
        "worker_key": 0o600,
    }
    assert [key.key for key in authorized(folder)] == [keyfiles.read_key(folder / "worker_key").public]
    assert files.authorized_keys == folder / "authorized_keys"
    assert files.coordinator_key.public == keyfiles.read_public_key_of(str(folder / "coordinator_key.pub"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert open_bridge_files(folder).coordinator_key.public == files.coordinator_key.public
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
    write_access(folder, ACCESS)
    (folder / "access.json.new-abc").touch()  # of a process that was killed
    RunDirectory.open(folder, QUEENS).close()


def test_removed_worker_key_stays_removed(tmp_path):
    """Protects the user's last word: the line of the worker key, once removed, does not come back with the next start."""
    open_bridge_files(tmp_path)
    remove(tmp_path, [keyfiles.read_key(tmp_path / "worker_key").public])
    open_bridge_files(tmp_path)
    assert authorized(tmp_path) == []


@pytest.mark.parametrize("name", ["coordinator_key", "worker_key"])
def test_open_key_files_are_refused(tmp_path, name):
    """Protects a run from strangers: a private key that others can read is not used, and the command that mends it is named."""
    open_bridge_files(tmp_path)
    (tmp_path / name).chmod(0o640)
    with pytest.raises(UsageError, match=f"chmod 600 .*{name}"):
        open_bridge_files(tmp_path)


def test_keys_are_not_overwritten(tmp_path):
    """Protects keys: no command writes over one, not even over the public half alone."""
    path = tmp_path / "key"
    for name in ("key", "key.pub"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(UsageError, match=f"{name} is there already"):
            keyfiles.write_new_key(path, keyfiles.new_key("x"))
        assert [each.read_text() for each in tmp_path.iterdir()] == ["precious"]
        (tmp_path / name).unlink()
    with pytest.raises(UsageError, match="cannot be written"):
        keyfiles.write_new_key(tmp_path / "nowhere" / "key", keyfiles.new_key("x"))


def test_encrypted_key(tmp_path):
    """Protects encrypted keys: the passphrase opens them, and without anybody to ask that is said."""
    path, key = tmp_path / "key", keyfiles.new_key("alice@lab")
    keyfiles.write_new_key(path, key, b"secret")
    assert keyfiles.read_key(path, lambda _: b"secret").public == key.public
    with pytest.raises(PassphraseNeeded):
        keyfiles.read_key(path)
    with pytest.raises(UsageError):
        keyfiles.read_key(path, lambda _: b"wrong")


SSH_KEYGEN = shutil.which("ssh-keygen") or ""


@pytest.mark.skipif(not SSH_KEYGEN, reason="no ssh-keygen (apt-get install openssh-client)")
def test_keys_of_openssh(tmp_path):
    """Protects users with keys of their own: what ssh-keygen writes is read, and what we write ssh-keygen reads."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    subprocess.run([SSH_KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "alice@lab", "-f", theirs], check=True)
    assert keyfiles.read_key(theirs).public == keyfiles.read_public_key_of(f"{theirs}.pub")
    keyfiles.write_new_key(ours, keyfiles.new_key("bob@lab"))
    shown = subprocess.run([SSH_KEYGEN, "-l", "-f", ours], check=True, capture_output=True, text=True).stdout.split()
    assert shown[1:3] == [keyfiles.read_key(ours).public.fingerprint, "bob@lab"]
    again = subprocess.run([SSH_KEYGEN, "-y", "-f", ours], check=True, capture_output=True, text=True).stdout
    assert keyfiles.read_public_key_of(again).raw == keyfiles.read_public_key_of(f"{ours}.pub").raw


def test_authorize(tmp_path):
    """Protects the list of those who may join: nobody is in it twice, comments stay, and a limit can be changed."""
    path = tmp_path / "authorized_keys"
    path.write_text("# the lab\n\n")
    path.chmod(0o640)
    alice, bob = AuthorizedKey(public_key(1, "alice@lab"), None), AuthorizedKey(public_key(2, "bob"), 3)
    assert authorize(tmp_path, [alice, bob]) == [alice, bob]
    assert authorize(tmp_path, [alice, AuthorizedKey(bob.key, None)]) == []
    assert path.read_text() == f"# the lab\n\n{alice.key.line}\nconnections=3 {bob.key.line}\n"
    assert mode_of(path) == 0o640
    limited = AuthorizedKey(alice.key, 1)
    assert authorize(tmp_path, [limited]) == [limited]
    assert [(each.key, each.connections_max) for each in authorized(tmp_path)] == [(bob.key, 3), (alice.key, 1)]


def test_authorize_beside_a_line_without_end(tmp_path):
    """Protects a list that was edited by hand: a last line without a newline is not glued to the next."""
    (tmp_path / "authorized_keys").write_text(public_key(1, "alice").line)
    authorize(tmp_path, [AuthorizedKey(public_key(2, "bob"), None)])
    assert [each.key.comment for each in authorized(tmp_path)] == ["alice", "bob"]


@pytest.mark.parametrize("how", ["key", "fingerprint", "comment"])
def test_remove(tmp_path, how):
    """Protects the right to throw somebody out: by key, fingerprint or comment, even beside a line that makes no sense."""
    alice, bob = public_key(1, "alice@lab"), public_key(2, "bob")
    (tmp_path / "authorized_keys").write_text(f"# us\n{alice.line}\nssh-rsa AAAA old\nconnections=2 {bob.line}\n")
    what = {"key": [bob], "fingerprint": bob.fingerprint, "comment": "bob"}[how]
    assert remove(tmp_path, what) == [bob]
    assert (tmp_path / "authorized_keys").read_text() == f"# us\n{alice.line}\nssh-rsa AAAA old\n"
    assert remove(tmp_path, what) == []


def test_authorize_beside_nonsense(tmp_path):
    """Protects users from an authorisation that the bridge would not read: a line that makes no sense is named, nothing is written."""
    (tmp_path / "authorized_keys").write_text("ssh-rsa AAAA old\n")
    with pytest.raises(UsageError, match="authorized_keys"):
        authorize(tmp_path, [AuthorizedKey(public_key(1), None)])
    assert (tmp_path / "authorized_keys").read_text() == "ssh-rsa AAAA old\n"


def test_create_for_keys(tmp_path):
    """Protects other people's folders: keys go where a run is or may come to be, and nowhere else."""
    assert create_for_keys(tmp_path / "runs" / "new") is False
    assert create_for_keys(tmp_path / "runs" / "new") is False
    with pytest.raises(UsageError, match="holds other files"):
        create_for_keys(tmp_path / "runs")
