"""Paths in a document: where they may lead."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

from bundler.model.document import Fields, describe

_LONGEST_NAME, _LONGEST_PATH = 255, 1024
TOO_LONG = f"expected names of at most {_LONGEST_NAME} bytes and {_LONGEST_PATH} characters in all, got a longer one"
_PATH_HINT = "use a relative path with forward slashes and no '..'"


def relative_path(fields: Fields, key: str) -> str:
    """Take a relative path that leads nowhere else."""
    text = fields.text(key)
    if not is_relative(text):
        raise fields.refuse(key, f"expected a relative path, got {describe(text)}", hint=_PATH_HINT)
    return str(PurePosixPath(text))


def relative_paths(fields: Fields, key: str) -> tuple[str, ...]:
    """Take a list of relative paths that lead nowhere else, each once; none if the field is missing."""
    texts = fields.texts(key, [])
    for text in texts:
        if not is_relative(text):
            raise fields.refuse(key, f"expected relative paths, got {describe(text)}", hint=_PATH_HINT)
    return tuple(dict.fromkeys(str(PurePosixPath(text)) for text in texts))


def is_relative(text: str) -> bool:
    """Say whether a path leads to somewhere below where it starts."""
    parts = PurePosixPath(text).parts
    return bool(parts) and not text.startswith("/") and ".." not in parts and "\\" not in text and text.isprintable()


def is_short(path: str) -> bool:
    """Say whether every file system takes a relative path, also below the place that it is put into."""
    return len(path) <= _LONGEST_PATH and all(len(part.encode()) <= _LONGEST_NAME for part in path.split("/"))


def folded(path: str) -> str:
    """Return a relative path as a file system sees it that tells neither cases nor forms of Unicode from each other."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", "/".join(parts)).casefold())


def absolute_path(fields: Fields, key: str) -> str:
    """Take an absolute path without `..`."""
    text = fields.text(key)
    parts = PurePosixPath(text).parts
    if not text.startswith("/") or len(parts) < 2 or ".." in parts or "\\" in text or not text.isprintable():
        raise fields.refuse(key, f"expected an absolute path, got {describe(text)}", hint="use no '..' in it")
    return str(PurePosixPath("/", *parts[1:]))


def any_path(fields: Fields, key: str) -> str:
    """Take an absolute path, or a relative one."""
    starts = fields.text_ahead(key)
    return absolute_path(fields, key) if starts.startswith("/") else relative_path(fields, key)
