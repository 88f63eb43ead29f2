"""YAML to Recipe and Lock, and Lock to YAML: the only module that knows YAML."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from bundler.errors import RecipeError
from bundler.model.document import Fields
from bundler.model.lock import Lock, lock_document, parse_lock
from bundler.model.recipe import Recipe, parse_recipe
from bundler.model.target import Target, parse_target, target_document
from keystore.sm3 import sm3

LOCK_NAME = "recipe.lock.yaml"
RECIPE_NAME = "recipe.yaml"


def read_recipe(where: Path) -> Recipe:
    """Read `recipe.yaml`, or the one in the directory `where`.

    Raises:
        RecipeError: not there, not YAML, or not a recipe; the message names the field.
    """
    path = where / RECIPE_NAME if where.is_dir() else where
    raw = _read(path, "recipe")
    fields = Fields(_parse_yaml(raw, path), place="", error=RecipeError)
    return parse_recipe(fields, sha256=hashlib.sha256(raw).hexdigest())


def read_lock(where: Path) -> Lock:
    """Read the lock beside a recipe (or at the path `where`).

    Raises:
        RecipeError: not there, or not a lock.
    """
    path = lock_path(where)
    raw = _read(path, "lock", hint=f"make it with: ferry lock {where}")
    fields = Fields(_parse_yaml(raw, path), place="", error=RecipeError)
    return parse_lock(fields, sha256=hashlib.sha256(raw).hexdigest(), sm3=sm3(raw).hex())


def format_lock(lock: Lock) -> str:
    """Write a lock as YAML; the same lock gives the same text."""
    head = "# Written by `ferry lock`; review it, commit it, do not edit it.\n"
    return head + yaml.safe_dump(lock_document(lock), sort_keys=False, width=1000, allow_unicode=True)


def lock_path(where: Path) -> Path:
    """Return where the lock of a recipe stands: beside it."""
    if where.is_dir():
        return where / LOCK_NAME
    return where if where.name.endswith(".lock.yaml") else where.with_name(LOCK_NAME)


def read_target(path: Path) -> Target:
    """Read the description of an isolated host; it is called as its file is.

    Raises:
        RecipeError: not there, or not a target.
    """
    raw = _read(path, "target", hint="make it on that host with what `ferry target probe` prints")
    fields = Fields(_parse_yaml(raw, path), place="", error=RecipeError)
    return parse_target(fields, name=path.stem, sha256=hashlib.sha256(raw).hexdigest())


def format_target(target: Target) -> str:
    """Write a target as YAML, without its name."""
    return yaml.safe_dump(target_document(target), sort_keys=False, width=1000)


def _read(path: Path, what: str, hint: str | None = None) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise RecipeError(f"expected a {what}: {reason}", place=str(path), hint=hint) from error


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without anchors, tags and keys written twice.

    An alias can grow to any size, a tag can ask for any type, and of two keys the last one would win silently.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(
                problem="anchors, aliases and tags have no place here", problem_mark=event.start_mark
            )
        return super().compose_node(parent, index)


def _mapping_once(loader: _StrictLoader, node: yaml.MappingNode) -> dict[object, object]:
    seen: dict[object, object] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, (list, dict)):
            raise yaml.MarkedYAMLError(problem="expected the name of a field", problem_mark=key_node.start_mark)
        if key in seen:
            raise yaml.MarkedYAMLError(problem=f'the field "{key}" stands twice', problem_mark=key_node.start_mark)
        seen[key] = loader.construct_object(value_node, deep=True)
    return seen


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_once)


def _parse_yaml(raw: bytes, path: Path) -> object:
    try:
        return yaml.load(raw, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise RecipeError(f"expected YAML: {problem}", place=place) from error
