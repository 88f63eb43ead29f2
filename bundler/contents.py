"""What a bundle holds, as items of its manifest and as parts of its SBOM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from bundler.carried import HOST_KINDS
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.files import LockedPath
from bundler.model.image import LockedImage
from bundler.model.lock import Lock
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.model.purl import deb_purl, generic_purl, image_purl, wheel_purl
from bundler.model.recipe import Recipe
from bundler.model.wheel import LockedPackage
from bundler.resolve.tags import marker_environment
from bundler.sbom.document import Part
from bundler.sbom.metadata import wheel_metadata
from bundler.store import Store
from bundler.tree import Layer


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedImage:
    """An image in the bundle: its names, its manifest, its configuration and layers, and where it came from.

    Where its index is carried whole, that is what the names lead to, and `others` is what else it lists.
    """

    names: tuple[str, ...]
    manifest: Descriptor
    config: Descriptor
    layers: tuple[Descriptor, ...]
    source: tuple[tuple[str, str], ...]
    index: Descriptor | None = None
    others: tuple[Descriptor, ...] = ()

    @property
    def root(self) -> Descriptor:
        """What the names lead to."""
        return self.index or self.manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """The parts of one bundle: `layers` from the lowest up, the runtime's first.

    Wheels come with their package, files with their lock; `host` is what the host itself is to get;
    `reports` say what was found in all of it.
    """

    platform: Platform
    runtime: Layer
    layers: tuple[Layer, ...]
    wheels: tuple[tuple[LockedPackage, str, Descriptor], ...]
    toolchain: tuple[tuple[str, Descriptor], ...]
    files: tuple[tuple[LockedPath, Descriptor], ...]
    images: tuple[CarriedImage, ...]
    host: tuple[Item, ...] = ()
    reports: tuple[tuple[str, Descriptor], ...] = ()

    def items(self, recipe: Recipe, lock: Lock) -> tuple[Item, ...]:
        """Return every item, the toolchain first: install.sh finds it without reading on."""
        return (
            self._python(lock),
            *self._toolchain(),
            *self._wheels(lock),
            *self._files(recipe),
            *self.host,
            *self._images(),
            *self._reports(recipe),
        )

    def debs(self, lock: Lock) -> tuple[LockedDeb, ...]:
        """Return the Debian packages that the runtime was made from."""
        return tuple(deb for deb in lock.debs if deb.platform == self.platform)

    def _python(self, lock: Lock) -> Item:
        debs = self.debs(lock)
        version = next(deb.version for deb in debs if deb.name.startswith(f"python{lock.python_version}"))
        name = f"python{lock.python_version}"
        return Item(
            kind="python",
            name=name,
            version=version,
            purl=generic_purl(f"{name}-runtime", version, arch=self.platform.debian),
            descriptor=self.runtime.descriptor,
            source=(("suite", lock.python_suite),),
            lineage=tuple(deb_purl(deb, lock.python_suite) for deb in debs),
        )

    def _toolchain(self) -> Iterator[Item]:
        for name, descriptor in self.toolchain:
            distribution, version = name.split("-")[:2]
            yield Item(
                kind="toolchain",
                name=name,
                version=version,
                purl=wheel_purl(distribution, version, name),
                descriptor=descriptor,
            )

    def _wheels(self, lock: Lock) -> Iterator[Item]:
        # Only wheels for any machine are built, so these make them: a Python, and pure packages from the lock.
        tools = (("built", "pure"), ("built_with", ", ".join(_built_with(lock))))
        for package, name, descriptor in self.wheels:
            file = package.file_for(self.platform)
            assert file is not None
            built = (("sdist", file.name), ("sdist_sha256", file.sha256), *tools) if file.is_sdist else ()
            yield Item(
                kind="wheel",
                name=name,
                version=package.version,
                purl=wheel_purl(package.name, package.version, name),
                descriptor=descriptor,
                source=built,
                lineage=(wheel_purl(package.name, package.version, file.name),) if file.is_sdist else (),
            )

    def _files(self, recipe: Recipe) -> Iterator[Item]:
        for file, descriptor in self.files:
            purl = PackageURL.from_string(file.purl) if file.purl else None
            yield Item(
                kind="file",
                name=file.name,
                version=purl.version or recipe.version if purl else recipe.version,
                purl=file.purl or generic_purl(f"{recipe.name}/{file.to}", recipe.version),
                descriptor=descriptor,
                source=(("url", file.url),) if file.url else (),
                to=file.to,
                executable=file.executable,
            )

    def _reports(self, recipe: Recipe) -> Iterator[Item]:
        for name, descriptor in self.reports:
            yield Item(
                kind="report",
                name=name,
                version=recipe.version,
                purl=generic_purl(f"{recipe.name}/{name}", recipe.version),
                descriptor=descriptor,
            )

    def _images(self) -> Iterator[Item]:
        seen = set()
        for image in self.images:
            made_of = tuple(f"sha256:{layer.sha256}" for layer in image.layers)
            yield _image_part("image", image, image.root, made_of)
            below = (image.manifest,) if image.index else ()
            for descriptor in (*below, image.config, *image.layers, *image.others):
                if descriptor.sha256 not in seen:
                    seen.add(descriptor.sha256)
                    yield _image_part("layer", image, descriptor, ())


def _built_with(lock: Lock) -> Iterator[str]:
    """Name what wheels are built with: Python by its minor version, since the builder may be of another platform."""
    yield f"python {lock.python_version}"
    for package in lock.build:
        yield f"{package.name} {package.version}"


def source_of(image: LockedImage) -> tuple[tuple[str, str], ...]:
    """Return where an image came from; of a path only what it is called: a bundle says nothing of its builder."""
    if image.origin is None:
        return (("reference", str(image.reference)),)
    place = image.origin.place if image.origin.kind == "daemon" else PurePosixPath(image.origin.place).name
    return ((image.origin.kind, place),)


def _image_part(kind: str, image: CarriedImage, descriptor: Descriptor, lineage: tuple[str, ...]) -> Item:
    reference = image.names[0]
    repository, at, digest = reference.partition("@")
    tag = ""
    if not at:
        repository, _, tag = reference.rpartition(":")
    return Item(
        kind=kind,
        name=reference,
        version=tag or digest,
        purl=image_purl(repository, descriptor, tag if kind == "image" else ""),
        descriptor=descriptor,
        source=image.source,
        lineage=lineage,
        names=image.names if kind == "image" else (),
        config=image.config.sha256 if kind == "image" else "",
    )


def bundle_parts(recipe: Recipe, lock: Lock, contents: Contents, store: Store) -> list[Part]:
    """Return every item as a part of the SBOM, with licences and dependencies of wheels."""
    items = contents.items(recipe, lock)
    needs = _Needs(contents, lock, items, store)
    debs = tuple(_deb_part(deb, lock.python_suite, store) for deb in contents.debs(lock))
    parts: dict[str, Part] = {}
    for item in items:
        part = Part(
            kind=item.kind,
            name=_plain_name(item),
            version=item.version,
            purl=item.purl,
            sha256=item.descriptor.sha256,
            sm3=item.descriptor.sm3,
            licenses=needs.licences(item),
            needs=needs.of(item),
            inside=debs if item.kind == "python" else (),
            mark="host" if item.kind in HOST_KINDS else "",
            made_from=_made_from(item),
        )
        parts.setdefault(part.ref, part)
    return list(parts.values())


def _made_from(item: Item) -> tuple[tuple[str, str], ...]:
    sha256 = dict(item.source).get("sdist_sha256")
    return ((item.lineage[0], sha256),) if sha256 else ()


class _Needs:
    """Licences and dependencies of the wheels of a bundle, read from their own metadata, and the images of charts."""

    def __init__(self, contents: Contents, lock: Lock, items: tuple[Item, ...], store: Store) -> None:
        environment = marker_environment(contents.platform, lock.python_version)
        self._refs: dict[tuple[str, str], str] = {}
        self._read: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._images: dict[str, str] = {}
        for item in items:
            if item.kind == "image":
                ref = f"{item.purl}#{item.descriptor.sha256[:16]}"
                self._images |= dict.fromkeys((item.name, dict(item.source).get("reference", "")), ref)
            if item.kind in ("wheel", "toolchain"):
                name = canonicalize_name(item.name.split("-")[0])
                self._refs[item.kind, name] = f"{item.purl}#{item.descriptor.sha256[:16]}"
                path = store.path(item.descriptor.sha256)
                self._read[item.descriptor.sha256] = wheel_metadata(path, item.name, environment)

    def licences(self, item: Item) -> tuple[str, ...]:
        """Return the licences that a wheel names."""
        return self._read.get(item.descriptor.sha256, ((), ()))[0]

    def of(self, item: Item) -> tuple[str, ...]:
        """Return the refs of what a wheel or a chart requires and the bundle carries."""
        if item.kind == "chart":
            images = dict(item.source)["images"].split()
            return tuple(ref for name in images if (ref := self._images.get(name)))
        names = self._read.get(item.descriptor.sha256, ((), ()))[1]
        return tuple(ref for name in names if (ref := self._refs.get((item.kind, name))))


def _plain_name(item: Item) -> str:
    if item.kind in HOST_KINDS:
        return dict(item.source)["package"]
    return canonicalize_name(item.name.split("-")[0]) if item.kind in ("wheel", "toolchain") else item.name


def _deb_part(deb: LockedDeb, suite: str, store: Store) -> Part:
    sm3 = store.describe(deb.sha256, OCTETS).sm3
    purl = deb_purl(deb, suite)
    return Part(kind="deb", name=deb.name, version=deb.version, purl=purl, sha256=deb.sha256, sm3=sm3)
