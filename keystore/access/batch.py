"""Batch tokens: all that is known of one is sealed into the token itself, so that a login writes nothing.

Source: the Vault documentation, 'Batch tokens'. Nothing of them is kept, so none can be renewed or revoked: each ends
with its time, with its parent, or with the key of the store.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable

from keystore.barrier.cipher import Suite
from keystore.errors import StoreError

PREFIX = "hvb."
LONGEST = 8192
_SALT_BYTES = 16


class BatchSeal:
    """Seal and unseal the content of batch tokens of one store."""

    def __init__(self, suite: Suite, store: str, mac: Callable[[str, bytes], bytes]) -> None:
        self._suite = suite
        self._bound = b"ferry/batch-token/v1\0" + store.encode("ascii") + b"\0"
        self._key = mac("batch-token", b"key")

    def seal(self, content: bytes) -> str:
        """Return the token of a content; each has a key of its own."""
        salt = secrets.token_bytes(_SALT_BYTES)
        sealed = self._suite.seal(self._key, content, self._bound + salt)
        return PREFIX + base64.urlsafe_b64encode(salt + sealed).decode("ascii").rstrip("=")

    def unseal(self, token: str) -> bytes | None:
        """Return the content of a token, None for one that this store did not seal."""
        if len(token) > LONGEST:
            return None
        text = token.removeprefix(PREFIX)
        try:
            data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return self._suite.unseal(self._key, data[_SALT_BYTES:], self._bound + data[:_SALT_BYTES], "batch token")
        except (binascii.Error, ValueError, StoreError):
            return None
