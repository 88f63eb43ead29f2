"""The pipeline of the connected host: a recipe and its lock become one signed bundle.

`build` reads as the list of what happens; everything after the lock is a function of the lock and the keys.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from bundler.archive import pack
from bundler.attest import check_carried, sign
from bundler.builder import built_packages, fetch_for_builder
from bundler.carried import carry
from bundler.compose import Composer, builder_platform, compose_image, image_index
from bundler.contents import CarriedImage, Contents, bundle_parts, source_of
from bundler.differential import make_differential
from bundler.errors import HostError, RecipeError
from bundler.fetch import fetch
from bundler.installer.bootstrap import install_script
from bundler.load import lock_path, read_lock, read_recipe
from bundler.machinecode import check_glibc, check_pure
from bundler.model.composed import ComposedImage
from bundler.model.descriptor import JSON, OCTETS, WHEEL, Descriptor
from bundler.model.image import LockedBlob
from bundler.model.lock import Lock
from bundler.model.lockedchart import chart_images
from bundler.model.manifest import HEAD_NAMES, Entry, Manifest, format_manifest
from bundler.model.named import named_digests
from bundler.model.platform import Platform
from bundler.model.progress import Progress
from bundler.model.recipe import Recipe
from bundler.model.trust import TrustDocument
from bundler.model.wheel import LockedPackage
from bundler.ownwheel import ferry_version, make_own_wheel
from bundler.resolve.chart import check_charts
from bundler.resolve.digests import Digests
from bundler.resolve.file import resolve_files
from bundler.resolve.local import same_images
from bundler.resolve.requirements import read_requirements
from bundler.resolve.tags import glibc_of
from bundler.sandbox.boot import Booted, boot
from bundler.sandbox.emulation import emulates
from bundler.sbom import image_components, make_sbom
from bundler.scan.egress import Blobs, scan_items
from bundler.scan.finding import REPORT_NAME, Finding, Report, judge, make_report, refuse
from bundler.since import Ground, Since
from bundler.store import OCI_LAYOUT, Store, check_output, derivation_key, describe_bytes
from bundler.tree import Layer
from keystore.signer import Signer


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """What a build made.

    `booted` gives the seconds that each service took, empty when it was not booted; `egress` what would reach out.
    `manifest_sha256` is that of the file, also of a differential.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    size: int
    booted: dict[str, str]
    egress: Report


def build(
    where: Path,
    out: Path,
    *,
    store: Store,
    signers: Sequence[Signer],
    carried: TrustDocument | None = None,
    platform: Platform | None,
    progress: Progress,
    since: Sequence[Since] = (),
) -> Built:
    """Build the bundle of the recipe at `where` and write it to `out`; what is `carried` serves its verifiers.

    With `since`, it is a differential against these.

    Raises:
        RecipeError, ResolveError, TransferError, IntegrityError, TrustError, HostError, StepError: as the stages say.
            No file is left at `out` then, or the one that was there before.
    """
    check_carried(carried, signers)
    recipe, lock = read_inputs(where, Digests(store.root, progress))
    platform = platform or _default_platform(lock)
    fetch(lock, platform, store, directory=_directory(where), progress=progress)
    fetch_for_builder(lock, platform, store, directory=_directory(where), progress=progress)
    store.complete(filter(store.has, named_digests(lock)), progress)
    with tempfile.TemporaryDirectory(prefix="ferry-build-", dir=store.root) as work:
        composer = Composer(lock, platform, store, Path(work))
        progress.start("compose", 0)
        contents = _compose(composer, recipe, store)
        progress.start("egress", 0)
        contents, found = _linted(recipe, lock, contents, store)
        progress.start("boot", 0)
        booted = _boot(composer, recipe, contents, store)
    egress = judge(found, recipe.egress, booted.attempts if booted else None)
    progress.start("sbom", 0)
    sbom = _sbom(recipe, lock, contents, store)
    manifest, small = _manifest(recipe, lock, contents, sbom, platform)
    if since:
        manifest = make_differential(manifest, Ground(documents=tuple(since)), store, progress)
    document = format_manifest(manifest)
    head = (document, *sign(document, *signers, carried=carried))
    progress.start("pack", sum(entry.size for entry in manifest.entries))
    _write(out, head, manifest, small, store, progress)
    digest = describe_bytes(document, OCTETS).sha256
    return Built(
        path=out,
        manifest=manifest,
        manifest_sha256=digest,
        size=out.stat().st_size,
        booted=booted.ready_s if booted else {},
        egress=egress,
    )


def scan(where: Path, *, store: Store, platform: Platform | None, progress: Progress) -> Report:
    """Return what the bundle of the recipe at `where` would fetch at run time, as far as its bytes tell.

    Raises:
        RecipeError, ResolveError, TransferError, IntegrityError, HostError: as the stages of a build say.
    """
    recipe, lock = read_inputs(where, Digests(store.root, progress))
    platform = platform or _default_platform(lock)
    fetch(lock, platform, store, directory=_directory(where), progress=progress)
    with tempfile.TemporaryDirectory(prefix="ferry-scan-", dir=store.root) as work:
        progress.start("compose", 0)
        contents = _compose(Composer(lock, platform, store, Path(work)), recipe, store)
    progress.start("egress", 0)
    return make_report(_found(recipe, lock, contents, store), recipe.egress)


def _directory(where: Path) -> Path:
    return where if where.is_dir() else where.parent


def read_inputs(where: Path, digests: Digests | None = None) -> tuple[Recipe, Lock]:
    """Read recipe and lock, and refuse a lock that is of another recipe or of other files; `digests` measures them.

    Raises:
        RecipeError: either cannot be read, or they do not belong together.
    """
    recipe, lock = read_recipe(where), read_lock(where)
    again = f"run: ferry lock {where}"
    if lock.recipe_sha256 != recipe.sha256:
        raise RecipeError("the recipe changed since it was locked", place=str(lock_path(where)), hint=again)
    digests = digests or Digests()
    wanted = (*recipe.images, *chart_images(lock.charts, recipe.image_names))
    if not same_images(lock.images, wanted, recipe.platforms, _directory(where), digests):
        raise RecipeError("the lock's images are not those of the recipe", place="images", hint=again)
    if read_requirements(recipe.requirements, recipe.constraints, _directory(where)).inputs != lock.requirements:
        raise RecipeError("the requirements files changed since they were locked", place="requirements", hint=again)
    if resolve_files(recipe.files, _directory(where), digests=digests, before=lock.files) != lock.files:
        raise RecipeError("the recipe's files changed since they were locked", place="files", hint=again)
    try:
        check_charts(recipe.charts, lock.charts, _directory(where), digests=digests)
    except RecipeError as error:
        error.hint = again
        raise
    return recipe, lock


def _default_platform(lock: Lock) -> Platform:
    here = builder_platform()
    return here if here in lock.platforms else lock.platforms[0]


def _compose(composer: Composer, recipe: Recipe, store: Store) -> Contents:
    """Make the layers, the images and Ferry's own wheel."""
    lock, platform = composer.lock, composer.platform
    if platform not in lock.platforms:
        known = ", ".join(map(str, lock.platforms))
        raise RecipeError(f"expected one of {known}, got {platform}", place="--platform", hint="add it to the recipe")
    runtime = composer.runtime()
    built = composer.build_wheels()
    _check_wheels(built, lock, platform, store)
    wheels = composer.wheels([(name, descriptor) for _, name, descriptor in built]) if built else None
    files = composer.files(recipe.services)
    layers = [layer for layer in (runtime, wheels, files) if layer is not None]
    own_name, own = make_own_wheel()
    toolchain = [(own_name, store.put(own, WHEEL))]
    for package in lock.toolchain:
        if file := package.file_for(platform):
            toolchain.append((file.name, store.describe(file.sha256, WHEEL)))
    return Contents(
        platform=platform,
        runtime=runtime,
        layers=tuple(layers),
        wheels=tuple(built),
        toolchain=tuple(toolchain),
        files=tuple((file, store.describe(file.sha256, OCTETS)) for file in lock.files),
        images=(*_composed(recipe, lock, platform, layers, store), *_taken(lock, platform, store)),
        host=carry(lock, platform, store),
    )


def _check_wheels(
    built: Sequence[tuple[LockedPackage, str, Descriptor]], lock: Lock, platform: Platform, store: Store
) -> None:
    """Check what wheels hold: no code that the runtime's C library cannot run, and none at all in those built here."""
    named = [(name, descriptor.sha256) for _, name, descriptor in built]
    glibc = glibc_of(lock.python_suite)
    check_glibc(named, store, machine=platform.machine, glibc=glibc, suite=lock.python_suite)
    ours = {package.name for package in built_packages(lock, platform)}
    check_pure([(name, blob.sha256) for package, name, blob in built if package.name in ours], store)


def _composed(
    recipe: Recipe, lock: Lock, platform: Platform, layers: Sequence[Layer], store: Store
) -> list[CarriedImage]:
    carried = []
    for image in recipe.images:
        if isinstance(image, ComposedImage):
            manifest, config = compose_image(image, recipe, layers, store, created=lock.created, platform=platform)
            carried.append(
                CarriedImage(
                    names=(image.reference,),
                    manifest=manifest,
                    config=config,
                    layers=tuple(layer.descriptor for layer in layers),
                    source=(("composed", "ferry"),),
                )
            )
    return carried


def _taken(lock: Lock, platform: Platform, store: Store) -> list[CarriedImage]:
    """Return the images that were not composed; of a whole index, the image of `platform` and all the rest."""

    def described(blob: LockedBlob) -> Descriptor:
        return store.describe(blob.sha256, blob.media_type)

    carried = []
    for image in lock.images:
        if image.is_for(platform):
            one = image.on(platform)
            carried.append(
                CarriedImage(
                    names=image.names,
                    manifest=described(one.manifest),
                    config=described(one.blobs[0]),
                    layers=tuple(map(described, one.blobs[1:])),
                    source=source_of(image),
                    index=None if image.platform else described(image.manifest),
                    others=tuple(map(described, (*image.documents[1:], *image.contents))) if not image.platform else (),
                )
            )
    return carried


def _linted(recipe: Recipe, lock: Lock, contents: Contents, store: Store) -> tuple[Contents, list[Finding]]:
    """Refuse what would be fetched at run time, before the boot that takes longer; put the report into the bundle."""
    found = _found(recipe, lock, contents, store)
    report = make_report(found, recipe.egress)
    refuse(report)
    return replace(contents, reports=((REPORT_NAME, store.put(report.document(), JSON)),)), found


def _found(recipe: Recipe, lock: Lock, contents: Contents, store: Store) -> list[Finding]:
    blobs = Blobs(lambda descriptor: store.path(descriptor.sha256).open("rb"), store)
    return scan_items(contents.items(recipe, lock), recipe.services, blobs)


def _boot(composer: Composer, recipe: Recipe, contents: Contents, store: Store) -> Booted | None:
    """Boot the services without network, once for every combination of layers and services; None: not here.

    Services of another processor boot where this host emulates it.
    """
    is_own = composer.platform == builder_platform()
    if not recipe.services or not (is_own or emulates(composer.platform)):
        return None
    digests = [layer.descriptor.sha256 for layer in contents.layers]
    # A host's tree holds what images do not, such as the weights of a model.
    beside = [(store.path(file.sha256), file.to) for file in composer.lock.files if not file.image]
    key = derivation_key("4", "boot", *digests, repr(recipe.services), repr([(one.name, to) for one, to in beside]))
    known = store.remembered(key)
    if known is not None:
        return Booted.from_facts(known)
    root = composer.assemble(contents.layers)
    booted = boot(root, recipe.services, recipe.python.version, emulated=not is_own, shown=beside)
    store.remember(key, booted.facts())
    return booted


def _sbom(recipe: Recipe, lock: Lock, contents: Contents, store: Store) -> bytes:
    parts = bundle_parts(recipe, lock, contents, store)
    inside = {
        next(
            part.ref
            for part in parts
            if (part.kind, part.name, part.sha256) == ("image", image.names[0], image.root.sha256)
        ): image_components(store, image.manifest, image.names[0])
        for image in contents.images
    }
    return make_sbom(
        name=recipe.name,
        version=recipe.version,
        created=lock.created,
        ferry_version=ferry_version(),
        parts=parts,
        contents=inside,
    )


def _manifest(
    recipe: Recipe, lock: Lock, contents: Contents, sbom: bytes, platform: Platform
) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest, and the bytes of the entries that are in no store."""
    small = {
        "install.sh": install_script(platform, contents.runtime.descriptor, contents.toolchain, lock.python_version),
        "sbom.cdx.json": sbom,
        "oci-layout": OCI_LAYOUT,
        "index.json": image_index([(name, image.root) for image in contents.images for name in image.names], platform),
    }
    entries = [_entry(name, describe_bytes(data, OCTETS)) for name, data in small.items()]
    items = contents.items(recipe, lock)
    blobs = {item.descriptor.sha256: item.descriptor for item in items}
    entries += [_entry(descriptor.entry_name, descriptor) for descriptor in blobs.values()]
    created = datetime.fromisoformat(lock.created)
    expires = created + timedelta(days=recipe.valid_days) if recipe.valid_days else None
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        description=recipe.description,
        sequence=recipe.sequence,
        platform=platform,
        created=lock.created,
        expires=expires.strftime("%Y-%m-%dT%H:%M:%SZ") if expires else "",
        ferry_version=ferry_version(),
        lock_sha256=lock.sha256,
        lock_sm3=lock.sm3,
        python_version=lock.python_version,
        items=items,
        services=recipe.services,
        entries=tuple(entries),
        accelerators=lock.accelerators,
        images_needed=recipe.images_needed,
        escort=recipe.escort,
    )
    return manifest, small


def _entry(name: str, descriptor: Descriptor) -> Entry:
    return Entry(
        name=name,
        size=descriptor.size,
        sha256=descriptor.sha256,
        sm3=descriptor.sm3,
        chunks=descriptor.chunks,
    )


def _write(
    out: Path,
    head: Sequence[bytes],
    manifest: Manifest,
    small: dict[str, bytes],
    store: Store,
    progress: Progress,
) -> None:
    """Write the tar beside its final place, sync it, then rename it there."""
    check_output(out)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    contents = ((entry, small.get(entry.name, store.path(entry.sha256))) for entry in manifest.entries)
    try:
        with part.open("xb", buffering=0) as stream:
            pack(stream, zip(HEAD_NAMES, head, strict=True), contents, progress.advance)
            os.fsync(stream.fileno())
        part.replace(out)
    except OSError as error:
        raise HostError(f"the bundle cannot be written: {error.strerror}", place=str(out)) from error
    finally:
        part.unlink(missing_ok=True)
