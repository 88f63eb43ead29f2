"""The Debian archives that this host is configured for, read through apt with directories of its own."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from bundler.errors import ResolveError
from bundler.model.target import Package
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
# Other suites that this host is configured for must not mix in, nor what this host prefers for itself.
_ONE_SUITE = """\
Dir::Etc::preferences "{state}/preferences";
Dir::Etc::preferencesparts "{state}/preferences.d";
"""
_PREFERENCES = """\
Package: *
Pin: release n={suite}*
Pin-Priority: 500

Package: *
Pin: release n=/./
Pin-Priority: -1
"""
# What debootstrap and mmdebstrap install as "minbase"; of the two ways to merge /usr they take the second.
_MINIMAL = "?or(?essential,?priority(required),?exact-name(apt),?exact-name(usr-is-merged))"
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})")
_PROVIDES = re.compile(r"^Package: (\S+)\n(?:[^\n]+\n)*?Provides: ([^\n]+)$", re.MULTILINE)
_FIELD = re.compile(r"^([A-Za-z0-9-]+): *(.*)$", re.MULTILINE)
_RELEASE = re.compile(r"'(?P<base>[a-z]+:[^']+/)dists/")
# Configured for the host itself, these would let packages in that nobody signed; on the command line ours win.
_SIGNED = tuple(
    f"-o{name}=false"
    for name in (
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
        "APT::Get::AllowUnauthenticated",
    )
)
# Debian's images for containers switch off what apt remembers of the lists, which then are read anew by every command.
_REMEMBERED = ("-oDir::Cache::pkgcache=pkgcache.bin", "-oDir::Cache::srcpkgcache=srcpkgcache.bin")
_TARGETS = "$(CREATED_BY)|$(TRUSTED)|$(REPO_URI)|$(SOURCESENTRY)"
# sources.list(5): the option of one line, or the field of a stanza.
_TRUSTED = re.compile(r"\btrusted\s*[=:]\s*(yes|true|with|on|enable|1)\b", re.IGNORECASE)
_SIGN_HINT = "take trusted=yes and allow-insecure=yes out of that source, and name the archive's key in Signed-By"
_NO_APT = "lock and fetch on a Debian or Ubuntu host of the suite that the recipe names"


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageList:
    """A list of packages as apt keeps it, the InRelease that names it as `name`, and its suite's path in an archive."""

    file: Path
    release: Path
    suite_path: str
    name: str


class Apt:
    """apt for one architecture, with its own state below `directory` and this host's sources.

    With `suite`, only packages of that suite, its updates and its security archive are taken.
    """

    def __init__(self, directory: Path, architecture: str, suite: str = "") -> None:
        if shutil.which("apt-get") is None:
            raise ResolveError("expected apt-get, this host has none", hint=_NO_APT)
        for name in ("lists/partial", "cache/archives/partial", "log", "preferences.d"):
            (directory / name).mkdir(parents=True, exist_ok=True)
        self._status = directory / "status"
        self._status.touch()
        self._configuration = directory / "apt.conf"
        text = _CONFIGURATION.format(architecture=architecture, state=directory)
        if suite:
            text += _ONE_SUITE.format(state=directory)
            (directory / "preferences").write_text(_PREFERENCES.format(suite=suite))
        self._configuration.write_text(text)

    def _get(self, *words: str) -> str:
        return self._run(["apt-get", "-q", *_SIGNED, *_REMEMBERED, *words])

    def _run(self, argv: list[str], accept: tuple[int, ...] = (0,)) -> str:
        environment = {"APT_CONFIG": str(self._configuration)}
        return run(argv, timeout_s=300, environment=environment, accept=accept).stdout

    def update(self) -> None:
        """Refresh the package lists; apt checks their signatures."""
        self._get("update")

    def closure(self, packages: tuple[str, ...]) -> list[dict[str, str]]:
        """Return `uri`, `file`, `size` and `sha256` of every package that the host lacks for `packages`.

        Raises:
            ResolveError: one comes from an archive that apt takes without a signature.
        """
        listed = self._get("install", "--yes", "-qq", "--print-uris", *packages)
        found = [match.groupdict() for match in map(_URI.match, listed.splitlines()) if match]
        self._check_signed([entry["uri"] for entry in found])
        return found

    def _check_signed(self, uris: list[str]) -> None:
        for line in self._get("indextargets", "--format", _TARGETS).splitlines():
            created_by, trusted, base, entry = line.split("|", 3)
            used = created_by == "Packages" and any(uri.startswith(base) for uri in uris)
            if used and (trusted != "yes" or _is_taken_on_trust(Path(entry.rpartition(":")[0]), base)):
                raise ResolveError(
                    f"expected packages of a signed archive, {base} is none", place=entry, hint=_SIGN_HINT
                )

    def show(self, entries: list[dict[str, str]]) -> dict[str, dict[str, str]]:
        """Return the control fields of the packages of `closure`, by name."""
        names = [f"{name}={version}" for name, version, _ in (file_parts(entry["file"]) for entry in entries)]
        shown = self._run(["apt-cache", *_REMEMBERED, "show", *names]) if names else ""
        stanzas = (dict(_FIELD.findall(stanza)) for stanza in shown.split("\n\n"))
        return {fields["Package"]: fields for fields in stanzas if "Package" in fields}

    def lists(self) -> list[PackageList]:
        """Return every list of packages that apt has; only of archives with an InRelease of one file."""
        form = "$(CREATED_BY)|$(FILENAME)|$(BASE_URI)|$(REPO_URI)|$(METAKEY)"
        found = []
        for line in self._get("indextargets", "--format", form).splitlines():
            created_by, file, base, repository, name = line.split("|", 4)
            stem = file.partition("_" + name.replace("/", "_"))[0]
            release = Path(f"{stem}_InRelease")
            if created_by == "Packages" and release.is_file():
                suite = base.removeprefix(repository).strip("/")
                found.append(PackageList(file=Path(file), release=release, suite_path=suite, name=name))
        return found

    def text(self, file: Path) -> str:
        """Return one of apt's lists, however it is packed."""
        return self._run(["/usr/lib/apt/apt-helper", "cat-file", str(file)])

    def minimal(self) -> list[dict[str, str]]:
        """Return the packages of a minimal system, as `closure` does."""
        return self.closure((_MINIMAL,))

    def assume(self, installed: Iterable[Package]) -> None:
        """Let the host have these packages, in working order: their own dependencies are not looked at."""
        packages = {package.name: package for package in installed}
        shown = (
            self._run(["apt-cache", *_REMEMBERED, "show", "--no-all-versions", *sorted(packages)], (0, 100))
            if packages
            else ""
        )
        provides = dict(_PROVIDES.findall(shown))
        stanzas = [_stanza(package, provides.get(name, "")) for name, package in sorted(packages.items())]
        self._status.write_text("\n".join(stanzas))

    def bases(self) -> list[str]:
        """Return the base URIs of the configured archives, each ending with a slash; then FERRY_DEBIAN_ARCHIVES."""
        listed = self._get("update", "--print-uris")
        found = sorted({match["base"] for match in map(_RELEASE.match, listed.splitlines()) if match})
        return [*found, *(base.rstrip("/") + "/" for base in os.environ.get("FERRY_DEBIAN_ARCHIVES", "").split())]


def _stanza(package: Package, provides: str) -> str:
    """Return a package as dpkg's status file has it; what it provides is taken from the archive's version of it."""
    return (
        f"Package: {package.name}\nStatus: install ok installed\nVersion: {package.version}\n"
        f"Architecture: {package.architecture}\n" + (f"Provides: {provides}\n" if provides else "")
    )


def _is_taken_on_trust(path: Path, base: str) -> bool:
    """Say whether a file of sources lets packages of an archive pass whatever their signature is."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return False
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = "\n".join(lines).split("\n\n") if path.suffix == ".sources" else lines
    return any(base.rstrip("/") in entry and _TRUSTED.search(entry) for entry in entries)


def file_parts(file: str) -> tuple[str, str, str]:
    """Return name, version and architecture of a package by the name that apt gives its file."""
    name, version, architecture = file.removesuffix(".deb").rsplit("_", 2)
    return name, version.replace("%3a", ":"), architecture


def pool_path(uri: str) -> str:
    """Return the part of a package's URI below its archive's base: `pool/...`."""
    _, slash, rest = unquote(uri).partition("/pool/")
    if not slash:
        raise ResolveError(f'expected an archive with a pool, got "{uri}"')
    return "pool/" + rest
