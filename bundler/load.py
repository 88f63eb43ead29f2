"""YAML to Recipe and Lock, and Lock to YAML: the only module that knows YAML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from bundler.errors import RecipeError
from bundler.model.deb import DEB, DEB_WORDS, SUITE, SUITE_WORDS, deb_sources
from bundler.model.document import Fields, describe
from bundler.model.egress import egress_allowed
from bundler.model.files import file_source, locked_path, locked_path_document, relative_path
from bundler.model.image import RegistryImage, locked_image, locked_image_document, registry_image
from bundler.model.lock import Lock, LockedDeb, LockedFile, LockedPackage, LockedTarget
from bundler.model.platform import Platform, parse_platform
from bundler.model.recipe import ComposedImage, PythonSource, Recipe
from bundler.model.service import Probe, Service
from bundler.model.target import Target, parse_target, target_document
from keystore.sm3 import sm3

RECIPE_FORMAT = "ferry/recipe/v1"
LOCK_FORMAT = "ferry/lock/v1"
LOCK_NAME = "recipe.lock.yaml"
RECIPE_NAME = "recipe.yaml"

_NAME = "[a-z0-9]([a-z0-9.-]{0,48}[a-z0-9])?"
_NAME_WORDS = "a name of lower-case letters, digits, dots and hyphens, at most 50 characters"
_VERSION = r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}"
_MINOR = r"3\.[0-9]{1,2}"
_MINOR_WORDS = 'a minor version in quotes, "3.11"'
_DATE = "%Y-%m-%d"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SETTING = "[A-Z][A-Z0-9_]*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
# One line, as it stands in a unit.
_LINE = r"[^\x00-\x1f\x7f]*"
_LINE_WORDS = "one line of text"
_DEB_VERSION = "[0-9][0-9A-Za-z.+:~-]*"
# PEP 508 and PEP 440; these two become a line of a requirements file.
_DISTRIBUTION = "[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?"
_PYPI_VERSION = "[0-9A-Za-z][0-9A-Za-z.!+_-]*"
_REFERENCE = "[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+:[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}"
_MOST_DAYS = 36500
_MOST_PORT = 65535


def read_recipe(where: Path) -> Recipe:
    """Read `recipe.yaml`, or the one in the directory `where`.

    Raises:
        RecipeError: not there, not YAML, or not a recipe; the message names the field.
    """
    path = where / RECIPE_NAME if where.is_dir() else where
    raw = _read(path, "recipe")
    fields = Fields(_parse_yaml(raw, path), place="", error=RecipeError)
    fields.text("format", match=re.escape(RECIPE_FORMAT), what=f'"{RECIPE_FORMAT}"')
    recipe = Recipe(
        name=fields.text("name", match=_NAME, what=_NAME_WORDS),
        version=fields.text("version", match=_VERSION, what="a version in quotes"),
        description=fields.text("description", "", match=_LINE, what=_LINE_WORDS),
        sequence=fields.integer("sequence", least=1),
        as_of=fields.moment("as_of", form=_DATE, what='a date in quotes, "YYYY-MM-DD"'),
        valid_days=fields.integer("valid_days", 0, most=_MOST_DAYS),
        platforms=_platforms(fields),
        python=_python(fields.mapping("python")),
        wheels=fields.texts("wheels", []),
        debs=deb_sources(fields),
        files=fields.each("files", file_source, []),
        images=fields.each("images", _image, []),
        services=fields.each("services", _service, []),
        egress=egress_allowed(fields),
        sha256=hashlib.sha256(raw).hexdigest(),
    )
    fields.close()
    _check_references(recipe)
    return recipe


def read_lock(where: Path) -> Lock:
    """Read the lock beside a recipe (or at the path `where`).

    Raises:
        RecipeError: not there, or not a lock.
    """
    path = lock_path(where)
    raw = _read(path, "lock", hint=f"make it with: ferry lock {where}")
    fields = Fields(_parse_yaml(raw, path), place="", error=RecipeError)
    fields.text("format", match=re.escape(LOCK_FORMAT), what=f'"{LOCK_FORMAT}"')
    python = fields.mapping("python")
    lock = Lock(
        name=fields.text("name", match=_NAME, what=_NAME_WORDS),
        version=fields.text("version", match=_VERSION),
        recipe_sha256=fields.hex("recipe_sha256"),
        as_of=fields.moment("as_of", form=_DATE, what="a date like 2026-01-31"),
        created=fields.moment("created", form=_TIME, what="a time like 2026-01-31T00:00:00Z"),
        platforms=_platforms(fields),
        python_version=python.text("version", match=_MINOR, what=_MINOR_WORDS),
        python_suite=python.text("suite", match=SUITE, what=SUITE_WORDS),
        debs=python.each("debs", _locked_deb),
        wheels=fields.each("wheels", _locked_package),
        build=fields.each("build", _locked_package),
        toolchain=fields.each("toolchain", _locked_package),
        files=fields.each("files", locked_path),
        images=fields.each("images", locked_image, []),
        targets=fields.each("targets", _locked_target, []),
        os_debs=fields.each("os_debs", _locked_os_deb, []),
        sha256=hashlib.sha256(raw).hexdigest(),
        sm3=sm3(raw).hex(),
    )
    python.close()
    fields.close()
    return lock


def lock_path(where: Path) -> Path:
    """Return where the lock of a recipe stands: beside it."""
    if where.is_dir():
        return where / LOCK_NAME
    return where if where.name.endswith(".lock.yaml") else where.with_name(LOCK_NAME)


def format_lock(lock: Lock) -> str:
    """Write a lock as YAML; the same lock gives the same text."""
    document: dict[str, Any] = {
        "format": LOCK_FORMAT,
        "name": lock.name,
        "version": lock.version,
        "recipe_sha256": lock.recipe_sha256,
        "as_of": lock.as_of,
        "created": lock.created,
        "platforms": [str(platform) for platform in lock.platforms],
        "python": {
            "version": lock.python_version,
            "suite": lock.python_suite,
            "debs": [_deb_document(deb) for deb in lock.debs],
        },
        "wheels": [_package_document(package) for package in lock.wheels],
        "build": [_package_document(package) for package in lock.build],
        "toolchain": [_package_document(package) for package in lock.toolchain],
        "files": [locked_path_document(file) for file in lock.files],
    }
    if lock.images:
        document["images"] = [locked_image_document(image) for image in lock.images]
    if lock.os_debs:
        document["os_debs"] = [_deb_document(deb) for deb in lock.os_debs]
    if lock.targets:
        document["targets"] = [asdict(target) for target in lock.targets]
    head = "# Written by `ferry lock`; review it, commit it, do not edit it.\n"
    return head + yaml.safe_dump(document, sort_keys=False, width=1000, allow_unicode=True)


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


def _platforms(fields: Fields) -> tuple[Platform, ...]:
    names = fields.texts("platforms")
    if not names:
        raise fields.refuse("platforms", 'expected at least one platform, such as "linux/amd64", got none')
    if len(set(names)) != len(names):
        raise fields.refuse("platforms", "a platform stands twice")
    return tuple(parse_platform(name, place=f"{fields.place('platforms')}[{i}]") for i, name in enumerate(names))


def _python(fields: Fields) -> PythonSource:
    source = PythonSource(
        version=fields.text("version", match=_MINOR, what=_MINOR_WORDS),
        suite=fields.text("debian", match=SUITE, what=SUITE_WORDS),
        packages=fields.texts("packages"),
    )
    fields.close()
    if not source.packages:
        raise fields.refuse("packages", "expected at least one package, got none")
    _check_each(fields, "packages", source.packages, match=DEB, what=DEB_WORDS)
    return source


def _check_each(fields: Fields, key: str, texts: Iterable[str], *, match: str, what: str) -> None:
    for index, text in enumerate(texts):
        if not re.fullmatch(match, text):
            raise fields.refuse(f"{key}[{index}]", f"expected {what}, got {describe(text)}")


def _image(fields: Fields) -> ComposedImage | RegistryImage:
    if fields.has("reference"):
        return registry_image(fields)
    return ComposedImage(
        reference=fields.text("compose", match=_REFERENCE, what="a reference HOST/NAME:TAG"),
        service=fields.text("service"),
        environment=_environment(fields),
    )


def _environment(fields: Fields) -> tuple[tuple[str, str], ...]:
    environment = fields.pairs("environment", {})
    for name, value in environment:
        if not re.fullmatch(_VARIABLE, name):
            raise fields.refuse("environment", f"expected the name of a variable, got {describe(name)}")
        if not re.fullmatch(_LINE, value):
            raise fields.refuse(f"environment.{name}", f"expected {_LINE_WORDS}, got {describe(value)}")
    return environment


def _probe(fields: Fields) -> Probe:
    probe = Probe(
        method=fields.text("method", match="GET|POST", what='"GET" or "POST"'),
        path=fields.text("path", match="/.*", what="a path that starts with /"),
        body=fields.text("body", ""),
        expect=fields.text("expect"),
    )
    fields.close()
    return probe


def _service(fields: Fields) -> Service:
    run = fields.texts("run")
    _check_each(fields, "run", run, match=_LINE, what=_LINE_WORDS)
    settings = fields.texts("settings", [])
    _check_each(fields, "settings", settings, match=_SETTING, what="an upper-case environment name")
    return Service(
        name=fields.text("name", match="[a-z][a-z0-9-]{0,24}", what="a name of lower-case letters, digits, hyphens"),
        description=fields.text("description", "", match=_LINE, what=_LINE_WORDS),
        run=run,
        directory=relative_path(fields, "directory"),
        port=fields.integer("port", least=1, most=_MOST_PORT),
        ready=fields.text("ready", match="/.*", what="a path that starts with /"),
        environment=_environment(fields),
        settings=settings,
        after=fields.texts("after", []),
        unless=fields.text("unless", ""),
        state=fields.flag("state", False),
        start_timeout_s=fields.integer("start_timeout_s", 60, least=1),
        memory_max_mib=fields.integer("memory_max_mib", 0),
        probe=_probe(fields.mapping("probe")) if fields.has("probe") else None,
    )


def _check_references(recipe: Recipe) -> None:
    names = [service.name for service in recipe.services]
    ports: dict[int, str] = {}
    switches = {f"{service.name}.{setting}" for service in recipe.services for setting in service.settings}
    for index, service in enumerate(recipe.services):
        place = f"services[{index}]"
        if names.index(service.name) != index:
            raise RecipeError(f'the name "{service.name}" stands twice', place=f"{place}.name")
        if not service.run:
            raise RecipeError("expected an argument vector, got an empty list", place=f"{place}.run")
        for other in service.after:
            if other not in names[:index]:
                raise RecipeError(
                    f'expected a service declared above, got "{other}"',
                    place=f"{place}.after",
                    hint="declare services in the order in which they start",
                )
        if service.unless and service.unless not in switches:
            raise RecipeError(
                f'expected SERVICE.NAME, a setting of a service, got "{service.unless}"',
                place=f"{place}.unless",
                hint="list the name under the settings of that service",
            )
        if service.port in ports:
            raise RecipeError(f'the port {service.port} is that of "{ports[service.port]}"', place=f"{place}.port")
        ports[service.port] = service.name
    _check_images(recipe, names)


def _check_images(recipe: Recipe, services: list[str]) -> None:
    seen: set[str] = set()
    for index, image in enumerate(recipe.images):
        place = f"images[{index}]"
        if isinstance(image, ComposedImage):
            names = [(image.reference, "compose")]
        else:
            names = [(image.reference.name_of(image.reference.sha256), "reference")]
            names += [(alias, f"aliases[{i}]") for i, alias in enumerate(image.aliases)]
        for name, field in names:
            if name in seen:
                raise RecipeError(f'the reference "{name}" stands twice', place=f"{place}.{field}")
            seen.add(name)
        if isinstance(image, ComposedImage) and image.service not in services:
            raise RecipeError(f'expected the name of a service, got "{image.service}"', place=f"{place}.service")


def _locked_os_deb(fields: Fields) -> LockedDeb:
    suite = fields.text("suite", match=SUITE, what=SUITE_WORDS)
    return replace(_locked_deb(fields), suite=suite)


def _locked_deb(fields: Fields) -> LockedDeb:
    return LockedDeb(
        name=fields.text("name", match=DEB, what=DEB_WORDS),
        version=fields.text("version", match=_DEB_VERSION, what="the version of a Debian package"),
        architecture=fields.text("architecture", match="[a-z0-9]+", what="an architecture of Debian"),
        path=relative_path(fields, "path"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
    )


def _locked_file(fields: Fields) -> LockedFile:
    return LockedFile(
        name=fields.text(
            "name", match=r"[0-9A-Za-z][0-9A-Za-z_.+!-]*\.(whl|tar\.gz|zip)", what="the file name of a wheel or sdist"
        ),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platforms=_platforms(fields),
    )


def _locked_package(fields: Fields) -> LockedPackage:
    return LockedPackage(
        name=fields.text("name", match=_DISTRIBUTION, what="the name of a distribution"),
        version=fields.text("version", match=_PYPI_VERSION, what="the version of a distribution"),
        files=fields.each("files", _locked_file),
    )


def _locked_target(fields: Fields) -> LockedTarget:
    return LockedTarget(
        name=fields.text("name", match=_LINE, what=_LINE_WORDS),
        os=fields.text("os", match=_LINE, what=_LINE_WORDS),
        version=fields.text("version", match=_LINE, what=_LINE_WORDS),
        machine=fields.text("machine", match=_LINE, what=_LINE_WORDS),
        sha256=fields.hex("sha256"),
    )


def _deb_document(deb: LockedDeb) -> dict[str, Any]:
    suite = {"suite": deb.suite} if deb.suite else {}
    return suite | {
        "name": deb.name,
        "version": deb.version,
        "architecture": deb.architecture,
        "path": deb.path,
        "size": deb.size,
        "sha256": deb.sha256,
        "platform": str(deb.platform),
    }


def _package_document(package: LockedPackage) -> dict[str, Any]:
    files = [
        {
            "name": file.name,
            "size": file.size,
            "sha256": file.sha256,
            "platforms": [str(p) for p in file.platforms],
        }
        for file in package.files
    ]
    return {"name": package.name, "version": package.version, "files": files}
