"""The machine code in wheels: which C library it really asks for, whatever the wheel's tags promise."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast
from zipfile import BadZipFile, ZipFile

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from bundler.errors import IntegrityError, ResolveError
from bundler.store import Store, derivation_key

Version = tuple[int, ...]
_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64"}
_GENERATION = "1"
# What pyelftools lets through of a file that only begins as ELF does.
_DAMAGED = (ValueError, AttributeError, KeyError, TypeError, IndexError, AssertionError, OverflowError, MemoryError)


def check_glibc(wheels: Sequence[tuple[str, str]], store: Store, *, machine: str, glibc: Version, suite: str) -> None:
    """Check that no wheel, given as (file name, SHA-256), asks for more than the runtime's C library.

    What is for other machines (of graphics cards, say) is not looked at. What was found out is kept in the store.

    Raises:
        ResolveError: one does; the message names the file in it.
        IntegrityError: a wheel is no zip.
    """
    for name, sha256 in wheels:
        found = _remembered(name, sha256, store)
        needs = _numbers(found.get(machine, ""))
        if needs > glibc:
            raise ResolveError(
                f'"{found[f"{machine} file"]}" asks for glibc {_dotted(needs)}, '
                f"the runtime has {_dotted(glibc)} of {suite}",
                place=name,
                hint="its tags promise less than it needs: take another version, or a newer suite for the runtime",
            )


def check_pure(wheels: Sequence[tuple[str, str]], store: Store) -> None:
    """Check that wheels which were built here, given as (file name, SHA-256), hold no machine code.

    Raises:
        ResolveError: one does, though its name says that it is for any machine.
        IntegrityError: a wheel is no zip.
    """
    for name, sha256 in wheels:
        found = _remembered(name, sha256, store)
        for machine in sorted(set(_MACHINES.values()) & set(found)):
            raise ResolveError(
                f'expected a wheel for any machine, "{found[f"{machine} file"]}" is code for {machine}',
                place=name,
                hint="name a release that publishes wheels",
            )


def _remembered(name: str, sha256: str, store: Store) -> dict[str, str]:
    key = derivation_key(_GENERATION, "machine code", sha256)
    known = store.remembered(key)
    if known is None:
        known = _examine(store.path(sha256), name)
        store.remember(key, known)
    return known


def _examine(path: Path, name: str) -> dict[str, str]:
    """Map each machine to the newest glibc that its code asks for, and to the file that does."""
    found: dict[str, str] = {}
    try:
        for member, machine, needs in _programs(path):
            if machine not in found or needs > _numbers(found[machine]):
                found |= {machine: _dotted(needs), f"{machine} file": member}
    except (BadZipFile, RuntimeError) as error:
        raise IntegrityError(f"expected a zip: {error}", place=name) from error
    return found


def _programs(path: Path) -> Iterator[tuple[str, str, Version]]:
    with ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as stream:
                if stream.read(4) != b"\x7fELF":
                    continue
                stream.seek(0)
                # An ELF file is read here and there, and what is compressed only from its beginning.
                with tempfile.TemporaryFile(prefix="ferry-elf-") as copy:
                    shutil.copyfileobj(stream, copy, 1024 * 1024)
                    read = _read(cast(BinaryIO, copy))
                if read is not None:
                    yield member.filename, *read


def _read(stream: BinaryIO) -> tuple[str, Version] | None:
    """Return machine and needed glibc; None for what is no ELF, or for another machine."""
    try:
        elf = ELFFile(stream)
        machine = _MACHINES.get(elf["e_machine"])
        if machine is None:
            return None
        sections = (section for section in elf.iter_sections() if isinstance(section, GNUVerNeedSection))
        names = [aux.name for section in sections for _, each in section.iter_versions() for aux in each]
    except (ELFError, *_DAMAGED):
        return None
    versions = [_numbers(name.removeprefix("GLIBC_")) for name in names if name.startswith("GLIBC_")]
    return machine, max(versions, default=())


def _numbers(version: str) -> Version:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdecimal() for part in parts) else ()


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
