"""The RPM packages of this host, through rpm and plain dnf with Ferry's repository as its only one.

The repository is a directory of links into the content store: every byte of it was checked against the signed manifest
when it came in. dnf checks the packages once more, against the distribution's keys that the bundle brings.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import StepError
from bundler.installer.layout import Layout
from bundler.installer.removal import refuse_harm, removable
from bundler.model.manifest import UNSIGNED
from bundler.model.rpmversion import version_key
from bundler.run import run
from bundler.store import write_file

_QUERY = "%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\\n"
_QUERY_TIMEOUT_S = 120
_DNF_TIMEOUT_S = 1800
# Scriptlets need the programs of the administrator, whoever's PATH this is.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
_DATABASES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_DATABASE_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
KEY = "gpg-pubkey"
_VERBS = {"Installing": "install", "Upgrading": "upgrade", "Downgrading": "downgrade", "Removing": "remove"}
_TABLE = re.compile(r"^Dependencies resolved\.$(.*?)^Transaction Summary$", re.MULTILINE | re.DOTALL)
# Behind it comes what dnf suggests to those who would rather have it by force.
_ERROR = re.compile(r"^Error: *(.*?)(\n\(try to add .*)?\Z", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What dnf would do with a package: `verb` is install, upgrade, downgrade or remove, `name` NAME.ARCHITECTURE."""

    verb: str
    name: str
    version: str

    @property
    def is_harmful(self) -> bool:
        """Whether it takes away what is there."""
        return self.verb in ("downgrade", "remove")


def installed_rpms(layout: Layout) -> dict[str, str] | None:
    """Return the versions of what is installed, by NAME.ARCHITECTURE; None on a host without rpm.

    Raises:
        StepError: rpm does not answer.
    """
    places = [layout.at(f"{database}/{name}") for database in _DATABASES for name in _DATABASE_FILES]
    if shutil.which("rpm") is None or not any(place.is_file() for place in places):
        return None
    found: dict[str, str] = {}
    for name, version, architecture in _query(layout, "--all"):
        # Kernels may be there in several versions.
        known = found.get(f"{name}.{architecture}", version)
        found[f"{name}.{architecture}"] = max(known, version, key=version_key)
    return found


def has_dnf() -> bool:
    """Say whether this host has dnf."""
    return shutil.which("dnf") is not None


def _query(layout: Layout, *words: str) -> list[list[str]]:
    argv = ["rpm", *_root(layout, "--root"), "--query", f"--queryformat={_QUERY}", *words]
    # Status 1: nothing of that name is there.
    listed = run(argv, timeout_s=_QUERY_TIMEOUT_S, accept=(0, 1)).stdout
    return [row for line in listed.splitlines() if len(row := line.split(" ")) == 3]


def _root(layout: Layout, option: str) -> list[str]:
    return [] if layout.root == Path("/") else [f"{option}={layout.root}"]


def own_rpms(layout: Layout) -> tuple[str, ...]:
    """Return the names of what Ferry brought to this host, and of what it was about to when it was cut off."""
    try:
        return tuple(layout.rpms.read_text().split())
    except FileNotFoundError:
        return ()


def record_own(layout: Layout, names: Sequence[str]) -> None:
    """Write down what Ferry brings, before it does."""
    if names:
        write_file(layout.rpms, "".join(f"{name}\n" for name in sorted(set(names))).encode())
    else:
        layout.rpms.unlink(missing_ok=True)


def parse_changes(text: str) -> tuple[Change, ...]:
    """Take the table that `dnf --assumeno` prints; nothing for none."""
    table = _TABLE.search(text)
    changes, verb, name = [], "", ""
    for line in table[1].splitlines() if table else ():
        words = line.split()
        if line.endswith(":") and not line.startswith(" "):
            verb, name = _VERBS.get(line.rstrip(":").split()[0], ""), ""
        elif verb and line.startswith(" ") and words:
            # A long name has a line of its own.
            words = [name, *words] if name else words
            name = words[0] if len(words) == 1 else ""
            if words[0] == "replacing":
                changes.append(Change(verb="remove", name=words[1], version=words[2]))
            elif len(words) > 2:
                changes.append(Change(verb=verb, name=f"{words[0]}.{words[1]}", version=words[2]))
    return tuple(changes)


class HostDnf:
    """dnf of this host; no network, no plugins, and of its settings only those that are not about where and how."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._directory = layout.dnf

    def publish(self, files: Mapping[str, Path]) -> None:
        """Make a repository of files by name."""
        self.withdraw()
        for name, path in files.items():
            place = self._directory / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
        text = "".join(self._section(name) for name in ("", UNSIGNED) if (self._directory / name / "repodata").is_dir())
        write_file(self._directory / "ferry.repo", text.encode())

    def _section(self, name: str) -> str:
        """Return one repository as dnf has it in its configuration."""
        keys = " ".join(f"file://{path}" for path in self._keys())
        check = "gpgcheck=0" if name else f"gpgcheck=1\ngpgkey={keys}"
        title = f"ferry-{name.rstrip('/')}" if name else "ferry"
        return f"[{title}]\nname=Ferry\nbaseurl=file://{self._directory}/{name}\n{check}\n"

    def withdraw(self) -> None:
        """Remove the repository."""
        if self._directory.exists():
            shutil.rmtree(self._directory)

    def new_keys(self) -> list[str]:
        """Return the names under which rpm would keep the repository's keys that this host does not have."""
        with tempfile.TemporaryDirectory(prefix="keys-", dir=self._layout.state) as database:
            words = ["--dbpath", database]
            for path in self._keys():
                run(["rpmkeys", *words, "--import", path], timeout_s=_QUERY_TIMEOUT_S)
            named = _key_names(_query(Layout(), *words, "--all"))
        return sorted(set(named) - set(_key_names(_query(self._layout, KEY))))

    def _keys(self) -> list[Path]:
        return sorted((self._directory / "keys").glob("*.asc"))

    def simulate(self, *words: str) -> tuple[Change, ...]:
        """Return what a command of dnf would change; nothing is.

        Raises:
            StepError: dnf cannot do it; what it says is in the message.
        """
        done = run(self._argv("--assumeno", words), timeout_s=_DNF_TIMEOUT_S, environment=_ENVIRONMENT, accept=(0, 1))
        if done.returncode and "Operation aborted." not in done.stderr:
            told = _ERROR.search(done.stderr.strip())
            raise StepError(told[1].strip() if told else done.stderr.strip())
        return parse_changes(done.stdout)

    def install(self, wishes: Sequence[str]) -> None:
        """Install NAME-VERSION-RELEASE.ARCHITECTURE."""
        self._run("install", *wishes)

    def remove(self, names: Sequence[str]) -> None:
        """Remove packages, and keys."""
        keys = [name for name in names if name.startswith(f"{KEY}-")]
        rest = [name for name in names if name not in keys]
        if rest:
            self._run("remove", *rest)
        if keys:
            run(["rpm", *_root(self._layout, "--root"), "--erase", *keys], timeout_s=_QUERY_TIMEOUT_S)

    def _run(self, *words: str) -> None:
        run(self._argv("--assumeyes", words), timeout_s=_DNF_TIMEOUT_S, environment=_ENVIRONMENT)

    def _argv(self, answer: str, words: Sequence[str]) -> list[str]:
        # On the command line, because there they win over what the host configures.
        options = {
            "reposdir": self._directory,
            "cachedir": self._directory / "cache",
            "gpgcheck": "1",
            "localpkg_gpgcheck": "1",
            "best": "1",
            "install_weak_deps": "0",
            "clean_requirements_on_remove": "0",
            "exit_on_lock": "1",
            "keepcache": "1",
        }
        argv = ["dnf", *_root(self._layout, "--installroot"), "--noplugins", answer]
        return [*argv, *(f"--setopt={name}={value}" for name, value in options.items()), *words]


def _key_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return keys by the names that rpm takes; their version may look as if it had an epoch."""
    return [f"{name}-{version.rpartition(':')[2]}" for name, version, _ in rows if name == KEY]


def check_changes(changes: Sequence[Change]) -> None:
    """Refuse what would take a package of the host away.

    Raises:
        HostError: names them.
    """
    told = [
        f"downgrade {one.name} to {one.version}" if one.verb == "downgrade" else f"remove {one.name}"
        for one in changes
        if one.is_harmful
    ]
    refuse_harm(told, program="dnf", place="rpms")


def remove_own(layout: Layout) -> None:
    """Remove what Ferry brought, except what packages of others came to need.

    Raises:
        StepError: dnf does not do it.
    """
    remove_rpms(layout, own_rpms(layout))
    record_own(layout, ())


def remove_rpms(layout: Layout, names: Sequence[str]) -> None:
    """Remove those of the packages and keys that are there and that no package of others needs.

    Raises:
        StepError: dnf does not do it.
    """
    if not names:
        return
    dnf = HostDnf(layout)
    rows = _query(layout, "--all")
    keys = [name for name in _key_names(rows) if name in names]
    here = {f"{name}.{architecture}" for name, _, architecture in rows}
    dnf.remove([*removable(goes_with(dnf), [name for name in names if name in here]), *keys])


def goes_with(dnf: HostDnf) -> Callable[[Sequence[str]], set[str]]:
    """Return what asks which packages would go with some."""
    return lambda names: {change.name for change in dnf.simulate("remove", *names)}
