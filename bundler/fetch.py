"""Lock to store: everything that a lock names for one platform, in parallel, each byte checked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

from packaging.pylock import PackageSdist, PackageWheel

from bundler import uv
from bundler.apt import Apt
from bundler.client import origin
from bundler.errors import HostError, IntegrityError, RecipeError, TransferError
from bundler.indexes import find_index
from bundler.local.take import Local
from bundler.logins import Logins
from bundler.model.deb import LockedDeb
from bundler.model.described import Described, parse_described
from bundler.model.files import LockedPath
from bundler.model.image import LockedBlob, LockedImage
from bundler.model.lock import Lock
from bundler.model.platform import Platform
from bundler.model.progress import Progress
from bundler.model.reference import parse_reference
from bundler.model.rpm import LockedRpm
from bundler.model.upstream import LockedIndex
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.registry import Registry
from bundler.repositories import read_repositories
from bundler.store import PIECE_BYTES, Store, in_threads
from bundler.transport import Headers, Transport

# More than one server takes: what one holds back does not hold up the others.
_THREADS = 16
# A large file that the store has was checked when it came in, and is again when it is packed.
_ALWAYS_UP_TO_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    name: str
    sha256: str
    size: int
    urls: tuple[str, ...]
    headers: Headers | None = None
    hint: str | None = None


_OLD_RPM = (
    "repositories drop old versions: lock the recipe again, or name in FERRY_RPM_REPOSITORIES one that keeps them"
)
_OLD_DEB = (
    "archives drop old versions: lock the recipe again, or name one that keeps them in FERRY_DEBIAN_ARCHIVES, "
    "as base URIs with a space between"
)


def fetch(lock: Lock, platform: Platform, store: Store, *, directory: Path, progress: Progress) -> None:
    """Bring every file that the lock names for `platform` into the store.

    `directory` is where the recipe's own files stand.

    Raises:
        TransferError, IntegrityError, ResolveError: as the transport and the index say.
        HostError: there is no room for it.
        RecipeError: a file of the recipe is not what was locked, or an image of the lock contradicts itself.
    """
    transport = Transport()
    images = [image for image in lock.images if image.is_for(platform)]
    local = _local(lock, platform, store)
    new_bytes = sum(file.size for file in local if not store.has(file.sha256, file.size))
    check_space(store.root, new_bytes)
    progress.start("copy", sum(file.size for file in local))
    in_threads([_taken(file, directory, store, progress) for file in local], threads=os.cpu_count() or 1)
    _take_images(images, Local(directory=directory, store=store, progress=progress))
    with tempfile.TemporaryDirectory(prefix="ferry-fetch-") as work:
        wanted = [
            *_wanted_urls(lock, platform, store),
            *_wanted(lock, platform, Path(work), store),
            *_wanted_charts(lock, transport, store),
            *_wanted_rpms(lock, platform, store),
            *_wanted_images(images, transport, store),
        ]
    _bring(wanted, images, transport, store, progress)


def fetch_images(images: Sequence[LockedImage], store: Store, *, progress: Progress) -> None:
    """Bring images of registries into the store, and nothing else.

    Raises:
        TransferError, IntegrityError, RecipeError: as for `fetch`.
    """
    transport = Transport()
    _bring(list(_wanted_images(images, transport, store)), images, transport, store, progress)


def check_space(place: Path, need: int) -> None:
    """Refuse to begin what cannot end: `need` bytes where `place` is.

    Raises:
        HostError: its file system has less.
    """
    found = os.statvfs(place)
    free = found.f_bavail * found.f_frsize
    if need > free:
        raise HostError(
            f"expected {need:,} bytes free for what is missing, got {free:,}",
            place=str(place),
            hint="free some space (ferry cache prune) or name another place in FERRY_STORE",
        )


def _bring(
    wanted: Sequence[_Wanted], images: Sequence[LockedImage], transport: Transport, store: Store, progress: Progress
) -> None:
    """Download what is wanted, each digest once, and return when it is safe on the disk."""
    items = _in_turn({item.sha256: item for item in reversed(wanted)}.values())
    left = {item.sha256: max(0, item.size - store.resumable_bytes(item.sha256)) for item in items}
    check_space(store.root, sum(left.values()))
    if items:
        progress.start("fetch", sum(left.values()))
        work = [partial(_download, transport, item, left[item.sha256], store, progress) for item in items]
        in_threads(work, threads=_THREADS, stop=transport.stop)
        store.sync()
    for image in images:
        _check_image(image, store)


def _in_turn(wanted: Iterable[_Wanted]) -> list[_Wanted]:
    """Order what is wanted: from each server in turn, so that none keeps the others waiting, the largest first."""
    servers: dict[object, list[_Wanted]] = {}
    for item in sorted(wanted, key=lambda item: (-item.size, item.sha256)):
        servers.setdefault(origin(item.urls[0]) if item.urls else None, []).append(item)
    return [item for turn in zip_longest(*servers.values()) for item in turn if item is not None]


def _download(transport: Transport, item: _Wanted, left: int, store: Store, progress: Progress) -> None:
    try:
        with progress.item(item.name, left) as advance:
            transport.download(
                item.urls, store, sha256=item.sha256, size=item.size, progress=advance, headers=item.headers
            )
    except TransferError as error:
        raise TransferError(error.message, place=item.name, hint=item.hint or error.hint) from error


def _local(lock: Lock, platform: Platform, store: Store) -> list[LockedPath]:
    """List the files of this host that are to be copied, each content once; small ones always."""
    files = {file.sha256: file for file in lock.paths(platform) if not file.url}
    return [
        file for file in files.values() if file.size <= _ALWAYS_UP_TO_BYTES or not store.has(file.sha256, file.size)
    ]


def _wanted_urls(lock: Lock, platform: Platform, store: Store) -> Iterator[_Wanted]:
    """List what is behind URLs and missing, each content once with every URL that has it."""
    behind = [file for file in lock.paths(platform) if file.url]
    for sha256, size in dict.fromkeys((file.sha256, file.size) for file in behind):
        if not store.has(sha256, size):
            same = [file for file in behind if (file.sha256, file.size) == (sha256, size)]
            urls = tuple(dict.fromkeys(file.url for file in same))
            yield _Wanted(name=same[0].to, sha256=sha256, size=size, urls=urls)


def _wanted(lock: Lock, platform: Platform, work: Path, store: Store) -> Iterator[_Wanted]:
    """List what is not yet in the store; indexes are asked only when something is missing."""
    # A package of the runtime may be wanted on the host too.
    wanted = {deb.sha256: deb for deb in (*lock.os_debs, *lock.debs) if deb.platform == platform}
    debs = [deb for deb in wanted.values() if not store.has(deb.sha256, deb.size)]
    indexes = [one for one in lock.upstream if one.platform == platform and not store.has(one.sha256, one.size)]
    if debs or indexes:
        apt_directory = work / "apt"
        apt_directory.mkdir()
        bases = Apt(apt_directory, platform.debian).bases()
        for deb in debs:
            yield _wanted_deb(deb, bases)
        for index in indexes:
            yield _wanted_index(index, bases)
    packages = [*lock.wheels, *lock.build, *lock.toolchain]
    logins = Logins()
    files = {file.sha256: (package, file) for package in packages if (file := package.file_for(platform))}
    missing = [pair for sha256, pair in sorted(files.items()) if not store.has(sha256, pair[1].size)]
    if missing:
        urls = _locate([package for package, _ in missing], lock.python_version, work)
        for _, file in missing:
            yield _wanted_file(file, urls, logins)


def _wanted_charts(lock: Lock, transport: Transport, store: Store) -> Iterator[_Wanted]:
    """List the charts of registries that are missing."""
    charts = [chart for chart in lock.charts if chart.reference]
    registry = Registry(transport) if charts else None
    for chart in charts:
        sha256, size = chart.file.sha256, chart.file.size
        if registry is not None and not store.has(sha256, size):
            reference = parse_reference(chart.reference, place=f"charts: {chart.name}")
            urls = tuple(registry.urls(reference, "blobs", f"sha256:{sha256}"))
            yield _Wanted(name=chart.file.to, sha256=sha256, size=size, urls=urls, headers=registry.headers)


def _wanted_rpms(lock: Lock, platform: Platform, store: Store) -> Iterator[_Wanted]:
    """List packages of RPM repositories that are missing; the configuration is asked only for those."""
    missing = [rpm for rpm in lock.rpms if rpm.platform == platform and not store.has(rpm.sha256, rpm.size)]
    bases: dict[str, dict[str, tuple[str, ...]]] = {}
    for rpm in missing:
        if rpm.release not in bases:
            known = read_repositories(rpm.release, platform.machine, lock.unsigned_repositories)
            bases[rpm.release] = {repository.name: repository.bases for repository in known}
        yield _wanted_rpm(rpm, bases[rpm.release].get(rpm.repository, ()))


def _wanted_rpm(rpm: LockedRpm, bases: tuple[str, ...]) -> _Wanted:
    name, urls = f"{rpm.repository}/{rpm.path}", tuple(base + quote(rpm.path) for base in bases)
    return _Wanted(name=name, sha256=rpm.sha256, size=rpm.size, urls=urls, hint=_OLD_RPM)


def _wanted_images(images: Sequence[LockedImage], transport: Transport, store: Store) -> Iterator[_Wanted]:
    """List manifests and blobs that are missing, each once with every repository that has it, the largest first."""
    images = [image for image in images if image.origin is None]
    if not images:
        return
    parts: dict[str, tuple[LockedBlob, list[str]]] = {}
    registry = Registry(transport)
    for image in images:
        pairs = [("manifests", blob) for blob in image.documents] + [("blobs", blob) for blob in image.contents]
        for kind, blob in pairs:
            if not store.has(blob.sha256, blob.size):
                _, urls = parts.setdefault(blob.sha256, (blob, []))
                urls += registry.urls(image.reference, kind, f"sha256:{blob.sha256}")
    for blob, urls in sorted(parts.values(), key=lambda part: -part[0].size):
        yield _Wanted(
            name=blob.sha256,
            sha256=blob.sha256,
            size=blob.size,
            urls=tuple(dict.fromkeys(urls)),
            headers=registry.headers,
        )


def _take_images(images: Sequence[LockedImage], local: Local) -> None:
    """Take images of this host that are missing, each once, and check that they are those of the lock."""
    taken = [image for image in images if image.origin is not None]
    missing = [image for image in taken if not local.holds(image)]
    for place in dict.fromkeys(image.origin for image in missing):
        assert place is not None
        local.bring(place)
    for image in missing:
        local.check(image)


def _check_image(image: LockedImage, store: Store) -> None:
    """Refuse a lock whose blobs are not those that the image manifest, or the index, names."""
    found = _describe(image.manifest, str(image.reference), store)
    listed = tuple((one.platform, one.manifest) for one in image.manifests)
    same = (found.media_type, found.blobs, found.manifests) == (image.manifest.media_type, image.blobs, listed)
    for one in image.manifests:
        described = _describe(one.manifest, str(image.reference), store)
        same = same and (described.media_type, described.blobs) == (one.manifest.media_type, one.blobs)
    if not same:
        raise RecipeError(
            f"the lock's blobs of {image.reference} are not those of its image manifest",
            place="images",
            hint="lock the recipe again, and review the difference",
        )


def _describe(blob: LockedBlob, place: str, store: Store) -> Described:
    data = store.read(blob.sha256)
    return parse_described(data, blob.media_type, place=place, error=IntegrityError, artifacts=True)


def _wanted_deb(deb: LockedDeb, bases: list[str]) -> _Wanted:
    urls = tuple(base + quote(deb.path) for base in _likely_first(bases, deb.path))
    return _Wanted(name=deb.path, sha256=deb.sha256, size=deb.size, urls=urls, hint=_OLD_DEB)


def _wanted_index(index: LockedIndex, bases: list[str]) -> _Wanted:
    urls = tuple(base + quote(path) for path in index.paths for base in bases)
    return _Wanted(name=index.path, sha256=index.sha256, size=index.size, urls=urls, hint=_OLD_DEB)


def _likely_first(bases: list[str], path: str) -> list[str]:
    """Order bases so that the archive which keeps such paths is asked first."""
    updates = path.startswith("pool/updates/")
    return sorted(bases, key=lambda base: ("security" in base) != updates)


def _wanted_file(file: LockedFile, urls: dict[str, str], logins: Logins) -> _Wanted:
    found = (urls[file.sha256],) if file.sha256 in urls else ()
    headers = logins.headers if any(map(logins.of, found)) else None
    return _Wanted(name=file.name, sha256=file.sha256, size=file.size, urls=found, headers=headers)


def _locate(packages: list[LockedPackage], python: str, work: Path) -> dict[str, str]:
    """Map SHA-256 to URL for all files of the pins, each version of a name in a question of its own."""
    urls: dict[str, str] = {}
    names = sorted({package.index for package in packages})
    rounds = [(name, pins) for name in names for pins in _rounds([one for one in packages if one.index == name])]
    for round_, (name, pins) in enumerate(rounds):
        directory = work / f"uv{round_}"
        directory.mkdir()
        index = find_index(name) if name else None
        for package in uv.locate(pins, python=python, work=directory, index=index).packages:
            artifacts: list[PackageWheel | PackageSdist] = [*(package.wheels or ())]
            if package.sdist:
                artifacts.append(package.sdist)
            for artifact in artifacts:
                if artifact.url and "sha256" in artifact.hashes:
                    urls[artifact.hashes["sha256"]] = artifact.url
    return urls


def _rounds(packages: list[LockedPackage]) -> list[list[str]]:
    """Split pins so that no name stands twice in one question (payload and toolchain may differ)."""
    rounds: list[dict[str, str]] = []
    for package in packages:
        pin = f"{package.name}=={package.version}"
        place = next((r for r in rounds if r.get(package.name, pin) == pin), None)
        if place is None:
            rounds.append(place := {})
        place[package.name] = pin
    return [sorted(place.values()) for place in rounds]


def _taken(file: LockedPath, directory: Path, store: Store, progress: Progress) -> Callable[[], None]:
    return lambda: _take(file, directory, store, progress)


def _take(file: LockedPath, directory: Path, store: Store, progress: Progress) -> None:
    """Copy a file into the store, hashed while it is read: what a lock remembers of it proves nothing here."""
    path = file.below(directory)
    try:
        with path.open("rb", buffering=0) as stream, store.part() as part:
            while piece := stream.read(PIECE_BYTES):
                part.write(piece)
                progress.advance(len(piece))
            part.commit(sha256=file.sha256, size=file.size)
    except OSError as error:
        raise RecipeError(f"a locked file cannot be read: {error.strerror}", place=file.path) from error
    except IntegrityError as error:
        raise RecipeError(
            f"the file is not the one that was locked: {error.message}",
            place=file.path,
            hint="lock the recipe again, and review the difference",
        ) from error
