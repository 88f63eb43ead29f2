"""The escort's sections in a recipe and in a manifest: what is taken, and what is refused where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from bundles import small_manifest
from hosts import service

from bundler.errors import IntegrityError, RecipeError
from bundler.model.document import Fields
from bundler.model.escort import NO_ESCORT, Escort, take_escort
from bundler.model.firewall import Flow
from bundler.model.gateway import closed_by
from bundler.model.manifest import format_manifest, parse_manifest

SERVICES = (
    service("agent", 8090, settings=("MODEL_BASE_URL",)),
    service("model", 8000),
    service("standin", 8001, unless="agent.MODEL_BASE_URL"),
)
ROUTE = {"service": "agent", "paths": ["/process"]}
GATEWAY = {"clients": ["app"], "routes": [ROUTE]}
WHOLE: Mapping[str, Any] = {
    "keystore": {"port": 8201},
    "secrets": [
        {"service": "agent", "name": "model-api-key", "description": "of the model's endpoint"},
        {"service": "agent", "name": "cookie-key", "made": True},
    ],
    "gateway": {**GATEWAY, "port": 9443, "limits": {"requests": 5, "body_kib": 64}},
    "firewall": {
        "covers": "host",
        "allow": [
            {"setting": "agent.MODEL_BASE_URL", "why": "the model"},
            {"to": "10.0.0.0/8", "port": 53, "protocol": "udp", "why": "names"},
        ],
    },
    "monitoring": {"keep_days": 3, "scrape": [{"service": "agent", "pack": "agent"}]},
}


def taken(document: Mapping[str, Any]) -> Escort:
    fields = Fields(document, place="", error=RecipeError)
    escort = take_escort(fields, SERVICES)
    fields.close()
    return escort


def with_gateway(**changes: object) -> dict[str, Any]:
    return {"keystore": {}, "gateway": {**GATEWAY, **changes}}


def test_a_recipe_without_the_sections_has_no_escort() -> None:
    assert taken({}) == NO_ESCORT


def test_every_section_is_taken() -> None:
    escort = taken(WHOLE)
    assert escort.keystore is not None
    assert escort.gateway is not None
    assert escort.firewall is not None
    assert escort.monitoring is not None
    assert [one.path for one in escort.secrets] == ["agent/model-api-key", "agent/cookie-key"]
    assert (escort.keystore.port, escort.gateway.port, escort.gateway.metrics_port) == (8201, 9443, 8404)
    assert (escort.gateway.limits.requests, escort.gateway.limits.connections) == (5, 256)
    assert escort.firewall.allow[1] == Flow(why="names", to="10.0.0.0/8", port=53, protocol="udp")
    assert (escort.monitoring.port, escort.monitoring.scrape[0].path) == (9090, "/metrics")


def test_a_manifest_carries_the_escort_as_it_is() -> None:
    manifest = replace(small_manifest([])[0], services=SERVICES, escort=taken(WHOLE))
    assert parse_manifest(format_manifest(manifest)) == manifest
    bare = replace(manifest, escort=NO_ESCORT)
    assert b"gateway" not in format_manifest(bare)
    assert parse_manifest(format_manifest(bare)) == bare


def test_a_limit_that_is_not_understood_is_refused_in_a_manifest_too() -> None:
    manifest = replace(small_manifest([])[0], services=SERVICES, escort=taken(WHOLE))
    changed = format_manifest(manifest).replace(b'"body_kib"', b'"body_gib"')
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(changed)
    assert str(caught.value) == "gateway.limits.body_gib: unknown field"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"gateway": GATEWAY}, "gateway: expected a keystore beside it"),
        ({"secrets": [{"service": "agent", "name": "a"}]}, "secrets: expected a keystore beside it"),
        ({"keystore": {"port": 80}}, "keystore.port: expected at least 1024, got 80"),
        ({"keystore": {"ports": 8200}}, "keystore.ports: unknown field"),
        ({"keystore": {"port": 8090}}, 'keystore.port: the port 8090 is that of "agent"'),
        (with_gateway(port=8200), 'gateway.port: the port 8200 is that of "keystore.port"'),
        (with_gateway(metrics_port=8443), 'gateway.metrics_port: the port 8443 is that of "gateway.port"'),
        (with_gateway(clients=[]), "gateway.clients: expected at least one, got an empty list"),
        (with_gateway(clients=["a", "a"]), "gateway.clients: expected each name once"),
        (
            with_gateway(clients=["App"]),
            'gateway.clients[0]: expected a name of lower-case letters, digits, hyphens, got "App"',
        ),
        (with_gateway(routes=[]), "gateway.routes: expected at least one, got an empty list"),
        (
            with_gateway(routes=[{"service": "other", "paths": ["/x"]}]),
            'gateway.routes[0].service: expected the name of a service, got "other"',
        ),
        (
            with_gateway(routes=[{"service": "standin", "paths": ["/x"]}]),
            'gateway.routes[0].service: expected a service that always runs, "standin" has "unless"',
        ),
        (
            with_gateway(routes=[{**ROUTE, "paths": []}]),
            "gateway.routes[0].paths: expected at least one, got an empty list",
        ),
        (
            with_gateway(routes=[{**ROUTE, "paths": ["/process", "/shutdown"]}]),
            'gateway.routes[0].paths[1]: expected a path for clients, got "/shutdown"',
        ),
        (
            with_gateway(routes=[{**ROUTE, "paths": ["/*"]}]),
            'gateway.routes[0].paths[0]: expected a path for clients, got "/*", which opens /shutdown',
        ),
        (
            with_gateway(routes=[{**ROUTE, "paths": ["/v1/../x"]}]),
            'gateway.routes[0].paths[0]: expected a path without "//", "." and "..", got "/v1/../x"',
        ),
        (
            with_gateway(routes=[{**ROUTE, "paths": ["/a b"]}]),
            "gateway.routes[0].paths[0]: expected a path of letters, digits and -._~/, with a * at its end for "
            'all that begins so, got "/a b"',
        ),
        (
            with_gateway(routes=[{**ROUTE, "methods": ["TRACE"]}]),
            'gateway.routes[0].methods[0]: expected a method such as GET, got "TRACE"',
        ),
        (with_gateway(limits={"body_kib": 0}), "gateway.limits.body_kib: expected at least 1, got 0"),
        (with_gateway(limits={"body": 1}), "gateway.limits.body: unknown field"),
        ({"firewall": {"covers": "all"}}, 'firewall.covers: expected "services" or "host", got "all"'),
        (
            {"firewall": {"allow": [{"to": "model.bank", "port": 1, "why": "x"}]}},
            'firewall.allow[0].to: expected an address or a network, got "model.bank"',
        ),
        (
            {"firewall": {"allow": [{"to": "10.0.0.1", "why": "x"}]}},
            "firewall.allow[0].port: expected a whole number, the field is missing",
        ),
        (
            {"firewall": {"allow": [{"to": "10.0.0.1", "port": 1, "why": ""}]}},
            'firewall.allow[0].why: expected one line that says why, got ""',
        ),
        (
            {"firewall": {"allow": [{"setting": "agent.OTHER", "why": "x"}]}},
            'firewall.allow[0].setting: expected SERVICE.NAME, a setting of a service, got "agent.OTHER"',
        ),
        (
            {"keystore": {}, "secrets": [{"service": "agent", "name": "a"}, {"service": "agent", "name": "a"}]},
            'secrets[1].name: "agent/a" stands twice',
        ),
        (
            {"keystore": {}, "secrets": [{"service": "agent", "name": "../a"}]},
            'secrets[0].name: expected a name of letters, digits, underscores and hyphens, got "../a"',
        ),
        (
            {"keystore": {}, "secrets": [{"service": "nobody", "name": "a"}]},
            'secrets[0].service: expected the name of a service, got "nobody"',
        ),
        (
            {"monitoring": {"scrape": [{"service": "nobody"}]}},
            'monitoring.scrape[0].service: expected the name of a service, got "nobody"',
        ),
        (
            {"monitoring": {"scrape": [{"service": "agent", "pack": "mine"}]}},
            'monitoring.scrape[0].pack: expected "agent" or "model", got "mine"',
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_its_place(document: Mapping[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        taken(document)
    assert str(caught.value) == told


def test_a_service_may_not_have_the_name_of_a_section() -> None:
    with pytest.raises(RecipeError) as caught:
        take_escort(Fields({"keystore": {}}, place="", error=RecipeError), (service("keystore", 1),))
    assert str(caught.value) == 'services[0].name: the name "keystore" is that of a section of the recipe'
    assert take_escort(Fields({}, place="", error=RecipeError), (service("keystore", 1),)) == NO_ESCORT


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("/process", ""),
        ("/v1/*", ""),
        ("/", ""),
        ("/administer", ""),
        ("/shutdown", "/shutdown"),
        ("/admin/x", "/admin"),
        ("/s*", "/shutdown"),
        ("/admin*", "/admin"),
        ("/*", "/shutdown"),
        ("/docs/*", "/docs"),
    ],
)
def test_what_administers_a_service_cannot_be_opened(path: str, closed: str) -> None:
    assert closed_by(path) == closed
