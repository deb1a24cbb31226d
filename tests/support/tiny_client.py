"""A client of the bridge written from docs/protocol.md alone, to see that the page suffices: no line of the package is used.

This module must not import anything but cryptography and the standard library's hashlib and struct.
"""

from __future__ import annotations

import hashlib
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class TinyClient:
    def __init__(self, seed: bytes, server_key: bytes, name: bytes, nonce: bytes) -> None:
        self.key = Ed25519PrivateKey.from_private_bytes(seed)
        self.server_key = server_key
        self.hello = self.start(1) + nonce + self.key.public_key().public_bytes_raw() + name
        self.session_id = b""
        self.sent = self.received = 0

    @staticmethod
    def start(kind: int) -> bytes:
        return b"PARRYMPI" + struct.pack(">HH", 2, kind)

    def prove(self, server_hello: bytes) -> bytes:
        """Check ServerHello; return ClientProof."""
        assert len(server_hello) == 140
        assert server_hello[:12] == self.start(2)
        assert server_hello[44:76] == self.server_key
        signed = b"parry_mpi server hello\0" + hashlib.sha256(self.hello + server_hello[:76]).digest()
        Ed25519PublicKey.from_public_bytes(self.server_key).verify(server_hello[76:], signed)
        transcript = self.hello + server_hello + self.start(3)
        proof = self.start(3) + self.key.sign(b"parry_mpi client proof\0" + hashlib.sha256(transcript).digest())
        self.session_id = hashlib.sha256(self.hello + server_hello + proof).digest()
        return proof

    def seal(self, payload: bytes) -> bytes:
        """Return the next frame to the coordinator."""
        signed = b"parry_mpi frame\0" + self.session_id + struct.pack(">BQ", 0, self.sent) + payload
        frame = struct.pack(">IQ", len(payload), self.sent) + self.key.sign(signed) + payload
        self.sent += 1
        return frame

    def open(self, frame: bytes) -> bytes:
        """Return the payload of the next frame from the coordinator."""
        length, sequence = struct.unpack(">IQ", frame[:12])
        assert length == len(frame) - 76
        assert sequence == self.received
        signed = b"parry_mpi frame\0" + self.session_id + struct.pack(">BQ", 1, sequence) + frame[76:]
        Ed25519PublicKey.from_public_bytes(self.server_key).verify(frame[12:76], signed)
        self.received += 1
        return frame[76:]
