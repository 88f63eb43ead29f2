"""A service that a bundle runs: the same value in the recipe, in the manifest and on the host."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bundler.errors import RecipeError
from bundler.model.document import LINE, LINE_WORDS, Fields, describe
from bundler.model.path import relative_path

_SETTING = "[A-Z][A-Z0-9_]*"
_VARIABLE = "[A-Za-z_][A-Za-z0-9_]*"
_MOST_PORT = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One request that shows that a service does its work: the answer must contain `expect`."""

    method: str
    path: str
    body: str
    expect: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """A long-running process of the payload.

    Args:
        name: unit and user are called `ferry-NAME`.
        description: one line for the unit.
        run: argument vector; a first word `python` means the bundle's own Python.
        directory: working directory below the root.
        port: the loopback TCP port that it listens on.
        ready: path that answers 200 when it can work.
        environment: fixed settings, sorted by name.
        settings: names that the operator may set in /etc/ferry/NAME.env.
        after: services that must be up first.
        unless: a setting `SERVICE.NAME`; when the operator has set it, this service is not started.
        state: whether it keeps data in /var/lib/ferry-NAME.
        start_timeout_s: how long it may take to become ready.
        memory_max_mib: the limit that its unit sets, 0 for none.
        probe: the request by which a build shows that it works, if any.
    """

    name: str
    description: str
    run: tuple[str, ...]
    directory: str
    port: int
    ready: str
    environment: tuple[tuple[str, str], ...] = ()
    settings: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    unless: str = ""
    state: bool = False
    start_timeout_s: int = 60
    memory_max_mib: int = 0
    probe: Probe | None = None


def recipe_service(fields: Fields) -> Service:
    """Take one service from a recipe."""
    return Service(
        name=fields.text("name", match="[a-z][a-z0-9-]{0,24}", what="a name of lower-case letters, digits, hyphens"),
        description=fields.text("description", "", match=LINE, what=LINE_WORDS),
        run=fields.texts("run", match=LINE, what=LINE_WORDS),
        directory=relative_path(fields, "directory"),
        port=fields.integer("port", least=1, most=_MOST_PORT),
        ready=fields.text("ready", match="/.*", what="a path that starts with /"),
        environment=take_environment(fields),
        settings=fields.texts("settings", [], match=_SETTING, what="an upper-case environment name"),
        after=fields.texts("after", []),
        unless=fields.text("unless", ""),
        state=fields.flag("state", False),
        start_timeout_s=fields.integer("start_timeout_s", 60, least=1),
        memory_max_mib=fields.integer("memory_max_mib", 0),
        probe=_probe(fields.mapping("probe")) if fields.has("probe") else None,
    )


def _probe(fields: Fields) -> Probe:
    probe = Probe(
        method=fields.text("method", match="GET|POST", what='"GET" or "POST"'),
        path=fields.text("path", match="/.*", what="a path that starts with /"),
        body=fields.text("body", ""),
        expect=fields.text("expect"),
    )
    fields.close()
    return probe


def take_environment(fields: Fields) -> tuple[tuple[str, str], ...]:
    """Take `environment` of a service or an image, sorted by name."""
    environment = fields.pairs("environment", {})
    for name, value in environment:
        if not re.fullmatch(_VARIABLE, name):
            raise fields.refuse("environment", f"expected the name of a variable, got {describe(name)}")
        if not re.fullmatch(LINE, value):
            raise fields.refuse(f"environment.{name}", f"expected {LINE_WORDS}, got {describe(value)}")
    return environment


def check_services(services: Sequence[Service]) -> None:
    """Refuse services that contradict each other.

    Raises:
        RecipeError: the field that is wrong.
    """
    names = [service.name for service in services]
    ports: dict[int, str] = {}
    switches = {f"{service.name}.{setting}" for service in services for setting in service.settings}
    for index, service in enumerate(services):
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
