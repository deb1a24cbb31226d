"""The command `parry-mpi authorize`: say which keys may join a run, and which may not any more.

This module must not need the run to be there: its folder may be prepared before its first start.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from parry_mpi.cli.telling import say
from parry_mpi.errors import EXIT_COMPLETE, UsageError
from parry_mpi.store import authorized, keyfiles
from parry_mpi.store.run_directory import create_for_keys
from parry_mpi.wire.keys import AuthorizedKey, PublicKey

WANTED = "give a key to add (LINE or FILE), or --remove with a key, or --list"


@click.command("authorize")
@click.argument("run_dir", metavar="RUN_DIR", type=click.Path(path_type=Path))
@click.argument("words", metavar="[LINE|FILE]", nargs=-1)
@click.option(
    "--connections", metavar="N", type=click.IntRange(min=1), help="No more than N worker processes at a time with this key."
)
@click.option(
    "--remove", "removes", is_flag=True, help="Take the right away again; LINE, FILE, fingerprint or comment says whose."
)
@click.option("--list", "lists", is_flag=True, help="Print the keys that may join.")
def command(run_dir: Path, words: tuple[str, ...], *, connections: int | None, removes: bool, lists: bool) -> int:
    """Let the owner of a public key join a run with workers from outside MPI.

    LINE is what is in FILE.pub: "ssh-ed25519 AAAA... alice@lab". This works while the run is under way, and before its first start
    too. With --remove, workers that are connected with the key are dropped at once.
    """
    what = " ".join(words)  # a line may come without its quotation marks
    if removes + lists > 1 or bool(what) == lists or (connections is not None and (removes or lists)):
        raise UsageError(f"{WANTED} (see parry-mpi authorize --help)")
    if lists:
        _list(run_dir)
    elif removes:
        _remove(run_dir, what)
    else:
        _add(run_dir, what, connections)
    return EXIT_COMPLETE


def _add(run_dir: Path, what: str, connections_max: int | None) -> None:
    keys = keyfiles.read_public_keys(what)
    if connections_max is not None:
        keys = [AuthorizedKey(each.key, connections_max) for each in keys]
    begun = create_for_keys(run_dir)
    added = authorized.authorize(run_dir, keys)
    present = {each.key: each for each in authorized.authorized(run_dir)}
    for each in keys:
        say(f"{'may join' if each in added else 'may join already'}: {_described(present.get(each.key, each))}")
    if not begun:
        say(f"there is no run in {run_dir} yet: start it with --run-dir {shlex.quote(str(run_dir))} --bridge HOST")


def _remove(run_dir: Path, what: str) -> None:
    _require_folder(run_dir)
    removed = authorized.remove(run_dir, what) or authorized.remove(run_dir, _keys_meant(run_dir, what))
    for each in removed:
        say(f"may not join any more: {_shown(each)}")
    if not removed:
        raise _nobody(run_dir, what)


def _keys_meant(run_dir: Path, what: str) -> list[PublicKey]:
    """The keys of a line or a file."""
    if len(what.split()) == 1 and not Path(what).exists():
        raise _nobody(run_dir, what)  # a fingerprint, a comment or a file that is not there
    return [each.key for each in keyfiles.read_public_keys(what)]


def _nobody(run_dir: Path, what: str) -> UsageError:
    shown = what if len(what) <= 60 else f"{what[:60]}..."
    return UsageError(
        f"no key of {run_dir} is {shown}: parry-mpi authorize {shlex.quote(str(run_dir))} --list shows those that are there"
    )


def _list(run_dir: Path) -> None:
    _require_folder(run_dir)
    keys = authorized.authorized(run_dir)
    for each in keys:
        click.echo(_described(each))
    if not keys:
        say(f"nobody may join {run_dir} from outside")


def _require_folder(run_dir: Path) -> None:
    if not run_dir.is_dir():
        raise UsageError(f"{run_dir} {'is not a folder' if run_dir.exists() else 'does not exist'}")


def _described(key: AuthorizedKey) -> str:
    limit = f", {key.connections_max} at a time" if key.connections_max is not None else ""
    return f"{_shown(key.key)}{limit}"


def _shown(key: PublicKey) -> str:
    return f"{key.fingerprint} {key.comment}".rstrip()
