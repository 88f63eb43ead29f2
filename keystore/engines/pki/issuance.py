"""Make a certificate: what a request, a role and an issuer say, put together, signed and kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from keystore.engines.pki import certificates, encoder, keys, settings, usage
from keystore.engines.pki.authorities import Signer
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.pki.role import Role
from keystore.engines.pki.settings import Urls
from keystore.engines.pki.subject import Alternatives
from keystore.engines.pki.validity import Validity
from keystore.engines.request import Records, RequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Extension:
    """One extension of a certificate."""

    value: x509.ExtensionType
    critical: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A certificate that is to be: whose, for which key, until when, with which extensions of its own."""

    subject: x509.Name
    spki: bytes
    validity: Validity
    extensions: tuple[Extension, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A certificate that was made."""

    data: bytes
    serial: str
    ends: int


def issue(records: Records, signer: Signer, wanted: Wanted, *, signature_bits: int = 0, keep: bool = True) -> Made:
    """Make a certificate under an issuer, and keep it unless told not to.

    Raises: RequestError.
    """
    urls = _urls(records, signer)
    identifier = _authority_identifier(signer)
    extensions = (*wanted.extensions, *_published(urls), Extension(value=identifier))
    made = _sign(wanted, extensions, signer.parts.subject, signer.key, signature_bits)
    if keep:
        certificates.save(records, made.serial, made.data)
    return made


def issue_root(records: Records, key: PrivateKey, wanted: Wanted, signature_bits: int) -> Made:
    """Make a root's own certificate, signed by its own key, and keep it.

    Raises: RequestError.
    """
    identifier = x509.AuthorityKeyIdentifier(keys.key_identifier(key.spki), None, None)
    extensions = (*wanted.extensions, *_published(settings.read_urls(records)), Extension(value=identifier))
    made = _sign(wanted, extensions, None, key, signature_bits)
    certificates.save(records, made.serial, made.data)
    return made


def leaf_extensions(role: Role, alternatives: Alternatives) -> tuple[Extension, ...]:
    """Return the extensions of a certificate that is no authority's.

    Raises: RequestError.
    """
    found = [Extension(value=names)] if (names := alternatives.extension()) else []
    if key_usage := usage.read_key_usage(role.key_usage):
        found.append(Extension(value=key_usage, critical=True))
    if purposes := _purposes(role):
        found.append(Extension(value=x509.ExtendedKeyUsage(purposes)))
    if policies := usage.read_policies(role.policy_identifiers):
        found.append(Extension(value=x509.CertificatePolicies(policies)))
    if role.basic_constraints_valid_for_non_ca:
        found.append(Extension(value=x509.BasicConstraints(ca=False, path_length=None), critical=True))
    return tuple(found)


def authority_extensions(
    alternatives: Alternatives, path_length: int | None, permitted: Iterable[str]
) -> tuple[Extension, ...]:
    """Return the extensions of an authority's certificate.

    Raises: RequestError.
    """
    found = [
        Extension(value=x509.BasicConstraints(ca=True, path_length=path_length), critical=True),
        Extension(value=_authority_usage(), critical=True),
    ]
    if names := alternatives.extension():
        found.append(Extension(value=names))
    if domains := tuple(permitted):
        found.append(Extension(value=_constraints(domains), critical=True))
    return tuple(found)


def _constraints(domains: Iterable[str]) -> x509.NameConstraints:
    try:
        return x509.NameConstraints([x509.DNSName(domain) for domain in domains], None)
    except ValueError as error:
        raise RequestError(f"cannot encode permitted_dns_domains: {error}") from None


def _sign(
    wanted: Wanted, extensions: Iterable[Extension], issuer: bytes | None, key: PrivateKey, signature_bits: int
) -> Made:
    number = x509.random_serial_number()
    try:
        builder = _builder(wanted, number)
        for extension in extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        data = encoder.certificate(builder, wanted.spki, issuer, key, signature_bits)
    except ValueError as error:
        raise RequestError(f"cannot make the certificate: {error}") from None
    return Made(data=data, serial=certificates.told_serial(number), ends=certificates.seconds(wanted.validity.ends))


def _builder(wanted: Wanted, number: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(wanted.subject)
        .issuer_name(wanted.subject)
        .serial_number(number)
        .not_valid_before(wanted.validity.begins)
        .not_valid_after(wanted.validity.ends)
        .add_extension(x509.SubjectKeyIdentifier(keys.key_identifier(wanted.spki)), critical=False)
    )


def _authority_identifier(signer: Signer) -> x509.AuthorityKeyIdentifier:
    """Return the issuer's own subject key identifier, or one made of its key."""
    try:
        found = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        found = keys.key_identifier(signer.parts.spki)
    return x509.AuthorityKeyIdentifier(found, None, None)


def _urls(records: Records, signer: Signer) -> Urls:
    issuer = signer.issuer
    own = Urls(
        issuing_certificates=issuer.issuing_certificates,
        crl_distribution_points=issuer.crl_distribution_points,
        ocsp_servers=issuer.ocsp_servers,
    )
    return settings.read_urls(records) if own == Urls() else own


def _published(urls: Urls) -> list[Extension]:
    places = [(AuthorityInformationAccessOID.OCSP, url) for url in urls.ocsp_servers]
    places += [(AuthorityInformationAccessOID.CA_ISSUERS, url) for url in urls.issuing_certificates]
    found: list[Extension] = []
    if places:
        access = [x509.AccessDescription(oid, x509.UniformResourceIdentifier(url)) for oid, url in places]
        found.append(Extension(value=x509.AuthorityInformationAccess(access)))
    if urls.crl_distribution_points:
        points = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
            for url in urls.crl_distribution_points
        ]
        found.append(Extension(value=x509.CRLDistributionPoints(points)))
    return found


def _purposes(role: Role) -> list[x509.ObjectIdentifier]:
    flags = (
        (role.server_flag, ExtendedKeyUsageOID.SERVER_AUTH),
        (role.client_flag, ExtendedKeyUsageOID.CLIENT_AUTH),
        (role.code_signing_flag, ExtendedKeyUsageOID.CODE_SIGNING),
        (role.email_protection_flag, ExtendedKeyUsageOID.EMAIL_PROTECTION),
    )
    more = usage.read_purposes(role.ext_key_usage, role.ext_key_usage_oids)
    return list(dict.fromkeys([oid for flag, oid in flags if flag] + more))


def _authority_usage() -> x509.KeyUsage:
    found = usage.read_key_usage(("CertSign", "CRLSign"))
    assert found is not None
    return found
