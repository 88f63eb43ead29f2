"""No secret reaches a log, a file, a command line or an error, whatever is asked of whichever engine."""

import base64
import json
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hvac
import pytest
import requests
from daemon import Daemon


class Canaries:
    """Secrets that are given away, each once, and the forms that they could be found in."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}

    def new(self, what: str) -> str:
        """Return a secret that is to be found nowhere."""
        made = f"canary{secrets.token_hex(10)}"
        self.given[made] = what
        return made

    def know(self, secret: str, what: str) -> str:
        """Look for a secret that the service made."""
        self.given[secret] = what
        return secret

    def found_in(self, data: bytes) -> list[str]:
        """Return what was found, by name."""
        return sorted({what for secret, what in self.given.items() if any(form in data for form in _forms(secret))})


def _forms(secret: str) -> list[bytes]:
    raw = secret.encode()
    # Of the three ways that base64 may fall around a text the inner characters are the same.
    shifted = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *shifted]


class Receiver:
    """A syslog that keeps what it gets."""

    def __init__(self, path: Path) -> None:
        self.channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.channel.bind(str(path))
        self.channel.settimeout(0.2)
        self.data = b""
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self) -> None:
        while not self.ended.is_set():
            try:
                self.data += self.channel.recv(70_000) + b"\n"
            except TimeoutError:
                continue

    def end(self) -> None:
        self.ended.set()
        self.thread.join()
        self.channel.close()


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def syslog(tmp_path: Path) -> Iterator[Receiver]:
    found = Receiver(tmp_path / "syslog")
    yield found
    found.end()


@pytest.mark.filterwarnings("ignore:The raise_on_deleted_version:DeprecationWarning")
def test_no_canary_is_found_anywhere(tmp_path: Path, canaries: Canaries, syslog: Receiver) -> None:
    out = tmp_path / "stdout"
    daemon = Daemon(tmp_path / "data", prefix=("sh", "-c", f'exec "$@" >{out}', "sh")).start()
    try:
        root = _prepared(daemon, tmp_path, canaries)
        hashed = _use_engines(daemon, root, canaries)
        _use_logins(daemon, root, canaries)
        refused = _ask_badly(daemon, root, canaries)
        assert daemon.process is not None
        process = Path(f"/proc/{daemon.process.pid}")
        command = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        root.sys.seal()
        _unseal_badly(daemon, canaries)
    finally:
        daemon.stop()
    daemon.reader.join()
    audited = (tmp_path / "audit.log").read_bytes()
    places = {
        "stderr": "\n".join(daemon.lines).encode(),
        "stdout": out.read_bytes(),
        "command line and environment": command,
        "audit": audited,
        "heads": (tmp_path / "audit.log.anchors").read_bytes(),
        "syslog": syslog.data,
        "errors": json.dumps(refused).encode(),
        **{path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()},
    }
    assert {name: found for name, data in places.items() if (found := canaries.found_in(data))} == {}
    # Nothing was found because it is hidden, not because nothing was written.
    assert hashed.encode() in audited
    assert hashed.startswith("hmac-sm3:")
    assert len(audited.splitlines()) > 150
    assert len(syslog.data.splitlines()) > 100
    assert len(canaries.given) > 60


def _prepared(daemon: Daemon, folder: Path, canaries: Canaries) -> hvac.Client:
    root = daemon.unsealed(3, 2)
    canaries.know(root.token, "root token")
    for share in daemon.shares:
        canaries.know(share, "share")
    root.sys.enable_audit_device("file", path="f", options={"file_path": str(folder / "audit.log")})
    root.sys.enable_audit_device("syslog", path="s", options={"address": str(folder / "syslog")})
    for kind, path, options in (("kv", "one", {"version": "1"}), ("kv", "two", {"version": "2"})):
        root.sys.enable_secrets_engine(kind, path, options=options)
    root.sys.enable_secrets_engine("transit")
    root.sys.enable_secrets_engine("pki")
    for kind in ("userpass", "approle"):
        root.sys.enable_auth_method(kind)
    return root


def _text(canary: str) -> str:
    return base64.b64encode(canary.encode()).decode()


def _use_engines(daemon: Daemon, root: hvac.Client, canaries: Canaries) -> str:
    """Use every engine as it is meant; return what stands in the audit for one of the secrets."""
    shown = canaries.new("kv1 value")
    root.secrets.kv.v1.create_or_update_secret("a", {"password": shown}, mount_point="one")
    root.secrets.kv.v1.read_secret("a", mount_point="one")
    two = root.secrets.kv.v2
    two.create_or_update_secret("a", {"password": {"deep": [canaries.new("kv2 value")]}}, mount_point="two")
    two.patch("a", {"other": canaries.new("kv2 patch")}, mount_point="two")
    two.read_secret_version("a", mount_point="two", raise_on_deleted_version=True)
    two.update_metadata("a", custom_metadata={"owner": canaries.new("kv2 metadata")}, mount_point="two")
    two.read_secret_metadata("a", mount_point="two")
    root.write_data("cubbyhole/x", data={"v": canaries.new("cubbyhole")})
    root.read("cubbyhole/x")
    wrapped = root.sys.wrap({"v": canaries.new("wrapped")})["wrap_info"]["token"]
    root.sys.unwrap(canaries.know(wrapped, "wrapping token"))
    _use_transit(root, canaries)
    _use_pki(root, canaries)
    hashed: str = root.sys.calculate_hash("f", shown)["data"]["hash"]
    return hashed


def _use_transit(root: hvac.Client, canaries: Canaries) -> None:
    transit = root.secrets.transit
    for kind in ("sm4-gcm", "aes256-gcm96", "sm2", "ed25519", "ecdsa-p256", "rsa-2048", "hmac"):
        asked = {"type": kind, "exportable": True, "allow_plaintext_backup": True}
        root.write_data(f"transit/keys/{kind}", data=asked)
        for form in ("encryption-key", "signing-key", "hmac-key"):
            try:
                exported = transit.export_key(kind, form)["data"]["keys"]["1"]
            except hvac.exceptions.InvalidRequest:
                continue
            canaries.know(max(exported.splitlines(), key=len), f"{form} of {kind}")
        canaries.know(transit.backup_key(kind)["data"]["backup"][100:160], f"backup of {kind}")
    for kind in ("sm4-gcm", "aes256-gcm96", "sm2", "rsa-2048"):
        made = transit.encrypt_data(kind, _text(canaries.new(f"plaintext of {kind}")))["data"]["ciphertext"]
        transit.decrypt_data(kind, made)
    for kind in ("sm2", "ed25519", "ecdsa-p256", "rsa-2048"):
        message = _text(canaries.new(f"message of {kind}"))
        transit.verify_signed_data(kind, message, signature=transit.sign_data(kind, message)["data"]["signature"])
    transit.generate_hmac("hmac", _text(canaries.new("message of hmac")))
    transit.hash_data(_text(canaries.new("hashed")))
    key = transit.generate_data_key("aes256-gcm96", "plaintext")["data"]["plaintext"]
    canaries.know(key, "data key")
    canaries.know(transit.generate_random_bytes(32)["data"]["random_bytes"], "random bytes")


def _use_pki(root: hvac.Client, canaries: Canaries) -> None:
    for kind in ("sm2", "ec", "rsa", "ed25519"):
        path = f"pki-{kind}"
        root.sys.enable_secrets_engine("pki", path)
        extra = {"key_type": kind}
        made = root.secrets.pki.generate_root("exported", "x.test", extra, mount_point=path)["data"]["private_key"]
        canaries.know(made.splitlines()[1], f"{kind} root's key")
        root.secrets.pki.create_or_update_role("r", {"allow_any_name": True, **extra}, mount_point=path)
        issued = root.secrets.pki.generate_certificate("r", "a.test", {"ttl": "1h"}, mount_point=path)["data"][
            "private_key"
        ]
        canaries.know(issued.splitlines()[1], f"{kind} leaf's key")


def _use_logins(daemon: Daemon, root: hvac.Client, canaries: Canaries) -> None:
    password = canaries.new("password")
    root.auth.userpass.create_or_update_user("li", password)
    login = daemon.client().auth.userpass.login("li", password)
    canaries.know(login["auth"]["client_token"], "userpass token")
    with pytest.raises(hvac.exceptions.InvalidRequest):
        daemon.client().auth.userpass.login("li", canaries.new("wrong password"))
    root.auth.approle.create_or_update_approle("r", token_type="batch")
    role = root.auth.approle.read_role_id("r")["data"]["role_id"]
    secret = root.auth.approle.generate_secret_id("r")["data"]["secret_id"]
    canaries.know(secret, "secret id")
    login = daemon.client().auth.approle.login(role, secret)
    canaries.know(login["auth"]["client_token"], "batch token")
    root.auth.approle.create_custom_secret_id("r", canaries.new("custom secret id"))
    with pytest.raises(hvac.exceptions.InvalidRequest):
        daemon.client().auth.approle.login(role, canaries.new("wrong secret id"))
    own = canaries.new("own token")
    root.auth.token.create(id=own, policies=["default"])
    daemon.client(own).auth.token.lookup_self()
    child = canaries.know(root.auth.token.create(ttl="1h")["auth"]["client_token"], "child token")
    root.auth.token.renew(child)
    # Who puts a token into a path shows it to every log on the way; ours hides it.
    requests.get(f"{root.url}/v1/auth/token/lookup/{child}", headers={"X-Vault-Token": root.token}, timeout=10)
    root.auth.token.revoke(child)


_SECRET_FIELDS = {
    "one/x": ("password", "ttl", "lease"),
    "two/data/x": ("data", "options"),
    "transit/encrypt/sm4-gcm": ("plaintext", "context", "nonce", "associated_data", "batch_input"),
    "transit/decrypt/sm4-gcm": ("ciphertext", "context", "batch_input"),
    "transit/sign/sm2": ("input", "batch_input"),
    "transit/verify/sm2": ("input", "signature", "hmac"),
    "transit/hmac/hmac": ("input",),
    "transit/hash": ("input",),
    "transit/restore/new": ("backup",),
    "transit/keys/new/import": ("ciphertext",),
    "pki/config/ca": ("pem_bundle",),
    "auth/userpass/users/new": ("password",),
    "auth/userpass/login/li": ("password",),
    "auth/approle/login": ("secret_id", "role_id"),
    "auth/approle/role/r/custom-secret-id": ("secret_id",),
    "auth/approle/role/r/secret-id/lookup": ("secret_id",),
    "auth/token/create": ("id",),
    "auth/token/lookup": ("token",),
    "auth/token/renew": ("token",),
    "auth/token/revoke": ("token",),
    "sys/capabilities": ("token",),
    "sys/wrapping/lookup": ("token",),
    "sys/wrapping/unwrap": ("token",),
    "sys/unseal": ("key",),
    "sys/rekey/update": ("key",),
    "sys/generate-root/update": ("key",),
    "sys/tools/hash": ("input",),
    "sys/audit-hash/f": ("input",),
    "cubbyhole/x": ("v",),
}


def _ask_badly(daemon: Daemon, root: hvac.Client, canaries: Canaries) -> list[str]:
    """Send secrets in forms that are refused; return what the refusals say."""
    told = []
    headers = {"X-Vault-Token": root.token}
    for path, fields in _SECRET_FIELDS.items():
        for field in fields:
            canary = canaries.new(f"{field} of {path}")
            for value in (canary, [canary], {"a": canary}, f"hvs.{canary}", f"vault:v1:{canary}"):
                told.append(_told(f"{root.url}/v1/{path}", json.dumps({field: value}), headers))
        canary = canaries.new(f"body of {path}")
        told.append(_told(f"{root.url}/v1/{path}", f'{{"password": "{canary}"', headers))
    for token in ("hvs." + canaries.new("unknown token"), "hvb." + canaries.new("unknown batch token")):
        told.append(_told(f"{root.url}/v1/one/x", "{}", {"X-Vault-Token": token}))
        told.append(_told(f"{root.url}/v1/one/x", "{}", {"Authorization": f"Bearer {token}"}))
    return [text for text in told if text]


def _told(url: str, body: str, headers: dict[str, Any]) -> str:
    answer = requests.post(url, data=body, headers=headers, timeout=30)
    assert answer.status_code < 500, (url, body, answer.text)
    return answer.text if answer.status_code >= 400 else ""


def _unseal_badly(daemon: Daemon, canaries: Canaries) -> None:
    client = daemon.client()
    for share in (canaries.new("share").encode().hex(), canaries.new("share of another form")):
        with pytest.raises(hvac.exceptions.VaultError) as refused:
            client.sys.submit_unseal_keys([share, daemon.shares[0]])
        assert not canaries.found_in(str(refused.value).encode())
    client.sys.submit_unseal_key(reset=True)
