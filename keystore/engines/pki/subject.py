"""Whose certificate it will be: the subject's name and alternative names, from a request, a CSR and a role."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from keystore import der
from keystore.engines.body import Body
from keystore.engines.pki import names, usage
from keystore.engines.pki.role import Role
from keystore.engines.request import RequestError

_UTF8_STRING = 0x0C
_NO_NAME = (
    "the common_name field is required, or must be provided in a CSR with "
    '"use_csr_common_name" set to true, unless "require_cn" is set to false'
)
_FIELDS: Mapping[str, x509.ObjectIdentifier] = {
    "country": NameOID.COUNTRY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "street_address": NameOID.STREET_ADDRESS,
    "postal_code": NameOID.POSTAL_CODE,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternatives:
    """Names beside the subject's, in the order asked for, each once."""

    hosts: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def with_name(self, name: str) -> Alternatives:
        """Return these and a common name, where it is a host's or an email address."""
        if "@" in name:
            return Alternatives(
                hosts=self.hosts,
                addresses=_once((*self.addresses, name)),
                networks=self.networks,
                uris=self.uris,
                others=self.others,
            )
        hosts = _once((name, *self.hosts)) if names.is_host(name) else self.hosts
        return Alternatives(
            hosts=hosts, addresses=self.addresses, networks=self.networks, uris=self.uris, others=self.others
        )

    def extension(self) -> x509.SubjectAlternativeName | None:
        """Return the extension, None for no names.

        Raises: RequestError.
        """
        try:
            found = [
                *map(x509.DNSName, self.hosts),
                *map(x509.RFC822Name, self.addresses),
                *(x509.IPAddress(ipaddress.ip_address(address)) for address in self.networks),
                *map(x509.UniformResourceIdentifier, self.uris),
                *map(_other, self.others),
            ]
        except ValueError as error:
            raise RequestError(f"cannot encode a subject alternative name: {error}") from None
        return x509.SubjectAlternativeName(found) if found else None


def asked(body: Body) -> Alternatives:
    """Return the alternative names of a request.

    Raises: RequestError.
    """
    found = body.names("alt_names")
    return Alternatives(
        hosts=_once(name for name in found if "@" not in name),
        addresses=_once(name for name in found if "@" in name),
        networks=_once(map(_address, body.names("ip_sans"))),
        uris=_once(body.names("uri_sans")),
        others=_once(body.names("other_sans")),
    )


def of_request(csr: x509.CertificateSigningRequest) -> Alternatives:
    """Return the alternative names of a CSR; kinds that no role can allow are left out."""
    try:
        found = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Alternatives()
    return Alternatives(
        hosts=_once(found.get_values_for_type(x509.DNSName)),
        addresses=_once(found.get_values_for_type(x509.RFC822Name)),
        networks=_once(map(str, found.get_values_for_type(x509.IPAddress))),
        uris=_once(found.get_values_for_type(x509.UniformResourceIdentifier)),
    )


def common_name(csr: x509.CertificateSigningRequest) -> str:
    """Return the common name of a CSR, empty where it has none."""
    found = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def check(role: Role, name: str, alternatives: Alternatives, user: str) -> None:
    """Refuse the first name that a role does not allow.

    Raises: RequestError.
    """
    if not name and role.require_cn:
        raise RequestError(_NO_NAME)
    if name and not names.common_name_allowed(role, name, user):
        raise RequestError(f"common name {name} not allowed by this role")
    for found, word in ((alternatives.hosts, "subject alternate name"), (alternatives.addresses, "email address")):
        for other in found:
            if not names.allowed(role, other, user):
                raise RequestError(f"{word} {other} not allowed by this role")
    if alternatives.networks and not role.allow_ip_sans:
        raise RequestError(
            f"IP Subject Alternative Names are not allowed in this role, but was provided {alternatives.networks[0]}"
        )
    _check_uris(role, alternatives.uris)
    _check_others(role, alternatives.others)


def check_serial(role: Role, serial: str) -> None:
    """Refuse a subject's serial number that a role does not allow.

    Raises: RequestError.
    """
    if serial and not any(names.matches(pattern, serial) for pattern in role.allowed_serial_numbers):
        raise RequestError(f"serial_number {serial} not allowed by this role")


def subject_name(name: str, fields: Mapping[str, tuple[str, ...]], serial: str) -> x509.Name:
    """Return a subject's name: country, organisation and so on, then common name and serial number.

    Raises: RequestError.
    """
    found = [(oid, text) for field, oid in _FIELDS.items() for text in fields.get(field, ())]
    found += [(NameOID.COMMON_NAME, name)] * bool(name) + [(NameOID.SERIAL_NUMBER, serial)] * bool(serial)
    try:
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in found])
    except ValueError as error:
        raise RequestError(f"cannot encode the subject: {error}") from None


def asked_fields(body: Body) -> dict[str, tuple[str, ...]]:
    """Return the parts of a subject's name that a request says.

    Raises: RequestError.
    """
    return {field: body.names(field) for field in _FIELDS}


def role_fields(role: Role) -> dict[str, tuple[str, ...]]:
    """Return the parts of a subject's name that a role says."""
    return {field: getattr(role, field) for field in _FIELDS}


def _once(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise RequestError(f'the value "{text}" is not a valid IP address') from None


def _check_uris(role: Role, uris: tuple[str, ...]) -> None:
    if uris and not role.allowed_uri_sans:
        raise RequestError("URI Subject Alternative Names are not allowed in this role, but were provided via the API")
    for uri in uris:
        if not any(names.matches(pattern, uri) for pattern in role.allowed_uri_sans):
            raise RequestError(f"URI Subject Alternative Name {uri} not allowed by this role")


def _split_other(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"([0-9.]+);(?:UTF8|UTF-8):(.+)", text, re.IGNORECASE | re.DOTALL)
    if found is None:
        raise RequestError(f"expected an other SAN such as '1.3.6.1.4.1.311.20.2.3;UTF8:name', got {text!r}")
    return found[1], found[2]


def _check_others(role: Role, others: tuple[str, ...]) -> None:
    for other in others:
        oid, value = _split_other(other)
        rules = [rule for rule in role.allowed_other_sans if rule == "*" or rule.partition(";")[0] == oid]
        if not rules:
            raise RequestError(f"other SAN OID {oid} not allowed by this role")
        if not any(rule == "*" or names.matches(_split_other(rule)[1], value) for rule in rules):
            raise RequestError(f"other SAN {value} not allowed for OID {oid} by this role")


def _other(text: str) -> x509.OtherName:
    oid, value = _split_other(text)
    return x509.OtherName(usage.read_oid(oid, "other_sans"), der.encode(_UTF8_STRING, value.encode("utf-8")))
