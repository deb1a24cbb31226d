"""Rows of the state file: how jobs, leases, quarantined jobs and solutions become rows, and the checksums that tell when one is damaged.

This module must not know SQLite.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from parry_mpi.core.ids import JobId, LeaseId
from parry_mpi.core.records import Quarantined
from parry_mpi.core.state import Changes, Counters, Lease
from parry_mpi.errors import StoreCorrupt
from parry_mpi.job import WHOLE, Job, total_weight

Row = tuple[int, int, bytes, int]
"""id, weight, body, checksum of the three."""

Id = TypeVar("Id", bound=int)
Entry = TypeVar("Entry", Job, Lease, Quarantined)

_HEAD = struct.Struct("<qq")


class Totals(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the rows of a table: what is missing, or comes from an older version of a page, shows in them."""

    rows: int = 0
    weight: int = 0
    checksum: int = 0

    def plus(self, other: Totals) -> Totals:
        """Return the totals of two sets of rows together."""
        return Totals(self.rows + other.rows, self.weight + other.weight, self.checksum + other.checksum)

    def minus(self, other: Totals) -> Totals:
        """Return the totals without some of the rows."""
        return Totals(self.rows - other.rows, self.weight - other.weight, self.checksum - other.checksum)


class Table(Generic[Id, Entry]):
    """One table of the state: all three have the same columns.

    Args:
        name: its name in SQL.
        entry_type: what a row's body decodes to.
    """

    def __init__(self, name: str, entry_type: type[Entry]) -> None:
        self.name = name
        self._seed = zlib.crc32(name.encode())
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[Entry] = msgspec.msgpack.Decoder(entry_type)

    def rows(self, entries: Mapping[Id, Entry]) -> Iterator[Row]:
        """Encode entries as rows, one after the other."""
        encode, seed, pack, crc32 = self._encoder.encode, self._seed, _HEAD.pack, zlib.crc32
        for row_id, entry in entries.items():
            body = encode(entry)
            weight = weight_of(entry)
            yield row_id, weight, body, crc32(body, crc32(pack(row_id, weight), seed))

    def entries(self, rows: Iterable[Row], expected: Totals) -> Iterator[tuple[int, Entry]]:
        """Decode and check the rows of the table one after the other, and at the end that they are all.

        Args:
            rows: in the order of their ids.
            expected: what they come to.

        Raises:
            StoreCorrupt: a row is not what was written, is missing, or should not be there.
        """
        decode, seed, pack, crc32 = self._decoder.decode, self._seed, _HEAD.pack, zlib.crc32
        count = weights = checksums = last_id = 0
        for row_id, weight, body, checksum in rows:
            try:
                if crc32(body, crc32(pack(row_id, weight), seed)) != checksum:
                    raise StoreCorrupt(f"{self.name} {row_id} does not match its checksum")
                entry = decode(body)
            except (struct.error, TypeError, msgspec.DecodeError) as error:
                raise StoreCorrupt(f"{self.name} {row_id} cannot be read ({error})") from error
            if weight_of(entry) != weight:
                raise StoreCorrupt(f"{self.name} {row_id} does not have the weight that was written beside it")
            if count and row_id <= last_id:
                raise StoreCorrupt(f"{self.name} {row_id} is not in its place")
            count, last_id = count + 1, row_id
            weights += weight
            checksums += checksum
            yield row_id, entry
        if Totals(count, weights, checksums) != expected:
            raise StoreCorrupt(f"{self.name} has {count} rows, which are not the {expected.rows} that were written")


class Collected(NamedTuple):
    """What one accepted report brought to a collection; never changed once it is written.

    Args:
        solutions_count: how many solutions.
        body: the solutions, encoded.
    """

    solutions_count: int
    body: bytes


class CollectedTable:
    """The table of solutions: the same columns as the others, with the count in the place of the weight.

    It exists from the first solution on. It may be far larger than memory, and is never held as a whole.
    """

    name = "solutions"

    def __init__(self) -> None:
        self._seed = zlib.crc32(self.name.encode())

    def rows(self, entries: Mapping[int, Collected]) -> Iterator[Row]:
        """Give entries as rows, one after the other."""
        return ((row_id, count, body, self._checksum(row_id, count, body)) for row_id, (count, body) in entries.items())

    def verified(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Give rows one after the other once each is checked.

        Raises:
            StoreCorrupt: a row is not what was written.
        """
        for row in rows:
            row_id, count, body, checksum = row
            try:
                intact = self._checksum(row_id, count, body) == checksum
            except (struct.error, TypeError):
                intact = False
            if not intact:
                raise StoreCorrupt(f"{self.name} {row_id} does not match its checksum")
            yield row

    def require(self, totals: Totals, expected: Totals) -> None:
        """Check that the rows that were read are all that were written.

        Raises:
            StoreCorrupt: they are not.
        """
        if totals != expected:
            raise StoreCorrupt(
                f"{self.name} has {totals.weight} solutions in {totals.rows} rows, "
                f"which are not the {expected.weight} in {expected.rows} that were written"
            )

    def _checksum(self, row_id: int, count: int, body: bytes) -> int:
        return zlib.crc32(body, zlib.crc32(_HEAD.pack(row_id, count), self._seed))


PENDING: Table[JobId, Job] = Table("pending", Job)
LEASES: Table[LeaseId, Lease] = Table("leases", Lease)
QUARANTINED: Table[JobId, Quarantined] = Table("quarantined", Quarantined)
TABLES: tuple[Table[Any, Any], ...] = (PENDING, LEASES, QUARANTINED)
SOLUTIONS = CollectedTable()


def weight_of(entry: Job | Lease | Quarantined) -> int:
    """The share of WHOLE that an entry stands for."""
    if isinstance(entry, Job):
        return entry.weight
    if isinstance(entry, Lease):
        return total_weight(entry.jobs)
    return entry.job.weight


def totals_of(rows: Iterable[Row]) -> Totals:
    """Sum up rows."""
    count = weights = checksums = 0
    for _, weight, _, checksum in rows:
        count += 1
        weights += weight
        checksums += checksum
    return Totals(count, weights, checksums)


def changes_by_table(changes: Changes) -> tuple[tuple[Table[Any, Any], Mapping[Any, Any], set[Any]], ...]:
    """Return for every table what is put and what is removed."""
    return (
        (PENDING, changes.pending_put, changes.pending_removed),
        (LEASES, changes.leases_put, changes.leases_removed),
        (QUARANTINED, changes.quarantined_put, changes.quarantined_removed),
    )


def merge(older: Changes, newer: Changes) -> Changes:
    """Return the net change of two in a row: what to commit after a commit of ``older`` failed and ``newer`` came up.

    The result is right as well if ``older`` did get to the disk after all. Neither argument is changed.
    """
    pending_put, pending_removed = _merge(older.pending_put, older.pending_removed, newer.pending_put, newer.pending_removed)
    leases_put, leases_removed = _merge(older.leases_put, older.leases_removed, newer.leases_put, newer.leases_removed)
    quarantined_put, quarantined_removed = _merge(
        older.quarantined_put, older.quarantined_removed, newer.quarantined_put, newer.quarantined_removed
    )
    return Changes(newer.counters, pending_put, pending_removed, leases_put, leases_removed, quarantined_put, quarantined_removed)


def _merge(
    put_first: dict[Id, Entry], removed_first: set[Id], put_last: dict[Id, Entry], removed_last: set[Id]
) -> tuple[dict[Id, Entry], set[Id]]:
    put = {row_id: entry for row_id, entry in put_first.items() if row_id not in removed_last}
    return {**put, **put_last}, (removed_first - put_last.keys()) | removed_last


def unexplored_weight(counters: Counters, totals: Iterable[Totals]) -> int:
    """The part of WHOLE that is not explored yet.

    Raises:
        StoreCorrupt: the parts do not add up to a part of WHOLE.
    """
    parts = [counters.unpulled_weight, *(each.weight for each in totals)]
    if min(parts) < 0 or sum(parts) > WHOLE:
        raise StoreCorrupt("pending, leased, quarantined and unpulled work together are more than the whole tree")
    return sum(parts)
