"""Revocation lists: one per issuer, made anew when something is revoked, on demand, and before it would be over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from keystore import document
from keystore.engines.pki import authorities, certificates, encoder, keys, settings
from keystore.engines.pki.authorities import Signer
from keystore.engines.pki.record import Issuer
from keystore.engines.request import Records

_FOLDER = "crls/"
_SHAPE: Mapping[str, type] = {"number": int, "made": int, "ends": int, "list": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class RevocationList:
    """A signed list in DER; `made` and `ends` are seconds since 1970."""

    number: int
    made: int
    ends: int
    data: bytes

    def encode(self) -> bytes:
        """Return the record."""
        fields = {"number": self.number, "made": self.made, "ends": self.ends}
        return document.canonical({**fields, "list": document.encode_base64(self.data)})


def current(records: Records, reference: str, now: datetime) -> bytes:
    """Return an issuer's list in DER, made anew where there is none or it is over.

    Raises: RequestError.
    """
    issuer = authorities.find_issuer(records, reference)
    found = _find(records, issuer)
    if found is None or certificates.seconds(now) >= found.ends:
        found = make(records, issuer, now)
    return found.data


def make(records: Records, issuer: Issuer, now: datetime) -> RevocationList:
    """Make an issuer's list anew and keep it.

    Raises: RequestError when the issuer may not sign lists, or its key is not here.
    """
    signer = authorities.signer(records, issuer.ident, "crl-signing")
    before, config = _find(records, issuer), settings.read_lists(records)
    begins = now.astimezone(UTC).replace(microsecond=0)
    ends = begins + timedelta(seconds=config.lifetime_s)
    number = before.number + 1 if before else 1
    builder = _builder(signer, number).last_update(begins).next_update(ends)
    for entry in () if config.disable else certificates.revocations(records):
        if entry.issuer == issuer.ident:
            builder = builder.add_revoked_certificate(_entry(entry))
    data = encoder.revocation_list(builder, signer.parts.subject, signer.key)
    made = RevocationList(number=number, made=certificates.seconds(begins), ends=certificates.seconds(ends), data=data)
    records.put(_FOLDER + issuer.ident, made.encode())
    return made


def make_all(records: Records, now: datetime) -> None:
    """Make anew the list of every issuer that can sign one.

    Raises: RequestError.
    """
    for issuer in list(authorities.issuers(records)):
        if issuer.key and "crl-signing" in issuer.usage.split(","):
            make(records, issuer, now)


def _find(records: Records, issuer: Issuer) -> RevocationList | None:
    data = records.get(_FOLDER + issuer.ident)
    if data is None:
        return None
    place = f"revocation list of '{issuer.ident}'"
    found = document.fields(document.parse(data, place), place, _SHAPE)
    data = document.decode_base64(found["list"], place)
    return RevocationList(number=found["number"], made=found["made"], ends=found["ends"], data=data)


def _builder(signer: Signer, number: int) -> x509.CertificateRevocationListBuilder:
    identifier = x509.AuthorityKeyIdentifier(keys.key_identifier(signer.parts.spki), None, None)
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([]))
        .add_extension(identifier, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )


def _entry(entry: certificates.Revocation) -> x509.RevokedCertificate:
    return (
        x509.RevokedCertificateBuilder()
        .serial_number(int(entry.serial.replace(":", ""), 16))
        .revocation_date(datetime.fromtimestamp(entry.at, UTC))
        .build()
    )
