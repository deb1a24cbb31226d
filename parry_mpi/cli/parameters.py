"""Turn NAME=VALUE words of the command line into the typed fields of a problem.

This module must not load problems, nor print.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from parry_mpi.errors import ParameterError, ParryError
from parry_mpi.problem import SEARCH_TYPES, Problem
from parry_mpi.task import call

WORDS: dict[str, bool] = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
"""Words for a bool, in any case."""

NOTHING = {"none", "null"}
"""Words for None, in any case, where None may be given."""

SHOWN_LENGTH_MAX = 60
"""Longest value shown in a message."""


def build(problem_class: type[Problem[Any, Any]], words: Sequence[str]) -> Problem[Any, Any]:
    """Return the problem with these parameters.

    Args:
        problem_class: a problem; its fields are its parameters.
        words: each NAME=VALUE.

    Raises:
        ParameterError: a name is unknown or given twice, a value is of the wrong type, one is missing, or the problem refuses them.
        ProblemError: the class cannot be used at all.
    """
    known = {field.encode_name: field for field in call(msgspec.structs.fields, problem_class)}
    library = {name: field for name, field in known.items() if name in _library_defaults(problem_class)}
    fields = {name: field for name, field in known.items() if name not in library} | library
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ParameterError(f"{word} is not a parameter: write NAME=VALUE; {_existing(problem_class, fields)}")
        field = fields.get(name)
        if field is None:
            raise ParameterError(f"{problem_class.__name__} has no parameter {name}; {_existing(problem_class, fields)}")
        if field.name in given:
            raise ParameterError(f"{name} is given twice")
        given[field.name] = _typed(field, text)
    if missing := [field for field in fields.values() if field.required and field.name not in given]:
        raise ParameterError(f"{problem_class.__name__} needs {', '.join(map(_described, missing))}")
    try:
        return problem_class(**given)
    except ParryError:
        raise
    except ValueError as error:
        raise ParameterError(f"{problem_class.__name__} refuses these parameters: {' '.join(str(error).split())}") from error
    except Exception:  # noqa: BLE001 a mistake in the user's own __post_init__: once more, to describe it as such
        return call(problem_class, **given)


def all_parameters(problem: Problem[Any, Any]) -> dict[str, Any]:
    """Return all parameters of a problem with their values, in the order of their declaration.

    Those that the library gives to every problem of a type come last, and only where they are not as the library has them.
    """
    values, defaults = msgspec.structs.asdict(problem), _library_defaults(type(problem))
    own = {name: value for name, value in values.items() if name not in defaults}
    return own | {name: values[name] for name, default in defaults.items() if values[name] != default}


def deciding_parameters(problem: Problem[Any, Any]) -> dict[str, Any]:
    """Return the parameters that can change the answer."""
    return {name: value for name, value in all_parameters(problem).items() if name not in problem.incidental}


def type_text(kind: Any) -> str:
    """Return a type as a user would say it: "int, 1 to 32", "auto | numba | python"."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_text(arguments[0]) + "".join(_bounds(meta) for meta in arguments[1:] if isinstance(meta, msgspec.Meta))
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is Union or origin is types.UnionType:
        return " | ".join(map(type_text, arguments))
    if kind is type(None):
        return "none"
    if kind is Any:
        return "any"
    if origin is not None and arguments:
        return f"{type_text(origin)} of {', '.join('...' if each is Ellipsis else type_text(each) for each in arguments)}"
    return getattr(kind, "__name__", None) or str(kind)


def _library_defaults(problem_class: type[Problem[Any, Any]]) -> dict[str, Any]:
    """The parameters that a problem has from its search type alone, with the library's own defaults."""
    search_type = next((base for base in problem_class.__mro__ if base in SEARCH_TYPES), None)
    return {} if search_type is None else {field.name: field.default for field in msgspec.structs.fields(search_type)}


def _typed(field: msgspec.structs.FieldInfo, text: str) -> Any:
    for value, strict in _readings(text):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(value, field.type, strict=strict)
    shown = text if len(text) <= SHOWN_LENGTH_MAX else f"{text[:SHOWN_LENGTH_MAX]}..."
    raise ParameterError(f"{field.encode_name}={shown} is not possible: {_described(field)}")


def _readings(text: str) -> Iterator[tuple[Any, bool]]:
    """Give what a value may mean, the likeliest first, each with whether its type has to be the wanted one exactly."""
    for number in (int, float):
        with contextlib.suppress(ValueError):
            yield number(text), True
    with contextlib.suppress(ValueError):
        if float(text).is_integer():
            yield int(float(text)), True  # 1e6, where an int is wanted
    word = text.strip().lower()
    if word in WORDS:
        yield WORDS[word], True
    if word in NOTHING:
        yield None, True
    if text[:1] in {"[", "{"}:
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(text), True
    with contextlib.suppress(UnicodeEncodeError):  # bytes that are no text
        text.encode()
        yield text, False
        yield [part.strip() for part in text.split(",")] if text else [], False  # 1,2,3 where a list is wanted


def _existing(problem_class: type[Any], fields: dict[str, msgspec.structs.FieldInfo]) -> str:
    if not fields:
        return f"{problem_class.__name__} has no parameters"
    return f"there is {'; '.join(map(_described, fields.values()))}"


def _described(field: msgspec.structs.FieldInfo) -> str:
    """A parameter with its type and default: "n: int, 1 to 32 (default 8)"."""
    text = f"{field.encode_name}: {type_text(field.type)}"
    if field.required:
        return f"{text} (must be given)"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return f"{text} (default {'none' if default is None else default})"


def _bounds(meta: msgspec.Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f", {meta.ge} to {meta.le}"
    limits: dict[str, Any] = {">": meta.gt, ">=": meta.ge, "<": meta.lt, "<=": meta.le, "a multiple of": meta.multiple_of}
    limits |= {"like": meta.pattern, "of length >=": meta.min_length, "of length <=": meta.max_length}
    return "".join(f", {words} {limit}" for words, limit in limits.items() if limit is not None)
