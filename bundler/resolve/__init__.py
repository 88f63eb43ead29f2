"""Recipe to lock: metadata only, nothing of the payload is fetched here."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bundler.local.take import Local
from bundler.model.files import LockedPath
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
TOOLCHAIN = ("click", "cryptography", "gmssl", "installer", "rich")
# What sdists are built with; a newer setuptools lacks what old sdists import.
BUILD = ("setuptools<81", "wheel")
_DISTRIBUTIONS = ("wheels", "build", "toolchain")


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
    """Resolve every part of a recipe for every platform that it names.

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
    kept = {what: update.pins(getattr(update.before, what)) for what in _DISTRIBUTIONS} if update else {}
    os_debs = resolve_debs(recipe.debs, recipe.platforms, hosts)
    charts = resolve_charts(recipe.charts, directory, digests=digests)
    wanted = (*recipe.images, *chart_images(charts, recipe.image_names))
    transport = Transport()
    requirements = read_requirements(recipe.requirements, recipe.constraints, directory)
    wheels = resolve_wheels(
        recipe.wheels,
        recipe,
        what="wheels",
        files=requirements,
        indexes=recipe.indexes,
        kept=kept.get("wheels", ()),
    )
    needs = resolve_needs(recipe.accelerators, wheels)
    rpms = resolve_rpms(recipe.rpms, recipe.platforms, hosts, unsigned)
    lock = Lock(
        name=recipe.name,
        version=recipe.version,
        recipe_sha256=recipe.sha256,
        as_of=recipe.as_of,
        created=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        python_version=recipe.python.version,
        python_suite=recipe.python.suite,
        platforms=recipe.platforms,
        debs=resolve_python(recipe.python, recipe.platforms),
        wheels=wheels,
        build=resolve_wheels((*BUILD, *recipe.build), recipe, what="build", kept=kept.get("build", ())),
        toolchain=resolve_wheels(TOOLCHAIN, recipe, what="toolchain", kept=kept.get("toolchain", ())),
        files=_files(recipe, directory, digests, transport),
        images=resolve_images(wanted, recipe.platforms, local),
        charts=charts,
        targets=targets,
        requirements=requirements.inputs,
        os_debs=os_debs,
        upstream=resolve_upstream(recipe.debs, os_debs, keep),
        rpms=rpms.rpms,
        rpm_keys=rpms.keys,
        unsigned_repositories=rpms.unsigned,
        drivers=resolve_drivers(
            recipe.drivers,
            needs,
            directory,
            recipe.platforms,
            hosts,
            os_debs,
            digests=digests,
            length=lambda url: content_length(url, transport),
        ),
        accelerators=needs,
        sha256="",
        sm3="",
    )
    return _keep_date(update.apply(lock, recipe) if update else lock, before)


def _keep_date(lock: Lock, before: Lock | None) -> Lock:
    if before is not None and replace(before, created=lock.created, sha256="", sm3="") == lock:
        return replace(lock, created=before.created)
    return lock


def _files(recipe: Recipe, directory: Path, digests: Digests | None, transport: Transport) -> tuple[LockedPath, ...]:
    return resolve_files(recipe.files, directory, digests=digests, length=lambda url: content_length(url, transport))
