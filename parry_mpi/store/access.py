"""How workers outside MPI find a run and are let in: access.json and the bridge's keys, all in the run directory.

Whoever can read the folder's private files may join: worker_key is authorised from the start. This module must not open connections,
and must not know what a problem is: it keeps the words that the run was started with.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from parry_mpi.errors import StoreCorrupt, StoreVersionError, UsageError
from parry_mpi.store import keyfiles
from parry_mpi.store.authorized import AUTHORIZED_KEYS_NAME, authorize
from parry_mpi.store.holder import this_process
from parry_mpi.wire.keys import AuthorizedKey, PrivateKey

ACCESS_NAME = "access.json"
COORDINATOR_KEY_NAME = "coordinator_key"
WORKER_KEY_NAME = "worker_key"

ACCESS_VERSION = 1
PORT_MAX = 65535


class NoBridge(UsageError):
    """Nobody listens for workers of this run just now: it has no access.json."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The content of access.json: all that a worker has to know to join, but for a key.

    Args:
        version: of this form.
        host, port: where the bridge listens. ``write_access`` puts the machine's name in the place of "all addresses".
        server_key: the coordinator's public key as a line; workers trust no other.
        problem: absolute path of the file, or module, with its class.
        words: each NAME=VALUE that the run was started with.
        fingerprint: of problem, parameters and source, as Identity has it.
        machine: name of the machine the bridge runs on; ``write_access`` fills it in.
    """

    host: str
    port: int
    server_key: str
    problem: str
    words: tuple[str, ...]
    fingerprint: str
    version: int = ACCESS_VERSION
    machine: str = ""


class _Version(msgspec.Struct):
    """As much of access.json as every version has."""

    version: int


@dataclass(frozen=True)
class BridgeFiles:
    """What a bridge needs from the run directory.

    Args:
        coordinator_key: proves to workers that they talk to this run.
        authorized_keys: the file of the keys that may join; it may change at any time.
    """

    coordinator_key: PrivateKey
    authorized_keys: Path


def open_bridge_files(run_dir: Path) -> BridgeFiles:
    """Read the keys of a run's bridge; those that are not there yet are made. Call it while the run directory is held.

    A key that is there is never changed. The worker key is authorised when it is made and not again, so that its line can be
    removed for good.

    Raises:
        UsageError: a key cannot be read, is no key, or others can read it.
        CommitFailed: the file system refuses for now.
    """
    coordinator_path, worker_path = run_dir / COORDINATOR_KEY_NAME, run_dir / WORKER_KEY_NAME
    if not coordinator_path.exists():
        keyfiles.create(
            coordinator_path, keyfiles.new_key(f"coordinator of {_name(run_dir)}").to_openssh(), keyfiles.PRIVATE_MODE
        )
    coordinator_key = keyfiles.read_key(coordinator_path)
    # On its own, for the run may have been killed between the two.
    if not keyfiles.public_path_of(coordinator_path).exists():
        line = f"{coordinator_key.public.line}\n".encode()
        keyfiles.create(keyfiles.public_path_of(coordinator_path), line, keyfiles.PUBLIC_MODE)
    if worker_path.exists():
        keyfiles.read_key(worker_path)  # said to whoever starts the run, rather than to every worker
        authorize(run_dir, [])
    else:
        worker_key = keyfiles.new_key(f"workers of {_name(run_dir)}")
        # Authorised first: a run that is killed between the two leaves a line that opens nothing, not a key that is refused.
        authorize(run_dir, [AuthorizedKey(worker_key.public, None)])
        keyfiles.create(worker_path, worker_key.to_openssh(), keyfiles.PRIVATE_MODE)
    return BridgeFiles(coordinator_key, run_dir / AUTHORIZED_KEYS_NAME)


def write_access(run_dir: Path, access: Access) -> None:
    """Say how this run is joined, for its owner to read. It replaces what an earlier coordinator said.

    Raises:
        UsageError: the file cannot be written.
        CommitFailed: the file system refuses for now.
    """
    machine = this_process().host
    access = msgspec.structs.replace(access, host=_reachable(access.host, machine), machine=machine)
    # The standard module, because words may be bytes that are no text.
    text = json.dumps(msgspec.to_builtins(access), indent=2)
    keyfiles.replace(run_dir / ACCESS_NAME, f"{text}\n".encode(), keyfiles.PRIVATE_MODE)


def read_access(run_dir: Path) -> Access:
    """Read how a run is joined.

    Raises:
        NoBridge: there is no run, or nobody listens for workers of it.
        UsageError: the file cannot be read.
        StoreVersionError: another version of parry_mpi wrote it.
        StoreCorrupt: it is damaged.
    """
    path = run_dir / ACCESS_NAME
    if not path.exists():
        if not run_dir.exists():
            raise NoBridge(f"{run_dir} does not exist")
        raise NoBridge(
            f"no bridge in this run: {run_dir} holds no {ACCESS_NAME}; start the run with --bridge HOST to let workers join"
        )
    data = keyfiles.read_file(path)
    try:
        content = json.loads(data)
        version = msgspec.convert(content, _Version).version
        if version != ACCESS_VERSION:
            raise StoreVersionError(f"{path} is of version {version}, not {ACCESS_VERSION}: run and workers need one parry_mpi")
        access = msgspec.convert(content, Access)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise StoreCorrupt(f"{path} is damaged ({error}): remove it and start the run again, which writes it anew") from error
    if not access.host or not 0 < access.port <= PORT_MAX:
        raise StoreCorrupt(f"{path} is damaged (no address in it): remove it and start the run again, which writes it anew")
    return access


def remove_access(run_dir: Path) -> None:
    """Say that nobody listens any more. Never raises: what stays behind only has workers try in vain."""
    with contextlib.suppress(OSError):
        (run_dir / ACCESS_NAME).unlink(missing_ok=True)


def _reachable(host: str, machine: str) -> str:
    """The address to connect to for one to listen on: "all addresses" is none, the machine's name is."""
    with contextlib.suppress(ValueError):
        return machine if ipaddress.ip_address(host).is_unspecified else host
    return host or machine


def _name(run_dir: Path) -> str:
    return os.fsencode(run_dir.resolve().name).decode(errors="replace").replace(" ", "_")
