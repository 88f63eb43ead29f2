"""Issue tokens: how long they live, which policies they get, and what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keystore.access.token import BATCH, SERVICE, Token
from keystore.engines.request import RequestError
from keystore.service.call import Call


@dataclass(frozen=True, kw_only=True, slots=True)
class Issue:
    """What a new token shall be; a `ttl_s` of 0 never ends, `longest_s` is the mount's own bound."""

    path: str
    policies: tuple[str, ...]
    display_name: str
    ttl_s: int
    max_ttl_s: int
    longest_s: int
    explicit_max_ttl_s: int = 0
    period_s: int = 0
    num_uses: int = 0
    no_default_policy: bool = False
    renewable: bool = True
    meta: Mapping[str, str] | None = None
    cidrs: tuple[str, ...] = ()
    mount: str = "auth/token/"
    entity: str = ""
    alias: str = ""
    role: str = ""
    parent: str = ""
    secret: str = ""
    kind: str = SERVICE


def issue(call: Call, wanted: Issue) -> tuple[str, Token, list[str]]:
    """Keep a new token; return its secret, what is kept, and warnings.

    Raises: KeystoreError.
    """
    policies = set(wanted.policies)
    if not wanted.no_default_policy and "root" not in policies:
        policies.add("default")
    if wanted.kind == BATCH:
        wanted = _fit_for_batch(wanted, policies)
    ttl_s, warnings = _life(wanted)
    made = Token(
        id="",
        accessor="",
        path=wanted.path,
        policies=tuple(sorted(policies)),
        display_name=wanted.display_name,
        created=call.now,
        expires=call.now + ttl_s if ttl_s else 0,
        ttl=ttl_s,
        creation_ttl=ttl_s,
        max_ttl=wanted.max_ttl_s,
        explicit_max_ttl=wanted.explicit_max_ttl_s,
        period=wanted.period_s,
        num_uses=wanted.num_uses,
        uses=wanted.num_uses,
        renewable=wanted.renewable and bool(ttl_s),
        parent=wanted.parent,
        role=wanted.role,
        mount=wanted.mount,
        entity=wanted.entity,
        alias=wanted.alias,
        meta=wanted.meta,
        cidrs=wanted.cidrs,
        kind=wanted.kind,
    )
    tokens = call.core.open.tokens
    secret, token = tokens.make_batch(made) if made.batch else tokens.make(call.view, made, wanted.secret)
    call.issued = token
    return secret, token, warnings


def _fit_for_batch(wanted: Issue, policies: set[str]) -> Issue:
    """Refuse what a token cannot have of which nothing is kept."""
    if "root" in policies:
        raise RequestError("batch tokens cannot be root tokens")
    if wanted.secret:
        raise RequestError("batch tokens cannot have a custom ID")
    settings = {
        "explicit_max_ttl": wanted.explicit_max_ttl_s,
        "num_uses": wanted.num_uses,
        "period": wanted.period_s,
    }
    for name, value in settings.items():
        if value:
            raise RequestError(f'batch tokens cannot have "{name}" set')
    return replace(wanted, renewable=False, ttl_s=wanted.ttl_s or wanted.longest_s)


def _life(wanted: Issue) -> tuple[int, list[str]]:
    """Return how long a token lives at first."""
    asked = wanted.period_s or wanted.ttl_s
    if not asked:
        return wanted.explicit_max_ttl_s, []
    limits = (wanted.explicit_max_ttl_s, wanted.longest_s if wanted.period_s else wanted.max_ttl_s)
    bounds = [limit for limit in limits if limit]
    ttl_s = min([asked, *bounds])
    warning = f"TTL of {asked}s exceeded the effective max_ttl of {ttl_s}s; TTL value is capped accordingly"
    return ttl_s, [warning] if ttl_s < asked else []


def least(*limits: int) -> int:
    """Return the lowest of some limits, of which 0 is none."""
    return min((limit for limit in limits if limit), default=0)


def kind_of(wanted: str, settings: str, mount: str) -> str:
    """Return which kind of token is made: as the mount demands, else the role, else the request, else a default.

    Raises: RequestError for a kind that is neither.
    """
    for said in (mount, settings, wanted):
        if said in (SERVICE, BATCH):
            return said
        if said not in ("", "default", "default-service", "default-batch"):
            raise RequestError(f"invalid 'token_type' value: {said!r}")
    defaults = [said for said in (settings, mount) if said.startswith("default-")]
    return BATCH if defaults and defaults[0] == "default-batch" else SERVICE


def auth_of(secret: str, token: Token, now: int) -> dict[str, Any]:
    """Return the field `auth` of a response."""
    return {
        "client_token": secret,
        "accessor": token.accessor,
        "policies": list(token.policies),
        "token_policies": list(token.policies),
        "identity_policies": None,
        "metadata": token.meta,
        "lease_duration": token.left(now),
        "renewable": token.renewable,
        "entity_id": token.entity,
        "token_type": token.kind,
        "orphan": token.orphan,
        "mfa_requirement": None,
        "num_uses": token.uses if token.num_uses else 0,
    }
