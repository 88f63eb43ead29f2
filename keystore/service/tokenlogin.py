"""auth/token: create, look up, renew and revoke tokens, and the roles that others may create them under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keystore import document
from keystore.access import field, settings
from keystore.access.login import described as settings_described
from keystore.access.settings import TokenSettings
from keystore.access.token import BATCH, BY_ACCESSOR, Token, described
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Operation, Records, RequestError
from keystore.service import engines, identity, mounts
from keystore.service.call import Call
from keystore.service.message import Response
from keystore.service.records import MountRecords
from keystore.service.tokens import Issue, auth_of, issue, kind_of, least

_ROLES = "token/role/"
_BAD = "bad token"


class TokenLogin:
    """Answer for the one mount; it works on the tokens themselves and so takes the whole call."""

    def is_open(self, path: str) -> bool:
        """Tell that nobody gets a token here without one."""
        return False

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (
            *(offer(word, *handlers) for word, handlers in _ROUTES.items() if word != "roles"),
            offer("create/{role_name}", Operation.UPDATE),
            offer("roles", Operation.LIST),
            offer("roles/{role_name}", *(_ROUTES["roles"].keys() - {Operation.LIST})),
        )

    def exists(self, path: str, records: Records) -> bool:
        """Tell that a write is an update."""
        return True

    def answer(self, call: Call, path: str) -> Response:
        """Answer a request.

        Raises: RequestError.
        """
        word, _, rest = path.partition("/")
        handlers = _ROUTES.get(word)
        if handlers is None:
            raise RequestError("unsupported path", status=404)
        if call.operation not in handlers:
            raise RequestError("unsupported operation", status=405)
        return handlers[call.operation](call, rest)


def _create(call: Call, rest: str) -> Response:
    role = _role(call, rest) if rest else None
    return _issued(call, rest, role, orphan=bool(role and role["orphan"]))


def _create_orphan(call: Call, _rest: str) -> Response:
    return _issued(call, "", None, orphan=True)


def _issued(call: Call, name: str, role: Mapping[str, Any] | None, *, orphan: bool) -> Response:
    data, caller = call.data, call.caller
    if caller.num_uses and not orphan:
        raise RequestError("restricted use token cannot generate child tokens")
    if caller.batch:
        raise RequestError("batch tokens cannot create more tokens")
    powerful = caller.is_root or _has_sudo(call)
    orphan = orphan or _wants_orphan(data, powerful)
    kept = (_kept(role) if role else None) or TokenSettings()
    policies = _policies(call, role, powerful=powerful)
    period_s = kept.token_period or _period(data, powerful)
    limits = [limit for limit in (kept.token_explicit_max_ttl, field.seconds(data, "explicit_max_ttl")) if limit]
    mount = mounts.read(call.view, mounts.AUTH)["token/"]
    secret, token, warnings = issue(
        call,
        Issue(
            path=f"auth/token/create/{name}" if name else call.path,
            policies=policies,
            no_default_policy=kept.token_no_default_policy or field.flag(data, "no_default_policy"),
            display_name=_display_name(data),
            ttl_s=_ttl(data, kept, mount, policies),
            max_ttl_s=least(kept.token_max_ttl, mount.max_ttl_s),
            longest_s=mount.max_ttl_s,
            kind=kind_of(field.text(data, "type"), kept.token_type, ""),
            explicit_max_ttl_s=min(limits, default=0),
            period_s=period_s,
            num_uses=field.whole(data, "num_uses", kept.token_num_uses),
            renewable=field.flag(data, "renewable", default=True) and bool(not role or role["renewable"]),
            meta=field.texts(data, "meta") or None,
            cidrs=kept.token_bound_cidrs,
            entity="" if orphan else caller.entity,
            alias="" if orphan else caller.alias,
            role=name,
            parent="" if orphan else caller.id,
            secret=_given_id(data, caller),
        ),
    )
    return Response(auth=auth_of(secret, token, call.now), warnings=warnings)


def _has_sudo(call: Call) -> bool:
    rule = call.acl.rule(call.path) if call.acl else None
    return rule is not None and "sudo" in rule.capabilities


def _wants_orphan(data: Mapping[str, Any], powerful: bool) -> bool:
    wanted = field.flag(data, "no_parent")
    if wanted and not powerful:
        raise RequestError("root or sudo privileges required to create orphan token")
    return wanted


def _period(data: Mapping[str, Any], powerful: bool) -> int:
    found = field.seconds(data, "period")
    if found and not powerful:
        raise RequestError("root or sudo privileges required to create periodic token")
    return found


def _given_id(data: Mapping[str, Any], caller: Token) -> str:
    given = field.text(data, "id")
    if given and not caller.is_root:
        raise RequestError("root required to specify token id")
    if given and (len(given) < 8 or "." in given.removeprefix("hvs.") or given.startswith("s.")):
        raise RequestError("custom token ID must have 8 characters or more and neither 's.' in front nor a '.' inside")
    return given


def _display_name(data: Mapping[str, Any]) -> str:
    name = field.text(data, "display_name")
    kept = "".join(letter if letter.isalnum() else "-" for letter in name)
    return f"token-{kept}".rstrip("-") if kept else "token"


def _ttl(data: Mapping[str, Any], kept: TokenSettings, mount: mounts.Mount, policies: tuple[str, ...]) -> int:
    """Return how long the token shall live; a root token lives for ever unless it is said otherwise."""
    asked = field.seconds(data, "ttl") or field.seconds(data, "lease")
    return asked or kept.token_ttl or (0 if "root" in policies else mount.ttl_s)


def _policies(call: Call, role: Mapping[str, Any] | None, *, powerful: bool) -> tuple[str, ...]:
    wanted = tuple(sorted({name.lower() for name in field.strings(call.data, "policies")}))
    if role is not None:
        return _policies_of_role(wanted, role, call.caller)
    if not wanted:
        return call.caller.policies
    missing = sorted(set(wanted) - set(call.caller.policies) - {"default"})
    if "root" in wanted and not call.caller.is_root:
        raise RequestError("root tokens may not be created without parent token being root")
    if missing and not powerful:
        raise RequestError("child policies must be subset of parent")
    return wanted


def _policies_of_role(wanted: tuple[str, ...], role: Mapping[str, Any], caller: Token) -> tuple[str, ...]:
    allowed, refused = role["allowed_policies"], role["disallowed_policies"]
    found = wanted or tuple(allowed) or caller.policies
    for name in found:
        if name == "root" or name in refused:
            raise RequestError(f"token policy {name!r} is disallowed by this role")
        if allowed and name not in allowed and name != "default":
            raise RequestError(f"token policies ({list(found)}) must be subset of the role's allowed policies")
        if not allowed and wanted and not refused and name not in (*caller.policies, "default"):
            raise RequestError("child policies must be subset of parent")
    return found


def _own(call: Call, _rest: str) -> Response:
    return Response(data=described(call.caller, call.now, call.inbound.token))


def _lookup(call: Call, rest: str) -> Response:
    secret = rest or field.text(call.data, "token") or call.inbound.token
    token = call.core.open.tokens.find(call.view, secret, call.now)
    if token is None:
        raise RequestError(_BAD, status=403)
    return Response(data=described(token, call.now, secret))


def _lookup_accessor(call: Call, rest: str) -> Response:
    return Response(data=described(_by_accessor(call, rest), call.now))


def _by_accessor(call: Call, rest: str) -> Token:
    accessor = rest or field.needed(call.data, "accessor")
    token = call.core.open.tokens.by_accessor(call.view, accessor, call.now)
    if token is None:
        raise RequestError("invalid accessor", status=403)
    return token


def _renewed(call: Call, token: Token, secret: str) -> Response:
    if token.batch:
        raise RequestError("batch tokens cannot be renewed")
    if not token.renewable:
        raise RequestError("lease is not renewable")
    increment = field.seconds(call.data, "increment")
    mount = mounts.read(call.view, mounts.AUTH).get(token.mount.removeprefix("auth/"))
    longest = mount.max_ttl_s if mount else mounts.SYSTEM_TTL_S
    if mount is not None and mount.type == "cert":
        records = MountRecords(call.view, mount.prefix)
        engines.of_mount(mount).check_renewal(records, token.meta or {}, call.inbound.certificate)
    renewed, warning = call.core.open.tokens.renew(call.view, token, increment, call.now, longest)
    return Response(auth=auth_of(secret, renewed, call.now), warnings=[warning] if warning else [])


def _renew_own(call: Call, _rest: str) -> Response:
    return _renewed(call, call.caller, call.inbound.token)


def _renew(call: Call, rest: str) -> Response:
    secret = rest or field.needed(call.data, "token")
    token = call.core.open.tokens.find(call.view, secret, call.now)
    if token is None:
        raise RequestError("token not found")
    return _renewed(call, token, secret)


def _renew_accessor(call: Call, rest: str) -> Response:
    return _renewed(call, _by_accessor(call, rest), "")


def _revocable(token: Token) -> str:
    if token.batch:
        raise RequestError("batch tokens cannot be revoked")
    return token.id


def _revoke_own(call: Call, _rest: str) -> Response:
    call.last_use = False
    identity.revoke(call, _revocable(call.caller))
    return Response()


def _revoke(call: Call, rest: str) -> Response:
    secret = rest or field.needed(call.data, "token")
    token = call.core.open.tokens.find(call.view, secret, call.now)
    if token is not None:
        identity.revoke(call, _revocable(token))
    return Response()


def _revoke_accessor(call: Call, rest: str) -> Response:
    accessor = rest or field.needed(call.data, "accessor")
    token = call.core.open.tokens.by_accessor(call.view, accessor, call.now)
    if token is None:
        return Response(warnings=["No token found with this accessor"])
    identity.revoke(call, token.id)
    return Response()


def _revoke_orphan(call: Call, rest: str) -> Response:
    secret = rest or field.needed(call.data, "token")
    token = call.core.open.tokens.find(call.view, secret, call.now)
    if token is None:
        raise RequestError("token to revoke not found")
    identity.revoke_alone(call, _revocable(token))
    return Response()


def _accessors(call: Call, _rest: str) -> Response:
    return Response(data={"keys": call.view.names(BY_ACCESSOR)})


def _tidy(_call: Call, _rest: str) -> Response:
    return Response(status=202, warnings=["nothing to tidy: what ends is taken away by itself"])


def _role(call: Call, name: str) -> dict[str, Any]:
    found = call.view.get(_ROLES + name)
    if found is None:
        raise RequestError(f"unknown role {name}")
    return document.parse(found, "role")


def _read_role(call: Call, name: str) -> Response:
    if call.view.get(_ROLES + name) is None:
        raise RequestError("", status=404)
    found = _role(call, name)
    kept = settings.of_document(found.pop("settings"))
    return Response(data={"name": name, **found, **settings_described(kept), "explicit_max_ttl": 0, "period": 0})


def _write_role(call: Call, name: str) -> Response:
    if not name or "/" in name:
        raise RequestError("missing role name")
    before = _role(call, name) if call.view.get(_ROLES + name) else {}
    data = call.data
    kept = settings.parse(data, _kept(before))
    found = {
        "allowed_policies": list(
            settings.policies(data, "allowed_policies", tuple(before.get("allowed_policies", ())))
        ),
        "disallowed_policies": list(
            field.strings(data, "disallowed_policies", tuple(before.get("disallowed_policies", ())))
        ),
        "orphan": field.flag(data, "orphan", default=before.get("orphan", False)),
        "renewable": field.flag(data, "renewable", default=before.get("renewable", True)),
        "path_suffix": field.text(data, "path_suffix", before.get("path_suffix", "")),
        "settings": kept.document(),
    }
    if kept.token_type == BATCH and not found["orphan"]:
        raise RequestError("'token_type' cannot be 'batch' when role is set to generate non-orphan tokens")
    call.view.put(_ROLES + name, document.canonical(found))
    return Response()


def _kept(before: Mapping[str, Any]) -> TokenSettings | None:
    if "settings" not in before:
        return None
    return settings.of_document(before["settings"])


def _roles(call: Call, _rest: str) -> Response:
    found = call.view.names(_ROLES)
    if not found:
        raise RequestError("", status=404)
    return Response(data={"keys": found})


def _delete_role(call: Call, name: str) -> Response:
    call.view.delete(_ROLES + name)
    return Response()


Handler = Callable[[Call, str], Response]
_READ, _UPDATE = Operation.READ, Operation.UPDATE
_ROUTES: Mapping[str, Mapping[Operation, Handler]] = {
    "create": {_UPDATE: _create},
    "create-orphan": {_UPDATE: _create_orphan},
    "lookup-self": {_READ: _own, _UPDATE: _own},
    "lookup": {_READ: _lookup, _UPDATE: _lookup},
    "lookup-accessor": {_UPDATE: _lookup_accessor},
    "renew-self": {_UPDATE: _renew_own},
    "renew": {_UPDATE: _renew},
    "renew-accessor": {_UPDATE: _renew_accessor},
    "revoke-self": {_UPDATE: _revoke_own},
    "revoke": {_UPDATE: _revoke},
    "revoke-accessor": {_UPDATE: _revoke_accessor},
    "revoke-orphan": {_UPDATE: _revoke_orphan},
    "accessors": {Operation.LIST: _accessors},
    "tidy": {_UPDATE: _tidy},
    "roles": {Operation.LIST: _roles, _READ: _read_role, _UPDATE: _write_role, Operation.DELETE: _delete_role},
}
