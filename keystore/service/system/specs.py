"""sys/internal/specs/openapi: what this service answers, as an OpenAPI document made from its tables of routes.

Source: the OpenAPI specification 3.0.2; the Vault HTTP API documentation, '/sys/internal/specs/openapi'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from keystore.engines.offer import Offer
from keystore.engines.request import Operation
from keystore.service import engines, mounts
from keystore.service.call import Call
from keystore.service.core import VERSION
from keystore.service.identity import acl
from keystore.service.message import Response
from keystore.service.mounts import Mount
from keystore.service.system.mounting import visible
from keystore.service.system.route import Route

_PART = re.compile(r"\{(\w+)\}")
_METHODS = {
    Operation.READ: "get",
    Operation.LIST: "get",
    Operation.CREATE: "post",
    Operation.UPDATE: "post",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
}
_BODIES = {"post": "application/json", "patch": "application/merge-patch+json"}


def openapi(call: Call, exact: Mapping[str, Route], below: Mapping[str, Route]) -> Response:
    """Tell every path below sys/, and those of the mounts that the caller may see."""
    if call.token is not None:
        call.acl = acl(call)
    paths = dict(_system(exact, below))
    for tag, table in (("secrets", mounts.SECRET), ("auth", mounts.AUTH)):
        for mount in mounts.read(call.view, table).values():
            if mount.type != "system" and visible(call, mount):
                paths |= _mounted(call, mount, tag)
    info = {
        "title": "HashiCorp Vault API",
        "description": "The HTTP API of the keystore. All API routes are prefixed with `/v1/`.",
        "version": VERSION,
    }
    return Response(plain={"openapi": "3.0.2", "info": info, "paths": dict(sorted(paths.items()))})


def _system(exact: Mapping[str, Route], below: Mapping[str, Route]) -> Iterator[tuple[str, Any]]:
    named = {**exact, **{f"{prefix}{{path}}": route for prefix, route in below.items()}}
    for path, route in named.items():
        found = Offer(path=f"/sys/{path}", operations=frozenset(route.handlers))
        yield (
            found.path,
            _item(found, "system", anyone=route.open or route.free) | ({"x-vault-sudo": True} if route.sudo else {}),
        )


def _mounted(call: Call, mount: Mount, tag: str) -> dict[str, Any]:
    engine = engines.of_mount(mount, call.core.seal.profile)
    is_open = getattr(engine, "is_open", lambda _path: False)
    found = {}
    for one in engine.offers():
        path = f"/{mount.route}{one.path}"
        whole = Offer(path=path, operations=one.operations, choices=one.choices)
        found[path] = _item(whole, tag, anyone=is_open(_example(one)))
    return found


def _example(offer: Offer) -> str:
    """Return a path that an offer's form stands for."""
    return _PART.sub(lambda part: offer.choices.get(part[1], ("x",))[0], offer.path)


def _item(offer: Offer, tag: str, *, anyone: bool) -> dict[str, Any]:
    parameters = [_parameter(name, offer) for name in _PART.findall(offer.path)]
    found: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if anyone:
        found["x-vault-unauthenticated"] = True
    if Operation.CREATE in offer.operations:
        found["x-vault-createSupported"] = True
    for method in sorted({_METHODS[operation] for operation in offer.operations}):
        found[method] = _operation(offer, method, tag)
    return found


def _parameter(name: str, offer: Offer) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if name in offer.choices:
        schema["enum"] = list(offer.choices[name])
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(offer: Offer, method: str, tag: str) -> dict[str, Any]:
    words = "-".join(re.findall(r"\w+", offer.path))
    found: dict[str, Any] = {"operationId": f"{method}-{words}", "tags": [tag]}
    if method == "get" and Operation.LIST in offer.operations:
        found["parameters"] = [_listing(needed=Operation.READ not in offer.operations)]
    if method in _BODIES:
        found["requestBody"] = {"content": {_BODIES[method]: {"schema": {"type": "object"}}}}
    answers = {"200": {"description": "OK"}}
    return {**found, "responses": answers if method == "get" else {**answers, "204": {"description": "empty body"}}}


def _listing(*, needed: bool) -> dict[str, Any]:
    told = "Must be set to `true`" if needed else "Return a list if `true`"
    schema = {"type": "string", "enum": ["true"]} if needed else {"type": "string"}
    return {"name": "list", "in": "query", "description": told, "required": needed, "schema": schema}
