"""What a mount is set to: where its certificates and lists are found, and how long a list holds.

Records: canonical JSON of exactly these fields.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from keystore import document
from keystore.engines import body as fields
from keystore.engines.body import Body
from keystore.engines.pki.record import read_texts
from keystore.engines.request import Records, RequestError

_URLS_RECORD, _CRL_RECORD = "config/urls", "config/crl"
_URL_NAMES = ("issuing_certificates", "crl_distribution_points", "ocsp_servers")
_DURATION = re.compile(r"[0-9hmsd]+")
_CRL_SHAPE: Mapping[str, type] = {"expiry": str, "disable": bool, "allow_expired_cert_revocation": bool}


@dataclass(frozen=True, kw_only=True, slots=True)
class Urls:
    """Where what an authority publishes is found."""

    issuing_certificates: tuple[str, ...] = ()
    crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()

    def describe(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        return {name: list(getattr(self, name)) for name in _URL_NAMES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Lists:
    """How revocation lists are made; `expiry` is a duration as it was given."""

    expiry: str = "72h"
    disable: bool = False
    allow_expired_cert_revocation: bool = False

    @property
    def lifetime_s(self) -> int:
        """How long a list holds."""
        return fields.parse_seconds(self.expiry, "expiry")

    def describe(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        return dataclasses.asdict(self)


def read_urls(records: Records) -> Urls:
    """Return where the mount publishes.

    Raises: KeystoreError when the record is damaged.
    """
    data = records.get(_URLS_RECORD)
    if data is None:
        return Urls()
    shape: Mapping[str, type] = dict.fromkeys(_URL_NAMES, list)
    found = document.fields(document.parse(data, _URLS_RECORD), _URLS_RECORD, shape)
    return Urls(**{name: read_texts(found[name], f"{_URLS_RECORD}.{name}") for name in _URL_NAMES})


def change_urls(records: Records, body: Body) -> Urls:
    """Keep other places to publish; what a request leaves out stays.

    Raises: RequestError.
    """
    before = read_urls(records)
    made = Urls(**{name: asked_urls(body, name, getattr(before, name)) for name in _URL_NAMES})
    if body.flag("enable_templating"):
        raise RequestError("enable_templating is not supported: expected False")
    records.put(_URLS_RECORD, document.canonical(made.describe()))
    return made


def asked_urls(body: Body, name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """Return the URLs of a field.

    Raises: RequestError.
    """
    found = body.names(name, before)
    for url in found:
        if not _is_url(url):
            raise RequestError(f"invalid URL found in Authority Information Access (AIA) parameter {name}: {url}")
    return found


def read_lists(records: Records) -> Lists:
    """Return how lists are made.

    Raises: KeystoreError when the record is damaged.
    """
    data = records.get(_CRL_RECORD)
    if data is None:
        return Lists()
    return Lists(**document.fields(document.parse(data, _CRL_RECORD), _CRL_RECORD, _CRL_SHAPE))


def change_lists(records: Records, body: Body) -> Lists:
    """Keep another way to make lists; what a request leaves out stays.

    Raises: RequestError.
    """
    before = read_lists(records)
    made = Lists(
        expiry=body.text("expiry") or before.expiry,
        disable=body.flag("disable", before.disable),
        allow_expired_cert_revocation=body.flag("allow_expired_cert_revocation", before.allow_expired_cert_revocation),
    )
    for name in ("auto_rebuild", "enable_delta"):
        if body.flag(name):
            raise RequestError(f"{name} is not supported: expected False")
    if not _DURATION.fullmatch(made.expiry) or not _holds(made.expiry):
        raise RequestError(f'given expiry could not be decoded: time: invalid duration "{made.expiry}"')
    records.put(_CRL_RECORD, document.canonical(made.describe()))
    return made


def _holds(expiry: str) -> bool:
    try:
        return fields.parse_seconds(expiry, "expiry") > 0
    except RequestError:
        return False


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
    except ValueError:
        return False
    return text.isascii() and " " not in text and bool(found.scheme and (found.netloc or found.path))
