"""The logins that files of package indexes are fetched with, each for its own server alone."""

from __future__ import annotations

import base64
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, unquote

from bundler.errors import TransferError
from bundler.indexes import environment, login_variables, split_url, urls
from bundler.transport import Refusal


class Logins:
    """The logins of configured indexes: in their URLs, in uv's settings, and in netrc."""

    def __init__(self, ours: Mapping[str, str] = os.environ) -> None:
        self._headers: dict[tuple[str, str | None, int | None], dict[str, str]] = {}
        self._netrc = _read_netrc(ours)
        own = {name: value for name, value in ours.items() if name.startswith("FERRY_INDEX_")}
        settings = environment(ours) | own
        for name, url in urls(settings):
            self._add(name, url, settings)

    def _add(self, name: str, url: str, settings: Mapping[str, str]) -> None:
        parts = split_url(url)
        if parts is None:
            return
        user_variable, password_variable = login_variables(name)
        user = unquote(parts.username or "") or settings.get(user_variable, "")
        password = unquote(parts.password or "") or settings.get(password_variable, "")
        if user or password:
            self._headers[_origin(parts)] = _basic(user, password)

    def of(self, url: str) -> Mapping[str, str]:
        """Return the header that a request to `url` carries; nothing for a server without a login."""
        parts = split_url(url)
        if parts is None:
            return {}
        if known := self._headers.get(_origin(parts)):
            return known
        found = self._netrc.hosts.get(parts.hostname or "") if self._netrc else None
        return _basic(found[0], found[2]) if found else {}

    def headers(self, url: str, refusal: Refusal | None) -> Mapping[str, str]:
        """Return what a request to `url` carries, as `bundler.transport` asks for it.

        Raises:
            TransferError: the server refuses the login.
        """
        if refusal is not None:
            raise TransferError(
                f"the package index refuses the login: answered {refusal.status}",
                hint="check user and password in the URL of the index, or in netrc",
            )
        return self.of(url)


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _read_netrc(ours: Mapping[str, str]) -> netrc.netrc | None:
    """Read netrc as uv does; one that cannot be read has no logins."""
    path = Path(ours.get("NETRC") or Path(ours.get("HOME", "/nonexistent")) / ".netrc")
    try:
        return netrc.netrc(str(path))
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return None
