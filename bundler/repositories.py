"""The repositories of RPM distributions that this host's user configured: `.repo` files, a directory per release."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import ResolveError
from bundler.model.rpm import REPOSITORY

VARIABLE = "FERRY_RPM_REPOSITORIES"
_HINT = f"put .repo files into a directory called as the release, and name the directory above it in {VARIABLE}"
# What dnf and Ferry take from such a section; what else stands there is about the look of dnf, or not for us.
_TAKEN = ("name", "priority", "cost", "excludepkgs", "exclude", "includepkgs", "module_hotfixes")
_REFUSED = ("username", "password", "sslclientcert", "sslclientkey")
_SWITCH = {"1": True, "yes": True, "true": True, "on": True, "0": False, "no": False, "false": False, "off": False}
_VARIABLE = re.compile(r"\$(\{(?P<braced>\w+)\}|(?P<plain>\w+))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """One repository: its base URLs, each ending with a slash, and the URLs of the keys that sign its packages.

    `is_signed` says that its own list must carry a signature, `are_packages_signed` that its packages
    must; `options` are further ones for dnf.
    """

    name: str
    bases: tuple[str, ...]
    keys: tuple[str, ...]
    is_signed: bool
    are_packages_signed: bool = True
    options: tuple[tuple[str, str], ...] = ()


def read_repositories(release: str, machine: str, unsigned: Collection[str] = ()) -> tuple[Repository, ...]:
    """Return the enabled repositories of a release for a machine, by name; packages of `unsigned` need no signature.

    Raises:
        ResolveError: none is configured, or one in a way that would leave its packages unchecked.
    """
    chosen = os.environ.get(VARIABLE, "")
    directory = Path(chosen) / release
    files = sorted(directory.glob("*.repo")) if chosen else []
    if not files:
        got = f"{directory} has none" if chosen else f"{VARIABLE} is not set"
        raise ResolveError(f"expected .repo files for {release}, {got}", place="rpms", hint=_HINT)
    found: dict[str, Repository] = {}
    for path in files:
        for section in _sections(path, machine):
            if section.name in found:
                raise section.refuse("it stands twice")
            if section.switch("enabled", default=True):
                found[section.name] = _repository(section, section.name in unsigned)
    if not found:
        raise ResolveError(f"expected an enabled repository for {release}, got none", place=str(directory))
    return tuple(found[name] for name in sorted(found))


class _Section:
    """One section of a .repo file."""

    def __init__(self, path: Path, name: str, values: dict[str, str], machine: str) -> None:
        self._path = path
        self.name = name
        self.values = values
        self._machine = machine

    def refuse(self, message: str, hint: str | None = None) -> ResolveError:
        """Return an error about this section, for the caller to raise."""
        return ResolveError(message, place=f"{self._path}: [{self.name}]", hint=hint)

    def switch(self, key: str, *, default: bool) -> bool:
        """Take a truth in the words of dnf."""
        text = self.values.get(key, "")
        value = _SWITCH.get(text.strip().lower()) if text else default
        if value is None:
            raise self.refuse(f'{key}: expected 1 or 0, got "{text}"')
        return value

    def words(self, key: str) -> tuple[str, ...]:
        """Take words with the variables of dnf in them."""
        return tuple(self._expand(key, word) for word in self.values.get(key, "").replace(",", " ").split())

    def _expand(self, key: str, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            name = match["braced"] or match["plain"]
            if name not in ("arch", "basearch"):
                raise self.refuse(f'{key}: expected a whole URL, got the variable "{name}"', f"write its value: {text}")
            return self._machine

        return _VARIABLE.sub(value, text)


def _sections(path: Path, machine: str) -> list[_Section]:
    parser = configparser.RawConfigParser(strict=True, default_section="")
    try:
        parser.read_string(path.read_text("utf-8"))
    except OSError as error:
        raise ResolveError(f"a .repo file cannot be read: {error.strerror}", place=str(path)) from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ResolveError(f"expected a .repo file: {str(error).splitlines()[0]}", place=str(path)) from error
    names = [name for name in parser.sections() if name != "main"]
    return [_Section(path, name, dict(parser.items(name)), machine) for name in names]


def _repository(section: _Section, may_be_unsigned: bool) -> Repository:
    if not re.fullmatch(REPOSITORY, section.name):
        raise section.refuse("expected an id of letters, digits, dots, colons and hyphens")
    for key in _REFUSED:
        if section.values.get(key):
            raise section.refuse(f"{key}: repositories that ask who reads them are not supported", "mirror it without")
    if not section.switch("sslverify", default=True):
        raise section.refuse("sslverify: expected 1, got 0", "name the authority's certificate in SSL_CERT_FILE")
    are_packages_signed = section.switch("gpgcheck", default=True)
    if not are_packages_signed and not may_be_unsigned:
        raise section.refuse(
            "gpgcheck: expected 1, got 0: packages that nobody signed go into no bundle",
            "sign them with rpmsign and name the key in gpgkey; if nobody can: "
            f"--allow-packages-that-nobody-signed {section.name}",
        )
    return Repository(
        name=section.name,
        bases=_bases(section),
        keys=_keys(section, are_packages_signed),
        is_signed=section.switch("repo_gpgcheck", default=False),
        are_packages_signed=are_packages_signed,
        options=tuple((key, text) for key in _TAKEN if (text := " ".join(section.values.get(key, "").split()))),
    )


def _bases(section: _Section) -> tuple[str, ...]:
    bases = section.words("baseurl")
    if not bases:
        raise section.refuse("expected a baseurl, got none", "a list of mirrors may change: name one of them")
    for base in bases:
        if not base.startswith(("https://", "http://", "file:///")):
            raise section.refuse(f'baseurl: expected https, http or file, got "{base}"')
    return tuple(base.rstrip("/") + "/" for base in bases)


def _keys(section: _Section, are_packages_signed: bool) -> tuple[str, ...]:
    keys = section.words("gpgkey")
    if not keys and are_packages_signed:
        raise section.refuse("expected a gpgkey, got none", "name the distribution's key: gpgkey=file:///...")
    for key in keys:
        if not key.startswith(("https://", "file:///")):
            raise section.refuse(
                f'gpgkey: expected https or file, got "{key}"', "a key that came unprotected proves nothing"
            )
    return keys
