"""The policies that every store begins with: `default`, and three for the separation of administrators.

The system administrator runs the service and sees no secret; the security administrator gives rights; the audit
administrator keeps the audit and can do nothing else. Who writes policies can in the end give himself any right: the
separation shows that in the audit, it does not make it impossible.
"""

from __future__ import annotations

from collections.abc import Mapping

PREFIX = "policy/"
DEFAULT = "default"

_DEFAULT = """\
# A token may look at itself, renew itself and give itself back.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }

# It may look at and renew leases whose id it knows.
path "sys/renew" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/leases/lookup" { capabilities = ["update"] }

# It has its own cubbyhole, and may wrap and unwrap.
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/wrapping/wrap" { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }

path "sys/tools/hash" { capabilities = ["update"] }
path "sys/tools/hash/*" { capabilities = ["update"] }
"""

_SYSTEM = """\
# Runs the service: seal, keys of the store, mounts, snapshots. No secrets, no rights of others, no audit.
path "sys/health" { capabilities = ["read"] }
path "sys/seal" { capabilities = ["update", "sudo"] }
path "sys/rotate" { capabilities = ["update", "sudo"] }
path "sys/key-status" { capabilities = ["read"] }
path "sys/mounts" { capabilities = ["read"] }
path "sys/mounts/*" { capabilities = ["create", "read", "update", "delete", "sudo"] }
path "sys/remount" { capabilities = ["update", "sudo"] }
path "sys/storage/raft/snapshot" { capabilities = ["read"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/leases/count" { capabilities = ["read"] }
path "sys/metrics" { capabilities = ["read"] }
path "sys/rotate/config" { capabilities = ["create", "read", "update"] }
path "sys/in-flight-req" { capabilities = ["read"] }
path "sys/host-info" { capabilities = ["read"] }
path "sys/loggers" { capabilities = ["create", "read", "update", "delete"] }
path "sys/loggers/*" { capabilities = ["create", "read", "update", "delete"] }
"""

_SECURITY = """\
# Gives and takes rights: policies, ways to log in, tokens, leases. No audit, no seal.
path "sys/policy" { capabilities = ["read", "list"] }
path "sys/policy/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/policies/acl" { capabilities = ["read", "list"] }
path "sys/policies/acl/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/policies/password" { capabilities = ["list"] }
path "sys/policies/password/*" { capabilities = ["create", "read", "update", "delete", "list"] }
path "sys/auth" { capabilities = ["read"] }
path "sys/auth/*" { capabilities = ["create", "read", "update", "delete", "sudo"] }
path "auth/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }
path "sys/capabilities" { capabilities = ["update"] }
path "sys/capabilities-accessor" { capabilities = ["update"] }
path "sys/leases/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }
# What the auditors are allowed is not his to change. Who writes policies can still write one that lets him in:
# that it happened stands in the audit, whose signed heads lie where he cannot reach.
path "sys/policy/audit-administrator" { capabilities = ["read"] }
path "sys/policies/acl/audit-administrator" { capabilities = ["read"] }
"""

_AUDIT = """\
# Keeps the audit: devices, hashes to search by. Sees no secret and gives no right.
path "sys/audit" { capabilities = ["read", "list", "sudo"] }
path "sys/audit/*" { capabilities = ["create", "read", "update", "delete", "list", "sudo"] }
path "sys/audit-hash/*" { capabilities = ["create", "update", "sudo"] }
path "sys/policies/acl" { capabilities = ["list"] }
path "sys/policies/acl/*" { capabilities = ["read"] }
path "sys/health" { capabilities = ["read"] }
"""

POLICIES: Mapping[str, str] = {
    DEFAULT: _DEFAULT,
    "system-administrator": _SYSTEM,
    "security-administrator": _SECURITY,
    "audit-administrator": _AUDIT,
}
