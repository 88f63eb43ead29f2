"""What a certificate may be used for, by the API's names.

Source: RFC 5280, clauses 4.2.1.3, 4.2.1.4 and 4.2.1.12; the names are those of Go's x509 package, which the API uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from keystore.engines.request import RequestError

_BITS: Mapping[str, str] = {
    "digitalsignature": "digital_signature",
    "contentcommitment": "content_commitment",
    "keyencipherment": "key_encipherment",
    "dataencipherment": "data_encipherment",
    "keyagreement": "key_agreement",
    "certsign": "key_cert_sign",
    "crlsign": "crl_sign",
    "encipheronly": "encipher_only",
    "decipheronly": "decipher_only",
}
_PURPOSES: Mapping[str, x509.ObjectIdentifier] = {
    "any": Purpose.ANY_EXTENDED_KEY_USAGE,
    "serverauth": Purpose.SERVER_AUTH,
    "clientauth": Purpose.CLIENT_AUTH,
    "codesigning": Purpose.CODE_SIGNING,
    "emailprotection": Purpose.EMAIL_PROTECTION,
    "ipsecendsystem": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsectunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsecuser": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": Purpose.TIME_STAMPING,
    "ocspsigning": Purpose.OCSP_SIGNING,
}


def read_key_usage(names: Iterable[str]) -> x509.KeyUsage | None:
    """Return the key usage of these names, None for none.

    Raises: RequestError.
    """
    found = {_key_usage_bit(name) for name in names}
    if not found:
        return None
    try:
        return x509.KeyUsage(**{bit: bit in found for bit in _BITS.values()})
    except ValueError:
        raise RequestError("key usages EncipherOnly and DecipherOnly need KeyAgreement") from None


def read_purposes(names: Iterable[str], oids: Iterable[str]) -> list[x509.ObjectIdentifier]:
    """Return the extended key usages of these names and object identifiers, each once.

    Raises: RequestError.
    """
    found = [_purpose(name) for name in names] + [read_oid(oid, "ext_key_usage_oids") for oid in oids]
    return list(dict.fromkeys(found))


def read_policies(oids: Iterable[str]) -> list[x509.PolicyInformation]:
    """Return certificate policies.

    Raises: RequestError.
    """
    return [x509.PolicyInformation(read_oid(oid, "policy_identifiers"), None) for oid in oids]


def read_oid(text: str, name: str) -> x509.ObjectIdentifier:
    """Return an object identifier.

    Raises: RequestError.
    """
    try:
        return x509.ObjectIdentifier(text)
    except ValueError:
        raise RequestError(f"{text!r} could not be parsed as a valid oid for {name}") from None


def _bare(name: str, prefix: str) -> str:
    return name.lower().removeprefix(prefix)


def _key_usage_bit(name: str) -> str:
    bit = _BITS.get(_bare(name, "keyusage"))
    if bit is None:
        raise RequestError(f"unknown key usage {name!r}")
    return bit


def _purpose(name: str) -> x509.ObjectIdentifier:
    found = _PURPOSES.get(_bare(name, "extkeyusage"))
    if found is None:
        raise RequestError(f"unknown extended key usage {name!r}")
    return found
