"""Handlers that set up authorities: roots, requests for intermediates, and what others made."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from cryptography import x509

from keystore import encoding
from keystore.engines.body import Body
from keystore.engines.pki import authorities, certificates, encoder, formats, issuance, keys, lists, subject, validity
from keystore.engines.pki.issuance import Wanted
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.pki.record import Issuer, KeyRecord
from keystore.engines.pki.subject import Alternatives
from keystore.engines.pki.validity import Limits
from keystore.engines.request import Answer, Records, RequestError
from keystore.engines.routes import Call
from keystore.errors import KeystoreError

_EXPORTS = {"internal": False, "exported": True}
_NAME = re.compile(r"\w([\w.-]*\w)?", re.ASCII)
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----[^-]*-----END \1-----", re.ASCII)
_SHORTEST = 75


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """What a bundle brought: an issuer's or key's id, and whether the mount did not have it."""

    ident: str
    new: bool


def generate_root(call: Call, limits: Limits, default_kind: str) -> Answer:
    """Make a root: its key, its certificate, and an empty list."""
    exported, form = _exported(call), formats.choose(call.body)
    key, bits = _make_key(call, default_kind)
    name, alternatives = _names(call.body)
    found = validity.choose(call.body, call.now, limits, back_s=_back(call.body))
    wanted = Wanted(
        subject=subject.subject_name(name, subject.asked_fields(call.body), call.body.text("serial_number")),
        spki=key.spki,
        validity=found,
        extensions=issuance.authority_extensions(
            alternatives, path_length(call.body), call.body.names("permitted_dns_domains")
        ),
    )
    issuer_name = check_name(call.records, call.body.text("issuer_name"), "issuer")
    kept = _keep_key(call, key)
    made = issuance.issue_root(call.records, key, wanted, bits)
    issuer = Issuer(ident=authorities.new_ident(), name=issuer_name, key=kept.ident, certificate=made.data)
    authorities.save_issuer(call.records, issuer)
    lists.make(call.records, issuer, call.now)
    told: dict[str, object] = {
        "certificate": formats.certificate(form, made.data),
        "issuing_ca": formats.certificate(form, made.data),
        "serial_number": made.serial,
        "expiration": made.ends,
        "issuer_id": issuer.ident,
        "issuer_name": issuer.name,
        "key_id": kept.ident,
        "key_name": kept.name,
    }
    return Answer(data=formats.with_key(told, call.body, form, key) if exported else told, warnings=found.warnings)


def generate_intermediate(call: Call, default_kind: str) -> Answer:
    """Make a key and a request that another authority may sign."""
    exported, form = _exported(call), formats.choose(call.body)
    key, bits = _make_key(call, default_kind)
    name, alternatives = _names(call.body)
    name_of = subject.subject_name(name, subject.asked_fields(call.body), call.body.text("serial_number"))
    data = _request(name_of, alternatives, key, bits, basic=call.body.flag("add_basic_constraints"))
    kept = _keep_key(call, key)
    told: dict[str, object] = {"csr": formats.certificate(form, data, formats.REQUEST), "key_id": kept.ident}
    return Answer(data=formats.with_key(told, call.body, form, key) if exported else told)


def _request(name: x509.Name, alternatives: Alternatives, key: PrivateKey, bits: int, *, basic: bool) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if found := alternatives.extension():
        builder = builder.add_extension(found, critical=False)
    if basic:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    try:
        return encoder.request(builder, key, bits)
    except ValueError as error:
        raise RequestError(f"cannot make the certificate request: {error}") from None


def take_bundle(call: Call) -> Answer:
    """Take certificates and keys of authorities in PEM; a certificate finds its key by what is public."""
    text = call.body.text("pem_bundle") or call.body.text("certificate")
    if not text:
        raise RequestError("'pem_bundle' and 'certificate' parameters were empty")
    if len(text) < _SHORTEST:
        raise RequestError(
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents "
            "of a PEM file"
        )
    blocks = list(_BLOCK.finditer(text))
    if not blocks:
        raise RequestError("no data found in PEM block")
    taken = [_take_key(call.records, found[0]) for found in blocks if "PRIVATE KEY" in found[1]]
    issuers = [_take_issuer(call.records, found[0]) for found in blocks if found[1] == formats.CERTIFICATE]
    _join_keys(call.records)
    lists.make_all(call.records, call.now)
    mapping = {found.ident: authorities.find_issuer(call.records, found.ident).key for found in issuers}
    return Answer(
        data={
            "imported_issuers": [found.ident for found in issuers if found.new] or None,
            "imported_keys": [found.ident for found in taken if found.new] or None,
            "existing_issuers": [found.ident for found in issuers if not found.new] or None,
            "existing_keys": [found.ident for found in taken if not found.new] or None,
            "mapping": mapping,
        }
    )


def delete_all(call: Call) -> Answer:
    """Forget all issuers and all keys."""
    for issuer in list(authorities.issuers(call.records)):
        authorities.forget_issuer(call.records, issuer)
    for key in list(authorities.key_records(call.records)):
        authorities.forget_key(call.records, key)
    return Answer(warnings=("all issuers and keys of this mount are deleted",))


def check_name(records: Records, name: str, word: str, own: str = "") -> str:
    """Return a name for an issuer or a key that no other has; an empty one is none.

    Raises: RequestError.
    """
    if not name:
        return ""
    if name == authorities.DEFAULT or not _NAME.fullmatch(name):
        raise RequestError(f"{word} name contained invalid characters or was a reserved word")
    taken = authorities.issuers(records) if word == "issuer" else authorities.key_records(records)
    if any(found.name == name and found.ident != own for found in taken):
        raise RequestError(f"{word} name already in use")
    return name


def path_length(body: Body) -> int | None:
    """Return how many authorities may stand below, None for any number.

    Raises: RequestError.
    """
    found = body.number("max_path_length", -1)
    if found < -1 or found > 255:
        raise RequestError(f"expected a max_path_length of -1 to 255, got {found}")
    return None if found == -1 else found


def _exported(call: Call) -> bool:
    if call.parts["exported"] not in _EXPORTS:
        raise RequestError('the "exported" path parameter must be "internal" or "exported"')
    return _EXPORTS[call.parts["exported"]]


def _back(body: Body) -> int:
    found = body.seconds("not_before_duration", 30)
    if found < 0:
        raise RequestError(f"expected not_before_duration of 0 or more, got {found}")
    return found


def _make_key(call: Call, default_kind: str) -> tuple[PrivateKey, int]:
    bits = keys.check_signature_bits(call.body.number("signature_bits"))
    asked = call.body.number("key_bits")
    kind = keys.choose(call.body.text("key_type"), default_kind, asked)
    size = keys.check_size(kind, asked)
    return keys.make(call.request.beside, kind, size), bits


def _keep_key(call: Call, key: PrivateKey) -> KeyRecord:
    name = check_name(call.records, call.body.text("key_name"), "key")
    return authorities.keep_key(call.records, key, name)


def _names(body: Body) -> tuple[str, Alternatives]:
    name, found = body.text("common_name"), subject.asked(body)
    return name, found if body.flag("exclude_cn_from_sans") or not name else found.with_name(name)


def _take_key(records: Records, pem: str) -> _Taken:
    key = keys.read_private(pem + "\n")
    for found in authorities.key_records(records):
        if found.spki == key.spki:
            return _Taken(ident=found.ident, new=False)
    return _Taken(ident=authorities.keep_key(records, key, "").ident, new=True)


def _take_issuer(records: Records, pem: str) -> _Taken:
    try:
        data = encoding.decode_pem(pem, formats.CERTIFICATE)
    except KeystoreError as error:
        raise RequestError(f"unable to parse certificate: {error.message}") from None
    for found in authorities.issuers(records):
        if found.certificate == data:
            return _Taken(ident=found.ident, new=False)
    _expect_authority(data)
    made = Issuer(ident=authorities.new_ident(), certificate=data)
    authorities.save_issuer(records, made)
    certificates.save(records, certificates.read_serial(authorities.load(data)), data)
    return _Taken(ident=made.ident, new=True)


def _expect_authority(data: bytes) -> None:
    keys.describe_public(encoder.take_apart(data).spki)
    try:
        found = authorities.load(data).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        found = False
    if not found:
        raise RequestError("refusing to import non-CA certificate")


def _join_keys(records: Records) -> None:
    """Give every issuer without a key the key that is its own."""
    held = {key.spki: key.ident for key in authorities.key_records(records)}
    for issuer in list(authorities.issuers(records)):
        ident = held.get(encoder.take_apart(issuer.certificate).spki)
        if ident and not issuer.key:
            authorities.save_issuer(records, dataclasses.replace(issuer, key=ident))
