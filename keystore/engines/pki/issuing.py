"""Handlers that issue: with a key of our making, for a CSR, as the CSR says, and to authorities below."""

from __future__ import annotations

import dataclasses

from cryptography import x509

from keystore import encoding
from keystore.engines.body import Body
from keystore.engines.pki import (
    authorities,
    certificates,
    csr,
    encoder,
    formats,
    founding,
    issuance,
    keys,
    role,
    roles,
    subject,
    validity,
)
from keystore.engines.pki.authorities import Signer
from keystore.engines.pki.issuance import Extension, Made, Wanted
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.pki.role import Role
from keystore.engines.pki.subject import Alternatives
from keystore.engines.pki.validity import Limits
from keystore.engines.request import Answer, Lease, RequestError
from keystore.engines.routes import Call
from keystore.errors import KeystoreError

_OURS = {
    x509.BasicConstraints.oid,
    x509.SubjectKeyIdentifier.oid,
    x509.AuthorityKeyIdentifier.oid,
    x509.AuthorityInformationAccess.oid,
    x509.CRLDistributionPoints.oid,
    x509.KeyUsage.oid,
}


def issue(call: Call, limits: Limits) -> Answer:
    """Make a key and a certificate for it."""
    found, form = roles.require(call), formats.choose(call.body)
    if found.key_type == "any":
        raise RequestError('role key type "any" not allowed for issuing certificates, only signing')
    signer = _signer(call, found)
    alternatives = _alternatives(call.body, subject.asked(call.body), call.body.text("common_name"))
    subject.check(found, call.body.text("common_name"), alternatives, call.request.user)
    key = keys.make(call.request.beside, found.key_type, found.key_bits)
    wanted = _wanted(call, found, limits, key.spki, call.body.text("common_name"), alternatives)
    return _answer(call, found, signer, wanted, form, key)


def sign(call: Call, limits: Limits) -> Answer:
    """Make a certificate for a request's key; names are the request's or the CSR's, as the role says."""
    found, form = roles.require(call), formats.choose(call.body)
    request = csr.read(call.body)
    csr.check_key(found, request)
    name = subject.common_name(request.found) if found.use_csr_common_name else ""
    name = name or call.body.text("common_name")
    asked = subject.of_request(request.found) if found.use_csr_sans else subject.asked(call.body)
    alternatives = _alternatives(call.body, asked, name)
    subject.check(found, name, alternatives, call.request.user)
    wanted = _wanted(call, found, limits, request.spki, name, alternatives)
    return _answer(call, found, _signer(call, found), wanted, form)


def sign_verbatim(call: Call, limits: Limits) -> Answer:
    """Make a certificate with the subject and the extensions of a CSR; an authority it never makes."""
    base = role.ANYTHING
    if "role" in call.parts:
        named = roles.require(call)
        base = dataclasses.replace(
            base,
            **{name: getattr(named, name) for name in ("ttl", "max_ttl", "generate_lease", "no_store", "issuer_ref")},
        )
    request, form = csr.read(call.body), formats.choose(call.body)
    asked = role.read_role(_only(call.body, ("key_usage", "ext_key_usage", "ext_key_usage_oids")), _verbatim_base(base))
    csr.check_key(asked, request)
    period = _period(call, asked, limits)
    extensions = _copied(request.found) + issuance.leaf_extensions(asked, Alternatives())
    wanted = Wanted(subject=request.found.subject, spki=request.spki, validity=period, extensions=_once(extensions))
    return _answer(call, asked, _signer(call, asked), wanted, form)


def sign_intermediate(call: Call, limits: Limits) -> Answer:
    """Make the certificate of an authority below."""
    request, form = csr.read(call.body), formats.choose(call.body)
    csr.check_key(role.ANYTHING, request)
    signer = authorities.signer(call.records, call.parts.get("issuer", authorities.DEFAULT))
    verbatim = call.body.flag("use_csr_values")
    name = call.body.text("common_name") or (subject.common_name(request.found) if verbatim else "")
    if not name:
        raise RequestError("the common_name field is required")
    asked = subject.of_request(request.found) if verbatim else subject.asked(call.body)
    if not call.body.flag("exclude_cn_from_sans"):
        asked = asked.with_name(name)
    fields, serial = subject.asked_fields(call.body), call.body.text("serial_number")
    wanted = Wanted(
        subject=request.found.subject if verbatim else subject.subject_name(name, fields, serial),
        spki=request.spki,
        validity=validity.fit(validity.choose(call.body, call.now, limits), signer),
        extensions=issuance.authority_extensions(
            asked, founding.path_length(call.body), call.body.names("permitted_dns_domains")
        ),
    )
    _expect_room(signer)
    bits = keys.check_signature_bits(call.body.number("signature_bits"))
    made = issuance.issue(call.records, signer, wanted, signature_bits=bits)
    told = _told(call, signer, made, form)
    told["ca_chain"] = [told["certificate"], *_chain(call, signer, form)]
    if form == "pem_bundle":
        told["certificate"] = "\n".join((formats.pem(formats.CERTIFICATE, made.data), *_chain(call, signer, form)))
    return Answer(data=told, warnings=wanted.validity.warnings)


def sign_self_issued(call: Call) -> Answer:
    """Make a root's certificate one that our authority issued, with all else as it was."""
    try:
        data = encoding.decode_pem(call.body.text("certificate"), formats.CERTIFICATE)
    except KeystoreError:
        raise RequestError("no certificate found in the field 'certificate'") from None
    found, parts = authorities.load(data), encoder.take_apart(data)
    if parts.issuer != parts.subject or not authorities.self_signed(data):
        raise RequestError("given certificate is not self-issued")
    if not _is_authority(found):
        raise RequestError("given certificate is not a CA certificate")
    signer = authorities.signer(call.records, authorities.DEFAULT)
    made = encoder.replace_and_sign(parts.signed, None, signer.parts.subject, signer.key)
    certificates.save(call.records, certificates.read_serial(found), made)
    return Answer(
        data={
            "certificate": formats.pem(formats.CERTIFICATE, made),
            "issuing_ca": formats.pem(formats.CERTIFICATE, signer.issuer.certificate),
        }
    )


def _signer(call: Call, found: Role) -> Signer:
    return authorities.signer(call.records, call.parts.get("issuer", found.issuer_ref))


def _alternatives(body: Body, found: Alternatives, name: str) -> Alternatives:
    return found if body.flag("exclude_cn_from_sans") or not name else found.with_name(name)


def _period(call: Call, found: Role, limits: Limits) -> validity.Validity:
    period = validity.choose(
        call.body,
        call.now,
        limits,
        ttl_s=found.ttl,
        max_ttl_s=found.max_ttl,
        back_s=found.not_before_duration,
        until=found.not_after,
    )
    return validity.fit(period, _signer(call, found))


def _wanted(call: Call, found: Role, limits: Limits, spki: bytes, name: str, alternatives: Alternatives) -> Wanted:
    serial = call.body.text("serial_number")
    subject.check_serial(found, serial)
    return Wanted(
        subject=subject.subject_name(name, subject.role_fields(found), serial),
        spki=spki,
        validity=_period(call, found, limits),
        extensions=issuance.leaf_extensions(found, alternatives),
    )


def _answer(
    call: Call, found: Role, signer: Signer, wanted: Wanted, form: str, key: PrivateKey | None = None
) -> Answer:
    made = issuance.issue(call.records, signer, wanted, signature_bits=found.signature_bits, keep=not found.no_store)
    told = _told(call, signer, made, form)
    chain = _chain(call, signer, form)
    told["ca_chain"] = chain
    told["not_before"] = certificates.seconds(wanted.validity.begins)
    if key is not None:
        told = formats.with_key(told, call.body, form, key, chain)
    elif form == "pem_bundle":
        told["certificate"] = "\n".join((str(told["certificate"]), *chain))
    lease = None
    if found.generate_lease and not found.no_store:
        lease = Lease(ttl_s=made.ends - certificates.seconds(call.now), path=f"lease/{made.serial}")
    return Answer(data=told, warnings=wanted.validity.warnings, lease=lease)


def _told(call: Call, signer: Signer, made: Made, form: str) -> dict[str, object]:
    return {
        "certificate": formats.certificate(form, made.data),
        "issuing_ca": formats.certificate(form, signer.issuer.certificate),
        "serial_number": made.serial,
        "expiration": made.ends,
    }


def _chain(call: Call, signer: Signer, form: str) -> list[str]:
    return [formats.certificate(form, data) for data in authorities.chain(call.records, signer.issuer)]


def _only(body: Body, names: tuple[str, ...]) -> Body:
    return Body(fields={name: body.fields[name] for name in names if body.has(name)})


def _verbatim_base(base: Role) -> Role:
    return dataclasses.replace(base, key_usage=role.Role().key_usage)


def _copied(found: x509.CertificateSigningRequest) -> tuple[Extension, ...]:
    copied = [extension for extension in found.extensions if extension.oid not in _OURS]
    return tuple(Extension(value=extension.value, critical=extension.critical) for extension in copied)


def _once(extensions: tuple[Extension, ...]) -> tuple[Extension, ...]:
    return tuple({extension.value.oid: extension for extension in extensions}.values())


def _is_authority(found: x509.Certificate) -> bool:
    try:
        return found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def _expect_room(signer: Signer) -> None:
    basic = signer.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    if basic.path_length == 0:
        raise RequestError("issuer has a max_path_length of 0: it may issue to no authority below")
