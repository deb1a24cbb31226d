"""Ed25519 keys as OpenSSH writes them: private keys, public keys, lists of who may join.

This module must not open a file or draw the randomness of a key: text and bytes come in, values go out. (OpenSSH's format holds a
few random bytes of padding and salt that protect nothing else; the library draws those itself.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from parry_mpi.errors import UsageError

KEY_SIZE_BYTES = 32
SIGNATURE_SIZE_BYTES = 64
SEED_SIZE_BYTES = 32

KEY_TYPE = "ssh-ed25519"
_BLOB_START = struct.pack(">I", len(KEY_TYPE)) + KEY_TYPE.encode() + struct.pack(">I", KEY_SIZE_BYTES)
"""What stands before the 32 bytes in an OpenSSH public key. Source: RFC 8709, section 4."""

PRIVATE_KEY_SIZE_BYTES_MAX = 1 << 16
"""An Ed25519 key file has some 400 bytes; whatever is much larger is another file, named by mistake."""

LINE_LENGTH_MAX = 8192
"""OpenSSH's own bound on a line of authorized_keys."""

CONNECTIONS_DIGITS_MAX = 6
"""Nobody has more worker processes than that on one key, and a number of any length would have to be read."""

_PRIVATE_START = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_OTHER_TYPES = ("ssh-", "ecdsa-", "sk-")
"""How the names of OpenSSH's key types begin; no option's name does."""

_HOW_TO_MAKE = "make an Ed25519 key with `parry-mpi keygen FILE` or `ssh-keygen -t ed25519`"
_QUOTED_OR_PLAIN = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
"""The options before a key: one word, in which spaces may stand between quotation marks."""


class PassphraseNeeded(UsageError):
    """The private key is encrypted, and no passphrase was given."""


@dataclass(frozen=True)
class PublicKey:
    """The public half of a key.

    Args:
        raw: the 32 bytes of the point.
        comment: whatever its owner wrote behind it, printable; two keys are equal whatever their comments.
    """

    raw: bytes
    comment: str = field(default="", compare=False)

    @property
    def line(self) -> str:
        """The key as a line of authorized_keys, or of a .pub file, without a line break."""
        return f"{KEY_TYPE} {base64.b64encode(self._blob).decode()} {self.comment}".rstrip()

    @property
    def fingerprint(self) -> str:
        """The short form that people compare, as ``ssh-keygen -l`` prints it: SHA256:..."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self._blob).digest()).decode().rstrip("=")

    @property
    def _blob(self) -> bytes:
        return _BLOB_START + self.raw


@dataclass(frozen=True)
class AuthorizedKey:
    """Somebody who may join.

    Args:
        key: whose.
        connections_max: how many connections may stand at the same time with this key, or None if that is not limited for it.
    """

    key: PublicKey
    connections_max: int | None = None


class PrivateKey:
    """The secret half of a key; it neither prints nor compares its secret.

    Args:
        key: the library's key.
        comment: goes into ``public``.
    """

    def __init__(self, key: ed25519.Ed25519PrivateKey, comment: str = "") -> None:
        self._key = key
        self.public = PublicKey(_raw(key.public_key()), printable(comment))

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes that only this key can make for these data."""
        return self._key.sign(data)

    def to_openssh(self, passphrase: bytes | None = None) -> bytes:
        """Return the text of a private key file, for nobody else to read. The comment goes into the public key's file only."""
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, encryption)


def new_private_key(seed: bytes, comment: str = "") -> PrivateKey:
    """Return the key of a seed.

    Args:
        seed: 32 bytes that nobody else can guess.
        comment: goes into the public key.
    """
    assert len(seed) == SEED_SIZE_BYTES
    return PrivateKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed), comment)


def read_private_key(data: bytes, where: str, passphrase: bytes | None = None) -> PrivateKey:
    """Return the key of an OpenSSH private key file. Its comment is not read. A passphrase that is not needed is not used.

    Args:
        data: what the file holds.
        where: how to name it to the user.
        passphrase: what opens it.

    Raises:
        PassphraseNeeded: it is encrypted, and there is no passphrase.
        UsageError: it is no such key, not an Ed25519 key, damaged, or the passphrase is wrong.
    """
    if data.lstrip().startswith(KEY_TYPE.encode()):
        raise UsageError(f"{where}: this is a public key; the private one is the file of the same name without .pub")
    if len(data) > PRIVATE_KEY_SIZE_BYTES_MAX or not data.lstrip().startswith(_PRIVATE_START):
        raise UsageError(f"{where}: this is not a private key in OpenSSH's format; {_HOW_TO_MAKE}")
    try:
        key = _load(data, passphrase)
    except TypeError:
        raise PassphraseNeeded(f"{where}: this key has a passphrase, which is needed to use it") from None
    except UnsupportedAlgorithm as error:
        raise UsageError(f"{where}: this key cannot be used: {error}; {_HOW_TO_MAKE}") from None
    except ValueError:
        wrong = "the passphrase is wrong, or the file is damaged" if passphrase is not None else "the file is damaged"
        raise UsageError(f"{where}: this key cannot be read: {wrong}") from None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise UsageError(f"{where}: this is not an Ed25519 key, and no other type works here; {_HOW_TO_MAKE}")
    found = PrivateKey(key)
    # The library believes a damaged seed; but the file also holds the public key, unencrypted.
    if _BLOB_START + found.public.raw not in base64.b64decode(b"".join(data.split(b"-----")[2].split())):
        raise UsageError(f"{where}: this key cannot be read: the file is damaged")
    return found


_WEAK = frozenset(
    bytes.fromhex(y)
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)
"""The y of all points whose order divides 8, least significant byte first, without the sign of x."""


def read_public_key(line: str, where: str) -> PublicKey:
    """Return the key of one line ``ssh-ed25519 AAAA... comment``, as a .pub file holds it.

    Args:
        line: the line; empty lines around it do not matter.
        where: how to name it to the user.

    Raises:
        UsageError: it is anything else.
    """
    line = line.strip().strip("\ufeff").strip()
    if "PRIVATE KEY" in line:
        raise UsageError(f"{where}: this is a private key, which is for nobody else; its public half is in the .pub file")
    if "\n" in line or not line:
        raise UsageError(f"{where}: one line `{KEY_TYPE} AAAA... comment` is wanted, and there are {len(line.splitlines())}")
    kind, *rest = line.split(maxsplit=2)
    if kind != KEY_TYPE:
        raise UsageError(f"{where}: {_not_ours(kind)}")
    encoded = rest[0] if rest else ""
    try:
        blob = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        blob = b""
    if len(line) > LINE_LENGTH_MAX or len(blob) != len(_BLOB_START) + KEY_SIZE_BYTES or not blob.startswith(_BLOB_START):
        raise UsageError(f"{where}: this key is damaged or not complete; copy the whole line of the .pub file")
    raw = blob[len(_BLOB_START) :]
    if is_weak(raw):
        raise UsageError(f"{where}: this is no key but a point of small order, for which anybody can make signatures")
    return PublicKey(raw, printable(rest[1] if len(rest) > 1 else ""))


def is_weak(raw: bytes) -> bool:
    """Whether a public key is a point of small order: signatures for it need no private key.

    Source: the points of order 1, 2, 4 and 8 of the curve, RFC 8032 section 5.1, with the encodings of y that are not reduced.
    """
    return raw[:-1] + bytes([raw[-1] & 0x7F]) in _WEAK


def read_authorized_keys(text: str, where: str) -> dict[bytes, AuthorizedKey]:
    """Return who may join, by the 32 bytes of their keys.

    Each line is a public key, an empty line, or a comment that begins with #. The one option, before the key's type, is
    ``connections=N``: at most so many connections at the same time. OpenSSH's options mean nothing here, and are refused
    because whoever wrote one wanted it to restrict something.

    Args:
        text: what the file holds.
        where: how to name it to the user.

    Raises:
        UsageError: a line is anything else; the number of the line is named.
    """
    found: dict[bytes, AuthorizedKey] = {}
    lines: dict[bytes, int] = {}
    # Not splitlines(): it would let a comment with an odd character in it begin another line.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = line.strip()  # noqa: PLW2901 nobody wants the line as it was
        if not line or line.startswith("#"):
            continue
        here = f"{where}, line {number}"
        authorized = _authorized(line, here)
        raw = authorized.key.raw
        if raw in found and found[raw].connections_max != authorized.connections_max:
            raise UsageError(f"{here}: the key of line {lines[raw]} again, with another limit; remove one of the two")
        if raw not in found:
            found[raw] = authorized
            lines[raw] = number
    return found


def verified(key_raw: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the owner of this key signed these data.

    Args:
        key_raw: 32 bytes.
        signature: 64 bytes.
        data: what was signed.
    """
    if len(key_raw) != KEY_SIZE_BYTES or len(signature) != SIGNATURE_SIZE_BYTES:
        return False
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key_raw).verify(signature, data)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def printable(text: str) -> str:
    """Return a text that others wrote, in one line that cannot move the cursor of whoever reads it."""
    return "".join(character if character.isprintable() else "?" for character in text.strip())


def _authorized(line: str, where: str) -> AuthorizedKey:
    """Read one line that is neither empty nor a comment."""
    first = line.split(maxsplit=1)[0]
    if first.startswith(_OTHER_TYPES) or "PRIVATE KEY" in line:
        return AuthorizedKey(read_public_key(line, where))
    options = _QUOTED_OR_PLAIN.match(line)
    text = options.group() if options else first
    name, _, value = text.partition("=")
    value = value.removeprefix('"').removesuffix('"') if value.count('"') == 2 else value
    if name.lower() != "connections":
        raise UsageError(
            f"{where}: `{printable(text)[:40]}` means nothing here; a line is `{KEY_TYPE} AAAA... comment`, "
            "and the one thing that may stand before it is `connections=N`"
        )
    # isascii: other scripts' digits are digits too, and nobody means them.
    if not (value.isascii() and value.isdigit() and len(value) <= CONNECTIONS_DIGITS_MAX and int(value) > 0):
        raise UsageError(f"{where}: `connections=N` wants a whole number from 1 on; remove the line to keep this key out")
    return AuthorizedKey(read_public_key(line[len(text) :], where), int(value))


def _load(data: bytes, passphrase: bytes | None) -> object:
    """Open a private key; ask for its passphrase by TypeError, as the library does."""
    try:
        return serialization.load_ssh_private_key(data, passphrase)
    except TypeError:
        if passphrase is None:
            raise
        return serialization.load_ssh_private_key(data, None)  # it has no passphrase; the one that was given is for another key


def _raw(key: ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _not_ours(kind: str) -> str:
    """Say what is wrong with a line that does not begin with our type of key."""
    if kind.startswith(_OTHER_TYPES):
        return f"a key of type {printable(kind)[:40]}, and only {KEY_TYPE} works here; {_HOW_TO_MAKE}"
    return f"`{printable(kind)[:40]}` is not a key; a line is `{KEY_TYPE} AAAA... comment`"
