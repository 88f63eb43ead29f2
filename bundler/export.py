"""The wheels of a lock for other installers: a PEP 751 lock with the files beside it, or a requirements file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from bundler.builder import built_packages, fetch_for_builder
from bundler.compose import Composer
from bundler.errors import HostError, IntegrityError
from bundler.fetch import fetch
from bundler.model.lock import Lock
from bundler.model.platform import Platform
from bundler.model.progress import Progress
from bundler.model.wheel import LockedPackage
from bundler.store import PIECE_BYTES, Store, write_file


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedWheel:
    """A wheel as it is written: of which package, under which name, size in bytes and SHA-256, for which platforms."""

    package: LockedPackage
    name: str
    size: int
    sha256: str
    platforms: tuple[Platform, ...]


def fetch_wheels(
    lock: Lock, platforms: Sequence[Platform], store: Store, *, directory: Path, progress: Progress
) -> tuple[ExportedWheel, ...]:
    """Bring the wheels of the payload for each platform into the store, built where only an sdist is.

    Raises:
        TransferError, IntegrityError, ResolveError: as for a build.
    """
    found: dict[str, ExportedWheel] = {}
    for platform in platforms:
        built = built_packages(lock, platform)
        parts = replace(lock, toolchain=(), files=(), images=(), os_debs=())
        parts = parts if built else replace(parts, debs=(), build=())
        fetch(parts, platform, store, directory=directory, progress=progress)
        fetch_for_builder(lock, platform, store, directory=directory, progress=progress)
        with tempfile.TemporaryDirectory(prefix="ferry-export-", dir=store.root) as work:
            for package, name, blob in Composer(lock, platform, store, Path(work)).build_wheels():
                before = found.get(name)
                found[name] = ExportedWheel(
                    package=package,
                    name=name,
                    size=blob.size,
                    sha256=blob.sha256,
                    platforms=(*(before.platforms if before else ()), platform),
                )
    return tuple(found[name] for name in sorted(found))


def write_wheels(wheels: Sequence[ExportedWheel], store: Store, directory: Path) -> None:
    """Copy wheels into a directory, each checked while it is read; what is there and right stays.

    Raises:
        IntegrityError: a blob of the store is damaged.
        HostError: the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for wheel in wheels:
            _copy(store.path(wheel.sha256), directory / wheel.name, wheel)
    except OSError as error:
        raise HostError(f"the wheels cannot be written: {error.strerror}", place=str(directory)) from error


def _copy(blob: Path, to: Path, wheel: ExportedWheel) -> None:
    if to.is_file() and _digest(to) == wheel.sha256:
        return
    part = to.with_name(f".{to.name}.part")
    digest = hashlib.sha256()
    try:
        with blob.open("rb") as stream, part.open("wb") as out:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
                out.write(piece)
            os.fsync(out.fileno())
        if digest.hexdigest() != wheel.sha256:
            raise IntegrityError(
                f"the stored blob {wheel.sha256} is damaged",
                place=str(blob),
                hint="delete it and run the command again; it is fetched anew",
            )
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_pylock(lock: Lock, wheels: Sequence[ExportedWheel], out: Path, directory: Path) -> None:
    """Write the PEP 751 lock of wheels that stand in `directory`, named by their paths from `out`."""
    beside = os.path.relpath(directory.absolute(), out.absolute().parent)
    write_file(out, format_pylock(lock, wheels, beside).encode())


def format_pylock(lock: Lock, wheels: Sequence[ExportedWheel], directory: str) -> str:
    """Return the PEP 751 lock of `wheels`, which stand in `directory` relative to it; it names no host."""
    platforms = tuple(one for one in lock.platforms if any(one in wheel.platforms for wheel in wheels))
    each: dict[tuple[str, str], list[ExportedWheel]] = {}
    for wheel in wheels:
        each.setdefault((wheel.package.name, wheel.package.version), []).append(wheel)
    pylock = Pylock(
        lock_version=Version("1.0"),
        created_by="ferry",
        requires_python=SpecifierSet(f"=={lock.python_version}.*"),
        environments=[Marker(_environment(lock, platform)) for platform in platforms],
        packages=[_package(each[key], platforms, directory) for key in sorted(each)],
    )
    pylock.validate()
    return tomli_w.dumps(dict(pylock.to_dict()))


def _environment(lock: Lock, platform: Platform) -> str:
    return (
        f"python_version == '{lock.python_version}' and implementation_name == 'cpython' and "
        f"sys_platform == 'linux' and platform_machine == '{platform.machine}'"
    )


def _package(wheels: Sequence[ExportedWheel], all_platforms: Sequence[Platform], directory: str) -> Package:
    first = wheels[0].package
    marker = _marker([platform for wheel in wheels for platform in wheel.platforms], all_platforms)
    return Package(
        name=canonicalize_name(first.name),
        version=Version(first.version),
        marker=Marker(marker) if marker else None,
        wheels=[
            PackageWheel(
                name=wheel.name, path=f"{directory}/{wheel.name}", size=wheel.size, hashes={"sha256": wheel.sha256}
            )
            for wheel in wheels
        ],
    )


def _marker(platforms: Sequence[Platform], all_platforms: Sequence[Platform]) -> str:
    """Return the marker of what is not for every platform of the lock; empty for what is."""
    if set(platforms) >= set(all_platforms):
        return ""
    machines = [platform.machine for platform in all_platforms if platform in platforms]
    return " or ".join(f"platform_machine == '{machine}'" for machine in machines)


def format_requirements(
    lock: Lock, platforms: Sequence[Platform], built: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return a requirements file with hashes; `built` names further hashes, of wheels made of an sdist, by package."""
    lines = [f"# {lock.name} {lock.version} as of {lock.as_of}, for Python {lock.python_version} on Linux"]
    for package in lock.wheels:
        lines += _requirement(package, platforms, (built or {}).get(package.name, ()))
    return "\n".join(lines) + "\n"


def _requirement(package: LockedPackage, platforms: Sequence[Platform], more: Sequence[str]) -> Iterator[str]:
    files = [file for file in package.files if set(file.platforms) & set(platforms)]
    if not files:
        return
    marker = _marker([platform for file in files for platform in file.platforms], platforms)
    yield f"{package.name}=={package.version}" + (f" ; {marker}" if marker else "") + " \\"
    hashes = sorted({*(file.sha256 for file in files), *more})
    yield " \\\n".join(f"    --hash=sha256:{digest}" for digest in hashes)
    if package.why:
        yield f"    # via {', '.join(package.why)}"
