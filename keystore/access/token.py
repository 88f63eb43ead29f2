"""Tokens: what a caller shows. The store keeps a keyed hash of each, so that who reads a record cannot use it."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from keystore import document
from keystore.access import batch
from keystore.access.batch import BatchSeal
from keystore.errors import KeystoreError

BY_ID = "token/id/"
BY_ACCESSOR = "token/accessor/"
CHILDREN = "token/child/"
PREFIX = "hvs."
_RANDOM_BYTES = 24
_LONGEST = 512
NEVER = 0
SERVICE, BATCH = "service", "batch"


class Records(Protocol):
    """Where tokens are kept."""

    def get(self, path: str) -> bytes | None: ...  # noqa: D102
    def put(self, path: str, value: bytes) -> None: ...  # noqa: D102
    def delete(self, path: str) -> None: ...  # noqa: D102
    def names(self, prefix: str) -> list[str]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """What is known of a token; `id` is its hash, times are seconds since 1970, `uses` what is left (0: any number)."""

    id: str
    accessor: str
    path: str
    policies: tuple[str, ...]
    display_name: str
    created: int
    expires: int = NEVER
    ttl: int = 0
    creation_ttl: int = 0
    max_ttl: int = 0
    explicit_max_ttl: int = 0
    period: int = 0
    num_uses: int = 0
    uses: int = 0
    renewable: bool = False
    renewed: int = 0
    parent: str = ""
    role: str = ""
    mount: str = ""
    entity: str = ""
    alias: str = ""
    meta: Mapping[str, str] | None = None
    cidrs: tuple[str, ...] = ()
    kind: str = SERVICE

    @property
    def batch(self) -> bool:
        """Whether the token carries all that is known of it, and nothing is kept."""
        return self.kind == BATCH

    @property
    def lender(self) -> str:
        """The token that leases hang on: that of a batch token is its parent's, if it has one."""
        return self.parent if self.batch else self.id

    @property
    def is_root(self) -> bool:
        """Whether the token may do everything."""
        return "root" in self.policies

    @property
    def orphan(self) -> bool:
        """Whether the token outlives its parent."""
        return not self.parent

    @property
    def identity(self) -> str:
        """Who logged in for it, as 'userpass/alice'; empty where no login gave it, so also for the child of one."""
        mount = self.mount.removeprefix("auth/")
        return mount + self.alias if self.entity and self.alias and mount != "token/" else ""

    def left(self, now: int) -> int:
        """Return the seconds that are left to it, 0 where it never ends."""
        return max(0, self.expires - now) if self.expires else 0

    def encode(self) -> bytes:
        """Return the record of the token; what it is kept by is not in it."""
        return document.canonical({name: getattr(self, name) for name in self.__slots__ if name != "id"})

    def content(self) -> bytes:
        """Return what a batch token carries: the fields that are not as they are in every token."""
        told = [one for one in fields(self) if one.name not in ("id", "accessor")]
        found = {one.name: getattr(self, one.name) for one in told if getattr(self, one.name) != one.default}
        return document.canonical(found)

    @classmethod
    def of_content(cls, identifier: str, content: bytes) -> Token:
        """Return the token of what it carries."""
        found = document.parse(content, "batch token")
        found["policies"], found["cidrs"] = tuple(found.get("policies", ())), tuple(found.get("cidrs", ()))
        return cls(id=identifier, accessor="", **found)

    @classmethod
    def parse(cls, identifier: str, data: bytes) -> Token:
        """Return the token of a record."""
        found = document.parse(data, "token")
        found["policies"], found["cidrs"] = tuple(found["policies"]), tuple(found["cidrs"])
        return cls(id=identifier, **found)


_parsed = functools.lru_cache(maxsize=1024)(Token.parse)


class Tokens:
    """The tokens of a store; `mac` hashes them under a key of the store, `scheduled` is told what will expire when."""

    def __init__(
        self,
        mac: Callable[[str, bytes], bytes],
        scheduled: Callable[[int, str], None],
        batches: BatchSeal | None = None,
    ) -> None:
        self._mac = mac
        self._scheduled = scheduled
        self._batches = batches

    def identify(self, secret: str) -> str:
        """Return the hash that a token is kept by."""
        return self._mac("token", secret.encode("utf-8", "replace")).hex()

    def make(self, records: Records, token: Token, secret: str = "") -> tuple[str, Token]:
        """Keep a new token; return its secret, made here unless given, and what is kept."""
        secret = secret or PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
        made = replace(token, id=self.identify(secret), accessor=secrets.token_urlsafe(18))
        if records.get(BY_ID + made.id) is not None:
            raise KeystoreError("cannot create a token with a duplicate ID")
        records.put(BY_ACCESSOR + made.accessor, made.id.encode("ascii"))
        if made.parent:
            records.put(f"{CHILDREN}{made.parent}/{made.id}", b"{}")
        self.keep(records, made)
        return secret, made

    def make_batch(self, token: Token) -> tuple[str, Token]:
        """Return a new batch token and what it carries; nothing is kept."""
        assert self._batches is not None
        secret = self._batches.seal(token.content())
        return secret, replace(token, id=self.identify(secret))

    def keep(self, records: Records, token: Token) -> None:
        """Write a token back."""
        records.put(BY_ID + token.id, token.encode())
        if token.expires:
            self._scheduled(token.expires, token.id)

    def find(self, records: Records, secret: str, now: int) -> Token | None:
        """Return the token of a secret, unless it is over."""
        if secret.startswith(batch.PREFIX):
            return self._find_batch(records, secret, now)
        if not secret or len(secret) > _LONGEST:
            return None
        return self.by_id(records, self.identify(secret), now)

    def _find_batch(self, records: Records, secret: str, now: int) -> Token | None:
        """Return the token that carries itself, unless it or its parent is over."""
        content = self._batches.unseal(secret) if self._batches else None
        if content is None:
            return None
        found = Token.of_content(self.identify(secret), content)
        orphaned = bool(found.parent) and self.by_id(records, found.parent, now) is None
        return None if orphaned or found.expires <= now else found

    def by_id(self, records: Records, identifier: str, now: int) -> Token | None:
        """Return the token of a hash, unless it is over."""
        data = records.get(BY_ID + identifier)
        found = None if data is None else _parsed(identifier, data)
        return None if found is None or (found.expires and found.expires <= now) else found

    def by_accessor(self, records: Records, accessor: str, now: int) -> Token | None:
        """Return the token of an accessor, unless it is over."""
        if not accessor or "/" in accessor:
            return None
        identifier = records.get(BY_ACCESSOR + accessor)
        return None if identifier is None else self.by_id(records, identifier.decode("ascii"), now)

    def use(self, records: Records, token: Token) -> bool:
        """Count one use; tell whether it was the last."""
        if not token.num_uses:
            return False
        self.keep(records, replace(token, uses=token.uses - 1))
        return token.uses <= 1

    def renew(self, records: Records, token: Token, increment: int, now: int, longest: int) -> tuple[Token, str]:
        """Give a token more time, as far as its longest life and that of its mount allow; return it, and a warning."""
        wanted = token.period or increment or token.creation_ttl
        bounds = [limit for limit in (token.explicit_max_ttl, 0 if token.period else token.max_ttl) if limit]
        if not token.period:
            bounds.append(longest)
        ends = [token.created + limit for limit in bounds]
        # A period has no end, but no single one is longer than the mount allows.
        expires = min([now + (min(wanted, longest) if token.period else wanted), *ends])
        renewed = replace(token, expires=expires, ttl=max(0, expires - now), renewed=now)
        self.keep(records, renewed)
        warning = f"TTL of {wanted}s exceeded the effective max_ttl; TTL value is capped accordingly"
        return renewed, warning if expires < now + wanted else ""

    def revoke(self, records: Records, identifier: str, forget: Callable[[str], None]) -> None:
        """Forget a token and all that came from it; `forget` is told each, to take back what else hangs on it."""
        pending = [identifier]
        while pending:
            found = pending.pop()
            pending += records.names(f"{CHILDREN}{found}/")
            self._forget(records, found, forget)

    def revoke_alone(self, records: Records, identifier: str, forget: Callable[[str], None]) -> None:
        """Forget a token; its children live on as orphans."""
        for child in records.names(f"{CHILDREN}{identifier}/"):
            data = records.get(BY_ID + child)
            if data is not None:
                records.put(BY_ID + child, replace(Token.parse(child, data), parent="").encode())
            records.delete(f"{CHILDREN}{identifier}/{child}")
        self._forget(records, identifier, forget)

    def _forget(self, records: Records, identifier: str, forget: Callable[[str], None]) -> None:
        data = records.get(BY_ID + identifier)
        if data is not None:
            token = Token.parse(identifier, data)
            records.delete(BY_ACCESSOR + token.accessor)
            records.delete(BY_ID + identifier)
            if token.parent:
                records.delete(f"{CHILDREN}{token.parent}/{identifier}")
        forget(identifier)


def described(token: Token, now: int, secret: str = "") -> dict[str, Any]:
    """Return what a lookup of a token answers."""
    found: dict[str, Any] = {
        "accessor": token.accessor,
        "creation_time": token.created,
        "creation_ttl": token.creation_ttl,
        "display_name": token.display_name,
        "entity_id": token.entity,
        "expire_time": _rfc3339(token.expires) if token.expires else None,
        "explicit_max_ttl": token.explicit_max_ttl,
        "id": secret,
        "issue_time": _rfc3339(token.created),
        "meta": token.meta,
        "num_uses": token.uses if token.num_uses else 0,
        "orphan": token.orphan,
        "path": token.path,
        "policies": list(token.policies),
        "renewable": token.renewable,
        "ttl": token.left(now),
        "type": token.kind,
    }
    if token.period:
        found["period"] = token.period
    if token.role:
        found["role"] = token.role
    if token.renewed:
        found["last_renewal"] = _rfc3339(token.renewed)
        found["last_renewal_time"] = token.renewed
    if token.cidrs:
        found["bound_cidrs"] = list(token.cidrs)
    return found


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
