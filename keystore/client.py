"""A client of a served keystore: Vault's HTTP API over TLS, plain HTTP on the loopback, or a unix socket.

Nothing is followed elsewhere (no redirect, no proxy), as every request carries a token.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keystore import document
from keystore.errors import KeystoreError, ServiceError

TIMEOUT_S = 60.0
_ANSWER_BYTES = 32 * 1024 * 1024
_UNIX_CHARACTERS = 107


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """Where the service is, and the token that it is shown.

    Files in PEM: `authority` of who vouches for its TLS, `certificate` and `key` of the caller where TLS shall show who
    he is.
    """

    address: str
    token: str = field(default="", repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = ""

    def read(self, path: str) -> dict[str, Any]:
        """Return the data of a path.

        Raises: ServiceError.
        """
        return self._ask("GET", path, None)

    def names(self, path: str) -> list[str]:
        """Return the names below a path, none where there is nothing.

        Raises: ServiceError.
        """
        try:
            return list(self._ask("LIST", path, None).get("keys", ()))
        except ServiceError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return []
            raise

    def write(self, path: str, **fields: object) -> dict[str, Any]:
        """Write fields to a path, and return the data of the answer.

        Raises: ServiceError.
        """
        return self._ask("POST", path, fields)

    def delete(self, path: str) -> None:
        """Delete a path.

        Raises: ServiceError.
        """
        self._ask("DELETE", path, None)

    def log_in(self, path: str, **fields: object) -> str:
        """Return the token of a login.

        Raises: ServiceError.
        """
        found = self._document("POST", path, fields).get("auth")
        token = found.get("client_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise ServiceError("expected the token of a login, got something else", place=self.address)
        return token

    def _ask(self, method: str, path: str, fields: Mapping[str, object] | None) -> dict[str, Any]:
        found = self._document(method, path, fields)
        data = found.get("data")
        return data if isinstance(data, dict) else found

    def _document(self, method: str, path: str, fields: Mapping[str, object] | None) -> dict[str, Any]:
        status, answer = self.exchange(method, path, fields)
        try:
            found = document.parse(answer, "answer") if answer else {}
        except KeystoreError:
            raise ServiceError(
                f"expected an answer in JSON, got something else with status {status}",
                status=status,
                place=self.address,
                hint="is there another program at this address? It must be `ferry keystore serve`, or Vault",
            ) from None
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise self._refused(status, found)
        return found

    def _refused(self, status: int, found: Mapping[str, Any]) -> ServiceError:
        errors = found.get("errors")
        texts = [_line(one) for one in errors if isinstance(one, str)] if isinstance(errors, list) else []
        hint = None
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            hint = "unseal the keystore first: ferry keystore operator unseal"
        elif status == http.HTTPStatus.FORBIDDEN and texts == ["permission denied"]:
            hint = "is the token right, alive, and its policies allow this path? Log in again: ferry keystore login"
        told = "; ".join(texts) or f"status {status}"
        return ServiceError(told, status=status, place=self.address, hint=hint)

    def exchange(self, method: str, path: str, fields: Mapping[str, object] | None = None) -> tuple[int, bytes]:
        """Return status and body of whatever the service answers, refusals too.

        Raises: ServiceError when nobody answers.
        """
        body = None if fields is None else json.dumps(fields).encode()
        headers = {"Content-Type": "application/json", "X-Vault-Request": "true"}
        if self.token:
            headers["X-Vault-Token"] = self.token
        connection = self._connect()
        try:
            connection.request(method, "/v1/" + urllib.parse.quote(path), body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read(_ANSWER_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(
                f"expected the keystore's service, got '{_reason(error)}'",
                place=self.address,
                hint="is it running, and is the address right? See VAULT_ADDR and VAULT_CACERT",
            ) from error
        finally:
            connection.close()
        if len(data) > _ANSWER_BYTES:
            raise ServiceError(f"expected at most {_ANSWER_BYTES} bytes, got more", place=self.address)
        return answer.status, data

    def _connect(self) -> http.client.HTTPConnection:
        try:
            parts = urllib.parse.urlsplit(self.address)
        except ValueError:
            parts = urllib.parse.urlsplit("")
        if parts.scheme == "unix":
            return _UnixConnection(parts.path)
        if "@" in self.address:
            raise ServiceError("expected an address without a name and a password, got one with them")
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if parts.scheme not in ("http", "https") or not host or parts.path not in ("", "/") or parts.query:
            raise ServiceError(
                f"expected an address such as https://HOST:8200 or unix:///run/ferry/vault.sock, got {self.address!r}"
            )
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, port or 8200, timeout=TIMEOUT_S, context=self._tls())
        if not _is_loopback(host):
            raise ServiceError(
                f"expected https, as {host} is not this host, got http",
                place=self.address,
                hint="a token in clear on a network is everyone's",
            )
        return http.client.HTTPConnection(host, port or 8200, timeout=TIMEOUT_S)

    def _tls(self) -> ssl.SSLContext:
        place = self.authority
        try:
            made = ssl.create_default_context(cafile=self.authority or None)
            if self.certificate:
                place = self.certificate
                made.load_cert_chain(self.certificate, self.key or None, password="")
        except (OSError, ValueError) as error:
            raise ServiceError(f"expected certificates and keys in PEM, got '{_reason(error)}'", place=place) from error
        return made


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        if len(self._path) > _UNIX_CHARACTERS:
            raise OSError(f"expected a path of at most {_UNIX_CHARACTERS} characters")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _line(text: str) -> str:
    """Return an error of the service in one line, without the frame that Vault's have."""
    lines = [line.strip().removeprefix("* ") for line in text.splitlines()]
    return "; ".join(line for line in lines if line and not line.endswith("error occurred:"))


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
