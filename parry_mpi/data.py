"""Turn nodes, values and parameters into bytes and back: typed data, never pickle.

Anything msgspec knows can be sent, and besides it numpy arrays and scalars, and integers of any size.
This module must not know what the bytes are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np

from parry_mpi.errors import UsageError

T = TypeVar("T")

BIG_INTEGERS = b"\xc1"
"""First byte of a value that holds integers beyond 64 bits, extensions of msgpack: the one byte that msgpack never uses."""

BIG_INTEGER = 1
"""The code of that extension: a signed integer, least significant byte first."""


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
        dtype: the numpy dtype of a node, or None.
    """

    def __init__(self, kind: Any, dtype: np.dtype[Any] | None) -> None:
        self.dtype = dtype
        self._data: DataCodec[T] = DataCodec(Any if dtype is not None else kind, "a node")
        if dtype is not None and dtype.hasobject:
            raise UsageError(f"node_dtype {dtype} holds Python objects; records must be plain numbers")

    def encode(self, node: T) -> bytes:
        """Return the bytes of one node."""
        return self._data.encode(node) if self.dtype is None else self.record(node).tobytes()

    def decode(self, data: bytes) -> Sequence[T]:
        """Return the nodes of these bytes: a list of one, or an array of records that may be written to."""
        return [self._data.decode(data)] if self.dtype is None else self.records(data)  # type: ignore[return-value]

    def records(self, data: bytes) -> np.ndarray[Any, Any]:
        """Return the records of these bytes, as an array of their own."""
        assert self.dtype is not None
        if len(data) % self.dtype.itemsize:
            raise UsageError(f"{len(data)} bytes are no whole number of {self.dtype} records")
        return np.frombuffer(data, self.dtype).copy()

    def record(self, node: Any) -> np.ndarray[Any, Any]:
        """Return one node as an array of one record.

        Raises:
            UsageError: the node does not fit the dtype exactly.
        """
        assert self.dtype is not None
        if isinstance(node, np.void | np.ndarray) and node.dtype == self.dtype and node.size == 1:
            return node.reshape(1)
        try:
            record = np.array([node], dtype=self.dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"a node {node!r} does not fit node_dtype {self.dtype}: {_one_line(error)}") from None
        if record.shape != (1,) or (_is_flat(node) and record[0].item() != node):
            raise UsageError(f"a node {node!r} does not fit node_dtype {self.dtype} exactly: it would become {record.tolist()}")
        return record


def plain(value: Any) -> Any:
    """Return a value as JSON has it: dicts, lists, numbers, strings. Numpy arrays become lists."""
    return msgspec.to_builtins(value, enc_hook=_plain_part_listed, builtin_types=(), str_keys=True)


def _is_flat(node: Any) -> bool:
    """Whether a node is a number or a text, or a tuple of these: it can be compared with what became of it."""
    fields = node if isinstance(node, tuple) else (node,)
    return all(isinstance(field, int | float | str | bytes | np.number) for field in fields)


def _plain_part(value: Any) -> Any:
    """Tell msgspec what to encode in place of a numpy object, or of a big integer."""
    if isinstance(value, _BigInteger):
        length_bytes = value.value.bit_length() // 8 + 1
        return msgspec.msgpack.Ext(BIG_INTEGER, value.value.to_bytes(length_bytes, "little", signed=True))
    if isinstance(value, np.generic) and not isinstance(value, np.void):
        return value.item()
    if isinstance(value, np.ndarray | np.void) and not value.dtype.hasobject:
        return (np.lib.format.dtype_to_descr(value.dtype), value.shape, value.tobytes())
    raise TypeError(f"an object of type {type(value).__qualname__} is not data")


def _plain_part_listed(value: Any) -> Any:
    """Tell msgspec what to show in place of a numpy object."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)


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
