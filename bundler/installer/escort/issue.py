"""What a credential holds: taken from the keystore, where it is made when it is missing."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bundler.installer.escort import haproxy
from bundler.installer.escort.certificate import make_certificate
from bundler.installer.escort.vault import Vault
from bundler.model.escort import GATEWAY

CERTIFICATE = (GATEWAY, haproxy.CERTIFICATE)
TOKENS = (GATEWAY, haproxy.TOKENS)
_TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Issuer:
    """Takes values from the keystore; `names` are those that the gateway's own certificate is for.

    With `certificate_given` the operator's certificate is not replaced.
    """

    vault: Vault
    clients: Sequence[str]
    names: Sequence[str]
    certificate_given: bool
    now: datetime

    def value(self, service: str, name: str) -> str:
        """Return what a credential holds.

        Raises:
            HostError: the keystore refuses.
        """
        if (service, name) == TOKENS:
            return self._tokens()
        path = f"{service}/{name}"
        found = self.vault.read(path)
        if (service, name) == CERTIFICATE and not (found and self.certificate_given):
            return self._keep(path, make_certificate([os.uname().nodename, *self.names], self.now))
        return found if found is not None else self._keep(path, new_secret())

    def _keep(self, path: str, value: str) -> str:
        self.vault.write(path, value)
        return value

    def _tokens(self) -> str:
        """Return the SHA-256 of each client's token with its name: what the gateway looks tokens up in."""
        lines = []
        for client in self.clients:
            path = token_path(client)
            token = self.vault.read(path) or self._keep(path, new_secret())
            lines.append(f"{hashlib.sha256(token.encode()).hexdigest()} {client}\n")
        return "".join(lines)


def token_path(client: str) -> str:
    """Return where the keystore keeps a client's token."""
    return f"{GATEWAY}/tokens/{client}"


def new_secret() -> str:
    """Return 256 random bits as text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)
