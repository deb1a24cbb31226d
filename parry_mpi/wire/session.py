"""Sessions of the bridge: who is there is proved with signatures at the start, and every frame after that is signed.

States of either side: handshake, established, dead. Whatever is wrong, once, makes a session dead for good. Events: bytes arrived
(receive); nothing else happens to a session. docs/protocol.md describes the bytes, for those who write the other side.

This module must not do input or output, know the time, or draw random numbers: nonces are handed in.
"""

from __future__ import annotations

import abc
import enum
import hashlib
import struct
from collections.abc import Callable

from parry_mpi.errors import AuthenticationError, LocalProtocolError, ProblemError, RemoteProtocolError
from parry_mpi.wire.keys import PrivateKey, PublicKey, printable, verified

PROTOCOL_VERSION = 2
"""Goes up with every change after which an older other side would not understand, or not believe, what it is sent."""

FRAME_SIZE_BYTES_MAX = 2**26
"""A frame is in memory three times while it is checked: as it came, as what was signed, as what is handed on. Over a network a
larger one would hold up heartbeats for longer than they are waited for."""

REASON_SIZE_BYTES_MAX = 400
"""A refusal's reason is one line on the user's terminal."""

NONCE_SIZE_BYTES = 32
"""So many random bytes never come twice."""

NAME_SIZE_BYTES = 16
"""Tells one worker process from all others, also when it connects again."""

MAGIC = b"PARRYMPI"
"""Begins every record of the handshake: whoever speaks another protocol is told apart at the first byte."""

_START = struct.Struct(">8sHH")  # magic, version, kind: the same in all versions, so that each can name the other's
_CLIENT_HELLO = struct.Struct(">8sHH32s32s16s")  # ..., nonce, key, name
_SERVER_HELLO = struct.Struct(">8sHH32s32s64s")  # ..., nonce, key, signature
_CLIENT_PROOF = struct.Struct(">8sHH64s")  # ..., signature
_REFUSAL = struct.Struct(">8sHHH")  # ..., code
_FRAME = struct.Struct(">IQ64s")  # length of the payload, sequence, signature
_FRAME_START = struct.Struct(">IQ")

_SERVER_CONTEXT = b"parry_mpi server hello\0"
_CLIENT_CONTEXT = b"parry_mpi client proof\0"
_FRAME_CONTEXT = b"parry_mpi frame\0"
"""What is signed begins with what it is signed for, so that no signature is good for anything else. None of them begins another,
and none of what OpenSSH signs with the same keys begins so."""


class Kind(enum.IntEnum):
    """The records of the handshake."""

    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    CLIENT_PROOF = 3
    REFUSAL = 4


class RefusalCode(enum.IntEnum):
    """Why a server refuses before anybody has proved anything; nobody signs it, so it is believed for one connection only."""

    VERSION = 1
    BUSY = 2


class Direction(enum.IntEnum):
    """Which way a frame goes; signed with it, so that it cannot be sent back."""

    TO_SERVER = 0
    TO_CLIENT = 1


_LAYOUTS = {
    Kind.CLIENT_HELLO: _CLIENT_HELLO,
    Kind.SERVER_HELLO: _SERVER_HELLO,
    Kind.CLIENT_PROOF: _CLIENT_PROOF,
    Kind.REFUSAL: _REFUSAL,
}


def refusal(code: RefusalCode) -> bytes:
    """Return the unsigned record with which a server ends a connection before the handshake; all it says goes to anybody."""
    return _REFUSAL.pack(MAGIC, PROTOCOL_VERSION, Kind.REFUSAL, code)


class Session(abc.ABC):
    """What both sides have in common.

    Args:
        key: our own.
        nonce: 32 random bytes that were never used before.
        sends: which way our frames go.

    Attributes:
        established: both sides are proved, and frames may go both ways.
        peer_key: the other side's, once it is proved that the other side holds it.
    """

    def __init__(self, key: PrivateKey, nonce: bytes, sends: Direction) -> None:
        assert len(nonce) == NONCE_SIZE_BYTES
        self.established = False
        self.peer_key: PublicKey | None = None
        self._key = key
        self._nonce = nonce
        self._sends = sends
        self._receives = Direction(1 - sends)
        self._buffer = bytearray()
        self._outgoing = bytearray()
        self._transcript = b""  # all records of the handshake so far, as they went over the wire
        self._session_id = b""  # empty until the handshake is over
        self._sent_count = 0
        self._received_count = 0
        self._death: Exception | None = None

    @property
    def dead(self) -> bool:
        """Whether something was wrong; whatever is in take_outgoing() may still be written, then the connection is closed."""
        return self._death is not None

    @property
    def buffered_bytes(self) -> int:
        """How much has arrived and is not a whole record or frame yet: less than one of them and what was received last."""
        return len(self._buffer)

    def receive(self, data: bytes) -> list[bytes]:
        """Take in what arrived; return the payloads of the frames that became complete, verified, in order.

        After an exception nothing is received any more: every later call raises the same. What was complete before it, in the same
        data, is lost with it.

        Args:
            data: at most what one read gives; all of it is kept until it is looked at.

        Raises:
            AuthenticationError: a key, a signature, a nonce or a sequence number is not the right one; or the server refused.
            RemoteProtocolError: what arrived is malformed, too large, or of another version.
        """
        if self._death is not None:
            raise type(self._death)(str(self._death))
        self._buffer += data
        payloads: list[bytes] = []
        try:
            while self._take(payloads):
                pass
        except Exception as error:
            # A new one: the traceback of this one holds on to what was received.
            foreign = isinstance(error, AuthenticationError | RemoteProtocolError)
            self._death = type(error)(str(error)) if foreign else LocalProtocolError(f"this session died of {error!r}")
            self.established = False
            self._buffer.clear()
            raise
        return payloads

    def take_outgoing(self) -> bytes:
        """Return what is to be written now: records of the handshake, or a refusal."""
        outgoing = bytes(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def seal(self, payload: bytes) -> bytes:
        """Return one signed frame, to be written next; what take_outgoing() still held stands before it.

        Raises:
            ProblemError: it would be larger than FRAME_SIZE_BYTES_MAX: the problem's nodes or values are.
            LocalProtocolError: the session is not established, or dead.
        """
        if not self.established:
            raise LocalProtocolError("a frame was to be signed in a session that is not established")
        if len(payload) > FRAME_SIZE_BYTES_MAX:
            raise ProblemError(
                f"nodes or values of {len(payload)} bytes would have to be sent at once, and {FRAME_SIZE_BYTES_MAX} is the most "
                "that can be over the bridge: use smaller nodes or values"
            )
        frame = self._signed(payload)
        return self.take_outgoing() + frame if self._outgoing else frame

    def _take(self, payloads: list[bytes]) -> bool:
        """Take one record or frame off the buffer; False if there is none that is complete."""
        if not self._session_id:
            return self._take_record()
        payload = self._opened()
        if payload is None:
            return False
        if self.established:
            payloads.append(payload)
        else:
            self._answered(payload)
        return True

    @abc.abstractmethod
    def _take_record(self) -> bool:
        """Go one step on in the handshake; False if its next record is not complete."""

    def _answered(self, payload: bytes) -> None:
        """Take in the server's first frame, which says whether the client may join; a server is established before any frame comes."""
        raise AssertionError("only a client waits for an answer")

    @abc.abstractmethod
    def _other_version(self, version: int) -> RemoteProtocolError:
        """Say that the other side speaks another version of the protocol."""

    def _record(self, *wanted: Kind) -> bytes | None:
        """Take a record of one of these kinds off the buffer, as soon as it is complete."""
        if not MAGIC.startswith(self._buffer[: len(MAGIC)]):
            raise RemoteProtocolError("the other side does not speak parry_mpi's protocol")
        if len(self._buffer) < _START.size:
            return None
        _, version, kind = _START.unpack_from(self._buffer)
        if version != PROTOCOL_VERSION:
            raise self._other_version(version)
        if kind not in wanted:
            raise RemoteProtocolError(f"a record of kind {kind} came in the handshake, where {wanted[0]} has its place")
        size = _LAYOUTS[Kind(kind)].size
        if len(self._buffer) < size:
            return None
        record = bytes(self._buffer[:size])
        del self._buffer[:size]
        return record

    def _handshake_over(self) -> None:
        self._session_id = hashlib.sha256(self._transcript).digest()

    def _opened(self) -> bytes | None:
        """Take a frame off the buffer, as soon as it is complete; return its payload if all about it is right."""
        if len(self._buffer) < _FRAME_START.size:
            return None
        length, sequence = _FRAME_START.unpack_from(self._buffer)
        length_max = FRAME_SIZE_BYTES_MAX if self.established else REASON_SIZE_BYTES_MAX
        if length > length_max:
            raise RemoteProtocolError(f"a frame of {length} bytes is announced, and {length_max} is the most there can be")
        if sequence != self._received_count:
            raise AuthenticationError(
                f"frame {sequence} came where {self._received_count} was expected: somebody repeats, removes or reorders frames"
            )
        if len(self._buffer) < _FRAME.size + length:
            return None
        _, _, signature = _FRAME.unpack_from(self._buffer)
        with memoryview(self._buffer) as view:
            payload = bytes(view[_FRAME.size : _FRAME.size + length])
        del self._buffer[: _FRAME.size + length]
        assert self.peer_key is not None
        if not verified(self.peer_key.raw, signature, self._to_sign(self._receives, sequence, payload)):
            raise AuthenticationError(f"the signature of frame {sequence} is wrong: somebody changes what is sent")
        self._received_count += 1
        return payload

    def _signed(self, payload: bytes) -> bytes:
        sequence = self._sent_count
        self._sent_count += 1
        signature = self._key.sign(self._to_sign(self._sends, sequence, payload))
        return _FRAME.pack(len(payload), sequence, signature) + payload

    def _to_sign(self, direction: Direction, sequence: int, payload: bytes) -> bytes:
        return b"".join((_FRAME_CONTEXT, self._session_id, struct.pack(">BQ", direction, sequence), payload))


class ClientSession(Session):
    """The worker's end. It speaks first: take_outgoing() has something at once.

    Args:
        key: the worker's.
        server_key: the coordinator's; nobody else is talked to.
        name: 16 random bytes of the worker process, the same in all its sessions.
        nonce: 32 random bytes of this session.
    """

    def __init__(self, key: PrivateKey, server_key: PublicKey, name: bytes, nonce: bytes) -> None:
        super().__init__(key, nonce, Direction.TO_SERVER)
        assert len(name) == NAME_SIZE_BYTES
        self._server_key = server_key
        self._transcript = _CLIENT_HELLO.pack(MAGIC, PROTOCOL_VERSION, Kind.CLIENT_HELLO, nonce, key.public.raw, name)
        self._outgoing += self._transcript

    def _take_record(self) -> bool:
        record = self._record(Kind.SERVER_HELLO, Kind.REFUSAL)
        if record is None:
            return False
        if len(record) == _REFUSAL.size:
            raise RemoteProtocolError(_why_refused(_REFUSAL.unpack(record)[3]))
        _, _, _, nonce, key, signature = _SERVER_HELLO.unpack(record)
        if key != self._server_key.raw:
            raise AuthenticationError(
                f"THIS IS NOT YOUR COORDINATOR: it has the key {PublicKey(key).fingerprint}, and {self._server_key.fingerprint} is "
                "the one you trust. Somebody may be in between, or the run was set up anew: ask for its key, do not guess"
            )
        if nonce == self._nonce:
            raise AuthenticationError("the coordinator sent our own nonce back: somebody imitates it")
        unsigned = self._transcript + record[: -len(signature)]
        if not verified(key, signature, _SERVER_CONTEXT + hashlib.sha256(unsigned).digest()):
            raise AuthenticationError(
                f"the other side shows the coordinator's key {self._server_key.fingerprint} and cannot sign with it: somebody imitates it"
            )
        self.peer_key = self._server_key
        self._transcript += record
        self._prove()
        return True

    def _prove(self) -> None:
        start = _START.pack(MAGIC, PROTOCOL_VERSION, Kind.CLIENT_PROOF)
        proof = start + self._key.sign(_CLIENT_CONTEXT + hashlib.sha256(self._transcript + start).digest())
        self._transcript += proof
        self._outgoing += proof
        self._handshake_over()

    def _answered(self, payload: bytes) -> None:
        if not payload:
            self.established = True
            return
        try:
            reason = payload.decode()
        except UnicodeDecodeError:
            raise RemoteProtocolError("the coordinator refused, and its reason is not text") from None
        raise AuthenticationError(f"the coordinator refused: {printable(reason)}")

    def _other_version(self, version: int) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"the coordinator speaks version {version} of the protocol and this worker version {PROTOCOL_VERSION}: "
            "install the same parry_mpi on both sides"
        )


class ServerSession(Session):
    """The coordinator's end.

    Args:
        key: the coordinator's.
        nonce: 32 random bytes of this session.
        authorize: asked once, when the client has proved to hold this key (32 bytes): "" if it may join, else one line why not.

    Attributes:
        name: the 16 bytes of the worker process, once it is proved who says so; empty until then.
    """

    def __init__(self, key: PrivateKey, nonce: bytes, authorize: Callable[[bytes], str]) -> None:
        super().__init__(key, nonce, Direction.TO_CLIENT)
        self.name = b""
        self._authorize = authorize
        self._claimed_key = PublicKey(b"")
        self._claimed_name = b""

    def _take_record(self) -> bool:
        return self._take_hello() if not self._transcript else self._take_proof()

    def _take_hello(self) -> bool:
        record = self._record(Kind.CLIENT_HELLO)
        if record is None:
            return False
        _, _, _, nonce, key, self._claimed_name = _CLIENT_HELLO.unpack(record)
        self._claimed_key = PublicKey(key)
        if nonce == self._nonce:
            raise AuthenticationError("the worker sent our own nonce back: somebody imitates it")
        hello = _START.pack(MAGIC, PROTOCOL_VERSION, Kind.SERVER_HELLO) + self._nonce + self._key.public.raw
        hello += self._key.sign(_SERVER_CONTEXT + hashlib.sha256(record + hello).digest())
        self._transcript = record + hello
        self._outgoing += hello
        return True

    def _take_proof(self) -> bool:
        record = self._record(Kind.CLIENT_PROOF)
        if record is None:
            return False
        signature = record[_START.size :]
        unsigned = self._transcript + record[: _START.size]
        if not verified(self._claimed_key.raw, signature, _CLIENT_CONTEXT + hashlib.sha256(unsigned).digest()):
            raise AuthenticationError(f"a worker shows the key {self._claimed_key.fingerprint} and cannot sign with it")
        self.peer_key = self._claimed_key
        self.name = self._claimed_name
        self._transcript += record
        self._handshake_over()
        self._admit(self.peer_key)
        return True

    def _admit(self, key: PublicKey) -> None:
        """Answer the client's proof with the first frame: empty, or why not."""
        reason = self._authorize(key.raw)
        if not reason:
            self._outgoing += self._signed(b"")
            self.established = True
            return
        # Never empty, which would let the client in; cut where a character ends.
        text = (printable(reason) or "no reason was given").encode()[:REASON_SIZE_BYTES_MAX].decode("utf-8", "ignore")
        self._outgoing += self._signed(text.encode())
        raise AuthenticationError(f"the key {key.fingerprint} was refused: {text}")

    def _other_version(self, version: int) -> RemoteProtocolError:
        self._outgoing += refusal(RefusalCode.VERSION)
        return RemoteProtocolError(
            f"a worker speaks version {version} of the protocol, and this coordinator version {PROTOCOL_VERSION}"
        )


def _why_refused(code: int) -> str:
    match code:
        case RefusalCode.BUSY:
            return "the coordinator has as many connections as it takes; there may be room later"
        case _:
            return f"the coordinator refused, with code {code}"
