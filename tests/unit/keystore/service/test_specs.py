"""sys/internal/specs/openapi: the document says what the service does."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from keystoreservice import Service

from keystore.engines.offer import Offer, of_routes
from keystore.engines.request import Answer, Operation
from keystore.engines.routes import route

SPECS = "sys/internal/specs/openapi"
MOUNTS = {"kv1": "kv", "kv2": "kv", "team/transit": "transit", "pki": "pki", "signing": "signing"}
LOGINS = ("approle", "userpass", "cert")
# Making RSA keys takes long, and the token that asks must live on.
SLOW = re.compile(r"/pki/(root|intermediate|issuers)/.*generate.*|/pki/root/rotate.*|.*wrapping_key|.*/revoke-self")


@pytest.fixture
def mounted(service: Service) -> Service:
    for path, kind in MOUNTS.items():
        options = {"options": {"version": path[-1]}} if kind == "kv" else {}
        assert service.ask("POST", f"sys/mounts/{path}", {"type": kind, **options})[0] == 204
    for kind in LOGINS:
        assert service.ask("POST", f"sys/auth/{kind}", {"type": kind})[0] == 204
    return service


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    for path, item in found["paths"].items():
        for method in ("get", "post", "patch", "delete"):
            if method in item:
                yield path, method, item[method], item.get("parameters", []) + item[method].get("parameters", [])


def test_the_document_is_of_one_piece(mounted: Service) -> None:
    status, found = mounted.ask("GET", SPECS)
    assert (status, found["openapi"], found["info"]["title"]) == (200, "3.0.2", "HashiCorp Vault API")
    names = [operation["operationId"] for _, _, operation, _ in _operations(found)]
    assert len(names) == len(set(names)) > 200
    for path, method, operation, parameters in _operations(found):
        declared = [one["name"] for one in parameters if one["in"] == "path"]
        assert sorted(declared) == sorted(re.findall(r"\{(\w+)\}", path)), path
        assert all(one["required"] for one in parameters if one["in"] == "path")
        assert operation["responses"]["200"] == {"description": "OK"}
        assert ("requestBody" in operation) == (method in ("post", "patch"))


def test_what_it_names_is_answered(mounted: Service) -> None:
    found = mounted.ask("GET", SPECS)[1]
    refused = []
    for path, method, _, parameters in _operations(found):
        if path.startswith("/sys/") or SLOW.fullmatch(path):
            continue
        words = {one["name"]: one["schema"].get("enum", ["x"])[0] for one in parameters if one["in"] == "path"}
        asked = path.format(**words).removeprefix("/")
        listing = [one for one in parameters if one["name"] == "list" and one["required"]]
        reply = mounted.ask("LIST" if listing else method.upper(), asked, {} if method in ("post", "patch") else None)
        unknown = reply[0] in (404, 405) and str((reply[1] or {}).get("errors")).startswith("['unsupported")
        if unknown or reply[0] >= 500:
            refused.append((path, method, reply))
    assert refused == []


def test_lists_rights_and_choices_are_told(mounted: Service) -> None:
    paths = mounted.ask("GET", SPECS)[1]["paths"]
    assert paths["/sys/seal"]["x-vault-sudo"] is True
    assert paths["/sys/unseal"]["x-vault-unauthenticated"] is True
    assert paths["/auth/userpass/login/{username}"]["x-vault-unauthenticated"] is True
    assert "x-vault-unauthenticated" not in paths["/auth/userpass/users"]
    assert paths["/pki/crl"]["x-vault-unauthenticated"] is True
    assert paths["/auth/userpass/users"]["get"]["parameters"] == [
        {
            "name": "list",
            "in": "query",
            "description": "Must be set to `true`",
            "required": True,
            "schema": {"type": "string", "enum": ["true"]},
        }
    ]
    assert paths["/kv2/data/{path}"].keys() == {
        "parameters",
        "get",
        "post",
        "patch",
        "delete",
        "x-vault-createSupported",
    }
    assert paths["/pki/issuer/{issuer}/{form}"]["parameters"][1]["schema"]["enum"] == ["pem", "der", "json"]
    assert "/team/transit/keys/{name}/rotate" in paths
    assert "/auth/approle/role/{role_name}/secret-id" in paths
    assert "/auth/token/roles/{role_name}" in paths


def test_a_caller_sees_the_mounts_that_he_may_see(mounted: Service) -> None:
    token = mounted.token('path "kv2/data/*" { capabilities = ["read"] }')
    seen = mounted.ask("GET", SPECS, token=token)[1]["paths"]
    assert {path.split("/")[1] for path in seen} == {"sys", "kv2"}
    assert {path.split("/")[1] for path in mounted.ask("GET", SPECS, token="")[1]["paths"]} == {"sys"}


def test_a_part_that_may_be_absent_makes_two_paths() -> None:
    def answer(_call: object) -> Answer:
        return Answer()

    made = of_routes([route("sign/{name}/{hash?}", update=answer)])
    update = frozenset([Operation.UPDATE])
    assert made == [Offer(path="sign/{name}", operations=update), Offer(path="sign/{name}/{hash}", operations=update)]
