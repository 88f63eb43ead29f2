"""The forms in which an answer gives certificates and keys: pem, der, and pem_bundle."""

from __future__ import annotations

from collections.abc import Sequence

from keystore import encoding
from keystore.engines.body import Body, encode_base64
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.request import RequestError

CERTIFICATE, REQUEST, LIST = "CERTIFICATE", "CERTIFICATE REQUEST", "X509 CRL"
_FORMS = ("pem", "der", "pem_bundle")
_KEY_FORMS = ("der", "pem", "pkcs8", "")


def choose(body: Body) -> str:
    """Return the form that a request asks for.

    Raises: RequestError.
    """
    form = body.text("format", "pem")
    if form not in _FORMS:
        raise RequestError('the "format" path parameter must be "pem", "der", or "pem_bundle"')
    if body.text("private_key_format", "der") not in _KEY_FORMS:
        raise RequestError('the "private_key_format" path parameter must be "der" or "pkcs8"')
    return form


def pem(label: str, data: bytes) -> str:
    """Return a PEM block without its last newline, as answers have it."""
    return encoding.encode_pem(label, data).strip()


def certificate(form: str, data: bytes, label: str = CERTIFICATE) -> str:
    """Return a certificate or request in a form."""
    return encode_base64(data) if form == "der" else pem(label, data)


def private_key(body: Body, form: str, key: PrivateKey) -> str:
    """Return a private key in a form, as PKCS#8 where the request says so."""
    inner = body.text("private_key_format", "der")
    return encode_base64(key.der(inner)) if form == "der" else key.pem(inner)


def with_key(
    told: dict[str, object], body: Body, form: str, key: PrivateKey, bundled: Sequence[str] = ()
) -> dict[str, object]:
    """Return an answer with the private key; a bundle has it, the certificate and what is `bundled` in one text."""
    shown = private_key(body, form, key)
    told = {**told, "private_key": shown, "private_key_type": key.kind}
    if form == "pem_bundle":
        field = "csr" if "csr" in told else "certificate"
        told[field] = "\n".join((shown, str(told[field]), *bundled))
    return told
