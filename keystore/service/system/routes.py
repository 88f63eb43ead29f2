"""The table of paths below sys/."""

from __future__ import annotations

from collections.abc import Mapping

from keystore.engines.request import Operation, RequestError
from keystore.service.call import Call
from keystore.service.message import Response
from keystore.service.mounts import AUTH, SECRET
from keystore.service.system import (
    audits,
    keys,
    leasing,
    limits,
    loggers,
    mounting,
    observing,
    passwords,
    policies,
    rekeying,
    rotating,
    sealing,
    snapshots,
    specs,
    standing,
    telemetry,
    tools,
    wrapped,
)
from keystore.service.system.route import Bound, Route, read, write

_READ, _UPDATE, _DELETE, _LIST = Operation.READ, Operation.UPDATE, Operation.DELETE, Operation.LIST


def _unknown(_call: Call, _rest: str) -> Response:
    raise RequestError("unsupported path", status=404)


def _openapi(call: Call, _rest: str) -> Response:
    return specs.openapi(call, EXACT, BELOW)


_NOWHERE = Route(handlers=dict.fromkeys((_READ, _UPDATE, _DELETE, _LIST, Operation.PATCH), _unknown))
_POLICY = {_READ: policies.read, _UPDATE: policies.write, _DELETE: policies.delete}
_REKEY = {_READ: rekeying.status, _UPDATE: rekeying.start, _DELETE: rekeying.cancel}
_VERIFY = {_READ: rekeying.verify_status, _UPDATE: rekeying.verify, _DELETE: rekeying.verify_restart}
_ROOT = {_READ: keys.root_status, _UPDATE: keys.root_start, _DELETE: keys.root_cancel}
_ROTATION = {_READ: rotating.read, _UPDATE: rotating.write}
_RANDOM = write(tools.random)

EXACT: Mapping[str, Route] = {
    "init": Route(handlers={_READ: sealing.init_status, _UPDATE: sealing.init}, free=True),
    "seal-status": Route(handlers=read(sealing.seal_status), free=True),
    "unseal": Route(handlers=write(sealing.unseal), free=True),
    "health": Route(handlers=read(sealing.health), free=True),
    "leader": Route(handlers=read(sealing.leader), free=True),
    "seal": Route(handlers=write(sealing.seal), sudo=True),
    "rekey/init": Route(handlers=_REKEY, free=True),
    "rekey/update": Route(handlers=write(rekeying.update), free=True),
    "rekey/verify": Route(handlers=_VERIFY, free=True),
    "generate-root": Route(handlers=_ROOT, free=True),
    "generate-root/attempt": Route(handlers=_ROOT, free=True),
    "generate-root/update": Route(handlers=write(keys.root_update), free=True),
    "key-status": Route(handlers=read(keys.key_status)),
    "rotate": Route(handlers=write(keys.rotate), sudo=True),
    "rotate/keyring": Route(handlers=write(keys.rotate), sudo=True),
    "rotate/config": Route(handlers=_ROTATION),
    "rotate/keyring/config": Route(handlers=_ROTATION),
    "mounts": Route(handlers=read(mounting.table_of(SECRET))),
    "auth": Route(handlers=read(mounting.table_of(AUTH))),
    "remount": Route(handlers=write(mounting.remount), sudo=True),
    "policy": Route(handlers={_READ: policies.names, _LIST: policies.names}),
    "policies/acl": Route(handlers={_READ: policies.names, _LIST: policies.names}),
    "policies/password": Route(handlers={_LIST: passwords.names}),
    "capabilities": Route(handlers=write(policies.capabilities)),
    "capabilities-self": Route(handlers=write(policies.own_capabilities)),
    "capabilities-accessor": Route(handlers=write(policies.accessor_capabilities)),
    "internal/ui/mounts": Route(handlers=read(mounting.interface_mounts), open=True),
    "internal/ui/resultant-acl": Route(handlers=read(policies.resultant), unchecked=True),
    "leases/lookup": Route(handlers={**write(leasing.lookup), _LIST: leasing.names}),
    "leases/renew": Route(handlers=write(leasing.renew)),
    "leases/revoke": Route(handlers=write(leasing.revoke)),
    "leases/count": Route(handlers=read(leasing.count)),
    "renew": Route(handlers=write(leasing.renew)),
    "revoke": Route(handlers=write(leasing.revoke)),
    "wrapping/wrap": Route(handlers=write(wrapped.wrap)),
    "wrapping/lookup": Route(handlers={**write(wrapped.lookup), _READ: wrapped.lookup}, open=True),
    "wrapping/unwrap": Route(handlers=write(wrapped.unwrap)),
    "wrapping/rewrap": Route(handlers=write(wrapped.rewrap)),
    "audit": Route(handlers={_READ: audits.table, _LIST: audits.table}, sudo=True),
    "tools/random": Route(handlers=_RANDOM),
    "tools/hash": Route(handlers=write(tools.hash_input)),
    "quotas/rate-limit": Route(handlers={_LIST: limits.names}, sudo=True),
    "quotas/config": Route(handlers=read(standing.quota_config), sudo=True),
    "config/cors": Route(handlers=read(standing.cors), sudo=True),
    "config/auditing/request-headers": Route(handlers=read(standing.audited_headers), sudo=True),
    "in-flight-req": Route(handlers=read(observing.in_flight)),
    "host-info": Route(handlers=read(observing.host)),
    "loggers": Route(handlers=loggers.HANDLERS),
    "internal/specs/openapi": Route(handlers=read(_openapi), open=True),
    "metrics": Route(handlers=read(telemetry.metrics)),
    "step-down": Route(handlers=write(standing.step_down), sudo=True),
    "ha-status": Route(handlers=read(standing.nodes)),
    "replication/status": Route(handlers=read(standing.replication), open=True),
    "version-history": Route(handlers={_LIST: standing.version_history, _READ: standing.version_history}),
    "internal/ui/feature-flags": Route(handlers=read(standing.feature_flags), open=True),
    "plugins/catalog": Route(handlers={_READ: standing.catalog, _LIST: standing.catalog}, sudo=True),
    "rekey/backup": Route(handlers=read(standing.backup), sudo=True),
    "leases/tidy": Route(handlers=write(standing.tidy_leases), sudo=True),
    "storage/raft/snapshot": Route(handlers={_READ: snapshots.take, _UPDATE: snapshots.restore}, sudo=True),
    "storage/raft/snapshot-force": Route(handlers=write(snapshots.force), sudo=True),
}
BELOW: Mapping[str, Route] = {
    "mounts/": Route(
        handlers={_READ: mounting.read(SECRET), _UPDATE: mounting.write(SECRET), _DELETE: mounting.disable(SECRET)}
    ),
    "auth/": Route(
        handlers={_READ: mounting.read(AUTH), _UPDATE: mounting.write(AUTH), _DELETE: mounting.disable(AUTH)}, sudo=True
    ),
    "remount/status/": Route(handlers=read(mounting.remount_status)),
    "policy/": Route(handlers=_POLICY),
    "policies/password/": Route(handlers=passwords.ROUTES),
    "policies/acl/": Route(handlers=_POLICY),
    "internal/ui/mounts/": Route(handlers=read(mounting.interface_mount), unchecked=True),
    "leases/lookup/": Route(handlers={_LIST: leasing.names}, sudo=True),
    "leases/renew/": Route(handlers=write(leasing.renew)),
    "leases/revoke/": Route(handlers=write(leasing.revoke)),
    "leases/revoke-prefix/": Route(handlers=write(leasing.revoke_prefix), sudo=True),
    "leases/revoke-force/": Route(handlers=write(leasing.revoke_prefix), sudo=True),
    "revoke-prefix/": Route(handlers=write(leasing.revoke_prefix), sudo=True),
    "renew/": Route(handlers=write(leasing.renew)),
    "revoke/": Route(handlers=write(leasing.revoke)),
    "audit/": Route(handlers={_UPDATE: audits.enable, _DELETE: audits.disable}, sudo=True),
    "audit-hash/": Route(handlers=write(audits.hash_text)),
    "plugins/catalog/": Route(handlers={_READ: standing.catalog, _LIST: standing.catalog}, sudo=True),
    "quotas/rate-limit/": Route(
        handlers={_READ: limits.read, _UPDATE: limits.write, _DELETE: limits.delete}, sudo=True
    ),
    "loggers/": Route(handlers=loggers.HANDLERS),
    "tools/random/": Route(handlers=_RANDOM),
    "tools/hash/": Route(handlers=write(tools.hash_input)),
}


def find(call: Call) -> Bound:
    """Return the route of a request's path, the longest that fits."""
    path = call.path.removeprefix("sys/")
    if path in EXACT:
        return Bound(EXACT[path], "")
    fitting = [prefix for prefix in BELOW if path.startswith(prefix)]
    if not fitting:
        return Bound(_NOWHERE, path)
    longest = max(fitting, key=len)
    return Bound(BELOW[longest], path.removeprefix(longest))
