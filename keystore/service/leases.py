"""Leases: promises to take a secret back, kept as records so that they survive a restart."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from keystore import document
from keystore.access.token import BY_ID as TOKENS
from keystore.access.token import Token
from keystore.barrier.overlay import View
from keystore.engines.request import Lease, Operation, Request, RequestError
from keystore.service import engines, mounts
from keystore.service.mounts import Mount
from keystore.service.records import MountRecords

BY_ID = "lease/id/"
BY_TOKEN = "lease/token/"  # noqa: S105 (a path)
_RANDOM_BYTES = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Leased:
    """A lease that is kept: the mount's route and the engine's path that takes the secret back."""

    id: str
    route: str
    path: str
    token: str
    issued: int
    expires: int
    ttl_s: int
    renewable: bool
    renewed: int = 0

    def described(self, now: int) -> dict[str, Any]:
        """Return what a lookup answers."""
        return {
            "id": self.id,
            "issue_time": _shown(self.issued),
            "expire_time": _shown(self.expires),
            "last_renewal": _shown(self.renewed) if self.renewed else None,
            "renewable": self.renewable,
            "ttl": max(0, self.expires - now),
        }


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def keep(view: View, mount: Mount, request_path: str, wanted: Lease, token: Token | None, now: int) -> Leased:
    """Keep the lease that an engine promised; it lives no longer than the mount allows."""
    ttl_s = min(wanted.ttl_s or mount.ttl_s, mount.max_ttl_s)
    if token is not None and token.batch:
        # Nothing tells when a batch token ends, so what is lent to it ends no later by itself.
        ttl_s = min(ttl_s, token.left(now))
    made = Leased(
        id=f"{request_path}/{secrets.token_urlsafe(_RANDOM_BYTES)}",
        route=mount.route,
        path=wanted.path or "",
        token=token.lender if token else "",
        issued=now,
        expires=now + ttl_s,
        ttl_s=ttl_s,
        renewable=wanted.renewable,
    )
    _write(view, made)
    if made.token:
        view.put(f"{BY_TOKEN}{made.token}/{made.id.replace('/', ':')}", made.id.encode())
    return made


def read(view: View, identifier: str) -> Leased | None:
    """Return a lease, or None."""
    data = view.get(BY_ID + identifier)
    return None if data is None else Leased(**document.parse(data, "lease"))


def renew(view: View, identifier: str, increment: int, now: int) -> Leased:
    """Give a lease more time, as far as its mount allows.

    Raises: RequestError.
    """
    found = read(view, identifier)
    if found is None or found.expires <= now:
        raise RequestError("lease not found", status=400)
    if not found.renewable:
        raise RequestError("lease is not renewable")
    mount = mounts.find(view, found.route)
    longest = mount.max_ttl_s if mount else mounts.SYSTEM_TTL_S
    expires = min(now + (increment or found.ttl_s), found.issued + longest)
    renewed = replace(found, expires=expires, renewed=now)
    _write(view, renewed)
    return renewed


def revoke(view: View, identifier: str, now: datetime) -> bool:
    """Take back what a lease lent; tell whether there was one.

    Raises: RequestError when the engine cannot.
    """
    found = read(view, identifier)
    if found is None:
        return False
    mount = mounts.find(view, found.route)
    if mount is not None and found.path and mount.route == found.route:
        request = Request(operation=Operation.DELETE, path=found.path, now=now)
        engines.of_mount(mount).handle(request, MountRecords(view, mount.prefix))
    view.delete(BY_ID + identifier)
    if found.token:
        view.delete(f"{BY_TOKEN}{found.token}/{identifier.replace('/', ':')}")
    return True


def revoke_of_token(view: View, token: str, now: datetime) -> None:
    """Take back everything that was lent to a token."""
    for name in view.names(f"{BY_TOKEN}{token}/"):
        identifier = view.get(f"{BY_TOKEN}{token}/{name}")
        if identifier is not None:
            revoke(view, identifier.decode(), now)


def below(view: View, prefix: str) -> list[str]:
    """Return the ids of the leases below a prefix."""
    return [path.removeprefix(BY_ID) for path in view.paths(BY_ID + prefix)]


def tokens_below(view: View, prefix: str) -> list[str]:
    """Return the ids of the tokens that a login or creation below a prefix made."""
    found = []
    for identifier in view.names(TOKENS):
        data = view.get(TOKENS + identifier)
        if data is not None and Token.parse(identifier, data).path.startswith(prefix):
            found.append(identifier)
    return found


def _write(view: View, lease: Leased) -> None:
    view.put(BY_ID + lease.id, document.canonical(asdict(lease)))
