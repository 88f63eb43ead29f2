"""Bundles are signed by a key of a served keystore once operators have approved: the commands, hvac, openssl."""

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hvac
import pytest
from bundles import NOBODY, OFFICER, SIGNER, packed, signed_again, small_bundle, small_manifest
from click.testing import CliRunner, Result
from daemon import Daemon, served
from trusted import root_document

from bundler.archive import read_head
from bundler.cli import ferry
from bundler.errors import TrustError
from bundler.model.manifest import format_manifest
from keystore import audit, disk
from keystore.client import Client
from keystore.errors import KeystoreError, ServiceError
from keystore.public import VerifyingKey, read_public
from keystore.remote import ServiceSigner
from keystore.trust import check_root

OPERATORS = ("alice", "bob", "carol")
_OPERATOR = """
path "signing/keys/*" { capabilities = ["read"] }
path "signing/pending" { capabilities = ["read"] }
path "signing/proposals/*" { capabilities = ["create", "read", "update"] }
path "signing/approvals/*" { capabilities = ["create", "update", "delete"] }
path "auth/token/create" { capabilities = ["update"] }
"""
_BUILDER = """
path "signing/keys/release" { capabilities = ["read"] }
path "signing/proposals/release/*" { capabilities = ["create", "update"] }
path "signing/sign/release/*" { capabilities = ["create", "update"] }
"""


class House:
    """A daemon with three operators and a builder, and a folder with a bundle that another has signed."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon, self.folder = daemon, folder
        root = daemon.client(daemon.root)
        root.sys.enable_auth_method("userpass")
        for name, text in (("operator", _OPERATOR), ("builder", _BUILDER)):
            root.sys.create_or_update_policy(name, text)
        for name in (*OPERATORS, "builder"):
            policy = "builder" if name == "builder" else "operator"
            root.auth.userpass.create_or_update_user(name, password=f"password of {name}", policies=[policy])
            disk.write(folder / f"{name}.password", f"password of {name}\n".encode())
        (folder / "signer.pem").write_text(SIGNER.public.pem())

    def run(self, who: str, *words: object, token: str = "") -> Result:
        env = {
            "VAULT_ADDR": self.daemon.url,
            "VAULT_TOKEN": token,
            "VAULT_TOKEN_FILE": str(self.folder / f"{who}.token"),
            "FERRY_KEYSTORE": str(self.folder / "none"),
            "LC_ALL": "C.UTF-8",
        }
        return CliRunner().invoke(ferry, [str(word) for word in words], env=env)

    def said(self, who: str, *words: object, token: str = "") -> str:
        done = self.run(who, *words, token=token)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    def refused(self, who: str, *words: object) -> KeystoreError:
        done = self.run(who, *words)
        assert isinstance(done.exception, KeystoreError), (done.output, done.exception)
        return done.exception


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("release")
    with served(folder / "data") as daemon:
        daemon.root = daemon.unsealed().token
        client = daemon.client(daemon.root)
        client.sys.enable_audit_device("file", path="a", options={"file_path": str(folder / "audit.log")})
        made = House(daemon, folder)
        assert made.said("root", "keystore", "mount", "signing", token=daemon.root) == "Mounted: signing at signing/\n"
        words = ["--approvals", 2, *(word for name in OPERATORS for word in ("--operator", f"userpass/{name}"))]
        made.said(
            *(
                "root",
                "keystore",
                "generate",
                "vault:release",
                "--product",
                "sample",
                "--until",
                "2035-01-01T00:00:00Z",
            ),
            *words,
            token=daemon.root,
        )
        for name in (*OPERATORS, "builder"):
            told = made.said(name, "keystore", "login", name, "--password-file", folder / f"{name}.password")
            assert told == f"Logged in; the token is in {folder / f'{name}.token'}\n"
            assert oct((folder / f"{name}.token").stat().st_mode)[-3:] == "600"
        yield made


def test_a_bundle_is_signed_once_two_operators_have_approved(house: House) -> None:
    bundle = house.folder / "x.tar"
    bundle.write_bytes(small_bundle(expires=""))
    sign = ("sign", bundle, "--key", "vault:release", "--trust", house.folder / "signer.pem")
    digest = _sha256(bundle)
    what = f"sample 1.0 (linux/amd64), sequence 1, sha256 {digest}"
    first = house.refused("builder", *sign)
    assert str(first) == (
        f"{house.daemon.url}: expected approvals of {what} by 2 operators, got 0: "
        "missing 2 of userpass/alice, userpass/bob, userpass/carol"
    )
    assert first.hint == (
        f"each of them: ferry keystore approve vault:signing/release --sha256 {digest}; "
        "then run this again: the same lock gives the same manifest"
    )
    told = house.said("alice", "keystore", "approve", "vault:release", bundle, "--yes").splitlines()
    assert told[:2] == ["release  sample 1.0 (linux/amd64), sequence 1", f"  sha256 {digest}"]
    assert told[3].startswith("  proposed by userpass/builder at ")
    assert told[4:] == ["  approved by userpass/alice", "  missing 1 of userpass/bob, userpass/carol"]
    house.said("alice", "keystore", "approve", "vault:release", "--sha256", digest, "--yes")
    assert str(house.refused("builder", *sign)) == (
        f"{house.daemon.url}: expected approvals of {what} by 2 operators, got 1 (userpass/alice): "
        "missing 1 of userpass/bob, userpass/carol"
    )
    assert house.said("carol", "keystore", "pending").splitlines()[-1] == "  missing 1 of userpass/bob, userpass/carol"
    waiting = json.loads(house.said("carol", "keystore", "pending", "--json"))
    assert [(one["key"], one["sha256"], one["missing"]) for one in waiting] == [("release", digest, 1)]
    house.said("carol", "keystore", "approve", "vault:release", "--sha256", digest, "--yes")
    assert house.said("builder", *sign) == "signed: sample 1.0 (linux/amd64), 2 signatures now\n"
    public = house.folder / "release.pub"
    house.said("builder", "keystore", "public", "--key", "vault:release", "-o", public)
    assert house.run("builder", "verify", bundle, "--trust", public).exit_code == 0
    assert house.said("carol", "keystore", "pending") == ""
    _audited(house, digest)


def _audited(house: House, digest: str) -> None:
    """Every step is in the audit with who did it and about which manifest, and no secret is."""
    log = house.folder / "audit.log"
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    about = [
        (one["auth"]["display_name"], one["request"]["path"].split("/")[1], one.get("error", "").partition(",")[0])
        for one in events
        if one["kind"] == "response" and digest in one["request"]["path"]
    ]
    refusal = "expected approvals of sample 1.0 (linux/amd64)"
    assert about == [
        ("userpass-builder", "proposals", ""),
        ("userpass-builder", "sign", refusal),
        ("userpass-alice", "proposals", ""),
        ("userpass-alice", "proposals", ""),
        ("userpass-alice", "approvals", ""),
        ("userpass-alice", "proposals", ""),
        ("userpass-alice", "approvals", ""),
        ("userpass-builder", "proposals", ""),
        ("userpass-builder", "sign", refusal),
        ("userpass-carol", "proposals", ""),
        ("userpass-carol", "approvals", ""),
        ("userpass-builder", "proposals", ""),
        ("userpass-builder", "sign", ""),
    ]
    assert audit.verify(log).count == len(events)


def test_the_first_signature_is_one_that_openssl_checks(house: House) -> None:
    bundle, public = house.folder / "y.tar", house.folder / "y.pub"
    signer = _free_signer(house)
    bundle.write_bytes(packed(*small_manifest([b"one"], expires=""), signer))
    public.write_text(signer.public.pem())
    for name in ("ferry.json", "ferry.json.sig"):
        subprocess.run(["tar", "-xf", bundle, "-C", house.folder, "--occurrence=1", name], check=True, timeout=30)
    assert house.run("builder", "verify", bundle, "--trust", public).exit_code == 0
    words = ["dgst", "-sm3", "-verify", "y.pub", "-sigopt", "distid:1234567812345678", "-signature", "ferry.json.sig"]
    probe = ["openssl", "genpkey", "-algorithm", "SM2"]
    if not shutil.which("openssl") or subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode:
        pytest.skip("the openssl program is absent or lacks SM2")
    done = subprocess.run(
        ["openssl", *words, "ferry.json"], cwd=house.folder, capture_output=True, timeout=30, check=False
    )
    assert done.stdout == b"Verified OK\n", done.stderr


def _free_signer(house: House) -> ServiceSigner:
    words = ("keystore", "generate", "vault:free", "--product", "*")
    house.said("root", *words, token=house.daemon.root)
    return ServiceSigner(Client(address=house.daemon.url, token=house.daemon.root), "signing", "free")


def test_the_policy_is_the_services_whatever_the_client_says(house: House) -> None:
    bundle = house.folder / "z.tar"
    bundle.write_bytes(small_bundle(expires="", name="other"))
    told = house.refused("builder", "sign", bundle, "--key", "vault:release", "--trust", house.folder / "signer.pem")
    assert str(told) == f"{house.daemon.url}: expected a product of this key, 'sample', got 'other'"
    client = house.daemon.client((house.folder / "builder.token").read_text().strip())
    with pytest.raises(hvac.exceptions.Forbidden, match="expected a product of this key, 'sample', got 'other'"):
        client.write(f"signing/sign/release/{_sha256(bundle)}", input=_manifest_base64(bundle))
    with pytest.raises(hvac.exceptions.Forbidden, match="permission denied"):
        client.write("signing/keys/release/use", products="*")
    with pytest.raises(hvac.exceptions.Forbidden, match="permission denied"):
        client.write(f"signing/approvals/release/{_sha256(bundle)}")


def test_only_the_token_of_a_login_approves(house: House) -> None:
    bundle = house.folder / "c.tar"
    bundle.write_bytes(small_bundle(expires="", version="2.0"))
    house.run("builder", "sign", bundle, "--key", "vault:release", "--trust", house.folder / "signer.pem")
    alice = house.daemon.client((house.folder / "alice.token").read_text().strip())
    child = alice.auth.token.create(policies=["operator"])["auth"]["client_token"]
    for token in (child, house.daemon.root):
        with pytest.raises(hvac.exceptions.Forbidden, match="got one that names nobody: log in as an operator"):
            house.daemon.client(token).write(f"signing/approvals/release/{_sha256(bundle)}")


def test_a_policy_is_changed_with_the_operators(house: House) -> None:
    words = ("keystore", "policy", "vault:release", "--product", "sample", "--product", "other")
    done = house.run("root", *words, token=house.daemon.root)
    assert isinstance(done.exception, ServiceError)
    digest = str(done.exception.hint).partition("--sha256 ")[2].partition(";")[0]
    for name in ("bob", "carol"):
        house.said(name, "keystore", "approve", "vault:release", "--sha256", digest, "--yes")
    told = house.said("root", *words, token=house.daemon.root).splitlines()
    assert told[1] == "  policy 2: products other, sample; kinds bundle, revocations; until no end"
    again = ["--approvals", 2, *(word for name in OPERATORS for word in ("--operator", f"userpass/{name}"))]
    house.said("root", "keystore", "policy", "vault:release", "--product", "sample", *again, token=house.daemon.root)


def test_a_root_document_is_signed_by_an_officers_key(house: House) -> None:
    words = ("keystore", "generate", "vault:officer", "--kind", "root", "--kind", "revocations")
    house.said("root", *words, token=house.daemon.root)
    listed = json.loads(house.said("root", "keystore", "list", "--mount", "signing", "--json", token=house.daemon.root))
    officer = next(one for one in listed if one["name"] == "officer")
    public = ServiceSigner(Client(address=house.daemon.url, token=house.daemon.root), "signing", "officer").public
    path = house.folder / "1.root.json"
    path.write_bytes(root_document(1, [Holder(public)], [SIGNER], by=[SIGNER]))
    house.said("root", "trust", "sign", path, "--key", "vault:officer", token=house.daemon.root)
    assert check_root(path.read_bytes()).root.keys == (public,)
    bundle = house.folder / "o.tar"
    bundle.write_bytes(small_bundle(expires=""))
    words = ("sign", bundle, "--key", "vault:officer", "--trust", house.folder / "signer.pem")
    told = house.run("root", *words, token=house.daemon.root).exception
    assert str(told) == f"{house.daemon.url}: expected a document of the kinds 'revocations', 'root', got 'bundle'"
    assert officer["keyid"] == public.keyid


def test_a_list_of_revoked_keys_is_approved_with_its_bundle(house: House) -> None:
    words = ("--product", "*", "--approvals", 1, "--operator", "userpass/alice")
    house.said("root", "keystore", "generate", "vault:listed", *words, token=house.daemon.root)
    public = ServiceSigner(Client(address=house.daemon.url, token=house.daemon.root), "signing", "listed").public
    root = root_document(1, [OFFICER], [SIGNER, Holder(public)], threshold=2)
    (house.folder / "listed.root.json").write_bytes(root)
    bundle, listed = house.folder / "listed.tar", house.folder / "listed.revocations.json"
    listed.write_bytes(NOBODY)
    bundle.write_bytes(signed_again(small_bundle(expires=""), SIGNER, roots=(root,), revocations=NOBODY))
    sign = ("sign", bundle, "--key", "vault:listed", "--trust", house.folder / "listed.root.json")
    assert isinstance(house.run("root", *sign, token=house.daemon.root).exception, ServiceError)
    waiting = house.said("carol", "keystore", "pending", "--json")
    found = sorted(one["kind"] for one in json.loads(waiting) if one["key"] == "listed")
    assert found == ["bundle", "revocations"]
    told = house.said("alice", "keystore", "approve", "vault:listed", bundle, "--yes").splitlines()
    assert [line for line in told if line.startswith("listed")] == [
        "listed  sample 1.0 (linux/amd64), sequence 1",
        "listed  revocations version 1",
    ]
    assert house.said("alice", "keystore", "approve", "vault:listed", listed, "--yes").splitlines()[-1] == (
        "  ready to be signed"
    )
    house.said("root", *sign, token=house.daemon.root)
    assert house.run("root", "verify", bundle, "--trust", house.folder / "listed.root.json").exit_code == 0


@dataclass(frozen=True)
class Holder:
    """One whose key is elsewhere."""

    public: VerifyingKey


def test_approvals_survive_a_restart(tmp_path: Path) -> None:
    with served(tmp_path / "data") as daemon:
        root = daemon.unsealed()
        root.sys.enable_auth_method("userpass")
        root.sys.create_or_update_policy("operator", _OPERATOR)
        root.auth.userpass.create_or_update_user("alice", password="a password", policies=["operator"])
        root.sys.enable_secrets_engine("signing")
        root.write("signing/keys/k", algorithm="ed25519", products="*", approvals=1, operators="userpass/alice")
        manifest = format_manifest(small_manifest([b"one"])[0])
        digest, text = hashlib.sha256(manifest).hexdigest(), base64.b64encode(manifest).decode()
        root.write_data(f"signing/proposals/k/{digest}", data={"document": text})
        alice = daemon.client()
        alice.auth.userpass.login("alice", "a password")
        alice.write_data(f"signing/approvals/k/{digest}", data={})
        daemon.kill()
        daemon.start()
        again = daemon.reopen(root.token)
        found = again.write_data(f"signing/sign/k/{digest}", data={"input": text})["data"]
        public = read_public(again.read("signing/keys/k")["data"]["public_key"])
        public.verify(base64.b64decode(found["signature"]), manifest)


def test_how_the_service_is_reached(house: House, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(small_bundle(expires=""))
    sign = ("sign", tmp_path / "x.tar", "--trust", house.folder / "signer.pem")
    assert str(house.refused("nobody", *sign, "--key", "vault:release")) == (
        "expected a token for the served keystore, got none"
    )
    assert str(house.refused("builder", *sign, "--key", "vault:../x")) == (
        "expected vault:NAME or vault:MOUNT/NAME, got 'vault:../x'"
    )
    assert str(house.refused("builder", *sign, "--key", "vault:none")) == (f"{house.daemon.url}: permission denied")
    gone = "http://127.0.0.1:9"
    told = house.refused("builder", *sign, "--key", "vault:release", "--vault-address", gone)
    assert str(told) == f"{gone}: expected the keystore's service, got 'connection refused'"
    for address, message in (
        ("http://192.0.2.1:8200", "expected https, as 192.0.2.1 is not this host, got http"),
        ("https://host:x", "expected an address such as https://HOST:8200 or unix:///run/ferry/vault.sock"),
    ):
        assert message in str(house.refused("builder", *sign, "--key", "vault:release", "--vault-address", address))
    done = house.run("builder", *sign)
    assert isinstance(done.exception, KeystoreError | TrustError)


def test_a_socket_serves_as_well(tmp_path: Path) -> None:
    socket = tmp_path / "vault.sock"
    with served(tmp_path / "data", "--socket", str(socket)) as daemon:
        token = daemon.unsealed().token
        client = Client(address=f"unix://{socket}", token=token)
        client.write("sys/mounts/signing", type="signing")
        client.write("signing/keys/k", algorithm="ed25519", products=["*"])
        assert client.names("signing/keys") == ["k"]
        assert client.names("signing/proposals/k") == []
        with pytest.raises(ServiceError) as caught:
            Client(address=f"unix://{tmp_path}/none", token=token).read("sys/mounts")
        assert str(caught.value) == (
            f"unix://{tmp_path}/none: expected the keystore's service, got 'no such file or directory'"
        )
        client.write("sys/seal")
        with pytest.raises(ServiceError) as caught:
            client.read("signing/keys/k")
        assert (caught.value.message, caught.value.hint) == (
            "Vault is sealed",
            "unseal the keystore first: ferry keystore operator unseal",
        )


def _sha256(bundle: Path) -> str:
    with bundle.open("rb") as stream:
        return hashlib.sha256(read_head(stream).manifest).hexdigest()


def _manifest_base64(bundle: Path) -> str:
    with bundle.open("rb") as stream:
        return base64.b64encode(read_head(stream).manifest).decode()
