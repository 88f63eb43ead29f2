"""Where everything of Ferry stands on an isolated host, below a root that tests may move."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MARK = "# Written by Ferry."
PREFIX = "ferry-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The host's directories; `root` is `/` but for tests."""

    root: Path = Path("/")

    def at(self, path: str) -> Path:
        """Return where an absolute path of the host stands."""
        return self.root / path.lstrip("/")

    @property
    def state(self) -> Path:
        """What Ferry knows: store, journal, releases."""
        return self.at("/var/lib/ferry")

    @property
    def store(self) -> Path:
        """The content store, an OCI image layout."""
        return self.state / "store"

    @property
    def journal(self) -> Path:
        """One file for each run that changed something."""
        return self.state / "journal"

    def pending(self, number: int) -> Path:
        """What only root may read: how to finish the install that began with a run, or to take it back."""
        return self.state / f"pending-{number:06}.json"

    @property
    def records(self) -> Path:
        """One record for each release: `N.json`."""
        return self.state / "releases"

    @property
    def apt(self) -> Path:
        """A small apt repository: links to the debs of the bundle."""
        return self.state / "apt"

    @property
    def packages(self) -> Path:
        """The names of the Debian packages that Ferry brought."""
        return self.state / "packages"

    @property
    def masks(self) -> Path:
        """The units that Ferry masked, each with its Debian package."""
        return self.state / "masks"

    @property
    def dnf(self) -> Path:
        """A small RPM repository: links to the rpms of the bundle."""
        return self.state / "dnf"

    @property
    def rpms(self) -> Path:
        """The names of the RPM packages that Ferry brought, and of their keys."""
        return self.state / "rpms"

    @property
    def drivers(self) -> Path:
        """Records of the drivers that Ferry brought, `VENDOR.json`, and what their packages said."""
        return self.state / "drivers"

    @property
    def images(self) -> Path:
        """The names that Ferry gave to images in the container runtime."""
        return self.state / "images"

    @property
    def memory(self) -> Path:
        """What only root may read: the host's marks, and the secret that seals them."""
        return self.state / "memory"

    @property
    def marks(self) -> Path:
        """The sealed marks."""
        return self.memory / "marks.json"

    @property
    def secret(self) -> Path:
        """The secret that seals them."""
        return self.memory / "secret"

    @property
    def audit(self) -> Path:
        """The audit log; what was rotated out stands beside it, numbered."""
        return self.state / "audit" / "audit.jsonl"

    @property
    def receipt(self) -> Path:
        """What only root may read: the key that signs this host's receipts, and the secret that seals it."""
        return self.state / "receipt"

    @property
    def inbox(self) -> Path:
        """Where bundles are put that wait for the maintenance window; those that were handled stand below."""
        return self.state / "inbox"

    @property
    def inbox_settings(self) -> Path:
        """What the operator chose for the inbox."""
        return self.settings / "inbox.json"

    @property
    def rendered(self) -> Path:
        """The configuration of the escort, `SERVICE/FILE`."""
        return self.state / "rendered"

    @property
    def secrets(self) -> Path:
        """Credentials of services, `SERVICE/NAME`, which root alone may read."""
        return self.state / "secrets"

    @property
    def certificate(self) -> Path:
        """The gateway's certificate, for clients to trust."""
        return self.settings / "gateway.crt"

    @property
    def programs(self) -> Path:
        """What runs: release trees and toolchains."""
        return self.at("/opt/ferry")

    @property
    def toolchains(self) -> Path:
        """The Pythons that run Ferry itself, each by the digest of its content."""
        return self.programs / "toolchains"

    @property
    def trees(self) -> Path:
        """One directory for each release: `N/root`."""
        return self.programs / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that runs."""
        return self.programs / "current"

    @property
    def settings(self) -> Path:
        """The operator's settings, `NAME.env`."""
        return self.at("/etc/ferry")

    @property
    def trust(self) -> Path:
        """What this host trusts: `root.json`, or `KEYID.pem` and `KEYID.crt`."""
        return self.settings / "trust"

    @property
    def units(self) -> Path:
        """Where an administrator's units stand."""
        return self.at("/etc/systemd/system")

    @property
    def launcher(self) -> Path:
        """The command `ferry` of this host."""
        return self.at("/usr/local/bin/ferry")

    @property
    def run(self) -> Path:
        """What is forgotten at a reboot: the lock, and what each service was started with."""
        return self.at("/run/ferry")

    @property
    def own(self) -> tuple[Path, ...]:
        """The directories in which Ferry writes single files."""
        store = (self.store, self.store / "blobs/sha256", self.store / "known")
        return (self.state, self.records, self.programs, self.settings, self.trust, self.run, *store)

    def data(self, name: str) -> tuple[Path, ...]:
        """Return where a service may have left data: links first, then what they lead to."""
        places = ("/var/lib", "/var/cache", "/var/lib/private", "/var/cache/private")
        return tuple(self.at(f"{place}/{PREFIX}{name}") for place in places)


def unit_name(service: str) -> str:
    """Return the unit of a service."""
    return f"{PREFIX}{service}.service"


def service_name(unit: str) -> str:
    """Return the service of a unit."""
    return unit.removeprefix(PREFIX).removesuffix(".service")
