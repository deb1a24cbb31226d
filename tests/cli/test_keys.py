"""The commands keygen and authorize, from their words to what is in the files."""

from __future__ import annotations

import shutil
import stat
import subprocess

import pytest
from click.testing import CliRunner
from support.disk import QUEENS

from parry_mpi.cli import keygen
from parry_mpi.cli.main import main
from parry_mpi.store import keyfiles
from parry_mpi.store.authorized import authorized
from parry_mpi.store.run_directory import RunDirectory

SSH_KEYGEN = shutil.which("ssh-keygen") or ""


@pytest.fixture
def key(tmp_path):
    """A key that was made without a passphrase: the path of its private half."""
    path = tmp_path / "key"
    keyfiles.write_new_key(path, keyfiles.new_key("alice@lab"))
    return path


@pytest.fixture
def run_dir(tmp_path):
    return tmp_path / "runs" / "new"


def comments(run_dir):
    return [each.key.comment for each in authorized(run_dir)]


def test_keygen(tmp_path, capsys):
    """Protects the first step of every worker: one command makes a key for its owner only, and says its fingerprint."""
    path = tmp_path / "key"
    assert main(["keygen", str(path), "--no-passphrase"]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = keyfiles.read_public_key_of(f"{path}.pub")
    assert public == keyfiles.read_key(path).public
    assert capsys.readouterr().out == f"{public.fingerprint}\n"
    assert "@" in public.comment


def test_keygen_overwrites_nothing(key, capsys):
    """Protects the key that is there: a second keygen is refused."""
    before = key.read_bytes()
    assert main(["keygen", str(key)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert key.read_bytes() == before


@pytest.mark.parametrize(("typed", "expected"), [("secret\nsecret\n", b"secret"), ("\n\n", None)], ids=["passphrase", "none"])
def test_keygen_asks_for_a_passphrase(tmp_path, monkeypatch, typed, expected):
    """Protects keys on shared machines: on a terminal a passphrase can be given, and the file then needs it."""
    monkeypatch.setattr(keygen, "on_terminal", lambda: True)
    path = tmp_path / "key"
    finished = CliRunner().invoke(keygen.command, [str(path)], input=typed)
    assert finished.exit_code == 0, finished.output
    assert keyfiles.read_key(path, (lambda _: expected) if expected else None)


@pytest.mark.parametrize("form", ["file", "line", "words"])
def test_authorize_before_the_first_run(key, run_dir, form, capsys):
    """Protects those who prepare: a key can be authorised before the run is there, as a file or as a line, and the run takes the folder."""
    public = key.with_name("key.pub")
    words = {"file": [str(public)], "line": [public.read_text()], "words": public.read_text().split()}[form]
    assert main(["authorize", str(run_dir), *words]) == 0
    assert comments(run_dir) == ["alice@lab"]
    said = capsys.readouterr().err
    assert "may join: SHA256:" in said
    assert f"--run-dir {run_dir} --bridge" in said
    RunDirectory.open(run_dir, QUEENS).close()
    assert comments(run_dir) == ["alice@lab"]


def test_authorize_with_a_limit(key, run_dir, capsys):
    """Protects a run from one user's thousand workers: the limit is kept, can be changed, and is shown."""
    for limit in ("4", "2"):
        assert main(["authorize", str(run_dir), f"{key}.pub", "--connections", limit]) == 0
    assert main(["authorize", str(run_dir), f"{key}.pub"]) == 0
    assert "may join already" in capsys.readouterr().err.splitlines()[-2]
    assert main(["authorize", str(run_dir), "--list"]) == 0
    assert capsys.readouterr().out == f"{keyfiles.read_key(key).public.fingerprint} alice@lab, 2 at a time\n"


@pytest.mark.parametrize("how", ["file", "line", "fingerprint", "comment"])
def test_remove(key, run_dir, how, capsys):
    """Protects the right to throw somebody out, in whatever way their key is named; whoever is not there is not removed in silence."""
    public = keyfiles.read_key(key).public
    assert main(["authorize", str(run_dir), f"{key}.pub"]) == 0
    named = {"file": f"{key}.pub", "line": public.line, "fingerprint": public.fingerprint, "comment": "alice@lab"}[how]
    assert main(["authorize", str(run_dir), "--remove", named]) == 0
    assert comments(run_dir) == []
    capsys.readouterr()
    assert main(["authorize", str(run_dir), "--remove", named]) == 2
    assert "--list shows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a key"),
        (["--list", "--remove"], "give a key"),
        (["--list", "--connections", "2"], "give a key"),
        (["--remove"], "give a key"),
        (["nowhere.pub"], "cannot be read"),
        (["ssh-rsa AAAA alice"], "ssh-rsa"),
        (["key"], "is a private key"),
        (["empty"], "holds no key"),
    ],
    ids=["nothing", "both", "limit", "whom", "file", "type", "private", "empty"],
)
def test_authorize_mistakes(key, tmp_path, monkeypatch, words, said, capsys):
    """Protects users from a key that is not authorised without their noticing: every mistake is one line, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("# nothing\n")
    assert main(["authorize", "run", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--list"], ["--remove", "bob"]])
def test_mistyped_folder(tmp_path, words, capsys):
    """Protects users who mistype the folder: they are told, rather than that nobody may join."""
    assert main(["authorize", str(tmp_path / "nowhere"), *words]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_authorize_in_another_folder(key, capsys):
    """Protects a home folder from being taken for a run's."""
    assert main(["authorize", str(key.parent), f"{key}.pub"]) == 2
    assert "holds other files" in capsys.readouterr().err


@pytest.mark.skipif(not SSH_KEYGEN, reason="no ssh-keygen (apt-get install openssh-client)")
def test_keys_of_ssh_keygen(tmp_path, run_dir):
    """Protects users with keys of their own: the files that ssh-keygen wrote are authorised as they are."""
    theirs = tmp_path / "id_ed25519"
    subprocess.run([SSH_KEYGEN, "-q", "-t", "ed25519", "-N", "", "-C", "carol at home", "-f", theirs], check=True)
    assert main(["authorize", str(run_dir), f"{theirs}.pub"]) == 0
    assert comments(run_dir) == ["carol at home"]
    assert main(["authorize", str(run_dir), "--remove", "carol", "at", "home"]) == 0
    assert comments(run_dir) == []
