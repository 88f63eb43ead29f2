"""Logins by certificate: which certificates a role takes, which are revoked, and who may renew."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hvac
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from daemon import Daemon, served
from hvac.exceptions import InvalidPath, InvalidRequest

NOW = datetime.now(UTC)
_NUMBER = x509.ObjectIdentifier("1.2.3.4.5")
_PEM = serialization.Encoding.PEM


@dataclass
class Authority:
    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def issue(self, name: str, unit: str = "ops", extension: bytes = b"\x0c\x05blue1") -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)]
        )
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(hours=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False)
            .add_extension(x509.UnrecognizedExtension(_NUMBER, extension), False)
            .sign(self.key, hashes.SHA256())
        )
        (self.folder / f"{name}.crt").write_bytes(made.public_bytes(_PEM))
        plain = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / f"{name}.key").write_bytes(plain)
        return made

    def revoke(self, *serials: int) -> str:
        made = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        made = made.last_update(NOW).next_update(NOW + timedelta(days=1))
        for serial in serials:
            one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
            made = made.add_revoked_certificate(one)
        return made.sign(self.key, hashes.SHA256()).public_bytes(_PEM).decode()


def _authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(made.public_bytes(_PEM))
    return Authority(folder, key, made)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = _authority(tmp_path_factory.mktemp("authority"))
    for name in ("host", "a", "b", "revoked"):
        found.issue(name)
    return found


@pytest.fixture(scope="module")
def daemon(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = authority.folder
    options = ("--tls-cert", str(folder / "host.crt"), "--tls-key", str(folder / "host.key"))
    data = tmp_path_factory.mktemp("certificates") / "data"
    with served(data, *options, "--tls-client-ca", str(folder / "ca.crt")) as found:
        root = found.client(verify=str(folder / "ca.crt"))
        made = root.sys.initialize(1, 1)
        root.sys.submit_unseal_key(made["keys"][0])
        found.root = root.token = made["root_token"]
        root.sys.enable_auth_method("cert")
        yield found


@pytest.fixture
def root(daemon: Daemon, authority: Authority) -> hvac.Client:
    return daemon.client(daemon.root, verify=str(authority.folder / "ca.crt"))


def _showing(daemon: Daemon, authority: Authority, name: str, token: str | None = None) -> hvac.Client:
    folder = authority.folder
    shown = (str(folder / f"{name}.crt"), str(folder / f"{name}.key"))
    return daemon.client(token, verify=str(folder / "ca.crt"), cert=shown)


def _role(root: hvac.Client, authority: Authority, name: str, **limits: Any) -> None:
    certificate = authority.certificate.public_bytes(_PEM).decode()
    root.auth.cert.create_ca_certificate_role(name, certificate=certificate, **limits)


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({"allowed_organizational_units": "o*"}, True),
        ({"allowed_organizational_units": "finance"}, False),
        ({"required_extensions": "1.2.3.4.5:blue*"}, True),
        ({"required_extensions": "1.2.3.4.5:red*"}, False),
        ({"required_extensions": "1.2.3.4.6:blue*"}, False),
        ({"required_extensions": "1.2.3.4.5:blue*,hex:1.2.3.4.5:0c05*"}, True),
        ({"required_extensions": "hex:1.2.3.4.5:0c06*"}, False),
        ({"allowed_common_names": "a", "allowed_organizational_units": "finance"}, False),
    ],
)
def test_a_role_takes_what_it_says(
    daemon: Daemon, authority: Authority, root: hvac.Client, limits: dict[str, str], fits: bool
) -> None:
    _role(root, authority, "r", **limits)
    client = _showing(daemon, authority, "a")
    if fits:
        assert client.write_data("auth/cert/login", data={"name": "r"})["auth"]["metadata"]["cert_name"] == "r"
        return
    with pytest.raises(InvalidRequest, match="invalid certificate or no client certificate supplied"):
        client.write_data("auth/cert/login", data={"name": "r"})


def test_a_limit_that_cannot_be_understood_is_refused(authority: Authority, root: hvac.Client) -> None:
    with pytest.raises(
        InvalidRequest, match=r"required_extensions: expected one such as '1\.2\.3\.4:value\*', got 'x:y'"
    ):
        _role(root, authority, "bad", required_extensions="x:y")


def test_a_revoked_certificate_is_refused(daemon: Daemon, authority: Authority, root: hvac.Client) -> None:
    _role(root, authority, "r")
    client = _showing(daemon, authority, "revoked")
    client.write_data("auth/cert/login", data={"name": "r"})
    serial = x509.load_pem_x509_certificate((authority.folder / "revoked.crt").read_bytes()).serial_number
    root.write_data("auth/cert/crls/list", data={"crl": authority.revoke(serial)})
    assert root.read("auth/cert/crls/list")["data"] == {"serials": {str(serial): {}}}
    assert root.list("auth/cert/crls")["data"]["keys"] == ["list"]
    with pytest.raises(InvalidRequest, match="invalid certificate or no client certificate supplied"):
        client.write_data("auth/cert/login", data={"name": "r"})
    _showing(daemon, authority, "a").write_data("auth/cert/login", data={"name": "r"})
    root.delete("auth/cert/crls/list")
    assert root.read("auth/cert/crls/list") is None
    client.write_data("auth/cert/login", data={"name": "r"})
    with pytest.raises(InvalidRequest, match="crl: expected a list of revoked certificates in PEM, got something else"):
        root.write_data("auth/cert/crls/list", data={"crl": "x"})


def test_only_the_certificate_of_the_login_renews(daemon: Daemon, authority: Authority, root: hvac.Client) -> None:
    _role(root, authority, "r", token_policies=["default"])
    token = _showing(daemon, authority, "a").write_data("auth/cert/login", data={"name": "r"})["auth"]["client_token"]
    _showing(daemon, authority, "a", token).auth.token.renew_self()
    with pytest.raises(InvalidRequest, match="client identity during renewal not matching client identity used during"):
        _showing(daemon, authority, "b", token).auth.token.renew_self()
    bare = daemon.client(token, verify=str(authority.folder / "ca.crt"))
    with pytest.raises(InvalidRequest, match="client certificate must be supplied"):
        bare.auth.token.renew_self()
    root.auth.cert.configure_tls_certificate(disable_binding=True)
    assert root.read("auth/cert/config")["data"] == {"disable_binding": True}
    bare.auth.token.renew_self()


def test_what_is_not_there_is_told(root: hvac.Client) -> None:
    with pytest.raises(InvalidPath, match="unsupported path"):
        root.write_data("auth/cert/ocsp", data={})
