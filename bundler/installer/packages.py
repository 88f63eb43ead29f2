"""The Debian packages of this host, through dpkg-query and plain apt-get with sources of its own.

The repository is a directory of links into the content store. It needs no signature (`trusted=yes`): every byte of
it was checked against the signed manifest when it came in.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.installer.layout import Layout
from bundler.installer.masks import unmask
from bundler.installer.removal import refuse_harm, removable
from bundler.model.debian import version_key
from bundler.model.platform import platform_of_machine
from bundler.run import run
from bundler.store import write_file

_QUERY = "${db:Status-Status} ${Package} ${Version} ${Architecture}\n"
_QUERY_TIMEOUT_S = 60
_APT_TIMEOUT_S = 1800
# Maintainer scripts need the programs of the administrator, whoever's PATH this is.
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"}
_CHANGE = re.compile(r"^(Inst|Remv|Purg) (\S+)(?: \[([^]]+)\])?(?: \((\S+))?", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What apt would do with a package: `old` and `new` are versions, "" for none."""

    name: str
    old: str
    new: str

    @property
    def is_harmful(self) -> bool:
        """Whether it takes away what is there: removes it, or puts an older version in its place."""
        return not self.new or bool(self.old and version_key(self.new) < version_key(self.old))


def installed_packages(layout: Layout, machine: str) -> dict[str, str] | None:
    """Return the versions of what is installed for this machine, by name; None on a host without dpkg.

    Raises:
        StepError: dpkg-query does not answer.
    """
    if not layout.at("/var/lib/dpkg/status").is_file():
        return None
    platform = platform_of_machine(machine)
    native = ("all", platform.debian if platform else "")
    return {
        name: version
        for state, name, version, architecture in _query(layout)
        if state == "installed" and architecture in native
    }


def known_packages(layout: Layout) -> frozenset[str]:
    """Return the names of what is there in any state, also half installed.

    Raises:
        StepError: dpkg-query does not answer.
    """
    return frozenset(name for state, name, *_ in _query(layout) if state != "not-installed")


def _query(layout: Layout) -> list[list[str]]:
    argv = ["dpkg-query", f"--admindir={layout.at('/var/lib/dpkg')}", "--show", f"--showformat={_QUERY}"]
    # Status 1: nothing is known at all.
    listed = run(argv, timeout_s=_QUERY_TIMEOUT_S, accept=(0, 1)).stdout
    return [row for line in listed.splitlines() if len(row := line.split(" ")) == 4]


def own_packages(layout: Layout) -> tuple[str, ...]:
    """Return the names of what Ferry brought to this host, and of what it was about to when it was cut off."""
    try:
        return tuple(layout.packages.read_text().split())
    except FileNotFoundError:
        return ()


def record_own(layout: Layout, names: Sequence[str]) -> None:
    """Write down what Ferry brings, before it does."""
    if names:
        write_file(layout.packages, "".join(f"{name}\n" for name in sorted(set(names))).encode())
    else:
        layout.packages.unlink(missing_ok=True)


def parse_changes(text: str) -> tuple[Change, ...]:
    """Take what `apt-get --simulate` prints."""
    return tuple(
        Change(name=name, old=old, new=new if verb == "Inst" else "") for verb, name, old, new in _CHANGE.findall(text)
    )


class HostApt:
    """apt-get of this host with Ferry's repository as its only source; no network, no list of its own changes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._directory = layout.apt

    def publish(self, files: Mapping[str, Path]) -> None:
        """Make a repository of files by name, and let apt read its lists."""
        self.withdraw()
        self._directory.mkdir(parents=True)
        for name, path in files.items():
            (self._directory / name).symlink_to(path)
        write_file(self._directory / "ferry.list", f"deb [trusted=yes] file:{self._directory} ./\n".encode())
        self._get("update")

    def withdraw(self) -> None:
        """Remove the repository."""
        if self._directory.exists():
            shutil.rmtree(self._directory)

    def simulate(self, *words: str) -> tuple[Change, ...]:
        """Return what a command of apt-get would change; nothing is."""
        return parse_changes(self._get("--simulate", *words))

    def install(self, wishes: Sequence[str]) -> None:
        """Install NAME=VERSION."""
        self._get("install", *wishes)

    def purge(self, names: Sequence[str]) -> None:
        """Remove packages with their configuration."""
        if names:
            self._get("purge", *names)

    def settle(self) -> None:
        """Let dpkg finish what was cut off, as far as it can: what still lacks a package waits for apt."""
        run(["dpkg", "--configure", "-a"], timeout_s=_APT_TIMEOUT_S, environment=_ENVIRONMENT, accept=(0, 1))

    def _get(self, *words: str) -> str:
        state = self._directory / "state"
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        # On the command line, because there they win over what the host configures.
        options = {
            "Dir::Etc::sourcelist": self._directory / "ferry.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::status": self._layout.at("/var/lib/dpkg/status"),
            "Dir::State::lists": state / "lists",
            "Dir::Cache": state / "cache",
            "APT::Sandbox::User": "root",
            "APT::Get::AutomaticRemove": "false",
            "Acquire::Check-Date": "false",
            "Acquire::Languages": "none",
        }
        argv = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
        argv += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return run([*argv, *words], timeout_s=_APT_TIMEOUT_S, environment=_ENVIRONMENT).stdout


def check_changes(changes: Sequence[Change]) -> None:
    """Refuse what would take a package of the host away.

    Raises:
        HostError: names them.
    """
    told = [
        f"downgrade {one.name} from {one.old} to {one.new}" if one.new else f"remove {one.name}"
        for one in changes
        if one.is_harmful
    ]
    refuse_harm(told, program="apt", place="packages")


def remove_own(layout: Layout) -> None:
    """Purge what Ferry brought, except what packages of others came to need.

    Raises:
        StepError: apt does not do it.
    """
    purge_own(layout, own_packages(layout))
    record_own(layout, ())


def purge_own(layout: Layout, names: Sequence[str]) -> None:
    """Purge those of the packages that are there and that no package of others needs.

    Raises:
        StepError: apt does not do it.
    """
    if not names:
        return
    apt = HostApt(layout)
    apt.settle()
    known = known_packages(layout)
    apt.purge(removable(goes_with(apt), [name for name in names if name in known]))
    unmask(layout, known_packages(layout))


def goes_with(apt: HostApt) -> Callable[[Sequence[str]], set[str]]:
    """Return what asks which packages would go with some."""
    return lambda names: {change.name for change in apt.simulate("purge", *names)}
