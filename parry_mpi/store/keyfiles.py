"""Key files on disk: Ed25519 keys in OpenSSH's format, private ones for their owner's eyes only, as ssh insists too.

This module must not know whose keys they are or what they open, nor ask anybody for a passphrase: it is handed who asks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from parry_mpi.errors import CommitFailed, UsageError
from parry_mpi.store.naming import TEMPORARY_MARK
from parry_mpi.wire.keys import (
    KEY_TYPE,
    SEED_SIZE_BYTES,
    AuthorizedKey,
    PassphraseNeeded,
    PrivateKey,
    PublicKey,
    new_private_key,
    read_authorized_keys,
    read_private_key,
)

PUBLIC_SUFFIX = ".pub"
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
OTHERS = stat.S_IRWXG | stat.S_IRWXO
"""What nobody but the owner may do with a private key, as ssh has it."""

FILE_SIZE_BYTES_MAX = 2**20
"""More than any key file has, authorized_keys of a thousand users included: what is larger was named by mistake."""

PRIVATE_KEY_MARK = "PRIVATE KEY-----"

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
"""How file systems without hard links refuse one."""


class WrongPassphrase(UsageError):
    """The passphrase that was given does not open the key."""


AskPassphrase = Callable[[str], bytes]
"""Is told what the passphrase is for and returns it."""


def new_key(comment: str) -> PrivateKey:
    """Make a private key from the operating system's randomness."""
    return new_private_key(os.urandom(SEED_SIZE_BYTES), comment)


def write_new_key(path: Path, key: PrivateKey, passphrase: bytes | None = None) -> None:
    """Write a private key and, beside it, its public half. What is there already is never overwritten.

    Args:
        path: of the private key; the public one has ".pub" added.
        key: the key.
        passphrase: the file is encrypted with it.

    Raises:
        UsageError: one of the files is there already, or the folder is not, or cannot be written.
        CommitFailed: the file system refuses for now.
    """
    require_free(path)
    create(path, key.to_openssh(passphrase), PRIVATE_MODE)
    create(public_path_of(path), f"{key.public.line}\n".encode(), PUBLIC_MODE)


def require_free(path: Path) -> None:
    """Refuse a name for a private key that would have a file overwritten.

    Raises:
        UsageError: the file, or that of its public half, is there already.
    """
    for each in (path, public_path_of(path)):
        if os.path.lexists(each):
            raise UsageError(f"{each} is there already, and keys are not overwritten: choose another name, or move it away")


def read_key(path: Path, ask: AskPassphrase | None = None) -> PrivateKey:
    """Read a private key that only its owner can read.

    Args:
        path: of the file.
        ask: who gives the passphrase if the file is encrypted; without, that is an error.

    Raises:
        UsageError: it cannot be read, is no such key, or other users can read it.
        PassphraseNeeded: it is encrypted, and there is nobody to ask.
        WrongPassphrase: what was given does not open it.
    """
    data = read_file(path, private=True)
    try:
        return read_private_key(data, str(path))
    except PassphraseNeeded:
        if ask is None:
            raise
    try:
        return read_private_key(data, str(path), ask(f"Passphrase of {path}"))
    except UsageError as error:
        raise WrongPassphrase(str(error)) from None


def read_public_keys(words: str) -> list[AuthorizedKey]:
    """Read public keys from what a user typed: a line such as "ssh-ed25519 AAAA... alice@lab", or a file of such lines.

    Raises:
        UsageError: it is neither.
    """
    path = Path(words)
    if len(words.split()) > 1 and not os.path.lexists(path):
        text, where = words, "the key"
    else:
        text, where = read_file(path).decode(errors="replace"), words
    if PRIVATE_KEY_MARK in text:
        raise UsageError(f"{words} is a private key, which stays where it is: give the public one, {words}{PUBLIC_SUFFIX}")
    keys = list(read_authorized_keys(text, where).values())
    if not keys:
        raise UsageError(
            f"{where} holds no key: a line `{KEY_TYPE} AAAA...` is wanted, as parry-mpi keygen and ssh-keygen write it"
        )
    return keys


def read_public_key_of(words: str) -> PublicKey:
    """Read exactly one public key from a line or a file. Raises as ``read_public_keys`` does."""
    keys = read_public_keys(words)
    if len(keys) > 1:
        raise UsageError(f"{words} holds {len(keys)} keys; one is wanted")
    return keys[0].key


def public_path_of(path: Path) -> Path:
    """Return where the public half of a private key is kept."""
    return path.with_name(path.name + PUBLIC_SUFFIX)


def read_file(path: Path, *, private: bool = False) -> bytes:
    """Return what is in a key file.

    Args:
        path: of the file.
        private: if it is a private key, refuse it if users other than its owner can use it.

    Raises:
        UsageError: it is not there, cannot be read, is too large to hold keys, or others can read it.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(FILE_SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(data) > FILE_SIZE_BYTES_MAX:
        raise UsageError(f"{path} is too large for a file of keys")
    if private and PRIVATE_KEY_MARK.encode() in data and status.st_uid == os.getuid() and status.st_mode & OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise UsageError(f"{path} can be used by others (its mode is {mode:04o}), so it is no secret: chmod 600 {path}")
    return data


def create(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is not there yet: after a crash all of it is there, or none of it.

    Raises:
        UsageError: it is there already, or its folder is not, or cannot be written.
        CommitFailed: the file system refuses for now.
    """
    try:
        temporary = _write_temporary(path, data, mode)
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _write(path, data, mode)
        finally:
            temporary.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path} is there already, and keys are not overwritten") from None
    except OSError as error:
        raise refusal(path, error) from error


def replace(path: Path, data: bytes, mode: int) -> None:
    """Write a file that may be there already: whoever reads it sees all of the old content, or all of the new. Raises as ``create``."""
    try:
        temporary = _write_temporary(path, data, mode)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise refusal(path, error) from error


def refusal(path: Path, error: OSError) -> UsageError | CommitFailed:
    """Return the error for a file that could not be written."""
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE}:
        return CommitFailed(f"{path} could not be written ({reason})")
    return UsageError(f"{path} cannot be written ({reason})")


def _write_temporary(path: Path, data: bytes, mode: int) -> Path:
    temporary = path.with_name(f"{path.name}{TEMPORARY_MARK}{os.urandom(6).hex()}")
    _write(temporary, data, mode)
    return temporary


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a new file with this mode whatever the umask; it is for its owner only while it is written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            with contextlib.suppress(PermissionError):  # file systems without modes
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
