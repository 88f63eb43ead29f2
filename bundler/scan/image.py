"""What an image's configuration starts and sets.

Source: OCI Image Format Specification 1.1, image configuration; Docker Image Specification 1.2 (Healthcheck).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# A configuration or a manifest is small; the rest of one that is not is left unread.
DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """How something is started: argument vectors by the name of their field, and its environment."""

    vectors: tuple[tuple[str, tuple[str, ...]], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def programs(self) -> frozenset[str]:
        """The file names among the words: a script that is named here runs."""
        words = [word for _, vector in self.vectors for part in vector for word in part.split()]
        return frozenset(word.rpartition("/")[2] for word in words if not word.startswith("-"))


def config_digest(manifest: bytes) -> str | None:
    """Return the SHA-256 of an image's configuration, as its manifest says; None if it says none."""
    config = _mapping(_mapping(_parsed(manifest)).get("config"))
    digest = config.get("digest")
    return digest.removeprefix("sha256:") if isinstance(digest, str) else None


def parse_start(config: bytes) -> Start:
    """Return what an image's configuration starts; what is of another shape is left out."""
    inner = _mapping(_mapping(_parsed(config)).get("config"))
    command = (*_words(inner.get("Entrypoint")), *_words(inner.get("Cmd")))
    health = _words(_mapping(inner.get("Healthcheck")).get("Test"))
    environment = [one.partition("=") for one in _words(inner.get("Env"))]
    return Start(
        vectors=tuple((name, words) for name, words in (("Entrypoint", command), ("Healthcheck", health)) if words),
        environment=tuple((name, value) for name, _, value in environment),
    )


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
