"""The short form of a target: one line of less than 200 characters, small enough to type or for a QR code.

Words, in order: F1, ID and VERSION_ID, codename, machine, kernel, glibc, init:version, package manager, container
runtimes name:version, accelerators vendor:deviceXcount@driver, free GB of / and /var/lib and /opt, check characters.
"-" is what is not known. probe.sh writes the same line.
"""

from __future__ import annotations

import re
from typing import Any

from bundler.errors import RecipeError
from bundler.model.target import Target, Versioned
from bundler.target.described import describe_target

MARK = "F1"
PATHS = ("/", "/var/lib", "/opt")
_WORDS = 13
_UNKNOWN = "-"
_NONE = "none"
_LONGEST_BODY = 190
_GIGABYTE = 10**9
_CARD = re.compile("([0-9a-f]{4}):([0-9a-f]{4})x([1-9][0-9]{0,2})@([!-~]+)")
_PLACE = "short form"
_POLYNOMIAL = 0x04C11DB7


def is_short(text: str) -> bool:
    """Say whether a text means to be a short form."""
    return re.match(r"F[0-9]+\s", text) is not None


def format_short(target: Target) -> str:
    """Return the short form; what is too long for it is cut, or left out as unknown."""
    init = f"{_word(target.init.name, 12)}:{_word(target.init.version, 6)}"
    os = [_word(target.os.id, 12), _word(target.os.version, 10), _word(target.os.codename, 10)]
    head = [MARK, *os, _word(target.machine, 8), _word(target.kernel, 36), _word(target.glibc, 6), init]
    head.append(_word(target.package_manager, 6))
    tail = [_cards(target), "/".join(_gigabytes(target.free_bytes(path)) for path in PATHS)]
    line = " ".join([*head, _runtimes(target), *tail])
    if len(line) > _LONGEST_BODY:
        line = " ".join([*head, _UNKNOWN, *tail])
    return f"{line} {_check(line)}"


def parse_short(text: str) -> Target:
    """Parse a short form; how many blanks stand between its words does not matter.

    Raises:
        RecipeError: a character is wrong, or it is of another version.
    """
    words = text.split()
    if words[:1] != [MARK]:
        hint = "the host's probe and this Ferry differ in version"
        raise RecipeError(f'expected "{MARK}" first, got "{"".join(words[:1])}"', place=_PLACE, hint=hint)
    if len(words) != _WORDS:
        raise RecipeError(
            f"expected {_WORDS} words, got {len(words)}", place=_PLACE, hint="a word is missing, or a blank too many"
        )
    expected = _check(" ".join(words[:-1]))
    if words[-1].lower() != expected:
        raise RecipeError(
            "the check characters do not fit: at least one character differs from the host's line",
            place=_PLACE,
            hint="compare it with the host's line character by character: 0 and O, 1 and l, 5 and S",
        )
    known = _document(words[1:-1])
    return describe_target(known, name=f"{words[1]}-{words[2]}".lower(), place=_PLACE)


def _document(words: list[str]) -> dict[str, Any]:
    identity, version, codename, machine, kernel, glibc, init, manager, runtimes, cards, free = words
    name, _, init_version = init.partition(":")
    return {
        "os": {"id": _known(identity), "version": _known(version), "name": None, "codename": _known(codename)},
        "machine": _known(machine),
        "kernel": _known(kernel),
        "glibc": _known(glibc),
        "init": {"name": _known(name), "version": _known(init_version)},
        "package_manager": _known(manager),
        "runtimes": _listed(runtimes, _parse_runtime),
        **_parse_cards(cards),
        "file_systems": _parse_free(free),
    }


def _known(word: str) -> str | None:
    return None if word in (_UNKNOWN, "") else word


def _listed(word: str, parse: Any) -> list[Any] | None:
    if word == _UNKNOWN:
        return None
    return [] if word == _NONE else [parse(part) for part in word.split(",")]


def _parse_runtime(text: str) -> dict[str, str | None]:
    name, _, version = text.partition(":")
    return {"name": name, "version": _known(version)}


def _parse_cards(word: str) -> dict[str, Any]:
    matches = _listed(word, _CARD.fullmatch)
    if matches is None:
        return {"accelerators": None, "drivers": None}
    if None in matches:
        raise RecipeError(f'expected VENDOR:DEVICExCOUNT@DRIVER, got "{word}"', place=_PLACE)
    drivers = {match[1]: match[4] for match in matches if match[4] != _UNKNOWN}
    return {
        "accelerators": [{"vendor": match[1], "device": match[2], "count": int(match[3])} for match in matches],
        "drivers": [{"vendor": vendor, "version": version} for vendor, version in drivers.items()],
    }


def _parse_free(word: str) -> list[dict[str, Any]]:
    parts = word.split("/")
    if len(parts) != len(PATHS) or not all(re.fullmatch("-|[0-9]{1,6}", part) for part in parts):
        raise RecipeError(f'expected three sizes in GB with "/" between, got "{word}"', place=_PLACE)
    sizes = [None if part == _UNKNOWN else int(part) * _GIGABYTE for part in parts]
    return [{"path": path, "free_bytes": size, "free_inodes": None} for path, size in zip(PATHS, sizes, strict=True)]


def _word(text: str | None, width: int) -> str:
    return re.sub("[^A-Za-z0-9._+~-]", "_", text or "")[:width] or _UNKNOWN


def _gigabytes(size: int | None) -> str:
    return _UNKNOWN if size is None else str(size // _GIGABYTE)[:6]


def _runtimes(target: Target) -> str:
    if target.runtimes is None:
        return _UNKNOWN
    return ",".join(map(_runtime, target.runtimes)) or _NONE


def _runtime(runtime: Versioned) -> str:
    number = re.match("[0-9.]*", runtime.version or "")
    return f"{runtime.name}:{_word(number[0] if number else '', 8)}"


def _cards(target: Target) -> str:
    """Return the accelerators; more than two kinds are not for the short form."""
    cards = target.accelerators
    if cards is None or len(cards) > 2:
        return _UNKNOWN
    words = [f"{one.vendor}:{one.device}x{one.count}@{_word(target.driver_version(one.vendor), 10)}" for one in cards]
    return ",".join(words) or _NONE


def _check(line: str) -> str:
    """Return the CRC of POSIX cksum in hex: a wrong character, or two that changed places, always show.

    Source: IEEE Std 1003.1-2017, cksum.
    """
    data = line.encode()
    length = len(data)
    crc = 0
    for byte in (*data, *length.to_bytes((length.bit_length() + 7) // 8, "little")):
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (_POLYNOMIAL if crc & 0x80000000 else 0)
            crc &= 0xFFFFFFFF
    return f"{crc ^ 0xFFFFFFFF:08x}"
