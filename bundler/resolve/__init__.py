"""Recipe to lock: metadata only, nothing of the payload is fetched here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bundler.local.take import Local
from bundler.model.lock import Lock, LockedTarget
from bundler.model.lockedchart import chart_images
from bundler.model.recipe import Recipe
from bundler.model.target import Target
from bundler.resolve.chart import resolve_charts
from bundler.resolve.deb import resolve_debs
from bundler.resolve.digests import Digests
from bundler.resolve.driver import resolve_drivers, resolve_needs
from bundler.resolve.file import resolve_files
from bundler.resolve.image import resolve_images
from bundler.resolve.length import content_length
from bundler.resolve.python import resolve_python
from bundler.resolve.requirements import read_requirements
from bundler.resolve.rpm import resolve_rpms
from bundler.resolve.update import Update
from bundler.resolve.upstream import resolve_upstream
from bundler.resolve.wheel import resolve_wheels
from bundler.transport import Transport

# What the installer itself runs on, on the isolated host.
TOOLCHAIN = ("backports.zstd", "click", "cryptography", "gmssl", "installer", "prometheus-client", "rich")
# What sdists are built with; a newer setuptools lacks what old sdists import.
BUILD = ("setuptools<81", "wheel")
_DISTRIBUTIONS = ("wheels", "build", "toolchain")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """What a resolution starts from besides the recipe."""

    directory: Path
    hosts: tuple[Target, ...]
    digests: Digests | None
    kept: Mapping[str, tuple[str, ...]]
    keep: Callable[[bytes], object]
    unsigned: Collection[str]
    local: Local | None
    transport: Transport

    def length(self, url: str) -> int:
        """Return the size of what is behind a URL."""
        return content_length(url, self.transport)


def resolve(
    recipe: Recipe,
    directory: Path,
    *,
    now: datetime,
    before: Lock | None = None,
    targets: tuple[LockedTarget, ...] = (),
    hosts: tuple[Target, ...] = (),
    digests: Digests | None = None,
    update: Update | None = None,
    keep: Callable[[bytes], object] = lambda data: None,
    unsigned: Collection[str] = (),
    local: Local | None = None,
) -> Lock:
    """Resolve every part of a recipe for every platform that it names, kind by kind.

    `directory` is where the recipe's files stand, `digests` measures them; `targets` are recorded, `hosts` are what is
    known of them, which says what they have installed. A resolution equal to the lock `before` keeps its `created`,
    so that resolving again changes nothing. With `update` only what it names moves. `keep` gets what upstream will not
    have for long; from RPM repositories in `unsigned` packages are taken that nobody signed. `local` takes images
    of the builder.

    Raises:
        RecipeError, ResolveError, StepError: see the modules of each kind.
    """
    if update is not None:
        update.check()
    given = _Given(
        directory=directory,
        hosts=hosts,
        digests=digests,
        kept={what: update.pins(getattr(update.before, what)) for what in _DISTRIBUTIONS} if update else {},
        keep=keep,
        unsigned=unsigned,
        local=local,
        transport=Transport(),
    )
    lock = _empty(recipe, now, targets)
    for resolver in RESOLVERS:
        lock = resolver(recipe, lock, given)
    return _keep_date(update.apply(lock, recipe) if update else lock, before)


def _empty(recipe: Recipe, now: datetime, targets: tuple[LockedTarget, ...]) -> Lock:
    return Lock(
        name=recipe.name,
        version=recipe.version,
        recipe_sha256=recipe.sha256,
        as_of=recipe.as_of,
        created=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        python_version=recipe.python.version,
        python_suite=recipe.python.suite,
        platforms=recipe.platforms,
        debs=(),
        wheels=(),
        build=(),
        toolchain=(),
        files=(),
        targets=targets,
        sha256="",
        sm3="",
    )


def _runtime(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    return replace(lock, debs=resolve_python(recipe.python, recipe.platforms))


def _wheels(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    files = read_requirements(recipe.requirements, recipe.constraints, given.directory)
    kept = {what: given.kept.get(what, ()) for what in _DISTRIBUTIONS}
    build = (*BUILD, *recipe.build)
    return replace(
        lock,
        wheels=resolve_wheels(
            recipe.wheels, recipe, what="wheels", files=files, indexes=recipe.indexes, kept=kept["wheels"]
        ),
        build=resolve_wheels(build, recipe, what="build", kept=kept["build"]),
        toolchain=resolve_wheels(TOOLCHAIN, recipe, what="toolchain", kept=kept["toolchain"]),
        requirements=files.inputs,
    )


def _files(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    return replace(lock, files=resolve_files(recipe.files, given.directory, digests=given.digests, length=given.length))


def _charts(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    return replace(lock, charts=resolve_charts(recipe.charts, given.directory, digests=given.digests))


def _images(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    wanted = (*recipe.images, *chart_images(lock.charts, recipe.image_names))
    return replace(lock, images=resolve_images(wanted, recipe.platforms, given.local))


def _debs(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    debs = resolve_debs(recipe.debs, recipe.platforms, given.hosts)
    return replace(lock, os_debs=debs, upstream=resolve_upstream(recipe.debs, debs, given.keep))


def _rpms(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    found = resolve_rpms(recipe.rpms, recipe.platforms, given.hosts, given.unsigned)
    return replace(lock, rpms=found.rpms, rpm_keys=found.keys, unsigned_repositories=found.unsigned)


def _drivers(recipe: Recipe, lock: Lock, given: _Given) -> Lock:
    needs = resolve_needs(recipe.accelerators, lock.wheels)
    drivers = resolve_drivers(
        recipe.drivers,
        needs,
        given.directory,
        recipe.platforms,
        given.hosts,
        lock.os_debs,
        digests=given.digests,
        length=given.length,
    )
    return replace(lock, accelerators=needs, drivers=drivers)


# One line for each kind. Charts come before images, since they ask for some; wheels and Debian packages before drivers,
# since they say what drivers must do and what these can be built with.
RESOLVERS: tuple[Callable[[Recipe, Lock, _Given], Lock], ...] = (
    _runtime,
    _wheels,
    _files,
    _charts,
    _images,
    _debs,
    _rpms,
    _drivers,
)


def _keep_date(lock: Lock, before: Lock | None) -> Lock:
    if before is not None and replace(before, created=lock.created, sha256="", sm3="") == lock:
        return replace(lock, created=before.created)
    return lock
