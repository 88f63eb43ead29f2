"""YAML that others wrote: the metadata of charts, and manifests for Kubernetes.

Unlike recipes and locks it may hold anchors and aliases; whoever walks it must not walk a shared part twice.
"""

from __future__ import annotations

from collections.abc import Callable

import yaml

from bundler.errors import FerryError

_BROKEN = (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError, OverflowError)
# The parser of libyaml is ten times as fast; both know the same language.
_Values = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Texts = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def parse_texts(data: bytes, *, place: str, error: Callable[..., FerryError]) -> object:
    """Parse one document whose scalars all stay texts, so that version 1.10 does not become 1.1.

    Raises:
        error: it is not YAML.
    """
    return _parsed(lambda: yaml.load(data, Loader=_Texts), place, error)  # noqa: S506 (makes texts alone)


def parse_manifests(text: str, *, place: str, error: Callable[..., FerryError]) -> list[object]:
    """Parse a stream of documents.

    Raises:
        error: it is not YAML.
    """
    found = _parsed(lambda: list(yaml.load_all(text, Loader=_Values)), place, error)
    assert isinstance(found, list)
    return found


def _parsed(parse: Callable[[], object], place: str, error: Callable[..., FerryError]) -> object:
    try:
        return parse()
    except _BROKEN as cause:
        mark = getattr(cause, "problem_mark", None)
        problem = getattr(cause, "problem", None) or str(cause).splitlines()[0]
        where = f"{place}:{mark.line + 1}" if mark else place
        raise error(f"expected YAML: {problem}", place=where) from cause
