"""Stock targets: releases of distributions by name, as far as their figures are published."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from bundler.model.platform import PLATFORMS
from bundler.model.target import Target
from bundler.target.described import describe_target


@cache
def _table() -> dict[str, dict[str, Any]]:
    return json.loads((files(__package__) / "stock.json").read_text("utf-8"))  # type: ignore[no-any-return]


def stock_names() -> tuple[str, ...]:
    """Return every name, such as `debian-12/amd64`."""
    return tuple(f"{release}/{platform.architecture}" for release in _table() for platform in PLATFORMS)


def stock_target(name: str) -> Target:
    """Return the target of a name; what it is not known to have counts as the distribution's minimal system.

    Raises:
        KeyError: there is none of this name.
    """
    release, _, architecture = name.partition("/")
    machine = {platform.architecture: platform.machine for platform in PLATFORMS}[architecture]
    known = {key: value for key, value in _table()[release].items() if key != "sources"}
    return describe_target({**known, "machine": machine}, name=name, place=name)
