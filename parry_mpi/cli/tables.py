"""Write solutions as JSON lines, CSV or Parquet, a piece at a time.

What one solution has in columns, every solution has to have. This module must not know where solutions come from.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol

import msgspec

from parry_mpi.cli.telling import data_of
from parry_mpi.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

ALONE = "solution"
"""The name of the column if there is only one."""


class Writer(Protocol):
    """What is written to."""

    def write(self, solutions: Sequence[Any]) -> None:
        """Write some solutions."""

    def close(self) -> None:
        """Finish the file; what it is written to stays open."""


class JsonWriter:
    """One solution a line.

    Args:
        file: where to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._encoder = msgspec.json.Encoder()

    def write(self, solutions: Sequence[Any]) -> None:
        try:
            lines = self._encoder.encode_lines(solutions)
        except (TypeError, ValueError, OverflowError):  # arrays, integers of any size: what JSON has for them
            lines = self._encoder.encode_lines([data_of(solution) for solution in solutions])
        self._file.write(lines)

    def close(self) -> None:
        """Nothing is kept."""


class Columns:
    """How solutions are divided into columns, as the first one shows: fields of a record, places of a row, or one column for all.

    Args:
        first: the first solution.
    """

    def __init__(self, first: Any) -> None:
        self._keys: list[str] | None = None
        self._length = 0
        if isinstance(first, dict) and first and all(_is_flat(each) for each in first.values()):
            self._keys = [str(key) for key in first]
        elif isinstance(first, list) and first and all(_is_flat(each) for each in first):
            self._length = len(first)
        self.names = self._keys or [str(place) for place in range(1, self._length + 1)] or [ALONE]

    def row(self, solution: Any) -> list[Any]:
        """Return what a solution has in each column.

        Raises:
            UsageError: it does not fit the columns.
        """
        if self._keys is not None:
            if isinstance(solution, dict) and list(solution) == self._keys and all(map(_is_flat, solution.values())):
                return list(solution.values())
        elif self._length:
            if isinstance(solution, list) and len(solution) == self._length and all(map(_is_flat, solution)):
                return solution
        else:
            return [solution]
        raise UsageError(
            f"the solution {str(data_of(solution))[:100]} does not fit the columns of the first one ({', '.join(self.names)[:200]}): "
            "use --format jsonl"
        )


class CsvWriter:
    """A line of column names, then one solution a line. What is not flat is written as JSON, in one column.

    Args:
        file: where to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogatepass", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._columns: Columns | None = None

    def write(self, solutions: Sequence[Any]) -> None:
        if self._columns is None and solutions:
            self._columns = Columns(solutions[0])
            self._writer.writerow(self._columns.names)
        columns = self._columns
        if columns is not None:
            self._writer.writerows(map(_cell, columns.row(solution)) for solution in solutions)

    def close(self) -> None:
        if not self._text.closed:
            self._text.detach()


class ParquetWriter:
    """A Parquet file, compressed; the types of its columns are those of the first piece.

    Args:
        file: where to.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 an extra, and slow to import
            import pyarrow.parquet as pq  # noqa: PLC0415
        except ImportError:
            raise UsageError(
                'pyarrow is not installed: pip install "parry_mpi[parquet]", or use --format jsonl or --format csv'
            ) from None
        self._pa, self._pq = pa, pq
        self._file = file
        self._columns: Columns | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, solutions: Sequence[Any]) -> None:
        if not solutions:
            return
        if self._columns is None:
            self._columns = Columns(solutions[0])
        table = self._table(self._columns, solutions)
        if self._writer is None:
            self._writer = self._pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is None:
            self._writer = self._pq.ParquetWriter(self._file, self._pa.schema([(ALONE, self._pa.null())]))
        self._writer.close()

    def _table(self, columns: Columns, solutions: Sequence[Any]) -> pa.Table:
        rows = [columns.row(solution) for solution in solutions]
        schema = None if self._writer is None else self._writer.schema
        try:
            return self._pa.table(
                [
                    self._pa.array([row[place] for row in rows], type=None if schema is None else schema.field(place).type)
                    for place in range(len(columns.names))
                ],
                names=columns.names,
            )
        except (self._pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            why = " ".join(str(error).split())
            raise UsageError(f"these solutions cannot be put into columns of one type each ({why}): use --format jsonl") from None


def _is_flat(value: Any) -> bool:
    return value is None or isinstance(value, int | float | str)


def _cell(value: Any) -> Any:
    """Return what CSV can hold."""
    return value if _is_flat(value) else msgspec.json.encode(data_of(value)).decode()
