"""Facts as JSON and back: what a host was before a run must outlive the power."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar, Union, get_args, get_origin

from bundler.errors import IntegrityError

_T = TypeVar("_T")
_PLAIN = (str, int, float, bool, type(None))


def write_value(value: object) -> bytes:
    """Write a dataclass of plain values, tuples, sets, mappings, times and such dataclasses as JSON."""
    return (json.dumps(_document(value), sort_keys=True) + "\n").encode()


def read_value(kind: type[_T], data: bytes, *, place: str) -> _T:
    """Read what `write_value` wrote of a value of this class; a field that an older Ferry lacked has its default.

    Raises:
        IntegrityError: it is something else.
    """
    try:
        found: _T = _value(kind, json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IntegrityError(
            f"expected what Ferry wrote down of a {kind.__name__}, got something else: {error}", place=place
        ) from error
    return found


def _document(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if is_dataclass(value):
        return {field.name: _document(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        # Keys may be numbers, which JSON has none of.
        return [[_document(key), _document(value[key])] for key in value]
    if isinstance(value, frozenset):
        return sorted(map(_document, value))
    if isinstance(value, tuple):
        return [_document(one) for one in value]
    raise TypeError(f"no way to write down {type(value).__name__}")


def _value(kind: Any, document: Any) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _optional(inside, document)
    if kind is datetime:
        return datetime.fromisoformat(document)
    if is_dataclass(kind):
        return _dataclass(kind, document)
    if origin is tuple:
        return _tuple(inside, document)
    if origin is frozenset:
        return frozenset(_value(inside[0], one) for one in document)
    if origin is not None and issubclass(origin, Mapping):
        return {_value(inside[0], key): _value(inside[1], one) for key, one in document}
    return _plain(kind, document)


def _optional(kinds: tuple[Any, ...], document: Any) -> Any:
    """Take None or a value of the one other kind."""
    if document is None and type(None) in kinds:
        return None
    (kind,) = (one for one in kinds if one is not type(None))
    return _value(kind, document)


def _dataclass(kind: Any, document: Any) -> Any:
    kinds = typing.get_type_hints(kind)
    given = {field.name: document[field.name] for field in fields(kind) if field.name in document}
    return kind(**{name: _value(kinds[name], one) for name, one in given.items()})


def _tuple(inside: tuple[Any, ...], document: Any) -> tuple[Any, ...]:
    if inside[1:] == (...,):
        return tuple(_value(inside[0], one) for one in document)
    return tuple(_value(kind, one) for kind, one in zip(inside, document, strict=True))


def _plain(kind: Any, document: Any) -> Any:
    if type(document) is not kind:
        raise TypeError(f"expected {getattr(kind, '__name__', kind)}, got {type(document).__name__}")
    return document
