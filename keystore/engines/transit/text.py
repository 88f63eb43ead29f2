"""The texts that stand for a ciphertext, signature or MAC: 'vault:v' and the key's version, ':', base64.

Source: the Vault HTTP API documentation; clients and stored data rely on the prefix.
"""

from __future__ import annotations

import re

from keystore.engines.request import RequestError

_PREFIX = "vault:v"
_VERSION = re.compile(r"[0-9]{1,9}")


def write(version: int, encoded: str) -> str:
    """Return the text of a version and what is already encoded."""
    return f"{_PREFIX}{version}:{encoded}"


def split(text: str, word: str, unprefixed: str | None = None) -> tuple[int, str]:
    """Return version and encoded part; `word` is what errors call the text.

    Raises: RequestError.
    """
    if not text.startswith(_PREFIX):
        raise RequestError(unprefixed or f"invalid {word}: no prefix")
    version, colon, encoded = text.removeprefix(_PREFIX).partition(":")
    if not colon:
        raise RequestError(f"invalid {word}: wrong number of fields")
    if not _VERSION.fullmatch(version):
        raise RequestError(f"invalid {word}: version number could not be decoded")
    return int(version), encoded
