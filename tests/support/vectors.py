"""The test vectors of docs/protocol-vectors.json, computed: ``python -m tests.support.vectors`` writes them.

This module must not check anything: that is for the tests.
"""

from __future__ import annotations

import hashlib
import json
import sys
import typing
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from parry_mpi.core import messages
from parry_mpi.core.ids import LeaseId, WorkerId
from parry_mpi.core.messages import Message
from parry_mpi.errors import AuthenticationError
from parry_mpi.job import Job
from parry_mpi.wire import codec
from parry_mpi.wire.session import PROTOCOL_VERSION, RefusalCode, refusal
from support import sessions
from support.commands import ROOT

PATH = ROOT / "docs" / "protocol-vectors.json"

REASON = "the key is not in authorized_keys"

JOBS = (
    Job(node=b"\x93\x01\x02\x03", depth=2, killed=1, weight=2**60, bound=-72),
    Job(weight=2**61, first=1000, count=500),
)

MESSAGES: tuple[Message, ...] = (
    messages.Hello("c0ffee", "node7", 4711, "5f3a", 1000),
    messages.Unable("node7", "No module named 'solver'", "Traceback ..."),
    messages.GetJob(WorkerId(3), LeaseId(17)),
    messages.Report(LeaseId(17), 1, 4096, b"\xcd\x10\x00", 21_500, 1, JOBS[:1], JOBS[1:]),
    messages.Failed(LeaseId(17), 2, "ZeroDivisionError: division by zero", "Traceback ...", "(1, 2, 3)", exact=True),
    messages.Crashed(LeaseId(17), "killed by signal 11 (SIGSEGV)"),
    messages.Alive(WorkerId(3), (LeaseId(17),)),
    messages.Goodbye(WorkerId(3)),
    messages.Welcome(WorkerId(3)),
    messages.Refused("another problem"),
    messages.Bundle(LeaseId(17), JOBS, share=True, careful=False, incumbent=-72),
    messages.Ack(LeaseId(17), 1),
    messages.Share(LeaseId(17)),
    messages.Die(LeaseId(17)),
    messages.Incumbent(LeaseId(17), 3.5),
    messages.Stop(),
    messages.Finished(),
    messages.Rejoin(),
)


def computed() -> dict[str, typing.Any]:
    """Return all vectors, as plain values."""
    client, server = sessions.client_session(), sessions.server_session()
    hello, server_hello, proof, answer = sessions.handshake(client, server)
    handshake = {
        "coordinator_seed": bytes(range(32)),
        "coordinator_line": sessions.COORDINATOR.public.line,
        "coordinator_fingerprint": sessions.COORDINATOR.public.fingerprint,
        "worker_seed": bytes(range(32, 64)),
        "worker_line": sessions.WORKER.public.line,
        "name": sessions.NAME,
        "client_nonce": sessions.CLIENT_NONCE,
        "server_nonce": sessions.SERVER_NONCE,
        "client_hello": hello,
        "server_hello_signed": b"parry_mpi server hello\0" + hashlib.sha256(hello + server_hello[:76]).digest(),
        "server_hello": server_hello,
        "client_proof_signed": b"parry_mpi client proof\0" + hashlib.sha256(hello + server_hello + proof[:12]).digest(),
        "client_proof": proof,
        "session_id": hashlib.sha256(hello + server_hello + proof).digest(),
    }
    payloads = [codec.encode([message]) for message in MESSAGES[:3]], [codec.encode([message]) for message in MESSAGES[8:10]]
    frames = [("to worker", b"", answer)]
    frames += [("to coordinator", payload, client.seal(payload)) for payload in payloads[0]]
    frames += [("to worker", payload, server.seal(payload)) for payload in payloads[1]]
    return {
        "version": PROTOCOL_VERSION,
        "handshake": {name: _plain(value) for name, value in handshake.items()},
        "frames": [dict(zip(("direction", "payload", "frame"), map(_plain, frame), strict=True)) for frame in frames],
        "refusals": {
            "version": refusal(RefusalCode.VERSION).hex(),
            "busy": refusal(RefusalCode.BUSY).hex(),
            "signed_reason": REASON,
            "signed_frame": _signed_refusal(hello, proof).hex(),
        },
        "messages": [
            {
                "message": type(message).__name__,
                "fields": {name: _plain(getattr(message, name)) for name in message.__struct_fields__},
                "payload": codec.encode([message]).hex(),
            }
            for message in MESSAGES
        ],
    }


def _signed_refusal(hello: bytes, proof: bytes) -> bytes:
    server = sessions.server_session(lambda key: REASON)
    server.receive(hello)
    server.take_outgoing()
    try:
        server.receive(proof)
    except AuthenticationError:
        return server.take_outgoing()
    raise AssertionError("the server let the client in")


def _plain(value: typing.Any) -> typing.Any:
    """A value as JSON: bytes in hex, a job as its fields."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Job):
        return {name: _plain(item) for name, item in msgspec.structs.asdict(value).items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    PATH.write_text(json.dumps(computed(), indent=2) + "\n")
