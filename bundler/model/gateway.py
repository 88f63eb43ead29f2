"""The gateway of a recipe: which paths clients may reach, with which tokens, how much and how fast."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from bundler.model.document import Fields, describe
from bundler.model.secret import own_port

PORT, METRICS_PORT = 8443, 8404
# Letters that need no escape, in a request and in a rule; a last * stands for whatever follows.
_PATH = r"/[A-Za-z0-9_.~/-]*\*?"
_PATH_WORDS = "a path of letters, digits and -._~/, with a * at its end for all that begins so"
_CLIENT = "[a-z][a-z0-9-]{0,31}"
_CLIENT_WORDS = "a name of lower-case letters, digits, hyphens"
_METHOD = "GET|HEAD|POST|PUT|PATCH|DELETE"
# What agent frameworks and their servers answer for those who run them, not for clients.
ADMIN = ("/shutdown", "/admin", "/debug", "/docs", "/openapi.json", "/redoc", "/metrics")


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Paths of one service that are open to clients, and the methods that they take."""

    service: str
    paths: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "POST")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one client, and all together, may ask of the services.

    Args:
        requests: how many requests a client may make in ten seconds.
        refused: how many requests without a token in its place an address may make in ten seconds.
        body_kib: how large a request's body may be.
        connections: how many connections there are at once.
        concurrent: how many requests a service answers at once; further ones wait.
        queue_s: how long they wait.
        answer_s: how long a service may be silent while it answers.
    """

    requests: int = 100
    refused: int = 20
    body_kib: int = 1024
    connections: int = 256
    concurrent: int = 32
    queue_s: int = 10
    answer_s: int = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """What stands before the services: TLS, tokens of `clients`, open paths, limits."""

    routes: tuple[Route, ...]
    clients: tuple[str, ...]
    port: int = PORT
    metrics_port: int = METRICS_PORT
    limits: Limits = Limits()


def gateway_section(fields: Fields) -> Gateway:
    """Take the section `gateway`."""
    gateway = Gateway(
        port=own_port(fields, "port", PORT),
        metrics_port=own_port(fields, "metrics_port", METRICS_PORT),
        clients=fields.texts("clients", match=_CLIENT, what=_CLIENT_WORDS),
        routes=fields.each("routes", _route),
        limits=_limits(fields.mapping("limits", {})),
    )
    for name, values in (("routes", gateway.routes), ("clients", gateway.clients)):
        if not values:
            raise fields.refuse(name, "expected at least one, got an empty list")
    if len(set(gateway.clients)) < len(gateway.clients):
        raise fields.refuse("clients", "expected each name once")
    fields.close()
    return gateway


def _route(fields: Fields) -> Route:
    route = Route(
        service=fields.text("service"),
        paths=fields.texts("paths", match=_PATH, what=_PATH_WORDS),
        methods=fields.texts("methods", ["GET", "POST"], match=_METHOD, what="a method such as GET"),
    )
    if not route.paths:
        raise fields.refuse("paths", "expected at least one, got an empty list")
    for index, path in enumerate(route.paths):
        if closed := closed_by(path):
            hint = "name the open paths one by one: what administers a service is for its host alone"
            got = f"{describe(path)}, which opens {closed}" if path != closed else describe(path)
            raise fields.refuse(f"paths[{index}]", f"expected a path for clients, got {got}", hint)
        if re.search(r"//|/\.{1,2}(/|\*?$)", path):
            raise fields.refuse(f"paths[{index}]", f'expected a path without "//", "." and "..", got {describe(path)}')
    return route


def closed_by(path: str) -> str:
    """Return what a path would open that stays closed, "" when nothing."""
    start = path.removesuffix("*")
    below = (one for one in ADMIN if start == one or start.startswith(f"{one}/"))
    opens = (one for one in ADMIN if path.endswith("*") and one.startswith(start.rstrip("/") or "/"))
    return next(iter((*below, *opens)), "")


def _limits(fields: Fields) -> Limits:
    usual = Limits()
    most = {"body_kib": 1024 * 1024, "connections": 20_000, "queue_s": 3600, "answer_s": 86_400}
    values = {
        name: fields.integer(name, value, least=1, most=most.get(name, 1_000_000))
        for name, value in asdict(usual).items()
    }
    fields.close()
    return Limits(**values)


def gateway_document(gateway: Gateway) -> dict[str, Any]:
    """Return a gateway as it stands in a manifest."""
    document = asdict(gateway)
    document["clients"] = list(gateway.clients)
    document["routes"] = [
        {"service": one.service, "paths": list(one.paths), "methods": list(one.methods)} for one in gateway.routes
    ]
    return document
