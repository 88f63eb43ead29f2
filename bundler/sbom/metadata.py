"""What a wheel says of itself: its licence and what it requires."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast
from zipfile import BadZipFile, ZipFile

from packaging.markers import Environment
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bundler.errors import IntegrityError

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_CLASSIFIER = "License :: "
_LONGEST = 200


def wheel_metadata(path: Path, name: str, environment: Environment) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return licences and the canonical names that a wheel requires on the target (extras aside).

    Raises:
        IntegrityError: it holds no METADATA.
    """
    try:
        with ZipFile(path) as archive:
            # A wheel may carry others' metadata further below.
            inner = next(one for one in archive.namelist() if _METADATA.fullmatch(one))
            raw, _ = parse_email(archive.read(inner))
    except (BadZipFile, StopIteration, OSError) as error:
        raise IntegrityError("expected a wheel with METADATA", place=name) from error
    return _licences(raw), _required(raw.get("requires_dist", []), environment)


def _licences(raw: object) -> tuple[str, ...]:
    assert isinstance(raw, dict)
    classifiers = [one.rsplit(" :: ", 1)[-1] for one in raw.get("classifiers", []) if one.startswith(_CLASSIFIER)]
    expression = raw.get("license_expression") or ""
    free = (raw.get("license") or "").strip().splitlines()
    if expression:
        return (expression,)
    if classifiers:
        return tuple(sorted(set(classifiers)))
    return (free[0][:_LONGEST],) if free else ()


def _required(lines: list[str], environment: Environment) -> tuple[str, ...]:
    names = set()
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or requirement.marker.evaluate(
            {**cast(dict[str, str], environment), "extra": ""}
        ):
            names.add(canonicalize_name(requirement.name))
    return tuple(sorted(names))
