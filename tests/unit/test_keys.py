"""Keys: what OpenSSH writes is read, and whatever else somebody hands in by mistake is told apart in one line."""

from __future__ import annotations

import base64
import contextlib
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import run

from parry_mpi.errors import UsageError
from parry_mpi.wire import keys
from parry_mpi.wire.keys import AuthorizedKey, PassphraseNeeded, PublicKey

SEED = bytes(range(32))
KEY = keys.new_private_key(SEED, "alice@lab")
LINE = KEY.public.line
OTHER = keys.new_private_key(bytes(32)).public
OTHER_LINE = OTHER.line

FROM_SSH_KEYGEN = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4 alice@lab"
FINGERPRINT = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
"""What ssh-keygen -y and -l print for the key of this seed."""


@pytest.fixture(scope="module")
def keygen(tmp_path_factory):
    program = shutil.which("ssh-keygen")
    if program is None:
        pytest.skip("ssh-keygen is not on this machine")
    folder = tmp_path_factory.mktemp("keys")

    def keygen(*arguments: str) -> str:
        finished = run((program, *arguments), folder=folder)
        assert finished.code == 0, finished
        return finished.stdout

    keygen.folder = folder
    return keygen


def wrong(line_or_text: str, read=keys.read_public_key) -> str:
    with pytest.raises(UsageError) as caught:
        read(line_or_text, "file")
    text = str(caught.value)
    assert text.startswith("file")
    assert text.isprintable(), "more than one line, or what moves the cursor"
    return text


# Private keys


def test_seed_gives_the_key_that_openssh_gives():
    """Protects everybody's keys: the format is OpenSSH's, to the letter."""
    assert FROM_SSH_KEYGEN == LINE
    assert FINGERPRINT == KEY.public.fingerprint


def test_round_trip_of_a_private_key():
    """Protects a run's own key: what was written into the folder is read back."""
    again = keys.read_private_key(KEY.to_openssh(), "file")
    assert KEY.public == again.public
    assert KEY.sign(b"data") == again.sign(b"data")


def test_line_endings_of_a_private_key():
    """Protects those whose key went through another system: CRLF and empty lines around it do not matter."""
    text = KEY.to_openssh()
    for changed in (text.replace(b"\n", b"\r\n"), b"\n" + text + b"\n\n", text.rstrip()):
        assert KEY.public == keys.read_private_key(changed, "file").public


def test_passphrase_that_is_not_needed():
    """Protects those who keep one passphrase for many keys: it does not hurt where none is needed."""
    assert KEY.public == keys.read_private_key(KEY.to_openssh(), "file", b"secret").public


def test_key_of_ssh_keygen(keygen):
    """Protects those who have a key already: ssh-keygen's is read as it is, with the public key and fingerprint it prints."""
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "bob of the lab", "-f", "plain")
    private = keys.read_private_key((keygen.folder / "plain").read_bytes(), "plain")
    public = keys.read_public_key((keygen.folder / "plain.pub").read_text(), "plain.pub")
    assert public == private.public
    assert "bob of the lab" == public.comment
    assert (keygen.folder / "plain.pub").read_text().strip() == public.line
    assert public.fingerprint == keygen("-l", "-f", "plain").split()[1]


def test_encrypted_key_of_ssh_keygen(keygen):
    """Protects those whose key has a passphrase: it opens the key, and no other word does."""
    keygen("-q", "-t", "ed25519", "-a", "1", "-N", "secret", "-f", "locked")
    data = (keygen.folder / "locked").read_bytes()
    public = keys.read_public_key((keygen.folder / "locked.pub").read_text(), "locked.pub")
    assert public == keys.read_private_key(data, "locked", b"secret").public
    with pytest.raises(PassphraseNeeded, match=r"^locked: .* passphrase"):
        keys.read_private_key(data, "locked")
    with pytest.raises(UsageError, match=r"^locked: .* the passphrase is wrong"):
        keys.read_private_key(data, "locked", b"Secret")


def test_our_key_in_ssh_keygen(keygen):
    """Protects those who take our keys elsewhere: ssh-keygen reads them, with and without a passphrase."""
    for passphrase in (None, b"secret"):
        path = keygen.folder / "ours"
        path.touch(mode=0o600)
        path.write_bytes(KEY.to_openssh(passphrase))
        told = keygen("-y", "-P", "" if passphrase is None else "secret", "-f", "ours")
        assert KEY.public == keys.read_public_key(told, "ours")


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_other_types_of_ssh_keygen(keygen, kind):
    """Protects those who hand in the key they have: a type that does not work is said to be one."""
    keygen("-q", "-t", kind, *(("-b", "1024") if kind == "rsa" else ()), "-N", "", "-f", kind)
    with pytest.raises(UsageError, match=r"^file: this is not an Ed25519 key"):
        keys.read_private_key((keygen.folder / kind).read_bytes(), "file")
    assert "only ssh-ed25519 works here" in wrong((keygen.folder / f"{kind}.pub").read_text())


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ("this is a public key; the private one is", LINE.encode()),
        ("this is not a private key in OpenSSH's format", b""),
        ("this is not a private key in OpenSSH's format", b"\x7fELF"),
        (
            "this is not a private key in OpenSSH's format",
            b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n",
        ),
        ("this is not a private key in OpenSSH's format", KEY.to_openssh() + bytes(1 << 16)),
        ("the file is damaged", KEY.to_openssh()[:200]),
        ("the file is damaged", KEY.to_openssh().replace(b"AAAA", b"AAAB", 1)),
    ],
)
def test_what_is_not_a_private_key(said, data):
    """Protects those who name the wrong file: they are told which, and what it is, in one line."""
    with pytest.raises(UsageError, match=f"^~/id: .*{said}"):
        keys.read_private_key(data, "~/id")


@given(st.integers(0, len(KEY.to_openssh()) - 1), st.integers(0, 255))
def test_damaged_private_keys(where, byte):
    """Protects against tracebacks: whatever a damaged key file holds, it is the same key or refused."""
    data = bytearray(KEY.to_openssh())
    data[where] = byte
    with contextlib.suppress(UsageError):
        assert KEY.public == keys.read_private_key(bytes(data), "file").public


# Public keys


@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\r\n", "\n  {}\n\n", "\ufeff{}", "\t{} \t"])
def test_line_is_read(around):
    """Protects copying and pasting: what stands around the line does not matter."""
    key = keys.read_public_key(around.format(LINE), "file")
    assert KEY.public == key
    assert "alice@lab" == key.comment


def test_comments_do_not_count():
    """Protects those who rename their key: it is the same key with any comment or none."""
    bare = keys.read_public_key(" ".join(LINE.split()[:2]), "file")
    assert KEY.public == bare
    assert "" == bare.comment
    assert " ".join(LINE.split()[:2]) == bare.line
    assert hash(KEY.public) == hash(bare)
    assert "a  b ß" == keys.read_public_key(" ".join(LINE.split()[:2]) + " a  b ß", "file").comment
    assert KEY.public != OTHER


def test_comments_move_no_cursor():
    """Protects terminals and logs: a comment comes from somebody else, and is shown without what controls a screen."""
    assert "a?[2Jb??c" == keys.read_public_key(" ".join(LINE.split()[:2]) + " a\x1b[2Jb\u202e\x85c", "file").comment


def encoded(blob: bytes) -> str:
    return "ssh-ed25519 " + base64.b64encode(blob).decode()


BLOB = base64.b64decode(LINE.split()[1])


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("one line", ""),
        ("one line", "\n"),
        ("one line", "\xa0\ufeff"),
        ("one line", f"{LINE}\n{LINE}"),
        ("this is a private key", KEY.to_openssh().decode()),
        ("a key of type ssh-rsa, and only ssh-ed25519 works", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB me"),
        ("a key of type sk-ssh-ed25519@openssh.com", "sk-ssh-ed25519@openssh.com AAAA me"),
        ("a key of type ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com AAAA me"),
        ("`restrict` is not a key", f"restrict {LINE}"),
        ("`SHA256:abc` is not a key", "SHA256:abc"),
        ("damaged or not complete", "ssh-ed25519"),
        ("damaged or not complete", "ssh-ed25519 alice@lab"),
        ("damaged or not complete", LINE.split()[0] + " " + LINE.split()[1][:-1]),
        ("damaged or not complete", LINE.split()[0] + " " + LINE.split()[1][:-4]),
        ("damaged or not complete", "ssh-ed25519 ÄÖÜ"),
        ("damaged or not complete", encoded(BLOB + b"\0")),
        ("damaged or not complete", encoded(BLOB[:-1])),
        ("damaged or not complete", encoded(BLOB.replace(b"ed25519", b"ed25518"))),
        ("damaged or not complete", encoded(b"")),
        ("damaged or not complete", LINE + "x" * 8192),
    ],
)
def test_what_is_not_a_public_key(said, line):
    """Protects those who paste the wrong thing: they are told what it is, in one line."""
    assert said in wrong(line)


@given(st.text() | st.text('\xa0\u2028\ufeff\r\n\t #"=,\\A') | st.text().map(lambda text: f"{text} {LINE}"))
def test_any_text_is_refused_in_one_way(text):
    """Protects against tracebacks: whatever text is pasted, it is a key or refused, alone and in a list."""
    for read in (keys.read_public_key, keys.read_authorized_keys):
        try:
            read(text, "file")
        except UsageError as error:
            assert str(error).startswith("file")  # noqa: PT017 most texts are refused, an empty list is not


# Who may join


def authorized(text: str) -> dict:
    return keys.read_authorized_keys(text, "file")


def test_authorized_keys():
    """Protects who may join: each key of the file, with the limit that stands before it."""
    text = f"# the lab\r\n\r\n  \n{LINE}\r\n  # another\nconnections=12 {OTHER_LINE} my laptop"
    assert {KEY.public.raw: AuthorizedKey(KEY.public, None), OTHER.raw: AuthorizedKey(OTHER, 12)} == authorized(text)
    assert ["alice@lab", "my laptop"] == [entry.key.comment for entry in authorized(text).values()]


@pytest.mark.parametrize("text", ["", "\n", "# nobody\n", "\ufeff", " \r\n\t", "\xa0\n\u2028"])
def test_nobody_may_join(text):
    """Protects an empty list: it lets nobody in, and is no mistake."""
    assert {} == authorized(text)


@pytest.mark.parametrize("option", ["connections=3", "Connections=3", 'connections="3"', "connections=3\t", "connections=000003"])
def test_limit_of_a_key(option):
    """Protects a limit however it is written."""
    assert 3 == authorized(f"{option} {LINE}")[KEY.public.raw].connections_max


@pytest.mark.parametrize(
    "option",
    ["connections", "connections=", "connections=0", "connections=-1", "connections=1.5", "connections=٣", "connections=9999999"],
)
def test_limit_that_is_none(option):
    """Protects a limit that was meant: a number that cannot be read does not become no limit at all."""
    assert "file, line 2: `connections=N` wants a whole number" in wrong(f"#\n{option} {LINE}", keys.read_authorized_keys)


@pytest.mark.parametrize(
    "options",
    [
        "restrict",
        "cert-authority",
        'command="parry-mpi worker" ',
        'from="10.0.0.0/8,!10.1.0.0/16"',
        'environment="A=\\"b c\\""',
        "connections=3,restrict",
        "connections=3 restrict",
        'connections=3 from="a b"',
        '"',
    ],
)
def test_options_of_openssh_are_refused(options):
    """Protects those who restricted a key for ssh: the restriction is not silently dropped here."""
    text = wrong(f"{LINE}\n{options} {OTHER_LINE}", keys.read_authorized_keys)
    assert text.startswith("file, line 2: ")


@pytest.mark.parametrize(
    "line", ["ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB me", "ssh-ed25519 AAAA", "connections=2", LINE[1:], "x" * 10_000]
)
def test_wrong_lines_are_named(line):
    """Protects those with long lists: the line that is wrong is named by its number, and nothing of the file counts."""
    assert wrong(f"{LINE}\n\n{line}\n", keys.read_authorized_keys).startswith("file, line 3: ")


def test_private_key_in_the_list():
    """Protects a secret that was pasted into the list: it is said to be one."""
    assert "line 1: this is a private key" in wrong(KEY.to_openssh().decode(), keys.read_authorized_keys)


def test_duplicates():
    """Protects those who authorise twice: the same line again changes nothing, another limit for one key is a contradiction."""
    assert authorized(LINE) == authorized(f"{LINE}\n{LINE} again\n")
    assert "alice@lab" == authorized(f"{LINE}\n{LINE} again\n")[KEY.public.raw].key.comment
    assert "line 3: the key of line 1 again" in wrong(f"{LINE}\n\nconnections=2 {LINE}", keys.read_authorized_keys)


def test_odd_line_breaks_begin_no_line():
    """Protects the list: what Unicode calls a line break, in somebody's comment, does not smuggle a second key in."""
    for character in ("\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\r"):
        assert [KEY.public.raw] == list(authorized(f"{LINE} comment{character}{OTHER_LINE}"))


# Signatures


def test_signatures():
    """Protects everything: what a key signed is believed, and nothing else is."""
    signature = KEY.sign(b"data")
    assert keys.verified(KEY.public.raw, signature, b"data")
    assert not keys.verified(KEY.public.raw, signature, b"date")
    assert not keys.verified(OTHER.raw, signature, b"data")
    assert not keys.verified(KEY.public.raw[:-1], signature, b"data")
    assert not keys.verified(KEY.public.raw, signature + b"\0", b"data")
    assert not keys.verified(b"", b"", b"")


@pytest.mark.parametrize("bit", range(0, 512, 7))
def test_changed_signatures(bit):
    """Protects against a signature that is nearly right."""
    signature = bytearray(KEY.sign(b"data"))
    signature[bit // 8] ^= 1 << bit % 8
    assert not keys.verified(KEY.public.raw, bytes(signature), b"data")


def test_second_signature_of_the_same_data():
    """Protects against signatures that others can derive: adding the group's order to the second half gives none (RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    signature = KEY.sign(b"data")
    derived = int.from_bytes(signature[32:], "little") + order
    assert not keys.verified(KEY.public.raw, signature[:32] + derived.to_bytes(32, "little"), b"data")


def test_secret_is_not_printed():
    """Protects secrets from logs: a private key shows nothing of itself."""
    assert SEED.hex() not in repr(KEY)
    assert repr(SEED)[2:20] not in repr(KEY)


def test_public_key_is_plain():
    """Protects callers: the comment is optional, and printable when it comes from a private key's maker."""
    assert PublicKey(bytes(32)) == PublicKey(bytes(32), "x")
    assert "a?b" == keys.new_private_key(SEED, "a\nb").public.comment


P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
"""The curve -x^2 + y^2 = 1 + D x^2 y^2 over the integers modulo P (RFC 8032, section 5.1)."""


def doubled(point: tuple[int, int]) -> tuple[int, int]:
    """A point of the curve, twice."""
    x, y = point
    product = D * x * x * y * y
    return (
        2 * x * y * pow(1 + product, P - 2, P) % P,
        (y * y + x * x) * pow(1 - product, P - 2, P) % P,
    )


def point_of(y: int) -> tuple[int, int]:
    """A point with this y."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert x * x % P == square, "there is none"
    return x, y


def test_weak_keys():
    """Protects a run from a line that lets anybody in: exactly the points whose order divides 8 are refused as keys."""
    for raw in keys._WEAK:
        assert (0, 1) == doubled(doubled(doubled(point_of(int.from_bytes(raw, "little") % P))))
        for sign in (0, 0x80):
            line = keys.PublicKey(raw[:-1] + bytes([raw[-1] | sign]), "anybody").line
            with pytest.raises(UsageError, match="small order"):
                keys.read_public_key(line, "here")
    assert 5 == len({int.from_bytes(raw, "little") % P for raw in keys._WEAK}), "1, -1, 0, and two of order 8"
    assert not keys.is_weak(keys.new_private_key(bytes(32)).public.raw)
