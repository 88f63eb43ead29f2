"""The Debian archives that this host is configured for, read through apt with directories of its own."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

from bundler.errors import ResolveError
from bundler.run import run

_CONFIGURATION = """\
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
Dir::State "{state}";
Dir::State::status "{state}/status";
Dir::State::lists "{state}/lists";
Dir::Cache "{state}/cache";
Dir::Log "{state}/log";
"""
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_RELEASE = re.compile(r"'(?P<base>[a-z]+:[^']+/)dists/")
_NO_APT = "lock and fetch on a Debian or Ubuntu host of the suite that the recipe names"


class Apt:
    """apt for one architecture, with its own state below `directory` and this host's sources."""

    def __init__(self, directory: Path, architecture: str) -> None:
        if shutil.which("apt-get") is None:
            raise ResolveError("expected apt-get, this host has none", hint=_NO_APT)
        for name in ("lists/partial", "cache/archives/partial", "log"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        (directory / "status").touch()
        self._configuration = directory / "apt.conf"
        self._configuration.write_text(_CONFIGURATION.format(architecture=architecture, state=directory))

    def _get(self, *words: str) -> str:
        environment = {"APT_CONFIG": str(self._configuration)}
        return run(["apt-get", "-q", *words], timeout_s=300, environment=environment).stdout

    def update(self) -> None:
        """Refresh the package lists; apt checks their signatures."""
        self._get("update")

    def closure(self, packages: tuple[str, ...]) -> list[dict[str, str]]:
        """Return `uri`, `file`, `size` and `sha256` of every package that an empty host needs for `packages`."""
        listed = self._get("install", "--yes", "-qq", "--print-uris", *packages)
        return [match.groupdict() for match in map(_URI.match, listed.splitlines()) if match]

    def bases(self) -> list[str]:
        """Return the base URIs of the configured archives, each ending with a slash; then FERRY_DEBIAN_ARCHIVES."""
        listed = self._get("update", "--print-uris")
        found = sorted({match["base"] for match in map(_RELEASE.match, listed.splitlines()) if match})
        return [*found, *(base.rstrip("/") + "/" for base in os.environ.get("FERRY_DEBIAN_ARCHIVES", "").split())]


def pool_path(uri: str) -> str:
    """Return the part of a package's URI below its archive's base: `pool/...`."""
    _, slash, rest = unquote(uri).partition("/pool/")
    if not slash:
        raise ResolveError(f'expected an archive with a pool, got "{uri}"')
    return "pool/" + rest
