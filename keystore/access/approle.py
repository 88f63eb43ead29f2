"""Log in by a role id and a secret id, as programs do.

Source: "AppRole auth method" of the Vault HTTP API documentation.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from keystore.access import field as fields
from keystore.access import settings
from keystore.access.login import Attempt, Check, Login, described
from keystore.access.settings import TokenSettings
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Operation, Records, RequestError

ROLES, ROLE_IDS, SECRETS, ACCESSORS = "role/", "role-id/", "secret-id/", "accessor/"
_INVALID = "invalid role or secret ID"


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A role; `secret_id_ttl` and `secret_id_num_uses` of 0 set no bound."""

    role_id: str
    bind_secret_id: bool = True
    secret_id_bound_cidrs: tuple[str, ...] = ()
    secret_id_num_uses: int = 0
    secret_id_ttl: int = 0
    local_secret_ids: bool = False
    tokens: TokenSettings = field(default_factory=TokenSettings)

    def encode(self) -> bytes:
        """Return the record of the role."""
        return json.dumps({**asdict(self), "tokens": self.tokens.document()}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Role:
        """Return the role of a record."""
        found = json.loads(data)
        found["secret_id_bound_cidrs"] = tuple(found["secret_id_bound_cidrs"])
        return cls(**{**found, "tokens": settings.of_document(found["tokens"])})

    def described(self) -> dict[str, Any]:
        """Return what a read answers; the role id has its own path."""
        return {
            "bind_secret_id": self.bind_secret_id,
            "secret_id_bound_cidrs": list(self.secret_id_bound_cidrs) or None,
            "secret_id_num_uses": self.secret_id_num_uses,
            "secret_id_ttl": self.secret_id_ttl,
            "local_secret_ids": self.local_secret_ids,
            **described(self.tokens),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretId:
    """A secret id, kept by its hash; `uses` is what is left (0: any number), `expires` 0 never comes."""

    accessor: str
    created: int
    expires: int
    ttl: int
    num_uses: int
    uses: int
    metadata: dict[str, str]
    cidr_list: list[str]
    token_bound_cidrs: list[str]

    def described(self) -> dict[str, Any]:
        """Return what a lookup answers."""
        return {
            "secret_id_accessor": self.accessor,
            "creation_time": _shown(self.created),
            "expiration_time": _shown(self.expires) if self.expires else "0001-01-01T00:00:00Z",
            "last_updated_time": _shown(self.created),
            "secret_id_num_uses": self.uses if self.num_uses else 0,
            "secret_id_ttl": self.ttl,
            "metadata": self.metadata,
            "cidr_list": self.cidr_list,
            "token_bound_cidrs": self.token_bound_cidrs,
        }


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class AppRole:
    """Answer for one mount."""

    def is_open(self, path: str) -> bool:
        """Tell whether a path needs no token."""
        return path == "login"

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (
            offer("login", Operation.UPDATE),
            offer("role", Operation.LIST),
            offer("role/{role_name}", Operation.CREATE, *_ROLE),
            *(offer(f"role/{{role_name}}/{below}", *handlers) for below, handlers in _BELOW.items()),
            *(offer(f"role/{{role_name}}/{name}", *_FIELD) for name in Role(role_id="").described()),
            offer("tidy/secret-id", Operation.UPDATE),
        )

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a role exists; what lies below a role is always an update."""
        words = path.split("/")
        return len(words) != 2 or words[0] != "role" or records.get(ROLES + words[1]) is not None

    def alias(self, attempt: Attempt) -> str:
        """Return whom a login's failures count against."""
        return fields.text(attempt.request.data, "role_id")

    def handle(self, attempt: Attempt, records: Records) -> Answer | Login | Check:
        """Answer a request.

        Raises: RequestError.
        """
        request = attempt.request
        words = request.path.split("/")
        if request.path == "login" and request.operation in (Operation.UPDATE, Operation.CREATE):
            return _log_in(attempt, records)
        if request.path == "role" and request.operation is Operation.LIST:
            return _listed(records.names(ROLES))
        if words[0] == "tidy":
            return Answer(status=202, warnings=("nothing to tidy: what ends is refused and taken away by itself",))
        if words[0] != "role" or len(words) not in (2, 3, 4) or not words[1]:
            raise RequestError("unsupported path", status=404)
        return _role_request(attempt, records, words[1], "/".join(words[2:]))


def _role_request(attempt: Attempt, records: Records, name: str, rest: str) -> Answer:
    operation = _merged(attempt.request.operation)
    if not rest:
        handler = _ROLE.get(operation)
        if handler is None:
            raise RequestError("unsupported operation", status=405)
        return handler(attempt, records, name)
    if rest in _BELOW:
        below = _BELOW[rest].get(operation)
        if below is None:
            raise RequestError("unsupported operation", status=405)
        return below(attempt, records, name)
    return _one_field(attempt, records, name, rest.replace("-", "_"))


def _merged(operation: Operation) -> Operation:
    return Operation.UPDATE if operation is Operation.CREATE else operation


def _role(records: Records, name: str) -> Role:
    found = records.get(ROLES + name)
    if found is None:
        raise RequestError(f"role {name!r} does not exist", status=404)
    return Role.parse(found)


def _read_role(_attempt: Attempt, records: Records, name: str) -> Answer:
    if records.get(ROLES + name) is None:
        raise RequestError("", status=404)
    return Answer(data=_role(records, name).described())


def _write_role(attempt: Attempt, records: Records, name: str) -> Answer:
    data = attempt.request.data
    before = records.get(ROLES + name)
    old = Role.parse(before) if before else Role(role_id=fields.text(data, "role_id") or str(uuid.uuid4()))
    _keep_role(records, name, _changed(old, data))
    return Answer()


def _changed(old: Role, data: Mapping[str, Any]) -> Role:
    found = Role(
        role_id=old.role_id,
        bind_secret_id=fields.flag(data, "bind_secret_id", default=old.bind_secret_id),
        secret_id_bound_cidrs=fields.networks(data, "secret_id_bound_cidrs", old.secret_id_bound_cidrs),
        secret_id_num_uses=fields.whole(data, "secret_id_num_uses", old.secret_id_num_uses),
        secret_id_ttl=fields.seconds(data, "secret_id_ttl", old.secret_id_ttl),
        local_secret_ids=fields.flag(data, "local_secret_ids", default=old.local_secret_ids),
        tokens=settings.parse(data, old.tokens),
    )
    if not found.bind_secret_id and not found.secret_id_bound_cidrs and not found.tokens.token_bound_cidrs:
        raise RequestError("at least one constraint should be enabled on the role")
    return found


def _keep_role(records: Records, name: str, role: Role) -> None:
    owner = records.get(ROLE_IDS + role.role_id)
    if owner is not None and owner.decode() != name:
        raise RequestError("role_id already in use")
    records.put(ROLES + name, role.encode())
    records.put(ROLE_IDS + role.role_id, name.encode())


def _delete_role(_attempt: Attempt, records: Records, name: str) -> Answer:
    found = records.get(ROLES + name)
    if found is not None:
        records.delete(ROLE_IDS + Role.parse(found).role_id)
        records.delete(ROLES + name)
        for folder in (SECRETS, ACCESSORS):
            for key in records.names(f"{folder}{name}/"):
                records.delete(f"{folder}{name}/{key}")
    return Answer()


def _one_field(attempt: Attempt, records: Records, name: str, wanted: str) -> Answer:
    """Read, write or reset one field of a role by its own path."""
    role = _role(records, name)
    older = {"policies": "token_policies", "period": "token_period", "bound_cidr_list": "secret_id_bound_cidrs"}
    key = older.get(wanted, wanted)
    shown = role.described()
    if key not in shown:
        raise RequestError("unsupported path", status=404)
    operation = _merged(attempt.request.operation)
    if operation is Operation.READ:
        return Answer(data={wanted: shown[key], key: shown[key]})
    fresh = Role(role_id=role.role_id).described()
    data = {key: fresh[key] if fresh[key] is not None else []}
    if operation is Operation.UPDATE:
        data = {key: attempt.request.data.get(wanted, attempt.request.data.get(key))}
    _keep_role(records, name, _changed(role, data))
    return Answer()


def _read_role_id(_attempt: Attempt, records: Records, name: str) -> Answer:
    return Answer(data={"role_id": _role(records, name).role_id})


def _write_role_id(attempt: Attempt, records: Records, name: str) -> Answer:
    role = _role(records, name)
    wanted = fields.needed(attempt.request.data, "role_id")
    if "/" in wanted:
        raise RequestError("role_id: expected no '/', got one")
    records.delete(ROLE_IDS + role.role_id)
    _keep_role(records, name, replace(role, role_id=wanted))
    return Answer()


def _new_secret(attempt: Attempt, records: Records, name: str) -> Answer:
    return _keep_secret(attempt, records, name, str(uuid.uuid4()))


def _custom_secret(attempt: Attempt, records: Records, name: str) -> Answer:
    return _keep_secret(attempt, records, name, fields.needed(attempt.request.data, "secret_id"))


def _keep_secret(attempt: Attempt, records: Records, name: str, secret: str) -> Answer:
    role, data = _role(records, name), attempt.request.data
    if not role.bind_secret_id:
        raise RequestError("bind_secret_id is not set on the role")
    key = _key(attempt, name, secret)
    if records.get(key) is not None:
        raise RequestError("SecretID is already registered")
    made = _secret_of(attempt, role, data)
    records.put(key, json.dumps(asdict(made)).encode())
    records.put(f"{ACCESSORS}{name}/{made.accessor}", key.encode())
    told = {"secret_id": secret, "secret_id_accessor": made.accessor}
    return Answer(data={**told, "secret_id_ttl": made.ttl, "secret_id_num_uses": made.num_uses})


def _secret_of(attempt: Attempt, role: Role, data: Mapping[str, Any]) -> SecretId:
    now = int(attempt.request.now.timestamp())
    ttl = fields.seconds(data, "ttl", role.secret_id_ttl)
    uses = fields.whole(data, "num_uses", role.secret_id_num_uses)
    if role.secret_id_ttl and not 0 < ttl <= role.secret_id_ttl:
        raise RequestError("ttl cannot be longer than the role's secret_id_ttl")
    if role.secret_id_num_uses and not 0 < uses <= role.secret_id_num_uses:
        raise RequestError("num_uses cannot be higher than the role's secret_id_num_uses")
    return SecretId(
        accessor=str(uuid.uuid4()),
        created=now,
        expires=now + ttl if ttl else 0,
        ttl=ttl,
        num_uses=uses,
        uses=uses,
        metadata=_metadata(data),
        cidr_list=list(fields.networks(data, "cidr_list")),
        token_bound_cidrs=list(fields.networks(data, "token_bound_cidrs")),
    )


def _metadata(data: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata, which clients send as JSON in a string, or as an object."""
    found = data.get("metadata")
    if isinstance(found, str) and found:
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RequestError("metadata: expected an object in JSON, got something else")
    return fields.texts({"metadata": found or None}, "metadata")


def _key(attempt: Attempt, name: str, secret: str) -> str:
    return f"{SECRETS}{name}/{attempt.mac('approle', f'{name}/{secret}'.encode('utf-8', 'replace')).hex()}"


def _secret(records: Records, key: str) -> SecretId | None:
    found = records.get(key)
    return None if found is None else SecretId(**json.loads(found))


def _secrets(_attempt: Attempt, records: Records, name: str) -> Answer:
    _role(records, name)
    return _listed(records.names(f"{ACCESSORS}{name}/"))


def _by_secret(attempt: Attempt, _records: Records, name: str) -> str:
    return _key(attempt, name, fields.needed(attempt.request.data, "secret_id"))


def _by_accessor(attempt: Attempt, records: Records, name: str) -> str:
    accessor = fields.needed(attempt.request.data, "secret_id_accessor")
    key = records.get(f"{ACCESSORS}{name}/{accessor}") if "/" not in accessor else None
    if key is None:
        raise RequestError(f"failed to find accessor entry for secret_id_accessor: {accessor!r}", status=404)
    return key.decode()


Finder = Callable[[Attempt, Records, str], str]


def _lookup(find: Finder) -> Callable[[Attempt, Records, str], Answer]:
    def look(attempt: Attempt, records: Records, name: str) -> Answer:
        _role(records, name)
        found = _secret(records, find(attempt, records, name))
        if found is None or _over(found, attempt):
            return Answer()
        return Answer(data=found.described())

    return look


def _destroy(find: Finder) -> Callable[[Attempt, Records, str], Answer]:
    def destroy(attempt: Attempt, records: Records, name: str) -> Answer:
        _role(records, name)
        key = find(attempt, records, name)
        found = _secret(records, key)
        if found is None:
            raise RequestError("invalid secret id")
        _forget(records, name, key, found)
        return Answer()

    return destroy


def _forget(records: Records, name: str, key: str, secret: SecretId) -> None:
    records.delete(key)
    records.delete(f"{ACCESSORS}{name}/{secret.accessor}")


def _over(secret: SecretId, attempt: Attempt) -> bool:
    return bool(secret.expires and secret.expires <= attempt.request.now.timestamp())


def _log_in(attempt: Attempt, records: Records) -> Login:
    role_id = fields.needed(attempt.request.data, "role_id")
    name = records.get(ROLE_IDS + role_id) if "/" not in role_id else None
    if name is None:
        raise RequestError(_INVALID)
    role = _role(records, name.decode())
    metadata = {"role_name": name.decode()}
    tokens = role.tokens
    if role.bind_secret_id:
        secret = _spent(attempt, records, name.decode())
        metadata |= secret.metadata
        if secret.token_bound_cidrs:
            tokens = replace(tokens, token_bound_cidrs=tuple(secret.token_bound_cidrs))
    bounds = (role.secret_id_bound_cidrs, tokens.token_bound_cidrs)
    if not all(fields.among(attempt.remote, cidrs) for cidrs in bounds):
        raise RequestError("source address is unauthorized by the role's CIDRs", status=403)
    return Login(alias=role.role_id, display_name="approle", settings=tokens, metadata=metadata)


def _spent(attempt: Attempt, records: Records, name: str) -> SecretId:
    """Count one use of the secret id of a login.

    Raises: RequestError.
    """
    key = _key(attempt, name, fields.needed(attempt.request.data, "secret_id"))
    found = _secret(records, key)
    if found is None or _over(found, attempt):
        raise RequestError(_INVALID)
    if not fields.among(attempt.remote, tuple(found.cidr_list)):
        raise RequestError("source address is unauthorized by the secret id's CIDRs", status=403)
    if found.num_uses == 1 or (found.num_uses and found.uses == 1):
        _forget(records, name, key, found)
    elif found.num_uses:
        records.put(key, json.dumps(asdict(replace(found, uses=found.uses - 1))).encode())
    return found


def _listed(keys: list[str]) -> Answer:
    if not keys:
        raise RequestError("", status=404)
    return Answer(data={"keys": keys})


Handler = Callable[[Attempt, Records, str], Answer]
_READ, _UPDATE, _DELETE, _LIST = Operation.READ, Operation.UPDATE, Operation.DELETE, Operation.LIST
_ROLE: Mapping[Operation, Handler] = {_READ: _read_role, _UPDATE: _write_role, _DELETE: _delete_role}
_DESTROY, _DESTROY_BY_ACCESSOR = _destroy(_by_secret), _destroy(_by_accessor)
_FIELD = (_READ, _UPDATE, _DELETE)
_BELOW: Mapping[str, Mapping[Operation, Handler]] = {
    "role-id": {_READ: _read_role_id, _UPDATE: _write_role_id},
    "secret-id": {_UPDATE: _new_secret, _LIST: _secrets},
    "custom-secret-id": {_UPDATE: _custom_secret},
    "secret-id/lookup": {_UPDATE: _lookup(_by_secret)},
    "secret-id/destroy": {_UPDATE: _DESTROY, _DELETE: _DESTROY},
    "secret-id-accessor/lookup": {_UPDATE: _lookup(_by_accessor)},
    "secret-id-accessor/destroy": {_UPDATE: _DESTROY_BY_ACCESSOR, _DELETE: _DESTROY_BY_ACCESSOR},
}
