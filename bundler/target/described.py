"""Targets that come from somewhere else than a file: their digest is that of the text that Ferry writes for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bundler.errors import RecipeError
from bundler.load import format_target
from bundler.model.document import Fields
from bundler.model.target import TARGET_FORMAT, Target, parse_target

_NOTHING: Mapping[str, Any] = {
    "format": TARGET_FORMAT,
    "runtimes": None,
    "file_systems": [],
    "memory_bytes": None,
    "cpus": None,
    "cpu_flags": None,
    "accelerators": None,
    "device_nodes": None,
    "drivers": None,
    "security": {"secure_boot": None, "selinux": None, "apparmor": None},
    "python": None,
    "packages": None,
}


def describe_target(known: Mapping[str, Any], *, name: str, place: str) -> Target:
    """Make a target of the fields that are known, all others unknown.

    Raises:
        RecipeError: one of them is wrong.
    """
    fields = Fields({**_NOTHING, **known}, place=place, error=RecipeError)
    target = parse_target(fields, name=name, sha256="")
    return replace(target, sha256=hashlib.sha256(format_target(target).encode()).hexdigest())
