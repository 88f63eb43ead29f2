"""Operators who prove themselves by certificates, over TLS."""

import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bundles import SIGNER, small_bundle
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from daemon import served

from bundler.cli import ferry
from keystore.client import Client
from keystore.errors import ServiceError

NOW = datetime.now(UTC)


class Authority:
    """A certificate authority that writes its certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = _name("Test CA")
        self.write("ca", self._sign("Test CA", self.key, authority=True), self.key)

    def issue(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.write(name, self._sign(name, key, authority=False), key)

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        )
        return made.sign(self.key, hashes.SHA256())

    def write(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (self.folder / f"{name}.key").write_bytes(text)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def test_an_operator_approves_under_his_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for name in ("host", "alice", "mallory"):
        authority.issue(name)
    options = ("--tls-cert", str(tmp_path / "host.crt"), "--tls-key", str(tmp_path / "host.key"))
    with served(tmp_path / "data", *options, "--tls-client-ca", str(tmp_path / "ca.crt")) as daemon:
        unknown = Client(address=daemon.url)
        with pytest.raises(ServiceError, match="certificate verify failed"):
            unknown.read("sys/health")
        client = Client(address=daemon.url, authority=str(tmp_path / "ca.crt"))
        made = client.write("sys/init", secret_shares=1, secret_threshold=1)
        client.write("sys/unseal", key=made["keys"][0])
        root = Client(address=daemon.url, authority=str(tmp_path / "ca.crt"), token=made["root_token"])
        root.write("sys/auth/cert", type="cert")
        root.write(
            "sys/policies/acl/operator", policy='path "signing/*" { capabilities = ["create", "update", "read"] }'
        )
        root.write(
            "auth/cert/certs/operators", certificate=(tmp_path / "ca.crt").read_text(), token_policies="operator"
        )
        root.write("sys/mounts/signing", type="signing")
        root.write("signing/keys/release", products=["*"], approvals=1, operators=["cert/alice"])
        (tmp_path / "x.tar").write_bytes(small_bundle(expires=""))
        (tmp_path / "signer.pem").write_text(SIGNER.public.pem())

        def run(who: str, *words: object, token: str = "") -> Result:
            env = {
                "VAULT_ADDR": daemon.url,
                "VAULT_CACERT": str(tmp_path / "ca.crt"),
                "VAULT_CLIENT_CERT": str(tmp_path / f"{who}.crt"),
                "VAULT_CLIENT_KEY": str(tmp_path / f"{who}.key"),
                "VAULT_TOKEN_FILE": str(tmp_path / f"{who}.token"),
                "VAULT_TOKEN": token,
                "LC_ALL": "C.UTF-8",
            }
            return CliRunner().invoke(ferry, [str(word) for word in words], env=env)

        for who in ("alice", "mallory"):
            done = run(who, "keystore", "login", "--role", "operators")
            assert done.output == f"Logged in; the token is in {tmp_path / f'{who}.token'}\n", done.exception
        approve = ("keystore", "approve", "vault:release", tmp_path / "x.tar", "--yes")
        told = run("mallory", *approve).exception
        assert str(told) == f"{daemon.url}: expected one of the operators of this key, cert/alice, got cert/mallory"
        assert run("alice", *approve).output.splitlines()[-2:] == ["  approved by cert/alice", "  ready to be signed"]
        sign = ("sign", tmp_path / "x.tar", "--key", "vault:release", "--trust", tmp_path / "signer.pem", "--json")
        own = run("alice", *sign).exception
        assert str(own).endswith("by 1 operator, got 0: missing 1 of nobody else")
        assert len(json.loads(run("mallory", *sign, token=made["root_token"]).output)["keyids"]) == 2
