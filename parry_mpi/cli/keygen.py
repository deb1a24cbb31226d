"""The command `parry-mpi keygen`: make a key with which a worker from outside shows who it is.

This module must not authorise it anywhere: `parry-mpi authorize` does.
"""

from __future__ import annotations

import getpass
import platform
from pathlib import Path

import click

from parry_mpi.cli.telling import say
from parry_mpi.cli.terminal import on_terminal
from parry_mpi.errors import EXIT_COMPLETE
from parry_mpi.store import keyfiles


@click.command("keygen")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--no-passphrase", is_flag=True, help="Do not ask for a passphrase: batch jobs cannot type one.")
def command(file: Path, *, no_passphrase: bool) -> int:
    """Make an Ed25519 key in OpenSSH's format: FILE, to be kept secret, and FILE.pub, to be authorised.

    A key that `ssh-keygen -t ed25519` made does just as well.
    """
    keyfiles.require_free(file)  # before anybody thinks of a passphrase
    passphrase = _new_passphrase() if on_terminal() and not no_passphrase else b""
    key = keyfiles.new_key(_who())
    keyfiles.write_new_key(file, key, passphrase or None)
    say(f"{file} is for nobody else; its owner may join a run after: parry-mpi authorize RUN_DIR {keyfiles.public_path_of(file)}")
    click.echo(key.public.fingerprint)
    return EXIT_COMPLETE


def _new_passphrase() -> bytes:
    text: str = click.prompt(
        "Passphrase (empty for none)", default="", show_default=False, hide_input=True, confirmation_prompt="Once more", err=True
    )
    return text.encode(errors="surrogateescape")


def _who() -> str:
    """The comment of a new key, user@host, as ssh-keygen has it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container in which the user has no name
        user = "worker"
    return f"{user}@{platform.node()}"
