"""Pure parsers of what vendors' tools print and vendors' drivers write: the driver's version, and the cards."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bundler.model.driver import VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """A card, or one of the chips on it: its number, its name, and its place on PCI."""

    index: int
    name: str
    bus: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What a tool says: the version of the driver, None where it does not, and the chips."""

    driver: str | None
    chips: tuple[Chip, ...] = ()


_BUS = "[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}[.][0-7]"
_NVRM = re.compile(r"^NVRM version:.*?\s([0-9]+\.[0-9.]*[0-9])\s", re.MULTILINE)
_NVIDIA_QUERY = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)+)\s*$", re.MULTILINE)
_NVIDIA_BANNER = re.compile(r"Driver Version: *([0-9][0-9.]*)")
_ASCEND_FILE = re.compile(r"^[Vv]ersion=([^\s]+)\s*$", re.MULTILINE)
_ASCEND_BANNER = re.compile(r"^\| npu-smi .*?Version: *([^ |]+)", re.MULTILINE)
# Its board view, and the first line of a record.
_ASCEND_BOARD = re.compile(r"^\s*Software Version\s*: *([^ ]+)\s*$", re.MULTILINE)
_ASCEND_ROWS = re.compile(
    rf"^\| *([0-9]+) +([^ |]+) *\|[^|]*\|[^|]*\|\s*\n\| *[0-9]+(?: +[0-9]+)? *\| *({_BUS}) *\|", re.MULTILINE
)
_CNMON = re.compile(r"^\| CNMON .*Driver v?([0-9][^ |]*)", re.MULTILINE)
_CNMON_ROWS = re.compile(rf"^\| *([0-9]+) +[0-9]*/[0-9]* +([^ |]+) +[^|]*\| *({_BUS}) *\|", re.MULTILINE)
_IXSMI = re.compile(r"^\|.*Driver Version: *([0-9][^ |]*)", re.MULTILINE)
_IXSMI_ROWS = re.compile(rf"^\| *([0-9]+) +(Iluvatar [^|]*?) *\| *({_BUS}) *\|", re.MULTILINE)


def _nvidia_version(text: str) -> Seen:
    return Seen(driver=_first(text, _NVRM))


def _nvidia(text: str) -> Seen:
    return Seen(driver=_first(text, _NVIDIA_QUERY, _NVIDIA_BANNER))


def _ascend_version(text: str) -> Seen:
    return Seen(driver=_first(text, _ASCEND_FILE))


def _ascend(text: str) -> Seen:
    return Seen(driver=_first(text, _ASCEND_BANNER, _ASCEND_BOARD), chips=_chips(text, _ASCEND_ROWS))


def _cambricon(text: str) -> Seen:
    return Seen(driver=_first(text, _CNMON), chips=_chips(text, _CNMON_ROWS))


def _iluvatar(text: str) -> Seen:
    return Seen(driver=_first(text, _IXSMI), chips=_chips(text, _IXSMI_ROWS))


PARSERS: Mapping[str, Callable[[str], Seen]] = {
    "nvidia-version": _nvidia_version,
    "nvidia-smi": _nvidia,
    "ascend-version": _ascend_version,
    "npu-smi": _ascend,
    "cnmon": _cambricon,
    "ixsmi": _iluvatar,
}


def parse(parser: str, text: str) -> Seen:
    """Return what a text says; what is not understood is left out, never guessed."""
    return PARSERS[parser](text)


def _first(text: str, *patterns: re.Pattern[str]) -> str | None:
    """Return the first version that a pattern finds, if it is one."""
    for pattern in patterns:
        match = pattern.search(text)
        if match and re.fullmatch(VERSION, match[1]):
            return match[1]
    return None


def _chips(text: str, pattern: re.Pattern[str]) -> tuple[Chip, ...]:
    return tuple(Chip(index=int(index), name=name, bus=bus.lower()) for index, name, bus in pattern.findall(text))
