"""Versions of Debian packages. Source: deb-version(7), "Sorting algorithm"."""

from __future__ import annotations

import re

_PIECE = re.compile(r"([^0-9]*)([0-9]*)")
VersionKey = tuple[int, tuple[tuple[tuple[int, ...], int], ...], tuple[tuple[tuple[int, ...], int], ...]]


def version_key(version: str) -> VersionKey:
    """Return what sorts as dpkg sorts versions."""
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdecimal():
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return int(epoch), _pieces(upstream), _pieces(revision)


def _pieces(text: str) -> tuple[tuple[tuple[int, ...], int], ...]:
    # The match of nothing at the end sorts behind a tilde and before all else.
    return tuple((_order(words), int(digits or 0)) for words, digits in _PIECE.findall(text))


def _order(words: str) -> tuple[int, ...]:
    """Sort a tilde before the end, letters before what is neither."""
    return (*(-1 if one == "~" else ord(one) if one.isalpha() else ord(one) + 256 for one in words), 0)
