"""Durations as requests write them: seconds, or Go's form such as '1h30m' and, as Vault allows, '7d'."""

from __future__ import annotations

import re

from keystore.errors import KeystoreError

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|s|m|h|d)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
SECONDS_MOST = 100 * 366 * 86_400


def parse(value: object, place: str) -> int:
    """Return whole seconds of a number, a text of digits, or a text with units; '' and None are 0.

    Raises: KeystoreError.
    """
    if value is None or value == "":
        return 0
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _checked(float(value), value, place)
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and len(value) < 16:
            return _checked(float(value), value, place)
        parts = list(_PART.finditer(value)) if len(value) < 64 else []
        if parts and "".join(part.group() for part in parts) == value:
            return _checked(sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts), value, place)
    raise KeystoreError(f"expected a duration such as 3600 or '1h30m', got {value!r}", place=place)


def _checked(seconds: float, value: object, place: str) -> int:
    if not 0 <= seconds <= SECONDS_MOST:
        raise KeystoreError(f"expected a duration from 0 to {SECONDS_MOST} seconds, got {value!r}", place=place)
    return int(seconds)


def shown(seconds: int) -> str:
    """Return a duration as Go prints it: '1h30m0s'."""
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
