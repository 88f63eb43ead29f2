"""A certificate for the gateway of a host whose operator brings none: its own, for the names that clients use."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bundler.errors import HostError

_DAYS = 825
# A client's clock may stand before this host's.
_EARLIER_DAYS = 1


def make_certificate(names: Sequence[str], now: datetime) -> str:
    """Return key and certificate in PEM, as haproxy reads them, for names and addresses; the first is its subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=_EARLIER_DAYS))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (certificate.public_bytes(Encoding.PEM) + private).decode("ascii")


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def public_part(pem: str) -> str:
    """Return the certificates of a PEM file without its key.

    Raises:
        HostError: it has none, or no key beside them.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        certificates = []
    if not certificates or "PRIVATE KEY-----" not in pem:
        raise HostError(
            "expected a certificate and its private key in PEM, got something else",
            place="gateway/tls.pem",
            hint="write both into one file: cat host.crt chain.crt host.key",
        )
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in certificates)
