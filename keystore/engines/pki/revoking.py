"""Handlers that take certificates back, and tidy up what is over."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from keystore import document, encoding
from keystore.engines.body import Body
from keystore.engines.pki import authorities, certificates, formats, lists, settings
from keystore.engines.pki.certificates import Revocation
from keystore.engines.pki.record import Issuer
from keystore.engines.request import Answer, Records, RequestError
from keystore.engines.routes import Call
from keystore.errors import KeystoreError

_STATUS = "tidy-status"
_BUFFER_S = 72 * 3600
_COUNTS = ("cert_store_deleted_count", "revoked_cert_deleted_count", "time_started")


def revoke(call: Call) -> Answer:
    """Take a certificate back, by its serial number or itself."""
    serial = call.body.text("serial_number")
    if not serial and not call.body.has("certificate"):
        raise RequestError("The serial number or certificate to revoke must be provided.")
    return Answer(data=_revoke(call, *(_kept(call.records, serial) if serial else _given(call))))


def revoke_kept(call: Call) -> Answer:
    """Take the certificate back that the path names: what the end of a lease asks for."""
    found = certificates.find(call.records, certificates.normal_serial(call.parts["serial"]) or "")
    if found is None or certificates.ends(found) <= call.now:
        return Answer()
    return Answer(data=_revoke(call, *_kept(call.records, call.parts["serial"])))


def list_revoked(call: Call) -> Answer:
    """List the serial numbers of what was taken back."""
    found = [entry.serial for entry in certificates.revocations(call.records)]
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def revoke_issuer(call: Call) -> Answer:
    """Take an issuer's certificate back, and let it sign nothing but lists any more."""
    issuer = authorities.find_issuer(call.records, call.parts["issuer"])
    if not issuer.revoked_at:
        parent = _issuer_of(call.records, issuer.certificate, other_than=issuer)
        if parent is not None:
            _keep_revocation(call, issuer.certificate, parent)
        usage = ",".join(word for word in issuer.usage.split(",") if word != "issuing-certificates")
        issuer = dataclasses.replace(issuer, usage=usage, revoked_at=certificates.seconds(call.now))
        authorities.save_issuer(call.records, issuer)
    told = {"issuer_id": issuer.ident, "issuer_name": issuer.name, "usage": issuer.usage}
    time = certificates.told_time(issuer.revoked_at)
    return Answer(data={**told, "revoked": True, "revocation_time": issuer.revoked_at, "revocation_time_rfc3339": time})


def rotate(call: Call) -> Answer:
    """Make all lists anew."""
    lists.make_all(call.records, call.now)
    return Answer(data={"success": True})


def tidy(call: Call) -> Answer:
    """Forget what ended longer ago than the safety buffer, at once."""
    over = call.now - timedelta(seconds=_buffer(call.body))
    started = certificates.seconds(call.now)
    issued = revoked = 0
    if call.body.flag("tidy_cert_store"):
        issued = _tidy_issued(call.records, certificates.seconds(over))
    if call.body.flag("tidy_revoked_certs") or call.body.flag("tidy_revocation_list"):
        revoked = _tidy_revoked(call.records, certificates.seconds(over))
        if revoked:
            lists.make_all(call.records, call.now)
    call.records.put(_STATUS, document.canonical(dict(zip(_COUNTS, (issued, revoked, started), strict=True))))
    return Answer(status=202, warnings=("Tidy operation finished; tidy-status tells its counts.",))


def tidy_status(call: Call) -> Answer:
    """Tell what the last tidy did."""
    data = call.records.get(_STATUS)
    if data is None:
        return Answer(data={"state": "Inactive", **dict.fromkeys((*_COUNTS, "time_finished", "error"))})
    shape: dict[str, type] = dict.fromkeys(_COUNTS, int)
    found = document.fields(document.parse(data, _STATUS), _STATUS, shape)
    time = certificates.told_time(found["time_started"])
    return Answer(data={"state": "Finished", **found, "time_started": time, "time_finished": time, "error": None})


def _revoke(call: Call, certificate: bytes, issuer: Issuer) -> dict[str, object]:
    if not settings.read_lists(call.records).allow_expired_cert_revocation:
        ended = certificates.ends(certificate)
        if ended <= call.now:
            told = certificates.told_time(certificates.seconds(ended))
            raise RequestError(
                f"certificate with serial {_serial(certificate)} already expired at {told}; refusing to add to CRL"
            )
    found = _keep_revocation(call, certificate, issuer)
    time = certificates.told_time(found.at)
    return {"revocation_time": found.at, "revocation_time_rfc3339": time, "state": "revoked"}


def _keep_revocation(call: Call, certificate: bytes, issuer: Issuer) -> Revocation:
    serial = _serial(certificate)
    before = certificates.find_revocation(call.records, serial)
    if before is not None:
        return before
    ends = certificates.seconds(certificates.ends(certificate))
    made = Revocation(serial=serial, at=certificates.seconds(call.now), ends=ends, issuer=issuer.ident)
    certificates.revoke(call.records, made)
    lists.make(call.records, issuer, call.now)
    return made


def _kept(records: Records, text: str) -> tuple[bytes, Issuer]:
    serial = certificates.normal_serial(text)
    found = certificates.find(records, serial) if serial else None
    if found is None:
        raise RequestError(f"certificate with serial {text} not found.")
    return found, _require_issuer(records, found)


def _given(call: Call) -> tuple[bytes, Issuer]:
    """Return the certificate that a request has in full: one that no store keeps is believed by its signature."""
    try:
        data = encoding.decode_pem(call.body.text("certificate"), formats.CERTIFICATE)
    except KeystoreError:
        raise RequestError("certificate could not be parsed: expected one PEM block 'CERTIFICATE'") from None
    issuer = _require_issuer(call.records, data)
    certificates.save(call.records, _serial(data), data)
    return data, issuer


def _require_issuer(records: Records, certificate: bytes) -> Issuer:
    for issuer in authorities.issuers(records):
        if issuer.certificate == certificate:
            raise RequestError(f"adding issuer (id: {issuer.ident}) to its own CRL is not allowed")
    found = _issuer_of(records, certificate)
    if found is None:
        raise RequestError(f"certificate with serial {_serial(certificate)} was issued by no issuer of this mount")
    return found


def _issuer_of(records: Records, certificate: bytes, other_than: Issuer | None = None) -> Issuer | None:
    for issuer in authorities.issuers(records):
        if issuer != other_than and issuer.key and authorities.signed_by(certificate, issuer.certificate):
            return issuer
    return None


def _serial(certificate: bytes) -> str:
    return certificates.read_serial(authorities.load(certificate))


def _buffer(body: Body) -> int:
    found = body.seconds("safety_buffer", _BUFFER_S)
    if found < 1:
        raise RequestError("safety_buffer must be greater than zero")
    return found


def _tidy_issued(records: Records, over: int) -> int:
    authority = {issuer.certificate for issuer in authorities.issuers(records)}
    count = 0
    for serial in certificates.serials(records):
        data = certificates.find(records, serial)
        if data is not None and data not in authority and certificates.seconds(certificates.ends(data)) < over:
            certificates.forget(records, serial)
            count += 1
    return count


def _tidy_revoked(records: Records, over: int) -> int:
    found = [entry for entry in certificates.revocations(records) if entry.ends < over]
    for entry in found:
        certificates.forget_revocation(records, entry.serial)
    return len(found)
