"""The package indexes of the user's own configuration, and their logins: neither ever stands in a lock."""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from bundler.errors import ResolveError

_STRATEGY = "first-index"
_DEFAULT = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_MORE = ("UV_INDEX", "UV_EXTRA_INDEX_URL")
_PREFIX = "FERRY_INDEX_"
_NAMED = re.compile(r"([A-Za-z0-9_.-]+)=(.*)")
# Also of a URL that is written wrong: all from the two slashes to the last "@" of the word.
_USER_INFO = re.compile(r"//\S*@")


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A package index that the configuration names: its URL without login, and the login."""

    name: str
    url: str
    user: str = field(repr=False)
    password: str = field(repr=False)

    def is_at(self, url: str) -> bool:
        """Say whether a URL is that of this index, however each of the two is written."""
        ours, theirs = split_url(self.url), split_url(url)
        return ours is not None and theirs is not None and _plain(ours) == _plain(theirs)

    @property
    def environment(self) -> dict[str, str]:
        """What tells uv the login of an index of this name."""
        user, password = login_variables(self.name)
        return {user: self.user, password: self.password} if self.user else {}


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return uv's own settings; where it has no index, the one that pip is configured for.

    The first index that has a package is the only one it is taken from, whatever the settings say: with any other
    order, whoever publishes a private name with a higher version on a public index would be believed.

    Raises:
        ResolveError: pip's configuration cannot be read, or uv is told another order.
    """
    passed = {name: value for name, value in ours.items() if name.startswith("UV_")}
    if passed.get("UV_INDEX_STRATEGY", _STRATEGY) != _STRATEGY:
        raise ResolveError(
            f'expected "{_STRATEGY}", which no foreign package of the same name gets through, '
            f'got "{passed["UV_INDEX_STRATEGY"]}"',
            place="UV_INDEX_STRATEGY",
            hint="unset it, and name the index of single packages under `indexes` in the recipe",
        )
    passed |= {"UV_NO_PROGRESS": "1", "UV_INDEX_STRATEGY": _STRATEGY}
    if any(name in passed for name in _DEFAULT):
        return passed
    if index := ours.get("PIP_INDEX_URL") or _pip(ours, "index-url"):
        passed["UV_DEFAULT_INDEX"] = index
    return passed


def has_pip_more(ours: Mapping[str, str]) -> bool:
    """Say whether pip is configured for further indexes, which are not taken: pip knows no order among them."""
    try:
        return bool(ours.get("PIP_EXTRA_INDEX_URL") or _pip(ours, "extra-index-url"))
    except ResolveError:
        return False


def _pip(ours: Mapping[str, str], option: str) -> str | None:
    home = Path(ours.get("HOME", "/nonexistent"))
    config = Path(ours.get("XDG_CONFIG_HOME") or home / ".config")
    places: list[str | Path] = [
        "/etc/pip.conf",
        home / ".pip/pip.conf",
        config / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]
    parser = configparser.RawConfigParser()
    try:
        parser.read([*places, ours.get("PIP_CONFIG_FILE", "")], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ResolveError(f"pip's configuration cannot be read: {redact(str(error))}") from error
    return parser.get("global", option, fallback=None)


def find_index(name: str, ours: Mapping[str, str] = os.environ) -> Index:
    """Return the index that a recipe calls `name`: FERRY_INDEX_NAME, or one that UV_INDEX names so.

    Raises:
        ResolveError: there is none, or it is no URL; the message does not repeat it.
    """
    variable = f"{_PREFIX}{_variable(name)}"
    url = ours.get(variable) or dict(urls(ours)).get(name)
    hint = f"set {variable} to its URL, or name it in UV_INDEX: {name}=URL"
    if not url:
        raise ResolveError(f'the index "{name}" is not configured on this host', place="indexes", hint=hint)
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https", "file"):
        raise ResolveError(f'expected the URL of the index "{name}", got none', place=variable, hint=hint)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Index(name=name, url=plain, user=unquote(parts.username or ""), password=unquote(parts.password or ""))


def only(index: Index, ours: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for uv in which `index` is the only one."""
    passed = {name: value for name, value in environment(ours).items() if name not in (*_DEFAULT, *_MORE)}
    return {**passed, "UV_INDEX": f"{index.name}={index.url}", "UV_DEFAULT_INDEX": index.url, **index.environment}


def login_variables(name: str) -> tuple[str, str]:
    """Return what uv's settings for user and password of the index called `name` are called."""
    prefix = f"UV_INDEX_{_variable(name)}"
    return f"{prefix}_USERNAME", f"{prefix}_PASSWORD"


def _variable(name: str) -> str:
    return re.sub("[^A-Z0-9]", "_", name.upper())


def urls(ours: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (name, URL) of each index that the settings name, as it stands there; the name may be empty."""
    variables = [*_DEFAULT, *_MORE, *(name for name in ours if name.startswith(_PREFIX))]
    for variable in variables:
        for word in ours.get(variable, "").split():
            match = _NAMED.fullmatch(word)
            yield (match[1], match[2]) if match else ("", word)


def _plain(parts: SplitResult) -> tuple[str, str | None, int | None, str]:
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL that has a host or is of a file, None for other text."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname or parts.scheme == "file" else None


def redact(text: str) -> str:
    """Return text without the user and password of any URL in it."""
    return _USER_INFO.sub("//", text)
