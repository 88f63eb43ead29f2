"""Log in by the certificate that the TLS connection was made with.

Source: "TLS Certificate auth method" of the Vault HTTP API documentation. A role names one certificate: the client's
own, or that of the CA which issued it directly.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from keystore.access import field, settings
from keystore.access.login import Attempt, Check, Login, described
from keystore.access.settings import TokenSettings
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Operation, Records, Request, RequestError

CERTS = "cert/"
REVOKED = "crl/"
CONFIG = "config"
_NAMES = (
    "allowed_names",
    "allowed_common_names",
    "allowed_dns_sans",
    "allowed_email_sans",
    "allowed_uri_sans",
    "allowed_organizational_units",
)
_REQUIRED = "required_extensions"
_KINDS_OF_TEXT = (0x0C, 0x13, 0x16)  # UTF8String, PrintableString, IA5String


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """A trusted certificate, the names that a client's may carry, and his tokens' settings."""

    certificate: str
    display_name: str
    names: Mapping[str, Sequence[str]]
    tokens: TokenSettings

    def encode(self) -> bytes:
        """Return the record of the role."""
        found = {"certificate": self.certificate, "display_name": self.display_name, "names": dict(self.names)}
        return json.dumps({**found, "tokens": self.tokens.document()}).encode()

    @classmethod
    def parse(cls, data: bytes) -> Role:
        """Return the role of a record."""
        found = json.loads(data)
        return cls(**{**found, "tokens": settings.of_document(found["tokens"])})

    def described(self) -> dict[str, Any]:
        """Return what a read answers."""
        shown = {"certificate": self.certificate, "display_name": self.display_name}
        return {**shown, **self.names, **described(self.tokens)}


class CertLogin:
    """Answer for one mount."""

    def is_open(self, path: str) -> bool:
        """Tell whether a path needs no token."""
        return path == "login"

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (
            offer("login", Operation.UPDATE),
            offer(CONFIG, Operation.READ, Operation.UPDATE),
            offer("certs", Operation.LIST),
            offer("certs/{name}", Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.DELETE),
            offer("crls", Operation.LIST),
            offer("crls/{name}", Operation.READ, Operation.UPDATE, Operation.DELETE),
        )

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a role exists."""
        word, _, name = path.partition("/")
        return word != "certs" or not name or records.get(CERTS + name) is not None

    def alias(self, attempt: Attempt) -> str:
        """Return whom a login's failures count against."""
        return attempt.remote

    def handle(self, attempt: Attempt, records: Records) -> Answer | Login | Check:
        """Answer a request.

        Raises: RequestError.
        """
        request = attempt.request
        word, _, name = request.path.partition("/")
        if request.path == "login" and request.operation in (Operation.CREATE, Operation.UPDATE):
            return _log_in(attempt, records)
        if request.path == CONFIG:
            return _configure(request, records)
        if word not in ("certs", "crls") or "/" in name:
            raise RequestError("unsupported path", status=404)
        if request.operation is Operation.LIST and not name:
            return _names(records, CERTS if word == "certs" else REVOKED)
        if not name or request.operation in (Operation.LIST, Operation.PATCH):
            raise RequestError("unsupported operation", status=405)
        if word == "crls":
            return _list_of_revoked(request, records, name)
        if request.operation is Operation.DELETE:
            records.delete(CERTS + name)
            return Answer()
        if request.operation is Operation.READ:
            return Answer(data=_role(records, name).described())
        return _write(attempt, records, name)

    def check_renewal(self, records: Records, meta: Mapping[str, str], certificate: bytes | None) -> None:
        """Refuse a renewal by another certificate than that of the login, unless the mount does not bind to it.

        Raises: RequestError.
        """
        if _config(records)["disable_binding"]:
            return
        if certificate is None:
            raise RequestError("client certificate must be supplied")
        shown = x509.load_der_x509_certificate(certificate)
        if any(meta.get(name) != value for name, value in _identifiers(shown).items()):
            raise RequestError("client identity during renewal not matching client identity used during login")


def _config(records: Records) -> dict[str, bool]:
    found: dict[str, bool] = json.loads(records.get(CONFIG) or b'{"disable_binding": false}')
    return found


def _configure(request: Request, records: Records) -> Answer:
    if request.operation is Operation.READ:
        return Answer(data=_config(records))
    if request.operation not in (Operation.CREATE, Operation.UPDATE):
        raise RequestError("unsupported operation", status=405)
    kept = _config(records)
    made = {"disable_binding": field.flag(request.data, "disable_binding", default=kept["disable_binding"])}
    records.put(CONFIG, json.dumps(made).encode())
    return Answer()


def _list_of_revoked(request: Request, records: Records, name: str) -> Answer:
    """Keep, show or forget one list of revoked certificates, which is brought by hand: nothing is fetched."""
    if request.operation is Operation.DELETE:
        records.delete(REVOKED + name)
        return Answer()
    if request.operation is Operation.READ:
        kept = records.get(REVOKED + name)
        if kept is None:
            raise RequestError("no CRL named that", status=404)
        return Answer(data={"serials": {str(one.serial_number): {} for one in _revoked(kept)}})
    text = field.needed(request.data, "crl")
    try:
        found = x509.load_pem_x509_crl(text.encode())
    except ValueError:
        raise RequestError("crl: expected a list of revoked certificates in PEM, got something else") from None
    records.put(REVOKED + name, found.public_bytes(serialization.Encoding.DER))
    return Answer()


def _revoked(kept: bytes) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(kept)


def _is_revoked(records: Records, shown: x509.Certificate) -> bool:
    for name in records.names(REVOKED):
        found = _revoked(records.get(REVOKED + name) or b"")
        listed = found.get_revoked_certificate_by_serial_number(shown.serial_number)
        if listed is not None and found.issuer == shown.issuer:
            return True
    return False


def _names(records: Records, folder: str) -> Answer:
    found = records.names(folder)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def _role(records: Records, name: str) -> Role:
    found = records.get(CERTS + name)
    if found is None:
        raise RequestError("", status=404)
    return Role.parse(found)


def _write(attempt: Attempt, records: Records, name: str) -> Answer:
    data = attempt.request.data
    before = records.get(CERTS + name)
    old = Role.parse(before) if before is not None else None
    certificate = field.text(data, "certificate", old.certificate if old else "")
    _trusted(certificate)
    wanted = (*_NAMES, _REQUIRED)
    names = {key: list(field.strings(data, key, tuple(old.names.get(key, ())) if old else ())) for key in wanted}
    for one in names[_REQUIRED]:
        _required(one)
    shown = field.text(data, "display_name", old.display_name if old else name)
    tokens = settings.parse(data, old.tokens if old else None)
    records.put(CERTS + name, Role(certificate=certificate, display_name=shown, names=names, tokens=tokens).encode())
    return Answer()


def _trusted(pem: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise RequestError("certificate: expected one certificate in PEM, got something else") from None


def _log_in(attempt: Attempt, records: Records) -> Login:
    if attempt.certificate is None:
        raise RequestError("client certificate must be supplied")
    shown = x509.load_der_x509_certificate(attempt.certificate)
    if _is_revoked(records, shown):
        raise RequestError("invalid certificate or no client certificate supplied")
    wanted = field.text(attempt.request.data, "name")
    for name in [wanted] if wanted else records.names(CERTS):
        role = _role(records, name)
        if _fits(role, shown, attempt):
            common = _common_name(shown)
            metadata = {"cert_name": name, "common_name": common, "serial_number": str(shown.serial_number)}
            metadata |= _identifiers(shown)
            return Login(alias=common, display_name=role.display_name, settings=role.tokens, metadata=metadata)
    raise RequestError("invalid certificate or no client certificate supplied")


def _fits(role: Role, shown: x509.Certificate, attempt: Attempt) -> bool:
    now = attempt.request.now
    if not shown.not_valid_before_utc <= now <= shown.not_valid_after_utc:
        return False
    if not field.among(attempt.remote, role.tokens.token_bound_cidrs):
        return False
    trusted = _trusted(role.certificate)
    if not trusted.not_valid_before_utc <= now <= trusted.not_valid_after_utc:
        return False
    extended = all(_extended(one, shown) for one in role.names.get(_REQUIRED, ()))
    return extended and _issued(shown, trusted) and _named(role.names, shown)


def _required(text: str) -> tuple[str, str, bool]:
    """Return number, pattern and whether it stands for hexadecimal digits, of OID:PATTERN or hex:OID:PATTERN.

    Raises: RequestError.
    """
    is_hex = text.startswith("hex:")
    number, _, pattern = text.removeprefix("hex:").partition(":")
    try:
        x509.ObjectIdentifier(number)
    except ValueError:
        raise RequestError(f"required_extensions: expected one such as '1.2.3.4:value*', got {text!r}") from None
    return number, pattern, is_hex


def _extended(required: str, shown: x509.Certificate) -> bool:
    """Tell whether a certificate has an extension that fits."""
    number, pattern, is_hex = _required(required)
    try:
        found = shown.extensions.get_extension_for_oid(x509.ObjectIdentifier(number)).value.public_bytes()
    except (x509.ExtensionNotFound, ValueError):
        return False
    value = found.hex() if is_hex else _text_of(found)
    return value is not None and fnmatch.fnmatchcase(value, pattern)


def _text_of(data: bytes) -> str | None:
    """Return the text of one short string in DER, None for anything else."""
    if len(data) < 2 or data[0] not in _KINDS_OF_TEXT or data[1] > 0x7F or len(data) != data[1] + 2:
        return None
    return data[2:].decode("utf-8", "replace")


def _identifiers(shown: x509.Certificate) -> dict[str, str]:
    """Return what a renewal is compared by: the identifiers of the key and of its issuer's, '' where there is none."""
    found = {"subject_key_id": "", "authority_key_id": ""}
    try:
        for extension in shown.extensions:
            value = extension.value
            if isinstance(value, x509.SubjectKeyIdentifier):
                found["subject_key_id"] = value.digest.hex(":")
            elif isinstance(value, x509.AuthorityKeyIdentifier) and value.key_identifier:
                found["authority_key_id"] = value.key_identifier.hex(":")
    except ValueError:
        return found
    # A certificate without identifiers is told by its key.
    found["subject_key_id"] = found["subject_key_id"] or shown.fingerprint(hashes.SHA256()).hex(":")
    return found


def _issued(shown: x509.Certificate, trusted: x509.Certificate) -> bool:
    if shown == trusted:
        return True
    try:
        if not trusted.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        shown.verify_directly_issued_by(trusted)
    except (x509.ExtensionNotFound, InvalidSignature, ValueError, TypeError):
        return False
    return True


def _named(allowed: Mapping[str, Sequence[str]], shown: x509.Certificate) -> bool:
    """Tell whether one of the certificate's names is allowed, for each list that is not empty."""
    common, dns, mail, uris = [_common_name(shown)], *_alternatives(shown)
    offered = {
        "allowed_names": [*common, *dns, *mail],
        "allowed_common_names": common,
        "allowed_dns_sans": dns,
        "allowed_email_sans": mail,
        "allowed_uri_sans": uris,
        "allowed_organizational_units": _units(shown),
    }
    return all(
        any(fnmatch.fnmatchcase(name, glob) for name in offered[kind] for glob in globs)
        for kind, globs in allowed.items()
        if globs and kind != _REQUIRED
    )


def _alternatives(shown: x509.Certificate) -> tuple[list[str], list[str], list[str]]:
    try:
        found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return [], [], []
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
    dns, mail, uris = ([str(one) for one in found.get_values_for_type(kind)] for kind in kinds)
    return dns, mail, uris


def _units(shown: x509.Certificate) -> list[str]:
    return [str(one.value) for one in shown.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]


def _common_name(shown: x509.Certificate) -> str:
    found = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
