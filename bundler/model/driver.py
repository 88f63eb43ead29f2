"""Vendors' drivers: what one package is, what a payload asks of a driver, and how versions compare."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bundler.model.document import LINE, LINE_WORDS, Fields, describe

# Each vendor by its name in a recipe: its number on PCI, and what a payload may say it was built for.
VENDORS = {
    "nvidia": ("10de", ("cuda", "driver")),
    "ascend": ("19e5", ("cann", "torch_npu", "driver")),
    "cambricon": ("cabc", ("cntoolkit", "driver")),
    "iluvatar": ("1e3e", ("corex", "driver")),
}
VENDOR = "|".join(VENDORS)
VENDOR_WORDS = f"one of {', '.join(VENDORS)}"
VERSION = "[0-9][0-9A-Za-z._-]{0,63}"
VERSION_WORDS = "a version that starts with a digit"
DEVICE = "[0-9a-f]{4}"
DEVICE_WORDS = "four lower-case hex digits of PCI"
SYSTEM = "[a-z0-9][a-z0-9._-]{0,39}"
SYSTEM_WORDS = "ID or ID-VERSION of os-release"
RANGE = r"(>=|<=|>|<|==)[0-9]+(\.[0-9]+){0,3}"
KERNELS = f"({RANGE}(,{RANGE})*)?"
KERNELS_WORDS = 'a range of kernels like ">=5.4,<6.9"'
# Words of a command: no control characters, no blanks at an end, nothing beyond ASCII.
WORD = "[!-~]([ -~]{0,198}[!-~])?"
WORD_WORDS = "a word of printable ASCII"
TOOL = "[a-z0-9][a-z0-9+.-]{0,39}"
FILE = "{file}"
# A file's name on the host, and an argument there.
FILE_NAME = "[0-9A-Za-z][0-9A-Za-z._+~-]{0,199}"
FILE_NAME_WORDS = "the name of a file, of letters, digits and ._+~-"
_PROGRAM = re.compile("sh|dpkg|rpm|nvidia-uninstall|/(usr|opt)/[!-~]+")
_PIECE = re.compile("([0-9]+)|([a-z]+)")
# What comes before a release: all other letters come behind it.
_BEFORE = {"dev": -5, "alpha": -4, "a": -4, "beta": -3, "b": -3, "rc": -2}
VersionKey = tuple[tuple[int, str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverPackage:
    """What a driver's package is, and how it is handled.

    `cards` are PCI devices, `kernels` a range, `systems` as ID or ID-VERSION of os-release: empty for all. `install`,
    `upgrade` and `uninstall` are commands with `{file}` for the package; an empty `upgrade` is `install`, an empty
    `uninstall` means that nobody knows one. `tools` are the programs that its build of modules needs beside the
    kernel's headers (`headers`), `conflicts` modules that must not be loaded. With `signed`, the host's secure boot
    knows its modules. `reboot` says that it works after a reboot only, `statuses` with which it ends when all is well.
    """

    vendor: str
    version: str
    install: tuple[str, ...]
    upgrade: tuple[str, ...] = ()
    uninstall: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    kernels: str = ""
    systems: tuple[str, ...] = ()
    headers: bool = True
    tools: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    signed: bool = False
    reboot: bool = False
    statuses: tuple[str, ...] = ("0",)

    @property
    def pci(self) -> str:
        """The number of its vendor on PCI."""
        return VENDORS[self.vendor][0]


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverNeed:
    """The oldest driver of a vendor that the payload works with; `because` says in words how that is known."""

    vendor: str
    minimum: str
    because: str
    verified: bool = True


def version_key(version: str) -> VersionKey:
    """Return what sorts as vendors count: 24.1.rc2 < 24.1.RC3 < 24.1 < 24.1.0 < 24.1.0.1 < 25.0.rc1."""
    key: list[tuple[int, str, int]] = []
    for digits, letters in _PIECE.findall(version.lower()):
        if digits:
            if key and key[-1][1] and key[-1][2] < 0:
                key[-1] = (key[-1][0], key[-1][1], int(digits))
            else:
                key.append((1, "", int(digits)))
        elif letters != "v" or key:
            key.append((_BEFORE.get(letters, 2), letters, -1))
    return (*key, (0, "", 0))


def kernel_fits(kernel: str, kernels: str) -> bool:
    """Say whether a kernel, as `uname -r` names it, is in a range; each bound counts as far as it is written."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", kernel)
    has = [int(part) for part in match[0].split(".")] if match else []
    for bound in filter(None, kernels.split(",")):
        sign, *parts = re.findall(r"[<>=]+|[0-9]+", bound)
        wanted = [int(part) for part in parts]
        cut = (has + [0] * len(wanted))[: len(wanted)]
        order = (cut > wanted) - (cut < wanted)
        if not {">=": order >= 0, "<=": order <= 0, ">": order > 0, "<": order < 0, "==": order == 0}[sign]:
            return False
    return True


def system_fits(identity: str, version: str, systems: tuple[str, ...]) -> bool:
    """Say whether a system, by ID and VERSION_ID of os-release, is among those of a package."""
    return not systems or identity in systems or f"{identity}-{version}" in systems


def driver_package(fields: Fields) -> DriverPackage:
    """Take a package from a lock or a manifest.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    return DriverPackage(
        vendor=fields.text("vendor", match=VENDOR, what=VENDOR_WORDS),
        version=fields.text("version", match=VERSION, what=VERSION_WORDS),
        install=command(fields, "install"),
        upgrade=command(fields, "upgrade", []),
        uninstall=command(fields, "uninstall", []),
        cards=fields.texts("cards", [], match=DEVICE, what=DEVICE_WORDS),
        kernels=fields.text("kernels", "", match=KERNELS, what=KERNELS_WORDS),
        systems=fields.texts("systems", [], match=SYSTEM, what=SYSTEM_WORDS),
        headers=fields.flag("headers"),
        tools=fields.texts("tools", [], match=TOOL, what="the name of a program"),
        conflicts=fields.texts("conflicts", [], match="[a-z0-9_]{1,40}", what="the name of a module"),
        signed=fields.flag("signed", False),
        reboot=fields.flag("reboot", False),
        statuses=statuses(fields),
    )


def statuses(fields: Fields) -> tuple[str, ...]:
    """Take the statuses with which a command ends when all went well: 0, or those that are listed."""
    return fields.texts("statuses", ["0"], match="0|[1-9][0-9]{0,2}", what="the status of a program in quotes")


def command(fields: Fields, key: str, default: object = None) -> tuple[str, ...]:
    """Take a command: a program that may handle packages, and words; one that has a default may be empty."""
    given = {} if default is None else {"default": default}
    words = fields.texts(key, **given, match=WORD, what=WORD_WORDS)
    if not words and default is not None:
        return ()
    if not words or not _PROGRAM.fullmatch(words[0]) or ".." in words[0].split("/"):
        got = describe(words[0]) if words else "nothing"
        expected = "expected sh, dpkg, rpm, nvidia-uninstall or a path below /usr or /opt"
        raise fields.refuse(key, f"{expected} as the program, got {got}")
    if key != "uninstall" and words.count(FILE) != 1:
        raise fields.refuse(key, f'expected the word "{FILE}" once, got it {words.count(FILE)} times')
    return words


def driver_package_document(package: DriverPackage) -> dict[str, Any]:
    """Return a package as it stands in a lock or a manifest: what is as usual is left out."""
    document: dict[str, Any] = {
        "vendor": package.vendor,
        "version": package.version,
        "install": list(package.install),
        "headers": package.headers,
    }
    for name in ("upgrade", "uninstall", "cards", "systems", "tools", "conflicts"):
        document |= {name: list(getattr(package, name))} if getattr(package, name) else {}
    document |= {"statuses": list(package.statuses)} if package.statuses != ("0",) else {}
    for name in ("kernels", "signed", "reboot"):
        document |= {name: getattr(package, name)} if getattr(package, name) else {}
    return document


def driver_need(fields: Fields) -> DriverNeed:
    """Take what a payload asks of a driver from a lock or a manifest."""
    return DriverNeed(
        vendor=fields.text("vendor", match=VENDOR, what=VENDOR_WORDS),
        minimum=fields.text("minimum", match=VERSION, what=VERSION_WORDS),
        because=fields.text("because", match=LINE, what=LINE_WORDS),
        verified=fields.flag("verified", True),
    )


def driver_need_document(need: DriverNeed) -> dict[str, Any]:
    """Return it as it stands in a lock or a manifest."""
    document: dict[str, Any] = {"vendor": need.vendor, "minimum": need.minimum, "because": need.because}
    return document if need.verified else document | {"verified": False}
