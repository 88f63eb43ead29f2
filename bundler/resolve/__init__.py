"""Recipe to lock: metadata only, nothing of the payload is fetched here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bundler.local.take import Local
from bundler.model.files import LockedPath
from bundler.model.lock import Lock, LockedTarget
from bundler.model.recipe import Recipe
from bundler.model.target import Target
from bundler.resolve.deb import resolve_debs
from bundler.resolve.digests import Digests
from bundler.resolve.file import resolve_files
from bundler.resolve.image import resolve_images
from bundler.resolve.length import content_length
from bundler.resolve.python import resolve_python
from bundler.resolve.wheel import resolve_wheels
from bundler.transport import Transport

# What the installer itself runs on, on the isolated host.
TOOLCHAIN = ("click", "cryptography", "gmssl", "installer", "rich")
# What sdists are built with; a newer setuptools lacks what old sdists import.
BUILD = ("setuptools<81", "wheel")


def resolve(
    recipe: Recipe,
    directory: Path,
    *,
    now: datetime,
    before: Lock | None = None,
    targets: tuple[LockedTarget, ...] = (),
    hosts: tuple[Target, ...] = (),
    digests: Digests | None = None,
    local: Local | None = None,
) -> Lock:
    """Resolve every part of a recipe for every platform that it names.

    `directory` is where the recipe's files stand, `digests` measures them; `targets` are recorded, `hosts` are what is
    known of them, which says what they have installed; `local` takes images of the builder. A resolution equal to the
    lock `before` keeps its `created`, so that resolving again changes nothing.

    Raises:
        RecipeError, ResolveError, StepError: see the modules of each kind.
    """
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
        wheels=resolve_wheels(recipe.wheels, recipe, what="wheels"),
        build=resolve_wheels(BUILD, recipe, what="build"),
        toolchain=resolve_wheels(TOOLCHAIN, recipe, what="toolchain"),
        files=_files(recipe, directory, digests),
        images=resolve_images(recipe.images, recipe.platforms, local),
        targets=targets,
        os_debs=resolve_debs(recipe.debs, recipe.platforms, hosts),
        sha256="",
        sm3="",
    )
    return _keep_date(lock, before)


def _keep_date(lock: Lock, before: Lock | None) -> Lock:
    if before is not None and replace(before, created=lock.created, sha256="", sm3="") == lock:
        return replace(lock, created=before.created)
    return lock


def _files(recipe: Recipe, directory: Path, digests: Digests | None) -> tuple[LockedPath, ...]:
    transport = Transport()
    return resolve_files(recipe.files, directory, digests=digests, length=lambda url: content_length(url, transport))
