"""What docs/protocol.md promises to those who write the other side."""

from __future__ import annotations

import ast
import json
import re
import typing

import msgspec
import pytest
from cryptography.exceptions import InvalidSignature
from support import sessions, tiny_client, vectors
from support.commands import ROOT

from parry_mpi.core.messages import FromCoordinator, FromWorker
from parry_mpi.job import Job
from parry_mpi.transport.bridge.pair import Limits
from parry_mpi.wire import codec, session

PAGE = (ROOT / "docs" / "protocol.md").read_text()
VECTORS = json.loads(vectors.PATH.read_text())
HANDSHAKE = {name: bytes.fromhex(value) for name, value in VECTORS["handshake"].items() if " " not in value and ":" not in value}

KINDS = (*typing.get_args(FromWorker), *typing.get_args(FromCoordinator))
DEFAULTS = {"[]": (), "false": False, '""': "", "0": 0, "nil": None}


def section(title: str) -> str:
    """The part of the page under a heading that begins so."""
    found = re.search(rf"^#+ {re.escape(title)}.*?\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def test_vectors():
    """Protects other implementations: the published bytes are what this one sends; `python -m tests.support.vectors` writes them anew."""
    assert VECTORS == vectors.computed()


def test_every_message_has_a_vector():
    """Protects other implementations: no message lacks its bytes, and they decode to what is written beside them."""
    assert [kind.__name__ for kind in KINDS] == [entry["message"] for entry in VECTORS["messages"]]
    for message, entry in zip(vectors.MESSAGES, VECTORS["messages"], strict=True):
        decode = codec.decode_from_worker if isinstance(message, FromWorker) else codec.decode_from_coordinator
        assert [message] == decode(bytes.fromhex(entry["payload"]))


def described(line: str) -> list[tuple[str, bool]]:
    """The fields of a row: each name, and whether there is a default."""
    fields = [field.strip() for field in line.split(",") if field.strip()]
    return [(field.split(":")[0], "=" in field) for field in fields]


@pytest.mark.parametrize("title", ["From the worker", "From the coordinator", "Jobs"])
def test_every_field_is_described(title):
    """Protects other implementations: the page names every message, and its fields with their defaults, in the order of the wire."""
    kinds = {
        "From the worker": typing.get_args(FromWorker),
        "From the coordinator": typing.get_args(FromCoordinator),
        "Jobs": (Job,),
    }[title]
    rows = dict(re.findall(r"^\| ([A-Z]\w+) \|(.*?)\|$", section(title), re.MULTILINE))
    assert [kind.__name__ for kind in kinds] == list(rows)
    for kind in kinds:
        fields = msgspec.structs.fields(kind)
        assert [(field.name, not field.required) for field in fields] == described(rows[kind.__name__])
        defaults = re.findall(r"= ([^,|]+?)\s*(?:,|$)", rows[kind.__name__])
        wanted = [field.default for field in fields if not field.required]
        assert [b"" if default == b"" else default for default in wanted] == [
            b"" if isinstance(default, bytes) else DEFAULTS[text] for text, default in zip(defaults, wanted, strict=True)
        ]


def test_layouts():
    """Protects other implementations: the sizes of the records and of a frame's head are those of the page."""
    sizes = {name: int(size) for name, size in re.findall(r"^\| (\w+) \| \w+ \| (\d+) \|", section("2."), re.MULTILINE)}
    assert {
        "ClientHello": session._CLIENT_HELLO.size,
        "ServerHello": session._SERVER_HELLO.size,
        "ClientProof": session._CLIENT_PROOF.size,
        "Refusal": session._REFUSAL.size,
    } == sizes
    for name, layout in re.findall(r"^\| (\w+) \| \w+ \| \d+ \| (.*) \|", section("2."), re.MULTILINE):
        assert sizes[name] == sum(map(int, re.findall(r"\((\d+)\)", layout)))
    assert session._FRAME.size == sum(map(int, re.findall(r"\((\d+)\)", section("3.").splitlines()[1])))


def test_limits():
    """Protects operators: the times and limits of the page are those of the code."""
    limits = {**msgspec.structs.asdict(Limits()), **{name: value for name, value in vars(session).items() if name.isupper()}}
    rows = re.findall(r"^\| .* \| (\d+)( s)? \| `(\w+)` \|$", section("5."), re.MULTILINE)
    assert len(rows) >= 10
    assert {name: limits[name] for _, _, name in rows} == {name: int(value) * (1000 if s else 1) for value, s, name in rows}


def test_tiny_client_is_independent():
    """Protects the worth of the page: the client that is written from it uses nothing of the package."""
    tree = ast.parse((ROOT / "tests" / "support" / "tiny_client.py").read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {"__future__", "cryptography", "hashlib", "struct"} == imported


def tiny() -> tiny_client.TinyClient:
    return tiny_client.TinyClient(
        HANDSHAKE["worker_seed"], sessions.COORDINATOR.public.raw, HANDSHAKE["name"], HANDSHAKE["client_nonce"]
    )


def test_tiny_client_gives_the_vectors():
    """Protects other implementations: somebody who only has the page gets the published bytes."""
    client = tiny()
    assert HANDSHAKE["client_hello"] == client.hello
    assert HANDSHAKE["client_proof"] == client.prove(HANDSHAKE["server_hello"])
    assert HANDSHAKE["session_id"] == client.session_id
    for entry in VECTORS["frames"]:
        payload, frame = bytes.fromhex(entry["payload"]), bytes.fromhex(entry["frame"])
        if entry["direction"] == "to worker":
            assert payload == client.open(frame)
        else:
            assert frame == client.seal(payload)


def test_tiny_client_joins():
    """Protects other implementations: a client written from the page joins, and is understood, and understands."""
    client, server = tiny(), sessions.server_session(nonce=bytes(32))
    server.receive(client.hello)
    server.receive(client.prove(server.take_outgoing()))
    assert server.established
    assert sessions.WORKER.public == server.peer_key
    assert b"" == client.open(server.take_outgoing())
    hello = bytes.fromhex(VECTORS["messages"][0]["payload"])
    (payload,) = server.receive(client.seal(hello))
    assert [vectors.MESSAGES[0]] == codec.decode_from_worker(payload)
    assert b"welcome" == client.open(server.seal(b"welcome"))


def test_tiny_client_is_refused():
    """Protects other implementations: the reason of a refusal is where the page says, and signed."""
    client, server = tiny(), sessions.server_session(lambda key: vectors.REASON)
    server.receive(client.hello)
    with pytest.raises(session.AuthenticationError):
        server.receive(client.prove(server.take_outgoing()))
    assert vectors.REASON == client.open(server.take_outgoing()).decode()
    with pytest.raises(InvalidSignature):
        tiny().prove(HANDSHAKE["server_hello"][:-1] + b"\0")
