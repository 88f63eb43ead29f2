"""The fields of a request, read as the API documents them: numbers may be strings, lists may be parted by commas.

What is sent twice under two names, and what no handler asks for, is not looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from keystore.engines.request import RequestError

_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_TRUE = {"1", "t", "true"}
_FALSE = {"0", "f", "false", ""}
_DURATION = re.compile(r"(?:([0-9]{1,12})h)?(?:([0-9]{1,12})m)?(?:([0-9]{1,12})s)?")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_DAYS = re.compile(r"([0-9]{1,12})d")
_LIMIT_S = 10**10


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """The fields of one request or of one item of a batch; an absent and a null field are the same.

    They may hold secrets, and so are in no repr.
    """

    fields: Mapping[str, object] = field(repr=False)

    def has(self, name: str) -> bool:
        """Tell whether a field was sent."""
        return self.fields.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """Return a string; numbers are taken as they are written.

        Raises: RequestError.
        """
        found = self.fields.get(name)
        if found is None:
            return default
        if isinstance(found, str):
            return _sound(found, name)
        if isinstance(found, bool) or not isinstance(found, int | float):
            _refuse(name, "string")
        return str(found)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return true or false.

        Raises: RequestError.
        """
        found = self.fields.get(name)
        if found is None:
            return default
        if isinstance(found, bool):
            return found
        word = str(found).lower() if isinstance(found, str | int) else None
        if word not in _TRUE | _FALSE:
            _refuse(name, "bool")
        return word in _TRUE

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number.

        Raises: RequestError.
        """
        found = self.fields.get(name)
        if found is None:
            return default
        if isinstance(found, str) and _WHOLE.fullmatch(found):
            return int(found)
        if isinstance(found, bool) or not isinstance(found, int):
            _refuse(name, "int")
        return found

    def seconds(self, name: str, default: int = 0) -> int:
        """Return a duration: seconds, or a text such as '90s', '1h30m' or '7d'.

        Raises: RequestError.
        """
        found = self.fields.get(name)
        if found is None or found == "":
            return default
        return parse_seconds(found, name)

    def names(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return a list of texts: an array, or one text with commas between.

        Raises: RequestError.
        """
        found = self.fields.get(name)
        if found is None:
            return default
        if isinstance(found, str):
            found = found.split(",")
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            _refuse(name, "list of strings")
        return tuple(_sound(item.strip(), name) for item in found if item.strip())

    def octets(self, name: str) -> bytes:
        """Return the bytes of a field in base64, none where it is absent.

        Raises: RequestError.
        """
        return decode_base64(self.text(name))


def parse_seconds(value: object, name: str) -> int:
    """Return a duration of a field.

    Raises: RequestError.
    """
    if isinstance(value, bool):
        _refuse(name, "duration")
    if isinstance(value, int):
        found = value
    elif isinstance(value, str) and _WHOLE.fullmatch(value):
        found = int(value)
    elif isinstance(value, str) and value and (parts := _DURATION.fullmatch(value)):
        hours, minutes, seconds = (int(part or 0) for part in parts.groups())
        found = hours * 3600 + minutes * 60 + seconds
    elif isinstance(value, str) and (days := _DAYS.fullmatch(value)):
        found = int(days[1]) * 86400
    else:
        _refuse(name, "duration")
    if abs(found) > _LIMIT_S:
        _refuse(name, "duration")
    return found


def decode_base64(text: str) -> bytes:
    """Return the bytes of standard base64 with padding; line ends in it are passed over.

    Raises: RequestError that tells the first byte that does not fit.
    """
    octets = text.replace("\r", "").replace("\n", "").encode("utf-8", "replace")
    try:
        return base64.b64decode(octets, validate=True)
    except (binascii.Error, ValueError):
        place = next((index for index, octet in enumerate(octets) if octet not in _ALPHABET), len(octets))
    raise RequestError(f"illegal base64 data at input byte {place}")


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


def _sound(text: str, name: str) -> str:
    """Refuse half a pair of surrogates, which JSON can hold and no encoding can."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        _refuse(name, "text in Unicode")
    return text


def _refuse(name: str, kind: str) -> NoReturn:
    raise RequestError(f"Field validation failed: error converting input for field {name!r}: expected {kind}")
