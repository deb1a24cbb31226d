"""Sessions of the bridge: both ends joined by a fake link, and everything that somebody in between can try."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import sessions
from support.sessions import COORDINATOR, NAME, STRANGER, WORKER, client_session, established, feed, server_session, shake_hands

from parry_mpi.errors import AuthenticationError, LocalProtocolError, ProblemError, RemoteProtocolError
from parry_mpi.wire import session as wire
from parry_mpi.wire.session import (
    FRAME_SIZE_BYTES_MAX,
    MAGIC,
    PROTOCOL_VERSION,
    REASON_SIZE_BYTES_MAX,
    RefusalCode,
    Session,
    refusal,
)

HEADER_SIZE_BYTES = 76
"""What stands before a frame's payload."""

BOTH_WAYS = pytest.mark.parametrize("to_server", [True, False], ids=["to server", "to client"])


def ends(to_server: bool) -> tuple[Session, Session]:
    """Who sends and who receives, after the handshake."""
    client, server = established()
    return (client, server) if to_server else (server, client)


def dies(session: Session, data: bytes, kind: type[Exception], match: str | None = None) -> str:
    """See a session die of some bytes, for good; return what it said."""
    with pytest.raises(kind, match=match) as first:
        feed(session, data)
    assert session.dead
    assert not session.established
    assert 0 == session.buffered_bytes
    with pytest.raises(kind) as again:
        session.receive(b"")
    assert str(first.value) == str(again.value)
    with pytest.raises(LocalProtocolError):
        session.seal(b"anything")
    assert str(first.value).isprintable()
    return str(first.value)


# What should happen


@pytest.mark.parametrize("piece_bytes", [1, 7, 1 << 16])
def test_handshake(piece_bytes):
    """Protects joining: each side knows the other's key, and the coordinator the worker's name, however the bytes are cut."""
    client, server = client_session(), server_session()
    assert (None, None, b"") == (client.peer_key, server.peer_key, server.name)
    shake_hands(client, server, piece_bytes)
    assert client.established
    assert server.established
    assert COORDINATOR.public == client.peer_key
    assert WORKER.public == server.peer_key
    assert NAME == server.name
    assert not client.dead
    assert not server.dead


@BOTH_WAYS
@pytest.mark.parametrize("piece_bytes", [1, 100, 1 << 16])
def test_frames(to_server, piece_bytes):
    """Protects messages: they arrive whole, in order and once, however the bytes are cut, empty ones too."""
    sender, receiver = ends(to_server)
    payloads = [b"first", b"", bytes(1000), b"last"]
    assert payloads == feed(receiver, b"".join(map(sender.seal, payloads)), piece_bytes)
    assert 0 == receiver.buffered_bytes


def test_nothing_before_the_answer():
    """Protects against frames that nobody may believe: a side seals none before the other has proved itself."""
    client, server = client_session(), server_session()
    for session in (client, server):
        with pytest.raises(LocalProtocolError):
            session.seal(b"early")
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    with pytest.raises(LocalProtocolError):
        client.seal(b"the coordinator has not let us in yet")


def test_first_frame_follows_the_answer():
    """Protects the order of frames: one that is sealed before the answer was taken comes behind it."""
    client, server = client_session(), server_session()
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    server.receive(client.take_outgoing())
    assert [b"work"] == client.receive(server.seal(b"work"))
    assert b"" == server.take_outgoing()


def test_name_and_key_are_asked_about_once():
    """Protects who may join: the question is asked once, about the key that was proved."""
    asked = []
    client, server = client_session(), server_session(lambda key: asked.append(key) or "")
    server.receive(client.take_outgoing())
    assert [] == asked
    client.receive(server.take_outgoing())
    shake_hands(client, server)
    assert [WORKER.public.raw] == asked


def test_buffer_is_bounded():
    """Protects the coordinator's memory: no more is held than one frame that is not complete yet."""
    client, server = established()
    frame = client.seal(bytes(1000))
    assert [] == server.receive(frame[:-1])
    assert len(frame) - 1 == server.buffered_bytes
    assert [bytes(1000), bytes(1000)] == server.receive(frame[-1:] + client.seal(bytes(1000)) + b"\0")
    assert 1 == server.buffered_bytes


def test_largest_frame():
    """Protects large nodes: the largest frame passes, and a larger one is refused where it arises."""
    client, server = established()
    largest = bytes(FRAME_SIZE_BYTES_MAX)
    assert [largest] == server.receive(client.seal(largest))
    with pytest.raises(ProblemError, match="use smaller nodes or values"):
        client.seal(largest + b"\0")
    assert [b"and on"] == server.receive(client.seal(b"and on"))


# Refusals


def test_refusal_is_signed_and_tells_why():
    """Protects whoever is not let in: the coordinator's own words arrive, and both sides are done."""
    client, server = client_session(), server_session(lambda key: "your key was removed")
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    said = dies(server, client.take_outgoing(), AuthenticationError, "your key was removed")
    assert WORKER.public.fingerprint in said
    assert (WORKER.public, NAME) == (server.peer_key, server.name)
    dies(client, server.take_outgoing(), AuthenticationError, "^the coordinator refused: your key was removed$")


@pytest.mark.parametrize("reason", ["x" * 10_000, "ß" * 10_000, "x" + "\U0001f600" * 10_000, "a\n\x1b[2J\ud800b", " "])
def test_reasons_are_bounded(reason):
    """Protects the user's terminal: a reason is one line of bounded length, cut where a character ends."""
    client, server = client_session(), server_session(lambda key: reason)
    with pytest.raises(AuthenticationError):
        shake_hands(client, server)
    answer = server.take_outgoing()
    assert HEADER_SIZE_BYTES < len(answer) <= HEADER_SIZE_BYTES + REASON_SIZE_BYTES_MAX
    dies(client, answer, AuthenticationError, "^the coordinator refused: ")


def test_forged_refusal():
    """Protects workers from being sent away: a refusal that the coordinator did not sign is not believed to be its."""
    client, server = client_session(), server_session()
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    dies(client, struct.pack(">IQ", 5, 0) + bytes(64) + b"leave", AuthenticationError, "^the signature of frame 0 is wrong")


@pytest.mark.parametrize(
    ("said", "payload", "kind"),
    [
        ("its reason is not text", b"\xff", RemoteProtocolError),
        (f"{REASON_SIZE_BYTES_MAX} is the most", bytes(REASON_SIZE_BYTES_MAX + 1), RemoteProtocolError),
        (r"refused: a\?b$", b"a\nb", AuthenticationError),
    ],
)
def test_odd_refusals(said, payload, kind):
    """Protects workers from a coordinator that is not ours: a reason that is no line is no reason."""
    client, server = client_session(), server_session()
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    server.receive(client.take_outgoing())
    server._sent_count = 0
    server.take_outgoing()
    dies(client, server.seal(payload), kind, said)


def test_unsigned_refusals():
    """Protects workers that come at a bad time: they are told, and may try again, because anybody could have said so."""
    dies(client_session(), refusal(RefusalCode.BUSY), RemoteProtocolError, "as many connections as it takes")
    dies(client_session(), refusal(RefusalCode.VERSION), RemoteProtocolError, "with code 1")
    dies(client_session(), refusal(RefusalCode.BUSY)[:-1] + b"\x63", RemoteProtocolError, "with code 99")


def test_refusal_is_for_the_handshake_only():
    """Protects running sessions: a refusal that nobody signed ends none, and none is for the coordinator."""
    client, server = client_session(), server_session()
    dies(server_session(), refusal(RefusalCode.BUSY), RemoteProtocolError, "a record of kind 4")
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    dies(client, refusal(RefusalCode.BUSY), RemoteProtocolError)
    dies(ends(to_server=True)[0], refusal(RefusalCode.BUSY), RemoteProtocolError)


# Versions


def test_newer_worker():
    """Protects those who updated one side only: both hear both versions."""
    client, server = client_session(), server_session()
    hello = bytearray(client.take_outgoing())
    hello[8:10] = (258).to_bytes(2, "big")
    dies(server, bytes(hello[:12]), RemoteProtocolError, f"version 258 .* version {PROTOCOL_VERSION}$")
    answer = bytearray(server.take_outgoing())
    assert refusal(RefusalCode.VERSION) == answer
    answer[8:10] = (513).to_bytes(2, "big")
    dies(client, bytes(answer), RemoteProtocolError, f"speaks version 513 .* worker version {PROTOCOL_VERSION}: install the same")


def test_newer_coordinator():
    """Protects those who updated one side only: the versions are told before anything else of the hello is looked at."""
    dies(client_session(), MAGIC + b"\0\3\0\2" + b"?", RemoteProtocolError, "version 3 of the protocol and this worker version 2")


# Keys


def test_wrong_server_key():
    """Protects workers from another coordinator: they say loudly which key they met and which one they trust."""
    client, server = client_session(), server_session(key=STRANGER)
    server.receive(client.take_outgoing())
    said = dies(client, server.take_outgoing(), AuthenticationError, "^THIS IS NOT YOUR COORDINATOR")
    assert STRANGER.public.fingerprint in said
    assert COORDINATOR.public.fingerprint in said
    assert b"" == client.take_outgoing()
    assert client.peer_key is None


def test_server_that_only_knows_the_key():
    """Protects workers from whoever copied the coordinator's public key: it has to sign with it."""
    client, server = client_session(), server_session(key=STRANGER)
    server.receive(client.take_outgoing())
    hello = server.take_outgoing().replace(STRANGER.public.raw, COORDINATOR.public.raw)
    dies(client, hello, AuthenticationError, "cannot sign with it")
    assert b"" == client.take_outgoing()


def test_client_that_only_knows_the_key():
    """Protects the run from whoever copied a line of authorized_keys: nobody is asked about a key that was not proved."""
    asked = []
    client, server = client_session(key=STRANGER), server_session(asked.append)
    server.receive(client.take_outgoing().replace(STRANGER.public.raw, WORKER.public.raw))
    client._transcript = client._transcript.replace(STRANGER.public.raw, WORKER.public.raw)
    client.receive(server.take_outgoing())
    said = dies(server, client.take_outgoing(), AuthenticationError, "cannot sign with it")
    assert WORKER.public.fingerprint in said
    assert ([], None, b"") == (asked, server.peer_key, server.name)


# Repetition and reflection


def test_recorded_handshake():
    """Protects the run from recordings: what a worker said once lets nobody in again, and what the coordinator said fools nobody."""
    hello, server_hello, proof, _ = sessions.handshake(client_session(), server_session())
    again = server_session(nonce=bytes(32))
    again.receive(hello)
    dies(again, proof, AuthenticationError, "cannot sign with it")
    dies(client_session(nonce=bytes(32)), server_hello, AuthenticationError, "cannot sign with it")
    dies(client_session(name=bytes(16)), server_hello, AuthenticationError, "cannot sign with it")


def test_own_nonce():
    """Protects against mirrors: a nonce that is our own is nobody else's."""
    dies(server_session(nonce=sessions.CLIENT_NONCE), client_session().take_outgoing(), AuthenticationError, "nonce")
    client = client_session()
    hello = client.take_outgoing()
    start = MAGIC + struct.pack(">HH", PROTOCOL_VERSION, 2) + sessions.CLIENT_NONCE + COORDINATOR.public.raw
    signature = COORDINATOR.sign(b"parry_mpi server hello\0" + hashlib.sha256(hello + start).digest())
    dies(client, start + signature, AuthenticationError, "nonce")


def test_mirror():
    """Protects workers from their own echo: what they send is never an answer."""
    client = client_session()
    dies(client, client.take_outgoing(), RemoteProtocolError, "a record of kind 1")


@BOTH_WAYS
def test_reflected_frame(to_server):
    """Protects against frames that are sent back to whoever signed them."""
    client, server = established()
    server.seal(b"as many frames went either way")  # the client has received one more, so that the numbers would fit
    client.seal(b"")
    sender = client if to_server else server
    sender._received_count = sender._sent_count
    dies(sender, sender.seal(b"mine"), AuthenticationError, "^the signature of frame . is wrong")


def test_both_ends_with_one_key():
    """Protects a run whose worker was given the coordinator's key: the directions stay apart."""
    client, server = client_session(key=COORDINATOR), server_session()
    shake_hands(client, server)
    client._received_count = client._sent_count
    dies(client, client.seal(b"mine"), AuthenticationError)


@BOTH_WAYS
def test_repeated_frame(to_server):
    """Protects against a frame that is sent twice: it is received once and then never again."""
    sender, receiver = ends(to_server)
    frame = sender.seal(b"once")
    assert [b"once"] == receiver.receive(frame)
    dies(receiver, frame, AuthenticationError, "somebody repeats, removes or reorders frames")


@BOTH_WAYS
def test_renumbered_frame(to_server):
    """Protects against a recorded frame that is given the number that is due: the number is signed."""
    sender, receiver = ends(to_server)
    frame, following = sender.seal(b"once"), sender.seal(b"")
    assert [b"once"] == receiver.receive(frame)
    dies(receiver, frame[:4] + following[4:12] + frame[12:], AuthenticationError, "^the signature of frame . is wrong")


@BOTH_WAYS
def test_reordered_and_removed_frames(to_server):
    """Protects the order: a frame that comes too early, because another was held back or taken out, ends the session."""
    sender, receiver = ends(to_server)
    sender.seal(b"held back")
    dies(receiver, sender.seal(b"too early"), AuthenticationError, "somebody repeats, removes or reorders frames")


@BOTH_WAYS
def test_frame_of_another_session(to_server):
    """Protects one session from another of the same two keys: what was signed there is worth nothing here."""
    _, receiver = ends(to_server)
    client, server = client_session(nonce=bytes(32)), server_session()
    shake_hands(client, server)
    dies(receiver, (client if to_server else server).seal(b"there"), AuthenticationError, "signature")


def test_handshake_signatures_sign_no_frames():
    """Protects against a signature that is used for something else: each kind begins with another context, none with another's."""
    contexts = (wire._SERVER_CONTEXT, wire._CLIENT_CONTEXT, wire._FRAME_CONTEXT)
    for one in contexts:
        assert [one] == [other for other in contexts if other.startswith(one)]
        assert b"\0" == one[-1:]


# Changed, cut and oversize


RECORDS = sessions.handshake(client_session(), server_session())
"""What the two sides say to each other in the handshake, by turns."""


def receiver_of(stage: int) -> Session:
    """The side that is to receive the record of this number."""
    client, server = client_session(), server_session()
    client.take_outgoing()
    for number in range(stage):
        (server, client)[number % 2].receive(RECORDS[number])
    return (server, client)[stage % 2]


@pytest.mark.parametrize("stage", [1, 2, 3], ids=["server hello", "proof", "answer"])
def test_every_changed_byte_of_the_handshake(stage):
    """Protects the handshake: whichever bit of a record is changed, nobody is let in."""
    record = RECORDS[stage]
    for position in range(len(record)):
        changed = bytearray(record)
        changed[position] ^= 1 << position % 8
        receiver = receiver_of(stage)
        with pytest.raises((AuthenticationError, RemoteProtocolError)):
            receiver.receive(bytes(changed) + bytes(REASON_SIZE_BYTES_MAX))  # more, in case a length became larger
        assert receiver.dead


def test_every_changed_byte_of_the_hello():
    """Protects the first record, which nobody signs: what was changed in it is noticed at the worker, or at the coordinator."""
    for position in range(len(RECORDS[0])):
        client, server = client_session(), server_session()
        hello = bytearray(client.take_outgoing())
        hello[position] ^= 1 << position % 8
        with pytest.raises((AuthenticationError, RemoteProtocolError)):
            shake_hands_after(client, server, bytes(hello))
        assert not client.established


def shake_hands_after(client: Session, server: Session, hello: bytes) -> None:
    server.receive(hello)
    shake_hands(client, server)


@BOTH_WAYS
def test_every_changed_byte_of_a_frame(to_server):
    """Protects messages: whichever bit of a frame is changed, nothing of it is handed on."""
    length = len(ends(to_server)[0].seal(b"payload"))
    for position in range(length):
        sender, receiver = ends(to_server)
        frame = bytearray(sender.seal(b"payload"))
        frame[position] ^= 1 << position % 8
        more = sender.seal(bytes(2000))  # in case the length became larger
        try:
            received = receiver.receive(bytes(frame) + more)
        except (AuthenticationError, RemoteProtocolError):
            assert receiver.dead
        else:
            assert [] == received, "a larger length waits for more, which never makes it right"
            assert position < 4


@BOTH_WAYS
def test_frame_with_a_piece_missing(to_server):
    """Protects messages: a frame of which something is cut out, followed by the next, is not mended."""
    for missing in (slice(0, 1), slice(3, 4), slice(12, 13), slice(HEADER_SIZE_BYTES, HEADER_SIZE_BYTES + 1), slice(-1, None)):
        sender, receiver = ends(to_server)
        frame = bytearray(sender.seal(bytes(100)))
        del frame[missing]
        dies(receiver, bytes(frame) + sender.seal(bytes(100)) * 10, (AuthenticationError, RemoteProtocolError))


@BOTH_WAYS
def test_cut_frame_is_not_handed_on(to_server):
    """Protects messages: what of a frame has arrived when a connection breaks is nothing."""
    frame = ends(to_server)[0].seal(b"payload")
    for length in range(len(frame)):
        receiver = ends(to_server)[1]
        assert [] == receiver.receive(frame[:length])
        assert length == receiver.buffered_bytes


@BOTH_WAYS
@pytest.mark.parametrize("length", [FRAME_SIZE_BYTES_MAX + 1, 2**31, 2**32 - 1])
def test_oversize_frame(to_server, length):
    """Protects memory: a frame that is too large is refused when it is announced, before it is received."""
    _, receiver = ends(to_server)
    dies(receiver, struct.pack(">IQ", length, receiver._received_count), RemoteProtocolError, f"^a frame of {length} bytes")


def test_wrong_number_is_noticed_at_once():
    """Protects memory: a frame with a wrong number is not waited for."""
    _, server = established()
    dies(server, struct.pack(">IQ", FRAME_SIZE_BYTES_MAX, 1), AuthenticationError, "^frame 1 came where 0 was expected")


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"SSH-2.0-", b"\x16\x03\x01", b"\0", b"PARRYMPJ"])
@pytest.mark.parametrize("make", [client_session, server_session])
def test_another_protocol(make, data):
    """Protects against knocking at the wrong door: whoever speaks something else is turned away at the first byte that differs."""
    dies(make(), data, RemoteProtocolError, "does not speak parry_mpi's protocol")


def test_authorize_that_fails():
    """Protects the run from our own mistakes: if nobody can say who may join, nobody joins."""

    def fails(key: bytes) -> str:
        raise OSError("the list cannot be read")

    client, server = client_session(), server_session(fails)
    server.receive(client.take_outgoing())
    client.receive(server.take_outgoing())
    with pytest.raises(OSError, match="the list cannot be read"):
        server.receive(client.take_outgoing())
    assert server.dead
    assert not server.established
    with pytest.raises(LocalProtocolError, match="died of OSError"):
        server.receive(b"")
    assert b"" == server.take_outgoing()


@given(stage=st.integers(0, 4), data=st.binary(max_size=400), real_bytes=st.integers(0, 150), piece_bytes=st.integers(1, 50))
def test_any_bytes(stage, data, real_bytes, piece_bytes):
    """Protects against tracebacks: whatever arrives, at any point, is refused in one of two ways or waits for more."""
    if stage == 4:
        receiver = established()[1]
    else:
        receiver = receiver_of(stage)
        data = RECORDS[stage][:real_bytes] + data
    try:
        assert [] == feed(receiver, data, piece_bytes)
    except (AuthenticationError, RemoteProtocolError):
        assert receiver.dead
    assert receiver.buffered_bytes <= len(data)
