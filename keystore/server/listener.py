"""Where the daemon listens: loopback with TLS, loopback without where that was asked for, and a unix socket."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keystore.errors import KeystoreError

_BACKLOG = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """Certificate and key of the daemon, and the CA of clients that show certificates."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context of TLS 1.2 and 1.3.

        Raises: KeystoreError.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ssl.SSLError) as error:
            reason = (error.strerror or str(error)).lower()
            raise KeystoreError(
                f"expected a certificate and its key, got '{reason}'", place=str(self.certificate)
            ) from error
        return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A host and a port; port 0 takes a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address of HOST:PORT.

        Raises: KeystoreError.
        """
        host, _, port = text.rpartition(":")
        host = host.strip("[]")
        if not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
            raise KeystoreError(f"expected an address such as 127.0.0.1:8200, got {text!r}", place="--listen")
        return cls(host=host, port=int(port))

    @property
    def loopback(self) -> bool:
        """Whether nobody outside this host can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


async def listen(factory: Any, address: Address, tls: Tls | None) -> asyncio.Server:
    """Listen on an address; without TLS on the loopback alone.

    Raises: KeystoreError.
    """
    if tls is None and not address.loopback:
        raise KeystoreError(
            f"expected a loopback address for plain HTTP, got {address.host!r}",
            place="--listen",
            hint="name a certificate: --tls-cert FILE --tls-key FILE",
        )
    context = tls.context() if tls else None
    try:
        return await asyncio.get_running_loop().create_server(
            factory,
            address.host,
            address.port,
            ssl=context,
            backlog=_BACKLOG,
            ssl_handshake_timeout=10.0 if context else None,
        )
    except OSError as error:
        raise _taken(f"{address.host}:{address.port}", error) from error


async def listen_unix(factory: Any, path: Path) -> asyncio.Server:
    """Listen on a unix socket of mode 0600; one that a dead daemon left behind is replaced.

    Raises: KeystoreError.
    """
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()
        before = os.umask(0o177)
        try:
            return await asyncio.get_running_loop().create_unix_server(factory, path, backlog=_BACKLOG)
        finally:
            os.umask(before)
    except OSError as error:
        raise _taken(str(path), error) from error


def _taken(place: str, error: OSError) -> KeystoreError:
    reason = os.strerror(error.errno).lower() if error.errno else str(error).lower()
    return KeystoreError(f"expected an address to listen on, got '{reason}'", place=place)
