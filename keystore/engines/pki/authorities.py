"""Where a mount keeps its issuers and keys, how they are named, and which is the default."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from keystore import document
from keystore.engines.pki import encoder, keys, record
from keystore.engines.pki.encoder import Parts
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.pki.record import Issuer, KeyRecord
from keystore.engines.request import Records, RequestError

DEFAULT = "default"
NO_DEFAULT = "no default issuer currently configured"
_DEFAULTS = "config/defaults"
_DEPTH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """An issuer whose private key is here, ready to sign."""

    issuer: Issuer
    parts: Parts
    key: PrivateKey
    certificate: x509.Certificate


def new_ident() -> str:
    """Return a new random id."""
    return str(uuid.uuid4())


def issuers(records: Records) -> Iterator[Issuer]:
    """Yield all issuers, ordered by id."""
    for ident in records.names("issuers/"):
        data = records.get(f"issuers/{ident}")
        if data is not None:
            yield record.parse_issuer(data, f"issuer '{ident}'")


def key_records(records: Records) -> Iterator[KeyRecord]:
    """Yield all keys, ordered by id."""
    for ident in records.names("keys/"):
        data = records.get(f"keys/{ident}")
        if data is not None:
            yield record.parse_key(data, f"key '{ident}'")


def save_issuer(records: Records, issuer: Issuer) -> None:
    """Keep an issuer; the first with a key becomes the default."""
    records.put(f"issuers/{issuer.ident}", issuer.encode())
    if issuer.key and not default_issuer(records):
        set_defaults(records, issuer=issuer.ident)


def keep_key(records: Records, key: PrivateKey, name: str) -> KeyRecord:
    """Keep a key under a new id; the first becomes the default."""
    made = KeyRecord(ident=new_ident(), name=name, kind=key.kind, bits=key.bits, secret=key.secret, spki=key.spki)
    records.put(f"keys/{made.ident}", made.encode())
    if not default_key(records):
        set_defaults(records, key=made.ident)
    return made


def forget_issuer(records: Records, issuer: Issuer) -> None:
    """Forget an issuer and its list, but neither its key nor what it issued."""
    records.delete(f"issuers/{issuer.ident}")
    records.delete(f"crls/{issuer.ident}")
    if default_issuer(records) == issuer.ident:
        set_defaults(records, issuer="")


def forget_key(records: Records, key: KeyRecord) -> None:
    """Forget a private key for good."""
    records.delete(f"keys/{key.ident}")
    if default_key(records) == key.ident:
        set_defaults(records, key="")


def default_issuer(records: Records) -> str:
    """Return the id of the default issuer, empty where there is none."""
    return _defaults(records)["issuer"]


def default_key(records: Records) -> str:
    """Return the id of the default key, empty where there is none."""
    return _defaults(records)["key"]


def set_defaults(records: Records, **changed: str) -> None:
    """Keep other defaults, by id."""
    records.put(_DEFAULTS, document.canonical(_defaults(records) | changed))


def find_issuer(records: Records, reference: str) -> Issuer:
    """Return the issuer of an id, a name or 'default'.

    Raises: RequestError.
    """
    if reference == DEFAULT:
        reference = default_issuer(records)
        if not reference:
            raise RequestError(NO_DEFAULT)
    for issuer in issuers(records):
        if reference in (issuer.ident, issuer.name):
            return issuer
    raise RequestError(f"unable to find PKI issuer for reference: {reference}")


def find_key(records: Records, reference: str) -> KeyRecord:
    """Return the key of an id, a name or 'default'.

    Raises: RequestError.
    """
    if reference == DEFAULT:
        reference = default_key(records)
        if not reference:
            raise RequestError("no default key currently configured")
    for key in key_records(records):
        if reference in (key.ident, key.name):
            return key
    raise RequestError(f"unable to find PKI key for reference: {reference}")


def signer(records: Records, reference: str, use: str = "issuing-certificates") -> Signer:
    """Return an issuer that may and can sign.

    Raises: RequestError.
    """
    try:
        issuer = find_issuer(records, reference)
    except RequestError as error:
        raise RequestError(f"could not fetch the CA certificate (was one set?): {error.message}") from None
    if use not in issuer.usage.split(","):
        raise RequestError(f"requested usage {use} for issuer {issuer.ident} but only had usage {issuer.usage}")
    if not issuer.key:
        raise RequestError("could not fetch the CA certificate: the issuer has no private key on this mount")
    return Signer(
        issuer=issuer,
        parts=encoder.take_apart(issuer.certificate),
        key=_private(find_key(records, issuer.key)),
        certificate=load(issuer.certificate),
    )


def load(certificate: bytes) -> x509.Certificate:
    """Return what the library reads of a certificate, once all that is asked of it can be read.

    Raises: RequestError.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = x509.load_der_x509_certificate(certificate)
            _ = (found.not_valid_after_utc, found.extensions)
            sound = found.serial_number > 0
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        sound = False
    if not sound:
        raise RequestError("unable to parse certificate: expected X.509 as RFC 5280 says, got another form")
    return found


def chain(records: Records, issuer: Issuer) -> list[bytes]:
    """Return the issuer's certificate and those above it that the mount has, each signed by the next."""
    known = [found.certificate for found in issuers(records)]
    found = [issuer.certificate]
    while len(found) < _DEPTH and not self_signed(found[-1]):
        above = next((other for other in known if other not in found and signed_by(found[-1], other)), None)
        if above is None:
            break
        found.append(above)
    return found


def self_signed(certificate: bytes) -> bool:
    """Tell whether a certificate is a root."""
    return signed_by(certificate, certificate)


def signed_by(certificate: bytes, issuer: bytes) -> bool:
    """Tell whether a certificate names another as issuer and bears its signature."""
    child, parent = encoder.take_apart(certificate), encoder.take_apart(issuer)
    if child.issuer != parent.subject:
        return False
    if keys.is_sm2(parent.spki):
        return keys.verify_sm2(parent.spki, child.signature, child.signed)
    try:
        load(certificate).verify_directly_issued_by(load(issuer))
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _private(kept: KeyRecord) -> PrivateKey:
    return PrivateKey(kind=kept.kind, bits=kept.bits, secret=kept.secret, spki=kept.spki)


def _defaults(records: Records) -> dict[str, str]:
    data = records.get(_DEFAULTS)
    if data is None:
        return {"issuer": "", "key": ""}
    return document.fields(document.parse(data, _DEFAULTS), _DEFAULTS, {"issuer": str, "key": str})
