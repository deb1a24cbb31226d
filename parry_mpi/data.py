"""Turn nodes, values, solutions and parameters into bytes and back: typed data, never pickle.

Anything msgspec knows can be sent, and besides it numpy arrays and scalars, and integers of any size.
This module must not know what the bytes are for.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from parry_mpi.arrays import is_array, is_record, is_scalar
from parry_mpi.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

BIG_INTEGERS = b"\xc1"
"""First byte of a value that holds integers beyond 64 bits, extensions of msgpack: the one byte that msgpack never uses."""

COLLECTED_BYTES_MAX = 8 * 2**20
"""How much is collected before it has to be handed over. A worker hands over twice a second, so that it may find some 16 MiB a second;
the coordinator, which writes what all of them find to one disk, cannot take much more from one of them."""

BIG_INTEGER = 1
"""The code of that extension: a signed integer, least significant byte first."""

PACKED_AS = {"i1": "b", "u1": "B", "<i2": "h", "<u2": "H", "<i4": "i", "<u4": "I", "<i8": "q", "<u8": "Q"}
"""The fields that Python packs into the same bytes as numpy, without loading it: what numpy calls them, and what struct does."""


class DataCodec(Generic[T]):
    """Encode and decode values of one type.

    Args:
        kind: the type, as written in an annotation; Any for untyped data.
        what: what these values are, for error messages, such as "a node".
    """

    def __init__(self, kind: Any, what: str) -> None:
        self._what = what
        self._kind = kind
        try:
            self._packer = msgspec.msgpack.Encoder(enc_hook=_plain_part)
            self._unpacker = msgspec.msgpack.Decoder(kind, dec_hook=_from_plain)
        except TypeError as error:
            raise UsageError(f"{what} of type {kind!r} cannot be sent: {_one_line(error)}") from None

    def encode(self, value: T) -> bytes:
        """Return the bytes of a value.

        Raises:
            UsageError: it holds something that is not data.
        """
        try:
            try:
                return self._packer.encode(value)
            except OverflowError:
                builtins = msgspec.to_builtins(value, enc_hook=_plain_part, builtin_types=(bytes,))
                return BIG_INTEGERS + self._packer.encode(_with_extensions(builtins))
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(
                f"{self._what} cannot be sent: {_one_line(error)}; use numbers, strings, bytes, tuples, lists, dicts, "
                "dataclasses, msgspec structs or numpy arrays"
            ) from None

    def decode(self, data: bytes) -> T:
        """Return the value of these bytes.

        Raises:
            UsageError: they are not the bytes of a value of this type.
        """
        try:
            if data[:1] == BIG_INTEGERS:
                builtins = msgspec.msgpack.decode(data[1:], ext_hook=_big_integer)
                return msgspec.convert(builtins, self._kind, dec_hook=_from_plain)  # type: ignore[no-any-return]
            return self._unpacker.decode(data)  # type: ignore[no-any-return]
        except (msgspec.MsgspecError, ValueError) as error:  # bad UTF-8, or an extension that is none of ours
            raise UsageError(
                f"{self._what} does not come back as the type it is declared to have ({self._kind!r}): {_one_line(error)}"
            ) from None


class NodeCodec(Generic[T]):
    """Encode and decode the nodes of a problem: one node as typed data, or any number of numpy records as raw bytes.

    Args:
        kind: the type of a node; ignored if there is a dtype.
        dtype: the numpy dtype of a node, or what numpy makes one of; None if nodes are no records. A list of integer fields is
            kept as it is, and numpy loaded only when an array is wanted.
        what: what these are, for error messages.

    Attributes:
        are_records: whether nodes are records.
    """

    def __init__(self, kind: Any, dtype: Any, what: str = "node") -> None:
        self.are_records = dtype is not None
        self._given = dtype
        self._what = what
        self._data: DataCodec[T] = DataCodec(Any if self.are_records else kind, f"a {what}")
        self._packed = _packing(dtype)
        if self._packed is None and self.dtype is not None and self.dtype.hasobject:
            raise UsageError(f"{what}_dtype {dtype} holds Python objects; records must be plain numbers")

    @functools.cached_property
    def dtype(self) -> np.dtype[Any] | None:
        """The numpy dtype of a node, or None."""
        if not self.are_records:
            return None
        import numpy as np  # noqa: PLC0415 slow to load

        try:
            return np.dtype(self._given)  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            raise UsageError(f"{self._what}_dtype {self._given!r} is no dtype of numpy: {_one_line(error)}") from None

    @property
    def text(self) -> str:
        """The dtype as numpy writes it."""
        return str(self.dtype if self._packed is None else self._given)

    def encode(self, node: T) -> bytes:
        """Return the bytes of one node."""
        if not self.are_records:
            return self._data.encode(node)
        if self._packed is not None and isinstance(node, tuple):
            try:
                return self._packed.pack(*node)
            except (struct.error, TypeError):
                pass  # numpy may take it all the same, or else says why not
        return self.record(node).tobytes()

    def decode(self, data: bytes) -> Sequence[T]:
        """Return the nodes of these bytes: a list of one, or an array of records that may be written to."""
        return self.records(data) if self.are_records else [self._data.decode(data)]  # type: ignore[return-value]

    def plain(self, data: bytes) -> list[Any]:
        """Return the nodes of these bytes in the form in which children() and value() get them: records as tuples."""
        if self._packed is not None and len(data) % self._packed.size == 0:
            return list(self._packed.iter_unpack(data))
        return self.records(data).tolist() if self.are_records else [self._data.decode(data)]

    def records(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return the records of these bytes, as an array of their own."""
        import numpy as np  # noqa: PLC0415 slow to load

        assert self.dtype is not None
        if len(data) % self.dtype.itemsize:
            raise UsageError(f"{len(data)} bytes are no whole number of {self.dtype} records")
        return np.frombuffer(data, self.dtype).copy()

    def record(self, node: Any) -> np.ndarray[Any, Any]:
        """Return one node as an array of one record.

        Raises:
            UsageError: the node does not fit the dtype exactly.
        """
        import numpy as np  # noqa: PLC0415 slow to load

        assert self.dtype is not None
        if (is_record(node) or is_array(node)) and node.dtype == self.dtype and node.size == 1:
            return node.reshape(1)
        try:
            record = np.array([node], dtype=self.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(
                f"a {self._what} {node!r} does not fit {self._what}_dtype {self.dtype}: {_one_line(error)}"
            ) from None
        if record.shape != (1,) or (_is_flat(node) and record[0].item() != node):
            raise UsageError(
                f"a {self._what} {node!r} does not fit {self._what}_dtype {self.dtype} exactly: it would become {record.tolist()}"
            )
        return record


class SolutionsCodec:
    """Encode solutions: many of them as one msgpack array, or as one array of numpy records.

    What is encoded tells its own types, so that it can be read where the problem's source is not.

    Args:
        kind: the type of a list of solutions; ignored if there is a dtype.
        dtype: the numpy dtype of a solution, or what numpy makes one of, or None.
    """

    def __init__(self, kind: Any, dtype: Any) -> None:
        self._data: DataCodec[Any] = DataCodec(Any if dtype is not None else kind, "a list of solutions")
        self._records: NodeCodec[Any] | None = None if dtype is None else NodeCodec(Any, dtype, "solution")

    def gather(self) -> Gathered:
        """Return room for solutions."""
        return Gathered(self._data, self._records)

    def count(self, data: bytes) -> int:
        """Return how many solutions there are in what Gathered.encoded() returned, without decoding them.

        Raises:
            UsageError: it is something else.
        """
        try:
            if self._records is None:
                return _list_head(data, 1 if data[:1] == BIG_INTEGERS else 0)[0]
            _, (count,), _ = msgspec.msgpack.decode(data, type=tuple[Any, tuple[int], memoryview])
        except (msgspec.MsgspecError, IndexError, ValueError, struct.error):
            raise UsageError("what was collected does not come back as a list of solutions") from None
        return int(count)


class Gathered:
    """Solutions on their way to the coordinator, encoded as they are found.

    Attributes:
        count: how many there are.
    """

    def __init__(self, data: DataCodec[Any], records: NodeCodec[Any] | None) -> None:
        self.count = 0
        self._data = data
        self._records = records
        self._body = bytearray()
        self._big_integers = False

    @property
    def full(self) -> bool:
        """Whether they should be handed over before there are more."""
        return len(self._body) >= COLLECTED_BYTES_MAX

    def add(self, solutions: Any) -> None:
        """Take over solutions: a list, or an array of records.

        Raises:
            UsageError: they are neither, or not data, or not of the type that they are declared to have.
        """
        if self._records is not None:
            self._add_records(solutions, self._records)
        elif not isinstance(solutions, list | tuple):
            raise UsageError(f"solutions are handed over as a list, not as {type(solutions).__name__}")
        elif solutions:
            encoded = self._data.encode(solutions)
            self._data.decode(encoded)  # here, where it was found, it can still be said who is to blame
            big = encoded[:1] == BIG_INTEGERS
            self._big_integers = self._big_integers or big
            count, start = _list_head(encoded, int(big))
            self._body += memoryview(encoded)[start:]
            self.count += count

    def encoded(self) -> bytes:
        """Return all of them as bytes."""
        if self._records is not None:
            return msgspec.msgpack.encode((_descr(self._records.dtype), (self.count,), self._body))
        if self.count < 16:
            head = bytes([0x90 | self.count])
        else:
            head = struct.pack(">BH", 0xDC, self.count) if self.count < 1 << 16 else struct.pack(">BI", 0xDD, self.count)
        return b"".join((BIG_INTEGERS if self._big_integers else b"", head, self._body))

    def _add_records(self, solutions: Any, records: NodeCodec[Any]) -> None:
        if is_array(solutions):
            if solutions.dtype != records.dtype or solutions.ndim != 1:
                raise UsageError(f"solutions are an array of {solutions.dtype}, not of solution_dtype {records.dtype}")
            self._body += solutions.tobytes()
        elif isinstance(solutions, list | tuple):
            self._body += b"".join(map(records.encode, solutions))
        else:
            raise UsageError(f"solutions are handed over as a list or an array, not as {type(solutions).__name__}")
        self.count += len(solutions)


def _list_head(data: bytes, start: int) -> tuple[int, int]:
    """Return how many items an encoded list has and where they begin, https://github.com/msgpack/msgpack/blob/master/spec.md.

    Raises:
        ValueError, IndexError, struct.error: it is no list.
    """
    first = data[start]
    if first >> 4 == 0x9:
        return first & 0xF, start + 1
    if first == 0xDC:
        return struct.unpack_from(">H", data, start + 1)[0], start + 3
    if first == 0xDD:
        return struct.unpack_from(">I", data, start + 1)[0], start + 5
    raise ValueError("no list")


def plain(value: Any) -> Any:
    """Return a value as JSON has it: dicts, lists, numbers, strings. Numpy arrays become lists."""
    return msgspec.to_builtins(value, enc_hook=_plain_part_listed, builtin_types=(), str_keys=True)


def _packing(dtype: Any) -> struct.Struct | None:
    """Return how Python packs records of a dtype into the bytes that numpy has for them; None if only numpy can."""
    if not isinstance(dtype, list) or not all(isinstance(field, tuple) and len(field) == 2 for field in dtype):
        return None
    names, kinds = [name for name, _ in dtype], [kind for _, kind in dtype]
    known = all(isinstance(kind, str) and kind in PACKED_AS for kind in kinds) and all(isinstance(name, str) for name in names)
    if not known or len(set(names)) < len(names) or "" in names:
        return None  # numpy has a word on these
    return struct.Struct("<" + "".join(PACKED_AS[kind] for kind in kinds)) if kinds else None


def _descr(dtype: np.dtype[Any] | None) -> Any:
    """Return what numpy writes into its files for a dtype."""
    import numpy as np  # noqa: PLC0415 slow to load

    assert dtype is not None, "of records"
    return np.lib.format.dtype_to_descr(dtype)


def _is_flat(node: Any) -> bool:
    """Whether a node is a number or a text, or a tuple of these: it can be compared with what became of it."""
    import numpy as np  # noqa: PLC0415 slow to load

    fields = node if isinstance(node, tuple) else (node,)
    return all(isinstance(field, int | float | str | bytes | np.number) for field in fields)


def _plain_part(value: Any) -> Any:
    """Tell msgspec what to encode in place of a numpy object, or of a big integer."""
    if isinstance(value, _BigInteger):
        length_bytes = value.value.bit_length() // 8 + 1
        return msgspec.msgpack.Ext(BIG_INTEGER, value.value.to_bytes(length_bytes, "little", signed=True))
    if is_scalar(value) and not is_record(value):
        return value.item()
    if (is_array(value) or is_record(value)) and not value.dtype.hasobject:
        return (_descr(value.dtype), value.shape, value.tobytes())
    raise TypeError(f"an object of type {type(value).__qualname__} is not data")


def _plain_part_listed(value: Any) -> Any:
    """Tell msgspec what to show in place of a numpy object."""
    return value.tolist() if is_scalar(value) or is_array(value) else str(value)


class _BigInteger:
    """An integer that is to be encoded as an extension; unlike msgspec's own Ext it may be the key of a dict."""

    def __init__(self, value: int) -> None:
        self.value = value


def _with_extensions(value: Any) -> Any:
    """Return plain data in which every integer beyond 64 bits is marked as one."""
    if isinstance(value, dict):
        return {_with_extensions(key): _with_extensions(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_with_extensions(item) for item in value)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return _BigInteger(value)
    return value


def _big_integer(code: int, data: memoryview) -> int:
    """Read an extension.

    Raises:
        ValueError: it is none of ours.
    """
    if code != BIG_INTEGER:
        raise ValueError(f"an extension with code {code} is not known")
    return int.from_bytes(data, "little", signed=True)


def _from_plain(kind: Any, data: Any) -> Any:
    """Build the numpy object that msgspec was told to expect."""
    import numpy as np  # noqa: PLC0415 slow to load

    if kind is np.ndarray or getattr(kind, "__origin__", None) is np.ndarray:
        descr, shape, raw = data
        return np.frombuffer(raw, np.lib.format.descr_to_dtype(_tuples(descr))).reshape(shape).copy()
    if isinstance(kind, type) and issubclass(kind, np.generic):
        return kind(data)
    raise TypeError(f"a {kind!r} cannot be read")


def _tuples(descr: Any) -> Any:
    """Undo msgpack's turning the tuples of a dtype's description into lists."""
    return descr if isinstance(descr, str) else [tuple(field) for field in descr]


def _one_line(error: BaseException) -> str:
    """The text of an exception on one line."""
    return " ".join(str(error).split()) or type(error).__name__
