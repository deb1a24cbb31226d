"""Both ends of a session of the bridge, from fixed seeds and nonces, and the link between them.

This module must not check anything: that is for the tests.
"""

from __future__ import annotations

from collections.abc import Callable

from parry_mpi.wire.keys import new_private_key
from parry_mpi.wire.session import ClientSession, ServerSession, Session

COORDINATOR = new_private_key(bytes(range(32)), "coordinator")
WORKER = new_private_key(bytes(range(32, 64)), "worker")
STRANGER = new_private_key(bytes(range(64, 96)), "stranger")
NAME = bytes(range(96, 112))
CLIENT_NONCE = bytes(range(128, 160))
SERVER_NONCE = bytes(range(160, 192))


def anybody(key: bytes) -> str:
    """Let whoever asks join."""
    return ""


def client_session(**changed: object) -> ClientSession:
    """The worker's end; ``changed`` replaces arguments by name."""
    return ClientSession(**{"key": WORKER, "server_key": COORDINATOR.public, "name": NAME, "nonce": CLIENT_NONCE, **changed})


def server_session(authorize: Callable[[bytes], str] = anybody, **changed: object) -> ServerSession:
    """The coordinator's end; ``changed`` replaces arguments by name."""
    return ServerSession(**{"key": COORDINATOR, "nonce": SERVER_NONCE, "authorize": authorize, **changed})


def shake_hands(client: Session, server: Session, piece_bytes: int = 1 << 16) -> None:
    """Carry to and fro what either end has to say, in pieces, until neither has anything more."""
    while any([carry(client, server, piece_bytes), carry(server, client, piece_bytes)]):
        pass


def carry(sender: Session, receiver: Session, piece_bytes: int = 1 << 16) -> bool:
    """Carry what one end has to say to the other; False if there is nothing."""
    data = sender.take_outgoing()
    feed(receiver, data, piece_bytes)
    return bool(data)


def feed(receiver: Session, data: bytes, piece_bytes: int = 1 << 16) -> list[bytes]:
    """Hand over data in pieces; return the payloads."""
    payloads: list[bytes] = []
    for start in range(0, len(data), piece_bytes):
        payloads += receiver.receive(data[start : start + piece_bytes])
    return payloads


def established() -> tuple[ClientSession, ServerSession]:
    """Both ends after the handshake."""
    client, server = client_session(), server_session()
    shake_hands(client, server)
    return client, server


def handshake(client: Session, server: Session) -> tuple[bytes, bytes, bytes, bytes]:
    """Let two new ends join; return what was said: the client's hello, the server's, the client's proof, and the answer to it."""
    said = []
    for sender, receiver in ((client, server), (server, client)) * 2:
        said.append(sender.take_outgoing())
        receiver.receive(said[-1])
    hello, server_hello, proof, answer = said
    return hello, server_hello, proof, answer
