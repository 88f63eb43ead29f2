"""Reading a parsed document (of JSON or YAML) field by field, with the place of every mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from bundler.errors import FerryError
from keystore import document as strict
from keystore.errors import KeystoreError

T = TypeVar("T")
_MISSING = object()
_MOST = 2**63 - 1
# Neither a path nor an argument can hold a NUL, and half of a surrogate pair has no UTF-8.
_UNFIT = re.compile("[\0\ud800-\udfff]")
# One line, as it stands in a unit.
LINE = r"[^\x00-\x1f\x7f]*"
LINE_WORDS = "one line of text"
_TYPES = {str: "text", int: "a whole number", bool: "true or false", list: "a list", dict: "a mapping"}


def parse_json(data: bytes, *, place: str, error: type[FerryError]) -> dict[str, Any]:
    """Return the one JSON object in `data`: UTF-8, each key once, no number that JSON does not have.

    Raises:
        FerryError: `error`, for anything else; two readers would not see the same in it.
    """
    try:
        return strict.parse(data, place)
    except KeystoreError as refused:
        raise error(refused.message, place=place) from refused


class Fields:
    """One mapping of a document: every field is taken by name and type; `close` refuses what is left.

    `error` is the class of error that a mistake raises; `place` the path of this mapping in the document.
    """

    def __init__(self, value: object, *, place: str, error: type[FerryError]) -> None:
        if not isinstance(value, Mapping):
            raise error(f"expected a mapping, got {describe(value)}", place=place or "document")
        self._rest = dict(value)
        self._place = place
        self._error = error

    def place(self, key: str) -> str:
        """Return the path of `key` in the document."""
        return f"{self._place}.{key}" if self._place else key

    def refuse(self, key: str, message: str, hint: str | None = None) -> FerryError:
        """Return an error about `key`, for the caller to raise."""
        return self._error(message, place=self.place(key), hint=hint)

    def _take(self, key: str, kind: type[T], default: object) -> T:
        value = self._rest.pop(key, default)
        if value is _MISSING:
            raise self._error(f"expected {_TYPES[kind]}, the field is missing", place=self.place(key))
        if value is not default and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
            raise self.refuse(key, f"expected {_TYPES[kind]}, got {describe(value)}")
        return value  # type: ignore[return-value]

    def text(self, key: str, default: object = _MISSING, *, match: str | None = None, what: str = "") -> str:
        """Take text; with `match`, text that the regular expression matches as a whole."""
        value = self._take(key, str, default)
        self._check_text(value, self.place(key))
        if match is not None and value is not default and not re.fullmatch(match, value):
            raise self.refuse(key, f"expected {what or 'text like ' + match}, got {describe(value)}")
        return value

    def text_ahead(self, key: str) -> str:
        """Return text without taking it; empty where the field is missing or no text."""
        value = self._rest.get(key, "")
        return value if isinstance(value, str) else ""

    def moment(self, key: str, default: object = _MISSING, *, form: str, what: str) -> str:
        """Take the text of a date or time that exists, written as `form` of strftime says; the default may be empty."""
        value = self.text(key, default)
        if value == default:
            return value
        try:
            fits = datetime.strptime(value, form).strftime(form) == value
        except ValueError:
            fits = False
        if not fits:
            raise self.refuse(key, f"expected {what}, got {describe(value)}")
        return value

    def integer(self, key: str, default: object = _MISSING, *, least: int = 0, most: int = _MOST) -> int:
        """Take a whole number from `least` to `most`."""
        value = self._take(key, int, default)
        if value < least:
            raise self.refuse(key, f"expected at least {least}, got {_number(value)}")
        if value > most:
            raise self.refuse(key, f"expected at most {most}, got {_number(value)}")
        return value

    def flag(self, key: str, default: object = _MISSING) -> bool:
        """Take true or false."""
        return self._take(key, bool, default)

    def hex(self, key: str, default: object = _MISSING, *, algorithm: str = "sha256") -> str:
        """Take a digest: 64 lower-case hex digits."""
        value = self._take(key, str, default)
        if value is not default and not re.fullmatch("[0-9a-f]{64}", value):
            got = f"{len(value)} characters" if len(value) != 64 else describe(value)
            raise self.refuse(key, f"expected 64 lower-case hex digits for {algorithm}, got {got}")
        return value

    def items(self, key: str, default: object = _MISSING) -> list[tuple[str, Any]]:
        """Take a list; return each element with its place."""
        values = self._take(key, list, default)
        return [(f"{self.place(key)}[{index}]", value) for index, value in enumerate(values)]

    def texts(
        self, key: str, default: object = _MISSING, *, match: str | None = None, what: str = ""
    ) -> tuple[str, ...]:
        """Take a list of texts; with `match`, texts that the regular expression matches as a whole."""
        for place, value in (pairs := self.items(key, default)):
            if not isinstance(value, str):
                raise self._error(f"expected text, got {describe(value)}", place=place)
            self._check_text(value, place)
            if match is not None and not re.fullmatch(match, value):
                raise self._error(f"expected {what or 'text like ' + match}, got {describe(value)}", place=place)
        return tuple(value for _, value in pairs)

    def each(self, key: str, parse: Callable[[Fields], T], default: object = _MISSING) -> tuple[T, ...]:
        """Take a list of mappings and parse each; unknown fields of each are refused."""
        result = []
        for place, value in self.items(key, default):
            fields = Fields(value, place=place, error=self._error)
            result.append(parse(fields))
            fields.close()
        return tuple(result)

    def mapping(self, key: str, default: object = _MISSING) -> Fields:
        """Take a mapping as fields of its own."""
        return Fields(self._take(key, dict, default), place=self.place(key), error=self._error)

    def pairs(self, key: str, default: object = _MISSING) -> tuple[tuple[str, str], ...]:
        """Take a mapping of text to text, sorted by name."""
        values: dict[object, object] = self._take(key, dict, default)
        for name, value in values.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise self._error(
                    f"expected text, got {describe(value)}",
                    place=f"{self.place(key)}.{name}",
                    hint='put a number in quotes: "8080"',
                )
            self._check_text(name, self.place(key))
            self._check_text(value, f"{self.place(key)}.{name}")
        return tuple(sorted((str(name), str(value)) for name, value in values.items()))

    def _check_text(self, value: str, place: str) -> None:
        if _UNFIT.search(value):
            raise self._error(f"expected text without NUL and lone surrogates, got {describe(value)}", place=place)

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields that are still to be taken."""
        return tuple(name for name in self._rest if isinstance(name, str))

    def has(self, key: str) -> bool:
        """Say whether the field is there and still to be taken."""
        return key in self._rest

    def nothing(self, key: str) -> bool:
        """Take the field if it holds null, and say whether it did."""
        if self._rest.get(key, _MISSING) is not None:
            return False
        del self._rest[key]
        return True

    def close(self) -> None:
        """Refuse fields that nobody took: a typo must not be ignored."""
        for key in self._rest:
            raise self._error("unknown field", place=self.place(_printable(str(key))), hint="check its spelling")


def describe(value: object) -> str:
    """Say briefly what a value is, for an error message."""
    if value is None:
        return "nothing"
    if isinstance(value, (list, dict)):
        return _TYPES[type(value)]
    return f'"{_number(value) if isinstance(value, int) else _printable(str(value))}"'


def _printable(text: str) -> str:
    """Shorten text, and escape what a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:80])


def _number(value: int) -> str:
    """Write a number; Python refuses to write one of thousands of digits."""
    return str(value) if -_MOST <= value <= _MOST else "a number of more than 64 bits"
