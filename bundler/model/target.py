"""The description of an isolated host. None means: not known; an empty tuple: known to be none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bundler.model.document import Fields, describe
from bundler.model.platform import Platform, platform_of_machine

T = TypeVar("T")
TARGET_FORMAT = "ferry/target/v1"
# Source: the PCI ID repository; Cambricon's number is not confirmed.
VENDORS = {"10de": "NVIDIA", "19e5": "Ascend", "1e3e": "Iluvatar", "cabc": "Cambricon"}
PACKAGE_FORMATS = {"apt": "deb", "dpkg": "deb", "dnf": "rpm", "yum": "rpm", "zypper": "rpm", "rpm": "rpm", "none": None}
_LINE = "[ -~]{1,200}"
_LINE_WORDS = "one line of printable ASCII"
_WORD = "[!-~]{1,200}"
_WORD_WORDS = "one word of printable ASCII"
_NUMBERED = r"[0-9]+(\.[0-9]+)*[!-~]{0,100}"
_NUMBERED_WORDS = "a version that starts with a number"
_ID = "[0-9a-f]{4}"
_ID_WORDS = "four lower-case hex digits of PCI"
_PATH = "/[!-~]{0,200}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingSystem:
    """What os-release says: ID, VERSION_ID, PRETTY_NAME, and the codename or service pack."""

    id: str | None
    version: str | None
    name: str | None
    codename: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Versioned:
    """A program of the host, and its version."""

    name: str | None
    version: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSystem:
    """The file system that holds `path`."""

    path: str
    free_bytes: int | None
    free_inodes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """Cards of one kind, by PCI vendor and device in hex."""

    vendor: str
    device: str
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """The version that a vendor's driver says of itself."""

    vendor: str
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """An installed package, in the words of dpkg or rpm."""

    name: str
    version: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.architecture}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Security:
    """Secure boot (on, off, none without UEFI), SELinux and AppArmor."""

    secure_boot: str | None
    selinux: str | None
    apparmor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An isolated host.

    `name` is that of a stock target or of the file; `sha256` that of the document. Unknown `packages` mean that
    nothing beyond the distribution's minimal system may be counted on.
    """

    name: str
    os: OperatingSystem
    machine: str | None
    kernel: str | None
    glibc: str | None
    init: Versioned
    runtimes: tuple[Versioned, ...] | None
    file_systems: tuple[FileSystem, ...]
    memory_bytes: int | None
    cpus: int | None
    cpu_flags: tuple[str, ...] | None
    package_manager: str | None
    accelerators: tuple[Accelerator, ...] | None
    device_nodes: tuple[str, ...] | None
    drivers: tuple[Driver, ...] | None
    security: Security
    python: str | None
    packages: tuple[Package, ...] | None
    sha256: str

    @property
    def platform(self) -> Platform | None:
        """The platform of the machine, None when it is unknown or not one that Ferry carries."""
        return platform_of_machine(self.machine or "")

    @property
    def package_format(self) -> str | None:
        """Return deb or rpm, None when neither or unknown."""
        return PACKAGE_FORMATS.get(self.package_manager or "none")

    def driver_version(self, vendor: str) -> str | None:
        """Return the version of a vendor's driver, None when none answered."""
        return next((driver.version for driver in self.drivers or () if driver.vendor == vendor), None)

    def free_bytes(self, path: str) -> int | None:
        """Return what is free on the file system of `path`, None when it is not known."""
        return next((one.free_bytes for one in self.file_systems if one.path == path), None)


def parse_target(fields: Fields, *, name: str, sha256: str) -> Target:
    """Take a target from its document; what is not known must be there as null.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    fields.text("format", match=TARGET_FORMAT, what=f'"{TARGET_FORMAT}"')
    target = Target(
        name=name,
        os=_os(fields.mapping("os")),
        machine=_text(fields, "machine", "[0-9A-Za-z_]{1,32}", "what uname -m says"),
        kernel=_text(fields, "kernel", _NUMBERED, _NUMBERED_WORDS),
        glibc=_text(fields, "glibc", r"[0-9]+\.[0-9]+(\.[0-9]+)*", 'a version like "2.36"'),
        init=_init(fields.mapping("init")),
        runtimes=_known(fields, "runtimes", lambda: fields.each("runtimes", _versioned)),
        file_systems=fields.each("file_systems", _file_system),
        memory_bytes=_known(fields, "memory_bytes", lambda: fields.integer("memory_bytes", least=1)),
        cpus=_known(fields, "cpus", lambda: fields.integer("cpus", least=1)),
        cpu_flags=_words(fields, "cpu_flags"),
        package_manager=_text(fields, "package_manager", "|".join(PACKAGE_FORMATS), ", ".join(PACKAGE_FORMATS)),
        accelerators=_known(fields, "accelerators", lambda: fields.each("accelerators", _accelerator)),
        device_nodes=_words(fields, "device_nodes", _PATH, "an absolute path"),
        drivers=_known(fields, "drivers", lambda: fields.each("drivers", _driver)),
        security=_security(fields.mapping("security")),
        python=_text(fields, "python", f"none|{_NUMBERED}", f"none or {_NUMBERED_WORDS}"),
        packages=_known(fields, "packages", lambda: _packages(fields)),
        sha256=sha256,
    )
    fields.close()
    paths = [one.path for one in target.file_systems]
    if len(set(paths)) != len(paths):
        raise fields.refuse("file_systems", "a path stands twice")
    return target


def _known(fields: Fields, key: str, take: Callable[[], T]) -> T | None:
    return None if fields.nothing(key) else take()


def _text(fields: Fields, key: str, match: str = _LINE, what: str = _LINE_WORDS) -> str | None:
    return _known(fields, key, lambda: fields.text(key, match=match, what=what))


def _words(fields: Fields, key: str, match: str = _WORD, what: str = _WORD_WORDS) -> tuple[str, ...] | None:
    return _known(fields, key, lambda: fields.texts(key, match=match, what=what))


def _os(fields: Fields) -> OperatingSystem:
    system = OperatingSystem(
        id=_text(fields, "id"),
        version=_text(fields, "version"),
        name=_text(fields, "name"),
        codename=_text(fields, "codename"),
    )
    fields.close()
    return system


def _init(fields: Fields) -> Versioned:
    init = Versioned(name=_text(fields, "name"), version=_text(fields, "version"))
    fields.close()
    return init


def _versioned(fields: Fields) -> Versioned:
    return Versioned(name=fields.text("name", match=_WORD, what=_WORD_WORDS), version=_text(fields, "version"))


def _file_system(fields: Fields) -> FileSystem:
    return FileSystem(
        path=fields.text("path", match=_PATH, what="an absolute path"),
        free_bytes=_known(fields, "free_bytes", lambda: fields.integer("free_bytes")),
        free_inodes=_known(fields, "free_inodes", lambda: fields.integer("free_inodes")),
    )


def _accelerator(fields: Fields) -> Accelerator:
    return Accelerator(
        vendor=fields.text("vendor", match=_ID, what=_ID_WORDS),
        device=fields.text("device", match=_ID, what=_ID_WORDS),
        count=fields.integer("count", least=1, most=999),
    )


def _driver(fields: Fields) -> Driver:
    return Driver(
        vendor=fields.text("vendor", match=_ID, what=_ID_WORDS),
        version=fields.text("version", match=_WORD, what=_WORD_WORDS),
    )


def _security(fields: Fields) -> Security:
    security = Security(
        secure_boot=_text(fields, "secure_boot", "on|off|none", "on, off or none"),
        selinux=_text(fields, "selinux", "enforcing|permissive|disabled", "enforcing, permissive or disabled"),
        apparmor=_text(fields, "apparmor", "enabled|disabled", "enabled or disabled"),
    )
    fields.close()
    return security


def _packages(fields: Fields) -> tuple[Package, ...]:
    found = []
    for index, text in enumerate(fields.texts("packages")):
        words = text.split(" ")
        if len(words) != 3 or not all(word.isascii() and word.isprintable() and word for word in words):
            raise fields.refuse(f"packages[{index}]", f"expected NAME VERSION ARCHITECTURE, got {describe(text)}")
        found.append(Package(name=words[0], version=words[1], architecture=words[2]))
    return tuple(found)


def target_document(target: Target) -> dict[str, Any]:
    """Return a target as its document; `name` and `sha256` are not in it."""
    document = _plain(target)
    packages = None if target.packages is None else [str(package) for package in target.packages]
    return (
        {"format": TARGET_FORMAT}
        | {k: v for k, v in document.items() if k not in ("name", "sha256")}
        | {"packages": packages}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    slots = getattr(value, "__slots__", None)
    return {name: _plain(getattr(value, name)) for name in slots} if slots else value
