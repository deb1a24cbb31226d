"""How workers outside MPI find a run and are let in, and who may watch it: access.json and the bridge's keys, all in the run directory.

Whoever can read the folder's private files may join: worker_key is authorised from the start. What is said about the bridge goes when
the bridge goes; what is said about the dashboard stays, so that it comes back at the same address with the same token. This module must
not open connections, and must not know what a problem is: it keeps the words that the run was started with.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from parry_mpi.errors import ParryError, StoreCorrupt, StoreVersionError, UsageError
from parry_mpi.store import keyfiles
from parry_mpi.store.authorized import AUTHORIZED_KEYS_NAME, authorize
from parry_mpi.store.holder import this_process
from parry_mpi.wire.keys import AuthorizedKey, PrivateKey

ACCESS_NAME = "access.json"
COORDINATOR_KEY_NAME = "coordinator_key"
WORKER_KEY_NAME = "worker_key"

ACCESS_VERSION = 1
PORT_MAX = 65535

DASHBOARD = "dashboard"
"""Under this name access.json says how to watch."""

TOKEN_LENGTH_MIN = 16
"""A token that is shorter was not made by us, and could be guessed."""


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


class DashboardAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What access.json says about the dashboard.

    Args:
        host, port: where it listens.
        wanted: the host and the port that were asked for; a port that was taken then may be free now.
        token: whoever has it may watch.
        machine: on which that is; ``write_dashboard_access`` fills it in.
    """

    host: str
    port: int
    wanted: tuple[str, int]
    token: str
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
    _write(run_dir, msgspec.to_builtins(access) | _only(_content(run_dir), DASHBOARD))


def write_dashboard_access(run_dir: Path, access: DashboardAccess) -> None:
    """Say where this run can be watched, for its owner to read; what is said about the bridge stays. Raises as ``write_access``."""
    content = _content(run_dir)
    bridge = content if "host" in content else {}
    access = msgspec.structs.replace(access, machine=this_process().host)
    _write(run_dir, {"version": ACCESS_VERSION} | bridge | {DASHBOARD: msgspec.to_builtins(access)})


def read_dashboard_access(run_dir: Path) -> DashboardAccess | None:
    """Return where an earlier coordinator of this run could be watched; None if it could not, or nobody can tell."""
    try:
        access = msgspec.convert(_content(run_dir).get(DASHBOARD), DashboardAccess)
    except msgspec.ValidationError:
        return None
    return access if len(access.token) >= TOKEN_LENGTH_MIN and 0 < access.port <= PORT_MAX else None


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
        raise _no_bridge(f"{run_dir} holds no {ACCESS_NAME}")
    data = keyfiles.read_file(path)
    try:
        content = json.loads(data)
        version = msgspec.convert(content, _Version).version
        if version != ACCESS_VERSION:
            raise StoreVersionError(f"{path} is of version {version}, not {ACCESS_VERSION}: run and workers need one parry_mpi")
        if DASHBOARD in content and "host" not in content:
            raise _no_bridge(f"{run_dir} can only be watched")
        access = msgspec.convert(content, Access)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise StoreCorrupt(f"{path} is damaged ({error}): remove it and start the run again, which writes it anew") from error
    if not access.host or not 0 < access.port <= PORT_MAX:
        raise StoreCorrupt(f"{path} is damaged (no address in it): remove it and start the run again, which writes it anew")
    return access


def remove_access(run_dir: Path) -> None:
    """Say that nobody listens any more. Never raises: what stays behind only has workers try in vain."""
    kept = _only(_content(run_dir), DASHBOARD)
    with contextlib.suppress(OSError, ParryError):
        if kept:
            _write(run_dir, {"version": ACCESS_VERSION} | kept)
        else:
            (run_dir / ACCESS_NAME).unlink(missing_ok=True)


def joinable(run_dir: Path) -> bool:
    """Whether a bridge was announced here; it may be gone without a word."""
    content = _content(run_dir)
    return (run_dir / ACCESS_NAME).exists() and ("host" in content or DASHBOARD not in content)


def _no_bridge(why: str) -> NoBridge:
    return NoBridge(f"no bridge in this run: {why}; start the run with --bridge HOST to let workers join")


def _content(run_dir: Path) -> dict[str, Any]:
    """What is in access.json; {} if it is not there, is damaged, or is of another version."""
    try:
        content = json.loads(keyfiles.read_file(run_dir / ACCESS_NAME))
    except (ParryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) and content.get("version") == ACCESS_VERSION else {}


def _write(run_dir: Path, content: dict[str, Any]) -> None:
    # The standard module, because words may be bytes that are no text.
    text = json.dumps(content, indent=2)
    keyfiles.replace(run_dir / ACCESS_NAME, f"{text}\n".encode(), keyfiles.PRIVATE_MODE)


def _only(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: content[name]} if name in content else {}


def _reachable(host: str, machine: str) -> str:
    """The address to connect to for one to listen on: "all addresses" is none, the machine's name is."""
    with contextlib.suppress(ValueError):
        return machine if ipaddress.ip_address(host).is_unspecified else host
    return host or machine


def _name(run_dir: Path) -> str:
    return os.fsencode(run_dir.resolve().name).decode(errors="replace").replace(" ", "_")
