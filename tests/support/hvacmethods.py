"""Every method that hvac has for what the keystore claims to be, each called once as its users call it."""

from __future__ import annotations

import base64
import inspect
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hvac
from hvac.api import auth_methods, secrets_engines, system_backend

_SYSTEM = "hvac.api.system_backend."
_PARTS = [one for one in system_backend.SystemBackend.__mro__ if one.__module__.startswith(_SYSTEM)]
CLASSES: Mapping[str, type] = {
    **{f"sys.{one.__name__}": one for one in _PARTS},
    **{f"auth.{name}": getattr(auth_methods, name) for name in ("Token", "AppRole", "Userpass", "Cert")},
    **{f"secrets.{name}": getattr(secrets_engines, name) for name in ("KvV1", "KvV2", "Transit", "Pki")},
}


def names() -> list[str]:
    """Return every public method as 'sys.Mount.move_backend'."""
    return [
        f"{label}.{name}"
        for label, one in CLASSES.items()
        for name, _ in inspect.getmembers(one, inspect.isfunction)
        if not name.startswith("_")
    ]


def text(data: bytes) -> str:
    """Return base64."""
    return base64.b64encode(data).decode()


class World:
    """A server with one mount of everything, and what the calls need of it."""

    def __init__(
        self, root: hvac.Client, client: Callable[[str | None], hvac.Client], folder: Path, share: str = ""
    ) -> None:
        self.root = root
        self.share = share
        self.client = client
        self.folder = folder
        self.count = 0
        config = {"max_lease_ttl": "87600h"}
        for kind, path, extra in (
            ("kv", "kv1", {"options": {"version": "1"}}),
            ("kv", "kv2", {"options": {"version": "2"}}),
            ("transit", "transit", {}),
            ("pki", "pki", {"config": config}),
            ("pki", "sub", {"config": config}),
        ):
            root.sys.enable_secrets_engine(kind, path, **extra)
        for kind in ("approle", "userpass", "cert"):
            root.sys.enable_auth_method(kind)
        root.secrets.transit.create_key("k", exportable=True, allow_plaintext_backup=True)
        root.secrets.transit.create_key("s", key_type="ecdsa-p256")
        root.secrets.pki.generate_root("internal", "root.test", {"key_type": "ec", "ttl": "8760h"})
        root.secrets.pki.create_or_update_role("r", {"allow_any_name": True, "key_type": "ec", "generate_lease": True})
        root.auth.approle.create_or_update_approle("r")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self.csr = self._openssl("req", "-new", *curve, "-keyout", "x.key", "-subj", "/CN=a.test")
        self.ca = self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-subj", "/CN=own", "-days", "30"
        )

    def _openssl(self, *words: str) -> str:
        return subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def fresh(self) -> str:
        """Return a name that nothing has yet."""
        self.count += 1
        return f"n{self.count}"

    def token(self, **asked: Any) -> dict[str, Any]:
        """Return the auth of a new token."""
        made: dict[str, Any] = self.root.auth.token.create(**{"policies": ["default"], "ttl": "1h", **asked})["auth"]
        return made

    def secret(self, versions: int = 1) -> str:
        """Return the path of a new secret of KV version 2."""
        name = self.fresh()
        for number in range(versions):
            self.root.secrets.kv.v2.create_or_update_secret(name, {"n": number}, mount_point="kv2")
        return name

    def plain(self) -> str:
        """Return the path of a new secret of KV version 1."""
        name = self.fresh()
        self.root.secrets.kv.v1.create_or_update_secret(name, {"a": "1"}, mount_point="kv1")
        return name

    def issued(self) -> dict[str, Any]:
        """Return a new certificate with its lease."""
        made: dict[str, Any] = self.root.secrets.pki.generate_certificate("r", "a.test", {"ttl": "1h"})
        return made

    def user(self) -> str:
        """Return a user whose password is 'long-password'."""
        name = self.fresh()
        self.root.auth.userpass.create_or_update_user(name, "long-password")
        return name

    def custom(self) -> dict[str, Any]:
        """Return a secret id."""
        made: dict[str, Any] = self.root.auth.approle.generate_secret_id("r")["data"]
        return made

    def key(self, **asked: Any) -> str:
        """Return the name of a new transit key."""
        name = self.fresh()
        self.root.secrets.transit.create_key(name, **asked)
        return name

    def policy(self) -> str:
        """Return the name of a new policy."""
        name = self.fresh()
        self.root.sys.create_or_update_policy(name, 'path "x" { capabilities = ["read"] }')
        return name

    def mount(self) -> str:
        """Return the path of a new mount."""
        name = self.fresh()
        self.root.sys.enable_secrets_engine("kv", name)
        return name

    def method(self) -> str:
        """Return the path of a new way to log in."""
        name = self.fresh()
        self.root.sys.enable_auth_method("userpass", path=name)
        return name

    def audit(self) -> str:
        """Return the path of a new audit device."""
        name = self.fresh()
        self.root.sys.enable_audit_device("file", path=name, options={"file_path": str(self.folder / name)})
        return name

    def authority(self) -> str:
        """Return the path of a new PKI mount with a root."""
        name = self.fresh()
        self.root.sys.enable_secrets_engine("pki", name)
        self.root.secrets.pki.generate_root(
            "internal", "root.test", {"key_type": "ec", "ttl": "700h"}, mount_point=name
        )
        return name

    def certificate_role(self) -> str:
        """Return the name of a new role of the certificate login."""
        name = self.fresh()
        self.root.write_data(f"auth/cert/certs/{name}", data={"certificate": self.ca})
        return name


Call = Callable[[World], Any]


def _sign_intermediate(w: World) -> Any:
    csr = w.root.secrets.pki.generate_intermediate("internal", "sub.test", {"key_type": "ec"}, mount_point="sub")
    return w.root.secrets.pki.sign_intermediate(csr["data"]["csr"], "sub.test")


def _set_signed(w: World) -> Any:
    return w.root.secrets.pki.set_signed_intermediate(_sign_intermediate(w)["data"]["certificate"], mount_point="sub")


def _verify(w: World) -> Any:
    made = w.root.secrets.transit.sign_data("s", text(b"x"))["data"]["signature"]
    found = w.root.secrets.transit.verify_signed_data("s", text(b"x"), signature=made)
    assert found["data"]["valid"] is True
    return found


def _decrypt(w: World) -> Any:
    made = w.root.secrets.transit.encrypt_data("k", text(b"x"))["data"]["ciphertext"]
    found = w.root.secrets.transit.decrypt_data("k", made)
    assert found["data"]["plaintext"] == text(b"x")
    return found


def _rewrap(w: World) -> Any:
    return w.root.secrets.transit.rewrap_data(
        "k", w.root.secrets.transit.encrypt_data("k", text(b"x"))["data"]["ciphertext"]
    )


def _restore(w: World) -> Any:
    kept = w.root.secrets.transit.backup_key("k")["data"]["backup"]
    return w.root.secrets.transit.restore_key(kept, name=w.fresh())


def _delete_key(w: World) -> Any:
    name = w.key()
    w.root.secrets.transit.update_key_configuration(name, deletion_allowed=True)
    return w.root.secrets.transit.delete_key(name)


def _trim(w: World) -> Any:
    name = w.key()
    w.root.secrets.transit.rotate_key(name)
    w.root.secrets.transit.update_key_configuration(name, min_decryption_version=2)
    return w.root.secrets.transit.trim_key(name, 2)


def _undelete(w: World) -> Any:
    name = w.secret()
    w.root.secrets.kv.v2.delete_secret_versions(name, [1], mount_point="kv2")
    return w.root.secrets.kv.v2.undelete_secret_versions(name, [1], mount_point="kv2")


def _approle_login(w: World) -> Any:
    role = w.root.auth.approle.read_role_id("r")["data"]["role_id"]
    return w.client(None).auth.approle.login(role, w.custom()["secret_id"])


def _delete_role_of_tokens(w: World) -> Any:
    w.root.auth.token.create_or_update_role("gone")
    return w.root.auth.token.delete_role("gone")


def _token_roles(w: World) -> Any:
    w.root.auth.token.create_or_update_role("kept")
    return w.root.auth.token.list_roles()


def _token_role(w: World) -> Any:
    w.root.auth.token.create_or_update_role("kept")
    return w.root.auth.token.read_role("kept")


def _lease_names(w: World) -> Any:
    w.issued()
    return w.root.sys.list_leases("pki/issue/r")


def _quota(w: World) -> str:
    name = w.fresh()
    w.root.sys.create_or_update_quota(name, 1000.0, path=f"{w.mount()}/")
    return name


def _with_quota(act: Callable[[World, str], Any]) -> Call:
    return lambda w: act(w, _quota(w))


def _automatic(w: World) -> Any:
    return w.root.sys.create_or_update_raft_auto_snapshot_config("a", "1h", "local")


def _password(w: World) -> Any:
    return w.root.auth.userpass.update_password_on_user(w.user(), "another-one")


def _custom(w: World) -> Any:
    return w.root.auth.approle.create_custom_secret_id("r", f"own-{w.fresh()}")


def _acl(w: World) -> Any:
    return w.root.sys.create_or_update_acl_policy(w.fresh(), 'path "x" {}')


def _egp(w: World) -> Any:
    return w.root.sys.create_or_update_egp_policy("e", "x", "soft", ["y"])


def _rekeyed(w: World) -> dict[str, Any]:
    """Carry a rekey as far as its new share, which does not count yet."""
    w.root.sys.cancel_rekey()
    started = w.root.sys.start_rekey(1, 1, require_verification=True)
    made: dict[str, Any] = w.root.sys.rekey(w.share, started["nonce"])
    return made


def _cancel_verification(w: World) -> None:
    first = _rekeyed(w)["verification_nonce"]
    assert w.root.sys.cancel_rekey_verify()["nonce"] not in ("", first)
    w.root.sys.cancel_rekey()


def _read_verification(w: World) -> None:
    nonce = _rekeyed(w)["verification_nonce"]
    assert w.root.sys.read_rekey_verify_progress()["nonce"] == nonce
    w.root.sys.cancel_rekey()


def _verify_rekey(w: World, show: Callable[[list[str], str], dict[str, Any]]) -> None:
    made = _rekeyed(w)
    assert show(made["keys"], made["verification_nonce"])["complete"] is True
    w.share = made["keys"][0]


METHODS: Mapping[str, Call] = {
    "sys.Audit.calculate_hash": lambda w: w.root.sys.calculate_hash(w.audit(), "x"),
    "sys.Audit.disable_audit_device": lambda w: w.root.sys.disable_audit_device(w.audit()),
    "sys.Audit.enable_audit_device": lambda w: w.audit(),
    "sys.Audit.list_enabled_audit_devices": lambda w: w.root.sys.list_enabled_audit_devices(),
    "sys.Auth.disable_auth_method": lambda w: w.root.sys.disable_auth_method(w.method()),
    "sys.Auth.enable_auth_method": lambda w: w.method(),
    "sys.Auth.list_auth_methods": lambda w: w.root.sys.list_auth_methods(),
    "sys.Auth.read_auth_method_tuning": lambda w: w.root.sys.read_auth_method_tuning(w.method()),
    "sys.Auth.tune_auth_method": lambda w: w.root.sys.tune_auth_method(w.method(), default_lease_ttl="1h"),
    "sys.Capabilities.get_capabilities": lambda w: w.root.sys.get_capabilities(["x"]),
    "sys.Health.read_health_status": lambda w: w.root.sys.read_health_status(method="GET"),
    "sys.Init.initialize": lambda w: w.root.sys.initialize(1, 1),
    "sys.Init.is_initialized": lambda w: w.root.sys.is_initialized(),
    "sys.Init.read_init_status": lambda w: w.root.sys.read_init_status(),
    "sys.Key.cancel_rekey": lambda w: w.root.sys.cancel_rekey(),
    "sys.Key.cancel_rekey_verify": _cancel_verification,
    "sys.Key.cancel_root_generation": lambda w: w.root.sys.cancel_root_generation(),
    "sys.Key.generate_root": lambda w: w.root.sys.generate_root("ab", "nonce"),
    "sys.Key.get_encryption_key_status": lambda w: w.root.sys.get_encryption_key_status(),
    "sys.Key.read_backup_keys": lambda w: w.root.sys.read_backup_keys(),
    "sys.Key.read_rekey_progress": lambda w: w.root.sys.read_rekey_progress(),
    "sys.Key.read_rekey_verify_progress": _read_verification,
    "sys.Key.read_root_generation_progress": lambda w: w.root.sys.read_root_generation_progress(),
    "sys.Key.rekey": lambda w: w.root.sys.rekey("ab", "nonce"),
    "sys.Key.rekey_multi": lambda w: w.root.sys.rekey_multi(["ab"], "nonce"),
    "sys.Key.rekey_verify": lambda w: _verify_rekey(w, lambda made, nonce: w.root.sys.rekey_verify(made[0], nonce)),
    "sys.Key.rekey_verify_multi": lambda w: _verify_rekey(w, w.root.sys.rekey_verify_multi),
    "sys.Key.rotate_encryption_key": lambda w: w.root.sys.rotate_encryption_key(),
    "sys.Key.start_rekey": lambda w: (w.root.sys.start_rekey(1, 1), w.root.sys.cancel_rekey()),
    "sys.Key.start_root_token_generation": lambda w: (
        w.root.sys.start_root_token_generation(),
        w.root.sys.cancel_root_generation(),
    ),
    "sys.Leader.read_leader_status": lambda w: w.root.sys.read_leader_status(),
    "sys.Leader.step_down": lambda w: w.root.sys.step_down(),
    "sys.Lease.list_leases": _lease_names,
    "sys.Lease.read_lease": lambda w: w.root.sys.read_lease(w.issued()["lease_id"]),
    "sys.Lease.renew_lease": lambda w: w.root.sys.renew_lease(w.issued()["lease_id"]),
    "sys.Lease.revoke_force": lambda w: w.root.sys.revoke_force("pki/issue/none"),
    "sys.Lease.revoke_lease": lambda w: w.root.sys.revoke_lease(w.issued()["lease_id"]),
    "sys.Lease.revoke_prefix": lambda w: w.root.sys.revoke_prefix("pki/issue/none"),
    "sys.Mount.disable_secrets_engine": lambda w: w.root.sys.disable_secrets_engine(w.mount()),
    "sys.Mount.enable_secrets_engine": lambda w: w.mount(),
    "sys.Mount.list_mounted_secrets_engines": lambda w: w.root.sys.list_mounted_secrets_engines(),
    "sys.Mount.move_backend": lambda w: w.root.sys.move_backend(w.mount(), w.fresh()),
    "sys.Mount.read_mount_configuration": lambda w: w.root.sys.read_mount_configuration("kv1"),
    "sys.Mount.retrieve_mount_option": lambda w: w.root.sys.retrieve_mount_option("kv2", "version"),
    "sys.Mount.tune_mount_configuration": lambda w: w.root.sys.tune_mount_configuration("kv1", max_lease_ttl="800h"),
    "sys.Namespace.create_namespace": lambda w: w.root.sys.create_namespace("n"),
    "sys.Namespace.delete_namespace": lambda w: w.root.sys.delete_namespace("n"),
    "sys.Namespace.list_namespaces": lambda w: w.root.sys.list_namespaces(),
    "sys.Policies.create_or_update_acl_policy": _acl,
    "sys.Policies.create_or_update_egp_policy": _egp,
    "sys.Policies.create_or_update_rgp_policy": lambda w: w.root.sys.create_or_update_rgp_policy("r", "x", "soft"),
    "sys.Policies.delete_acl_policy": lambda w: w.root.sys.delete_acl_policy(w.policy()),
    "sys.Policies.delete_egp_policy": lambda w: w.root.sys.delete_egp_policy("e"),
    "sys.Policies.delete_rgp_policy": lambda w: w.root.sys.delete_rgp_policy("r"),
    "sys.Policies.list_acl_policies": lambda w: w.root.sys.list_acl_policies(),
    "sys.Policies.list_egp_policies": lambda w: w.root.sys.list_egp_policies(),
    "sys.Policies.list_rgp_policies": lambda w: w.root.sys.list_rgp_policies(),
    "sys.Policies.read_acl_policy": lambda w: w.root.sys.read_acl_policy(w.policy()),
    "sys.Policies.read_egp_policy": lambda w: w.root.sys.read_egp_policy("e"),
    "sys.Policies.read_rgp_policy": lambda w: w.root.sys.read_rgp_policy("r"),
    "sys.Policy.create_or_update_policy": lambda w: w.policy(),
    "sys.Policy.delete_policy": lambda w: w.root.sys.delete_policy(w.policy()),
    "sys.Policy.list_policies": lambda w: w.root.sys.list_policies(),
    "sys.Policy.read_policy": lambda w: w.root.sys.read_policy(w.policy()),
    "sys.Quota.create_or_update_quota": _quota,
    "sys.Quota.delete_quota": _with_quota(lambda w, name: w.root.sys.delete_quota(name)),
    "sys.Quota.list_quotas": _with_quota(lambda w, _: w.root.sys.list_quotas()),
    "sys.Quota.read_quota": _with_quota(lambda w, name: w.root.sys.read_quota(name)),
    "sys.Raft.create_or_update_raft_auto_snapshot_config": lambda w: (
        w.root.sys.create_or_update_raft_auto_snapshot_config("a", "1h", "local")
    ),
    "sys.Raft.delete_raft_auto_snapshot_config": lambda w: w.root.sys.delete_raft_auto_snapshot_config("a"),
    "sys.Raft.force_restore_raft_snapshot": lambda w: w.root.sys.force_restore_raft_snapshot(
        w.root.sys.take_raft_snapshot().content
    ),
    "sys.Raft.join_raft_cluster": lambda w: w.root.sys.join_raft_cluster("http://127.0.0.1:1"),
    "sys.Raft.list_raft_auto_snapshot_configs": lambda w: w.root.sys.list_raft_auto_snapshot_configs(),
    "sys.Raft.read_raft_auto_snapshot_config": lambda w: w.root.sys.read_raft_auto_snapshot_config("a"),
    "sys.Raft.read_raft_auto_snapshot_status": lambda w: w.root.sys.read_raft_auto_snapshot_status("a"),
    "sys.Raft.read_raft_config": lambda w: w.root.sys.read_raft_config(),
    "sys.Raft.remove_raft_node": lambda w: w.root.sys.remove_raft_node("x"),
    "sys.Raft.restore_raft_snapshot": lambda w: w.root.sys.restore_raft_snapshot(
        w.root.sys.take_raft_snapshot().content
    ),
    "sys.Raft.take_raft_snapshot": lambda w: w.root.sys.take_raft_snapshot().content[:1],
    "sys.Seal.is_sealed": lambda w: w.root.sys.is_sealed(),
    "sys.Seal.read_seal_status": lambda w: w.root.sys.read_seal_status(),
    "sys.Seal.submit_unseal_key": lambda w: w.root.sys.submit_unseal_key(reset=True),
    "sys.Seal.submit_unseal_keys": lambda w: w.root.sys.submit_unseal_keys(["ab"]),
    "sys.Wrapping.unwrap": lambda w: w.root.sys.unwrap(w.root.sys.wrap({"a": 1})["wrap_info"]["token"]),
    "sys.Wrapping.wrap": lambda w: w.root.sys.wrap({"a": 1}),
    "auth.Token.create": lambda w: w.root.auth.token.create(policies=["default"]),
    "auth.Token.create_or_update_role": lambda w: w.root.auth.token.create_or_update_role(w.fresh()),
    "auth.Token.create_orphan": lambda w: w.root.auth.token.create_orphan(),
    "auth.Token.delete_role": _delete_role_of_tokens,
    "auth.Token.list_accessors": lambda w: w.root.auth.token.list_accessors(),
    "auth.Token.list_roles": _token_roles,
    "auth.Token.lookup": lambda w: w.root.auth.token.lookup(w.token()["client_token"]),
    "auth.Token.lookup_accessor": lambda w: w.root.auth.token.lookup_accessor(w.token()["accessor"]),
    "auth.Token.lookup_self": lambda w: w.root.auth.token.lookup_self(),
    "auth.Token.read_role": _token_role,
    "auth.Token.renew": lambda w: w.root.auth.token.renew(w.token()["client_token"]),
    "auth.Token.renew_accessor": lambda w: w.root.auth.token.renew_accessor(w.token()["accessor"]),
    "auth.Token.renew_self": lambda w: w.client(w.token()["client_token"]).auth.token.renew_self(),
    "auth.Token.revoke": lambda w: w.root.auth.token.revoke(w.token()["client_token"]),
    "auth.Token.revoke_accessor": lambda w: w.root.auth.token.revoke_accessor(w.token()["accessor"]),
    "auth.Token.revoke_and_orphan_children": lambda w: w.root.auth.token.revoke_and_orphan_children(
        w.token()["client_token"]
    ),
    "auth.Token.revoke_self": lambda w: w.client(w.token()["client_token"]).auth.token.revoke_self(),
    "auth.Token.tidy": lambda w: w.root.auth.token.tidy(),
    "auth.AppRole.create_custom_secret_id": _custom,
    "auth.AppRole.create_or_update_approle": lambda w: w.root.auth.approle.create_or_update_approle(w.fresh()),
    "auth.AppRole.delete_role": lambda w: w.root.auth.approle.delete_role(w.fresh()),
    "auth.AppRole.destroy_secret_id": lambda w: w.root.auth.approle.destroy_secret_id("r", w.custom()["secret_id"]),
    "auth.AppRole.destroy_secret_id_accessor": lambda w: w.root.auth.approle.destroy_secret_id_accessor(
        "r", w.custom()["secret_id_accessor"]
    ),
    "auth.AppRole.generate_secret_id": lambda w: w.custom(),
    "auth.AppRole.list_roles": lambda w: w.root.auth.approle.list_roles(),
    "auth.AppRole.list_secret_id_accessors": lambda w: (w.custom(), w.root.auth.approle.list_secret_id_accessors("r")),
    "auth.AppRole.login": _approle_login,
    "auth.AppRole.read_role": lambda w: w.root.auth.approle.read_role("r"),
    "auth.AppRole.read_role_id": lambda w: w.root.auth.approle.read_role_id("r"),
    "auth.AppRole.read_secret_id": lambda w: w.root.auth.approle.read_secret_id("r", w.custom()["secret_id"]),
    "auth.AppRole.read_secret_id_accessor": lambda w: w.root.auth.approle.read_secret_id_accessor(
        "r", w.custom()["secret_id_accessor"]
    ),
    "auth.AppRole.update_role_id": lambda w: w.root.auth.approle.update_role_id("r", f"id-{w.fresh()}"),
    "auth.Userpass.create_or_update_user": lambda w: w.user(),
    "auth.Userpass.delete_user": lambda w: w.root.auth.userpass.delete_user(w.user()),
    "auth.Userpass.list_user": lambda w: (w.user(), w.root.auth.userpass.list_user()),
    "auth.Userpass.login": lambda w: w.client(None).auth.userpass.login(w.user(), "long-password"),
    "auth.Userpass.read_user": lambda w: w.root.auth.userpass.read_user(w.user()),
    "auth.Userpass.update_password_on_user": _password,
    "auth.Cert.configure_tls_certificate": lambda w: w.root.auth.cert.configure_tls_certificate(),
    "auth.Cert.create_ca_certificate_role": lambda w: w.root.auth.cert.create_ca_certificate_role(
        w.fresh(), certificate=w.ca
    ),
    "auth.Cert.delete_certificate_role": lambda w: w.root.auth.cert.delete_certificate_role(w.certificate_role()),
    "auth.Cert.list_certificate_roles": lambda w: (w.certificate_role(), w.root.auth.cert.list_certificate_roles()),
    "auth.Cert.read_ca_certificate_role": lambda w: w.root.auth.cert.read_ca_certificate_role(w.certificate_role()),
    "secrets.KvV1.create_or_update_secret": lambda w: w.plain(),
    "secrets.KvV1.delete_secret": lambda w: w.root.secrets.kv.v1.delete_secret(w.plain(), mount_point="kv1"),
    "secrets.KvV1.list_secrets": lambda w: (w.plain(), w.root.secrets.kv.v1.list_secrets("", mount_point="kv1")),
    "secrets.KvV1.read_secret": lambda w: w.root.secrets.kv.v1.read_secret(w.plain(), mount_point="kv1"),
    "secrets.KvV2.configure": lambda w: w.root.secrets.kv.v2.configure(20, mount_point="kv2"),
    "secrets.KvV2.create_or_update_secret": lambda w: w.secret(),
    "secrets.KvV2.delete_latest_version_of_secret": lambda w: w.root.secrets.kv.v2.delete_latest_version_of_secret(
        w.secret(), mount_point="kv2"
    ),
    "secrets.KvV2.delete_metadata_and_all_versions": lambda w: w.root.secrets.kv.v2.delete_metadata_and_all_versions(
        w.secret(), mount_point="kv2"
    ),
    "secrets.KvV2.delete_secret_versions": lambda w: w.root.secrets.kv.v2.delete_secret_versions(
        w.secret(), [1], mount_point="kv2"
    ),
    "secrets.KvV2.destroy_secret_versions": lambda w: w.root.secrets.kv.v2.destroy_secret_versions(
        w.secret(), [1], mount_point="kv2"
    ),
    "secrets.KvV2.list_secrets": lambda w: (w.secret(), w.root.secrets.kv.v2.list_secrets("", mount_point="kv2")),
    "secrets.KvV2.patch": lambda w: w.root.secrets.kv.v2.patch(w.secret(), {"b": 2}, mount_point="kv2"),
    "secrets.KvV2.read_configuration": lambda w: w.root.secrets.kv.v2.read_configuration(mount_point="kv2"),
    "secrets.KvV2.read_secret": lambda w: w.root.secrets.kv.v2.read_secret(
        w.secret(), mount_point="kv2", raise_on_deleted_version=True
    ),
    "secrets.KvV2.read_secret_metadata": lambda w: w.root.secrets.kv.v2.read_secret_metadata(
        w.secret(), mount_point="kv2"
    ),
    "secrets.KvV2.read_secret_version": lambda w: w.root.secrets.kv.v2.read_secret_version(
        w.secret(2), version=1, mount_point="kv2", raise_on_deleted_version=True
    ),
    "secrets.KvV2.undelete_secret_versions": _undelete,
    "secrets.KvV2.update_metadata": lambda w: w.root.secrets.kv.v2.update_metadata(
        w.secret(), custom_metadata={"a": "b"}, mount_point="kv2"
    ),
    "secrets.Transit.backup_key": lambda w: w.root.secrets.transit.backup_key("k"),
    "secrets.Transit.create_key": lambda w: w.key(),
    "secrets.Transit.decrypt_data": _decrypt,
    "secrets.Transit.delete_key": _delete_key,
    "secrets.Transit.encrypt_data": lambda w: w.root.secrets.transit.encrypt_data("k", text(b"x")),
    "secrets.Transit.export_key": lambda w: w.root.secrets.transit.export_key("k", "encryption-key"),
    "secrets.Transit.generate_data_key": lambda w: w.root.secrets.transit.generate_data_key("k", "plaintext"),
    "secrets.Transit.generate_hmac": lambda w: w.root.secrets.transit.generate_hmac("k", text(b"x")),
    "secrets.Transit.generate_random_bytes": lambda w: w.root.secrets.transit.generate_random_bytes(16),
    "secrets.Transit.hash_data": lambda w: w.root.secrets.transit.hash_data(text(b"x")),
    "secrets.Transit.list_keys": lambda w: w.root.secrets.transit.list_keys(),
    "secrets.Transit.read_key": lambda w: w.root.secrets.transit.read_key("k"),
    "secrets.Transit.restore_key": _restore,
    "secrets.Transit.rewrap_data": _rewrap,
    "secrets.Transit.rotate_key": lambda w: w.root.secrets.transit.rotate_key(w.key()),
    "secrets.Transit.sign_data": lambda w: w.root.secrets.transit.sign_data("s", text(b"x")),
    "secrets.Transit.trim_key": _trim,
    "secrets.Transit.update_key_configuration": lambda w: w.root.secrets.transit.update_key_configuration(
        w.key(), exportable=True
    ),
    "secrets.Transit.verify_signed_data": _verify,
    "secrets.Pki.create_or_update_role": lambda w: w.root.secrets.pki.create_or_update_role(w.fresh()),
    "secrets.Pki.delete_issuer": lambda w: w.root.secrets.pki.delete_issuer("default", mount_point=w.authority()),
    "secrets.Pki.delete_role": lambda w: w.root.secrets.pki.delete_role(w.fresh()),
    "secrets.Pki.delete_root": lambda w: w.root.secrets.pki.delete_root(mount_point=w.authority()),
    "secrets.Pki.generate_certificate": lambda w: w.issued(),
    "secrets.Pki.generate_intermediate": lambda w: w.root.secrets.pki.generate_intermediate(
        "internal", "x.test", {"key_type": "ec"}, mount_point="sub"
    ),
    "secrets.Pki.generate_root": lambda w: w.authority(),
    "secrets.Pki.list_certificates": lambda w: w.root.secrets.pki.list_certificates(),
    "secrets.Pki.list_issuers": lambda w: w.root.secrets.pki.list_issuers(),
    "secrets.Pki.list_roles": lambda w: w.root.secrets.pki.list_roles(),
    "secrets.Pki.read_ca_certificate": lambda w: w.root.secrets.pki.read_ca_certificate(),
    "secrets.Pki.read_ca_certificate_chain": lambda w: w.root.secrets.pki.read_ca_certificate_chain(),
    "secrets.Pki.read_certificate": lambda w: w.root.secrets.pki.read_certificate(w.issued()["data"]["serial_number"]),
    "secrets.Pki.read_crl": lambda w: w.root.secrets.pki.read_crl(),
    "secrets.Pki.read_crl_configuration": lambda w: w.root.secrets.pki.read_crl_configuration(),
    "secrets.Pki.read_issuer": lambda w: w.root.secrets.pki.read_issuer("default"),
    "secrets.Pki.read_role": lambda w: w.root.secrets.pki.read_role("r"),
    "secrets.Pki.read_urls": lambda w: w.root.secrets.pki.read_urls(),
    "secrets.Pki.revoke_certificate": lambda w: w.root.secrets.pki.revoke_certificate(
        w.issued()["data"]["serial_number"]
    ),
    "secrets.Pki.revoke_issuer": lambda w: w.root.secrets.pki.revoke_issuer("default", mount_point=w.authority()),
    "secrets.Pki.rotate_crl": lambda w: w.root.secrets.pki.rotate_crl(),
    "secrets.Pki.set_crl_configuration": lambda w: w.root.secrets.pki.set_crl_configuration("48h", False),
    "secrets.Pki.set_signed_intermediate": _set_signed,
    "secrets.Pki.set_urls": lambda w: w.root.secrets.pki.set_urls({"issuing_certificates": ["http://ca.test/ca"]}),
    "secrets.Pki.sign_certificate": lambda w: w.root.secrets.pki.sign_certificate(
        "r", w.csr, "a.test", mount_point="pki", extra_params={"ttl": "1h"}
    ),
    "secrets.Pki.sign_intermediate": _sign_intermediate,
    "secrets.Pki.sign_self_issued": lambda w: w.root.secrets.pki.sign_self_issued(w.ca),
    "secrets.Pki.sign_verbatim": lambda w: w.root.secrets.pki.sign_verbatim(w.csr),
    "secrets.Pki.submit_ca_information": lambda w: w.root.secrets.pki.submit_ca_information(
        w.ca + (w.folder / "ca.key").read_text(), mount_point="sub"
    ),
    "secrets.Pki.tidy": lambda w: w.root.secrets.pki.tidy({"tidy_cert_store": True}),
    "secrets.Pki.update_issuer": lambda w: w.root.secrets.pki.update_issuer("default", {"issuer_name": w.fresh()}),
}
ELSEWHERE: Mapping[str, str] = {
    "sys.Seal.seal": "seals: tests/integration/keystore/test_seal.py",
    "auth.Cert.login": "needs TLS: tests/integration/keystore/test_listening.py",
}
