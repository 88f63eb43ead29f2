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
from cryptography.x509.oid import NameOID

from keystore.access import field, settings
from keystore.access.login import Attempt, Check, Login, described
from keystore.access.settings import TokenSettings
from keystore.engines.request import Answer, Operation, Records, RequestError

CERTS = "cert/"
_NAMES = ("allowed_names", "allowed_common_names", "allowed_dns_sans", "allowed_email_sans", "allowed_uri_sans")


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
        if word != "certs" or "/" in name:
            raise RequestError("unsupported path", status=404)
        if request.operation is Operation.LIST and not name:
            return _names(records)
        if not name or request.operation in (Operation.LIST, Operation.PATCH):
            raise RequestError("unsupported operation", status=405)
        if request.operation is Operation.DELETE:
            records.delete(CERTS + name)
            return Answer()
        if request.operation is Operation.READ:
            return Answer(data=_role(records, name).described())
        return _write(attempt, records, name)


def _names(records: Records) -> Answer:
    found = records.names(CERTS)
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
    names = {key: list(field.strings(data, key, tuple(old.names.get(key, ())) if old else ())) for key in _NAMES}
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
    wanted = field.text(attempt.request.data, "name")
    for name in [wanted] if wanted else records.names(CERTS):
        role = _role(records, name)
        if _fits(role, shown, attempt):
            common = _common_name(shown)
            metadata = {"cert_name": name, "common_name": common, "serial_number": str(shown.serial_number)}
            return Login(alias=common, display_name=role.display_name, settings=role.tokens, metadata=metadata)
    raise RequestError("invalid certificate or no client certificate supplied")


def _fits(role: Role, shown: x509.Certificate, attempt: Attempt) -> bool:
    now = attempt.request.now
    if not shown.not_valid_before_utc <= now <= shown.not_valid_after_utc:
        return False
    if not field.among(attempt.remote, role.tokens.token_bound_cidrs):
        return False
    return _issued(shown, _trusted(role.certificate)) and _named(role.names, shown)


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
    }
    return all(
        any(fnmatch.fnmatchcase(name, glob) for name in offered[kind] for glob in globs)
        for kind, globs in allowed.items()
        if globs
    )


def _alternatives(shown: x509.Certificate) -> tuple[list[str], list[str], list[str]]:
    try:
        found = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return [], [], []
    kinds = (x509.DNSName, x509.RFC822Name, x509.UniformResourceIdentifier)
    dns, mail, uris = ([str(one) for one in found.get_values_for_type(kind)] for kind in kinds)
    return dns, mail, uris


def _common_name(shown: x509.Certificate) -> str:
    found = shown.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""
