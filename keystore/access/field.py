"""Read the fields of a request: each has one type, and a wrong one is told by its name."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from keystore.access import duration
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError

Data = Mapping[str, Any]


def text(data: Data, name: str, default: str = "") -> str:
    """Return a string; a number is taken as its digits."""
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise RequestError(f"{name}: expected a string, got {_kind(value)}")
    return value


def needed(data: Data, name: str) -> str:
    """Return a string that must not be missing or empty."""
    value = text(data, name)
    if not value:
        raise RequestError(f"missing {name}")
    return value


def whole(data: Data, name: str, default: int = 0, *, most: int = 1 << 31) -> int:
    """Return a whole number from 0 on; a string of digits counts too."""
    value = data.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise RequestError(f"{name}: expected a whole number from 0 to {most}, got {_kind(value)}")
    return value


def flag(data: Data, name: str, *, default: bool = False) -> bool:
    """Return true or false; the words and the digits 0 and 1 count too."""
    value = data.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise RequestError(f"{name}: expected true or false, got {_kind(value)}")
    return value


def strings(data: Data, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a list of strings; a string is split at its commas."""
    value = data.get(name)
    if value is None:
        return default
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RequestError(f"{name}: expected a list of strings, got {_kind(value)}")
    return tuple(one.strip() for one in value if one.strip())


def seconds(data: Data, name: str, default: int = 0) -> int:
    """Return a duration in whole seconds."""
    if data.get(name) is None:
        return default
    try:
        return duration.parse(data[name], name)
    except KeystoreError as error:
        raise RequestError(str(error)) from None


def table(data: Data, name: str) -> dict[str, Any]:
    """Return an object, an empty one where there is none."""
    value = data.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"{name}: expected an object, got {_kind(value)}")
    return value


def texts(data: Data, name: str) -> dict[str, str]:
    """Return an object of strings."""
    found = table(data, name)
    for key, value in found.items():
        if not isinstance(value, str):
            raise RequestError(f"{name}.{key}: expected a string, got {_kind(value)}")
    return found


def networks(data: Data, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a list of networks in CIDR form."""
    found = strings(data, name, default)
    for one in found:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise RequestError(f"{name}: expected a network such as 10.0.0.0/8, got {one!r}") from None
    return found


def among(address: str, cidrs: tuple[str, ...]) -> bool:
    """Tell whether an address is in one of the networks; none at all allows every address."""
    if not cidrs:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found in ipaddress.ip_network(one, strict=False) for one in cidrs)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "a string")
