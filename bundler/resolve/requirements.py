"""Requirements files with hashes: exact pins, and which files may answer them.

Source: pip's reference, "Requirements File Format".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from packaging.pylock import is_valid_pylock_path
from packaging.requirements import InvalidRequirement, Requirement

from bundler.errors import RecipeError
from bundler.model.document import describe
from bundler.model.path import is_relative
from bundler.model.wheel import LockedInput
from bundler.resolve.pin import Pin, Requirements
from bundler.resolve.pylock import pylock_pins

_OPTION = re.compile(r"(?:^|\s+)(?=--?[A-Za-z])")
_COMMENT = re.compile(r"(^|\s+)#.*$")
# Python refuses to read a number of more than 4,300 digits, and a version is one.
_LONGEST = 2000
_INCLUDE = re.compile(r"(?:-(?P<short>[rc])\s*|--(?P<long>requirement|constraint)(?:\s+|=))(?P<path>.+)")
_HASH = re.compile(r"--hash(?:\s+|=)(sha256|sha384|sha512):([0-9a-fA-F]+)")
_INDEX = re.compile(r"-i|-f|--(index-url|extra-index-url|find-links|no-index|trusted-host|pypi-url)")
# What pip is told once it sees a hash, and we do always.
_IDLE = ("--require-hashes",)
_HASHES_HINT = "write it with hashes, such as by: uv pip compile --generate-hashes, or name the file under constraints"
_INDEX_HINT = (
    "take the line out (uv and pip-compile leave it out without --emit-index-url); the builder's own pip or uv "
    "configuration says where packages come from, and `indexes` of the recipe which of them"
)


def read_requirements(requirements: Sequence[str], constraints: Sequence[str], directory: Path) -> Requirements:
    """Read files of requirements and constraints, given by their paths beside the recipe, and what they include.

    Raises:
        RecipeError: a file is missing, leads elsewhere, or holds what cannot be locked as it stands.
    """
    reader = _Reader(directory)
    for path in requirements:
        reader.read(path, is_constraint=False, place="requirements")
    for path in constraints:
        reader.read(path, is_constraint=True, place="constraints")
    return Requirements(
        pins=tuple(reader.pins),
        constraints=tuple(reader.constraints),
        inputs=tuple(LockedInput(path=path, sha256=reader.digests[path]) for path in sorted(reader.digests)),
    )


class _Reader:
    """Reads file after file, each once for each use."""

    def __init__(self, directory: Path) -> None:
        self.pins: list[Pin] = []
        self.constraints: list[Pin] = []
        self.digests: dict[str, str] = {}
        self._directory = directory
        self._seen: set[tuple[str, bool]] = set()

    def read(self, path: str, *, is_constraint: bool, place: str) -> None:
        if (path, is_constraint) in self._seen:
            return
        self._seen.add((path, is_constraint))
        raw = _read_file(self._directory, path, place=place)
        self.digests[path] = hashlib.sha256(raw).hexdigest()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise RecipeError("expected a requirements file in UTF-8", place=path) from error
        into = self.constraints if is_constraint else self.pins
        if is_valid_pylock_path(Path(path)):
            into += pylock_pins(text, path)
            return
        for number, line in _lines(text):
            spot = f"{path}:{number}"
            if include := _INCLUDE.fullmatch(line):
                constrains = (include["short"] or include["long"]).startswith("c")
                inner = _beside(path, include["path"].strip("\"' "), place=spot)
                self.read(inner, is_constraint=is_constraint or constrains, place=spot)
            elif line not in _IDLE:
                into.append(_pin(line, path, place=spot, is_constraint=is_constraint))


def _read_file(directory: Path, path: str, *, place: str) -> bytes:
    full = directory / path
    if full.resolve() != directory.resolve() / path:
        raise RecipeError(f'"{path}" leads through a link', place=place, hint="copy what it points to")
    try:
        return full.read_bytes()
    except OSError as error:
        raise RecipeError(f'expected a requirements file, "{path}": {error.strerror}', place=place) from error


def _beside(path: str, included: str, *, place: str) -> str:
    if "://" in included:
        raise RecipeError("expected a file beside the recipe, got a URL", place=place)
    parts: list[str] = []
    for part in (PurePosixPath(path).parent / included).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    joined = "/".join(parts)
    if not is_relative(joined):
        raise RecipeError(f"expected a file beside the recipe, got {describe(included)}", place=place)
    return joined


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each logical line with its first number: joined where continued, without comments."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        first = first if parts else number
        is_comment = line.lstrip().startswith("#")
        parts.append("" if is_comment else line.removesuffix("\\"))
        if line.endswith("\\") and not is_comment:
            continue
        joined = _COMMENT.sub("", " ".join(parts)).strip()
        if joined:
            yield first, joined
        parts = []
    if rest := _COMMENT.sub("", " ".join(parts)).strip():
        yield first, rest


def _pin(line: str, file: str, *, place: str, is_constraint: bool) -> Pin:
    text, *options = _OPTION.split(line)
    if not text:
        _refuse_option(options[0], place)
    hashes = [_HASH.fullmatch(option.strip()) for option in options]
    if None in hashes:
        _refuse_option(options[hashes.index(None)], place)
    requirement = _requirement(text, place)
    sha256 = frozenset(match[2].lower() for match in hashes if match and match[1] == "sha256")
    pin = Pin(requirement=requirement, hashes=sha256, place=place, file=file)
    _check_hashes(pin, hashes=len(hashes), is_constraint=is_constraint)
    return pin


def _check_hashes(pin: Pin, *, hashes: int, is_constraint: bool) -> None:
    if hashes and not pin.hashes:
        raise RecipeError(f"expected a sha256 of {pin.name}, got other hashes alone", place=pin.place)
    if not is_constraint and pin.version is None:
        raise RecipeError(f"expected an exact version of {pin.name} (==)", place=pin.place, hint=_HASHES_HINT)
    if not is_constraint and not pin.hashes:
        raise RecipeError(f"expected the hashes of {pin.name}, got none", place=pin.place, hint=_HASHES_HINT)


def parse_requirement(text: str, place: str) -> Requirement:
    """Parse a requirement (PEP 508).

    Raises:
        RecipeError: it is none.
    """
    if len(text) > _LONGEST:
        raise RecipeError(f"expected a requirement of at most {_LONGEST} characters, got {len(text)}", place=place)
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise RecipeError(f"expected a requirement: {reason[:1].lower()}{reason[1:]}", place=place) from error


def _requirement(text: str, place: str) -> Requirement:
    requirement = parse_requirement(text, place)
    if requirement.url:
        raise RecipeError(
            f"expected {requirement.name} from a package index, got a URL", place=place, hint="pin it by its version"
        )
    return requirement


def _refuse_option(option: str, place: str) -> None:
    """Refuse an option; its value may be a URL with a login in it, and is not repeated."""
    name = re.split("[ =]", option.strip())[0]
    name = name if name.startswith("--") else name[:2]
    if _INDEX.fullmatch(name):
        raise RecipeError(f'a requirements file cannot choose an index ("{name}")', place=place, hint=_INDEX_HINT)
    if name in ("-e", "--editable"):
        raise RecipeError("an editable requirement is no file that can be locked", place=place)
    if name == "--hash":
        raise RecipeError("expected --hash=sha256:HEX", place=place)
    raise RecipeError(f"the option {describe(name)} has no meaning here", place=place, hint="take it out")
