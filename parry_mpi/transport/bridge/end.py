"""Rank 0's end of the bridge: starts the bridge process, and is a transport to the workers that joined through it.

If the bridge process dies, the run goes on without it: all its peers are failed, one note says so, and nobody joins any more. It is
not started again, because what killed it would most likely do so again; to stop the run and start it again brings the bridge back.

This module must not know what a frame says, nor touch the network: it speaks to one process over a socket pair.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

from parry_mpi.companion import Companion, disown_in_forks, owns_no_more
from parry_mpi.core.ids import Peer
from parry_mpi.errors import LocalProtocolError, ProblemError, UsageError
from parry_mpi.transport.base import FRAMES_AT_ONCE, OUTSIDE
from parry_mpi.transport.bridge.pair import (
    PIECE_BYTES,
    Configuration,
    Joined,
    Kind,
    Limits,
    Listening,
    Note,
    Records,
    absolute,
    decoded,
    encoded,
    record,
)
from parry_mpi.wire.keys import PrivateKey
from parry_mpi.wire.session import FRAME_SIZE_BYTES_MAX

__all__ = ["OUTSIDE", "BridgeTransport", "Limits"]

START_S = 60.0
"""How long the process may take to start: Python from a busy file system."""

CLOSE_S = 2.5
"""How long an orderly end waits for the process, which gives the peers 2 s to take what was sent to them."""

HASTY_CLOSE_S = 0.5
"""How long any other end does."""

NOTES_MAX = 1_000
"""Notes that are kept until they are asked for; then the oldest go."""

DESCRIPTIONS_MAX = 10_000
"""Peers whose description is kept, those that are gone included; then the oldest go."""


@dataclass
class Leaving:
    """A record on its way to the bridge process.

    Args:
        data: what is still to be written of it.
        frame_bytes: how much of it counts as unsent.
        peer: whom it is about.
        begun: some of it was written.
    """

    data: memoryview
    frame_bytes: int
    peer: Peer
    begun: bool = False


class BridgeTransport:
    """Rank 0's end. Only one thread may use it.

    To be made before MPI is initialised: from then on starting a process is not safe everywhere.

    Args:
        host, port: where to listen; port 0: anywhere.
        private_key: the coordinator's, which workers pin.
        authorized_keys: the file that says who may join; read again whenever it changes.
        limits: what outsiders may make the bridge spend.

    Attributes:
        address: where it listens.
        size: one more than there are peers that have joined and are not gone.
        unsent_bytes: how much was handed to send() and is still held here.

    Raises:
        UsageError: it cannot listen there.
    """

    def __init__(
        self, host: str, port: int, private_key: PrivateKey, authorized_keys: Path, limits: Limits | None = None
    ) -> None:
        self.unsent_bytes = 0
        self._records = Records()
        self._arrived: deque[tuple[Kind, int, bytes]] = deque()
        self._outgoing: deque[Leaving] = deque()
        self._peers: set[Peer] = set()
        self._next = OUTSIDE  # the number of the peer that joins next
        self._failures: set[Peer] = set()
        self._descriptions: dict[Peer, str] = {}
        self._notes: deque[tuple[str, dict[str, str | int]]] = deque(maxlen=NOTES_MAX)
        self._lost = False
        self._closed = False
        self._process = Companion("parry_mpi.transport.bridge.process")
        self._socket = self._process.socket
        key = private_key.to_openssh()
        configuration = Configuration(host, port, key, absolute(authorized_keys), limits or Limits())
        try:
            self.address = self._begin(configuration)
        except (UsageError, OSError):
            self._process.end()
            raise
        self._socket.setblocking(False)
        disown_in_forks(self)

    @property
    def size(self) -> int:
        return 1 + len(self._peers)

    @property
    def peers(self) -> list[Peer]:
        """Who has joined and is not gone."""
        return sorted(self._peers)

    @property
    def pid(self) -> int:
        """The bridge process's id."""
        return self._process.pid

    def fileno(self) -> int:
        """A file descriptor to wait on until something can be received; -1 once the bridge process is gone."""
        return -1 if self._lost or self._closed else self._socket.fileno()

    def arrived(self) -> bool:
        return False

    def filenos(self) -> tuple[int, ...]:
        return () if self._lost or self._closed else (self._socket.fileno(),)

    # In

    def receive(self) -> list[tuple[Peer, bytes]]:
        frames: list[tuple[Peer, bytes]] = []
        while len(frames) < FRAMES_AT_ONCE and (self._arrived or self._read()):
            kind, number, content = self._arrived.popleft()
            peer = Peer(number)
            match kind:
                case Kind.RECEIVED:
                    if peer in self._peers:
                        frames.append((peer, content))
                case Kind.JOINED:
                    self._join(peer, decoded(content, Joined))
                case Kind.LOST:
                    self._fail({peer})
                case Kind.NOTE:
                    note = decoded(content, Note)
                    self._notes.append((note.event, note.facts))
                case _:
                    raise LocalProtocolError(f"the bridge process sent a record of kind {kind.name}")
        return frames

    def notes(self) -> list[tuple[str, dict[str, str | int]]]:
        """Return what happened since the last call, for the log: events and their facts."""
        notes = list(self._notes)
        self._notes.clear()
        return notes

    def describe(self, peer: Peer) -> str:
        """Say who a peer is, for people; it may be gone already."""
        return self._descriptions.get(peer, f"peer {peer}")

    def failed_peers(self) -> set[Peer]:
        failures, self._failures = self._failures, set()
        return failures

    # Out

    def send(self, peer: Peer, frame: bytes) -> None:
        if self._closed or not OUTSIDE <= peer < self._next:
            raise LocalProtocolError(f"a frame for peer {peer} of the bridge, {_why_not(closed=self._closed)}")
        if len(frame) > FRAME_SIZE_BYTES_MAX:
            raise ProblemError(
                f"nodes or values of {len(frame)} bytes would have to be sent at once, and {FRAME_SIZE_BYTES_MAX} is the most "
                "that can be over the bridge: use smaller nodes or values"
            )
        if peer in self._peers and not self._lost:
            self._post(record(Kind.SEND, peer, frame), len(frame), peer)

    def progress(self) -> bool:
        while self._outgoing and not self._lost:
            first = self._outgoing[0]
            try:
                sent = self._socket.send(first.data[:PIECE_BYTES])
            except BlockingIOError:
                return True
            except OSError:
                self._lose_process()
                break
            first.data = first.data[sent:]
            first.begun = True
            if not first.data:
                self._outgoing.popleft()
                self.unsent_bytes -= first.frame_bytes
        return bool(self._outgoing)

    def forget(self, peer: Peer) -> None:
        if peer in self._peers and not self._closed:
            self._peers.discard(peer)
            for leaving in self._outgoing:
                if leaving.peer == peer:
                    self.unsent_bytes -= leaving.frame_bytes
                    leaving.frame_bytes = 0
            # What is begun has to go on, for the sake of what comes behind it.
            self._outgoing = deque(leaving for leaving in self._outgoing if leaving.begun or leaving.peer != peer)
            self._post(record(Kind.FORGET, peer), 0, peer)

    def close(self, *, orderly: bool, code: int) -> None:
        if self._closed:
            return
        self._closed = True
        wait_s = CLOSE_S if orderly else HASTY_CLOSE_S
        try:
            self._socket.settimeout(wait_s)
            self._socket.sendall(b"".join([*(leaving.data for leaving in self._outgoing), record(Kind.CLOSE)]))
        except OSError:
            pass  # it is gone, or stuck: then it is killed below
        self._end_process(wait_s)

    # The process

    def _begin(self, configuration: Configuration) -> tuple[str, int]:
        """Tell the process all it has to know; return where it listens.

        Raises:
            UsageError: nowhere.
        """
        where = f"{configuration.host}:{configuration.port}"
        self._socket.settimeout(START_S)
        try:
            self._socket.sendall(record(Kind.CONFIGURATION, 0, encoded(configuration)))
            while not self._arrived:
                data = self._socket.recv(PIECE_BYTES)
                if not data:
                    why = self._process.last_words(HASTY_CLOSE_S)
                    raise UsageError(f"cannot listen on {where}: the bridge process did not start: {why}")
                self._arrived.extend(self._records.take(data))
        except OSError as error:
            raise UsageError(f"cannot listen on {where}: the bridge process did not start: {error}") from None
        # Notes may stand before it: of lines in the file of authorised keys that make no sense.
        kind, _, content = self._arrived.popleft()
        if kind is Kind.FAILED:
            raise UsageError(f"cannot listen on {where}: {content.decode()}; choose another address or port")
        listening = decoded(content, Listening)
        return listening.host, listening.port

    def _read(self) -> bool:
        """Take up what has come from the process; False if that is nothing."""
        while not self._arrived:
            if self._lost or self._closed:
                return False
            try:
                data = self._socket.recv(PIECE_BYTES)
            except BlockingIOError:
                return False
            except OSError:
                data = b""
            if not data:
                self._lose_process()
                return False
            self._arrived.extend(self._records.take(data))
        return True

    def _join(self, peer: Peer, joined: Joined) -> None:
        if peer >= self._next:  # otherwise it came back, and nobody noticed that it was away
            self._next = peer + 1
            self._peers.add(peer)
        self._descriptions[peer] = joined.description
        if len(self._descriptions) > DESCRIPTIONS_MAX:
            del self._descriptions[next(iter(self._descriptions))]

    def _fail(self, peers: set[Peer]) -> None:
        self._failures |= peers & self._peers
        self._peers -= peers

    def _post(self, data: bytes, frame_bytes: int, peer: Peer) -> None:
        self._outgoing.append(Leaving(memoryview(data), frame_bytes, peer))
        self.unsent_bytes += frame_bytes

    def _lose_process(self) -> None:
        """Go on without the bridge process, which died."""
        self._lost = True
        self._outgoing.clear()
        self.unsent_bytes = 0
        self._fail(set(self._peers))
        why = self._process.last_words(HASTY_CLOSE_S)
        self._end_process(0)
        text = f"the bridge process is gone ({why}): all workers from outside are lost and none can join; the run goes on without them"
        self._notes.append(("bridge lost", {"why": text}))

    def _end_process(self, wait_s: float) -> None:
        self._process.end(wait_s)
        owns_no_more(self)

    def disown(self) -> None:
        self._closed = True
        self._process.leave()
        owns_no_more(self)


def _why_not(*, closed: bool) -> str:
    return "after the end" if closed else "who does not exist"
