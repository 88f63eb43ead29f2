"""Versions of RPM packages. Source: rpm-version(7); rpmvercmp() of rpm."""

from __future__ import annotations

import re

_SEGMENT = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_TILDE, _END, _CARET, _LETTERS, _NUMBER = range(5)
Segments = tuple[tuple[int, int | str], ...]
VersionKey = tuple[int, Segments, Segments]


def version_key(version: str) -> VersionKey:
    """Return what sorts as rpm sorts [EPOCH:]VERSION-RELEASE."""
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdecimal():
        epoch, rest = "0", version
    upstream, _, release = rest.partition("-")
    return int(epoch), _segments(upstream), _segments(release)


def _segments(text: str) -> Segments:
    """Sort a tilde before the end, a caret behind it, letters before numbers; what is neither only separates."""
    return (*(_segment(word) for word in _SEGMENT.findall(text)), (_END, 0))


def _segment(word: str) -> tuple[int, int | str]:
    if word in "~^":
        return (_TILDE if word == "~" else _CARET), 0
    return (_NUMBER, int(word)) if word.isdecimal() else (_LETTERS, word)
