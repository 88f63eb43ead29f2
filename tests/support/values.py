"""A small recipe and what belongs to it, as values."""

from __future__ import annotations

from typing import Any

from bundler.model.composed import ComposedImage
from bundler.model.files import LockedPath
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS
from bundler.model.python import PythonSource
from bundler.model.recipe import Recipe
from bundler.model.service import Service


def service(**changes: Any) -> Service:
    """Return a service of the recipe."""
    given: dict[str, Any] = {
        "name": "app",
        "description": "An app",
        "run": ("python", "-m", "app"),
        "directory": "srv/app",
        "port": 8080,
        "ready": "/ready",
    }
    return Service(**given | changes)


def recipe(**changes: Any) -> Recipe:
    """Return a recipe for both platforms with one service and one image."""
    given: dict[str, Any] = {
        "name": "sample",
        "version": "1.0",
        "description": "A sample",
        "sequence": 1,
        "as_of": "2026-01-31",
        "valid_days": 0,
        "platforms": PLATFORMS,
        "python": PythonSource(version="3.11", suite="bookworm", packages=("python3.11-minimal",)),
        "wheels": (),
        "files": (),
        "images": (ComposedImage(reference="ferry.local/sample:1.0", service="app", environment=(("PORT", "9"),)),),
        "services": (service(),),
        "sha256": "0" * 64,
    }
    return Recipe(**given | changes)


def lock(*files: LockedPath) -> Lock:
    """Return a lock of nothing but files."""
    return Lock(
        name="sample",
        version="1.0",
        recipe_sha256="0" * 64,
        as_of="2026-01-31",
        created="2026-02-01T00:00:00Z",
        python_version="3.11",
        python_suite="bookworm",
        platforms=PLATFORMS,
        debs=(),
        wheels=(),
        build=(),
        toolchain=(),
        files=files,
        sha256="1" * 64,
        sm3="2" * 64,
    )
