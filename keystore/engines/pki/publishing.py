"""Handlers that tell what everyone may know: certificates, chains, lists."""

from __future__ import annotations

from keystore.engines.pki import authorities, certificates, formats, lists
from keystore.engines.request import Answer, Raw, RequestError
from keystore.engines.routes import Call

_CERTIFICATE_TYPE, _PEM_TYPE, _LIST_TYPE = (
    "application/pkix-cert",
    "application/pem-certificate-chain",
    "application/pkix-crl",
)


def authority(call: Call) -> Answer:
    """Give the default issuer's certificate, in PEM where the path says so; nothing where there is none."""
    if not authorities.default_issuer(call.records):
        return Answer()
    data = authorities.find_issuer(call.records, authorities.DEFAULT).certificate
    return _raw(data, formats.CERTIFICATE, _CERTIFICATE_TYPE, pem="form" in call.parts)


def chain(call: Call) -> Answer:
    """Give the default issuer's chain in PEM; nothing where there is none."""
    if not authorities.default_issuer(call.records):
        return Answer()
    return Answer(raw=Raw(body=(_chain(call) + "\n").encode("ascii"), media_type=_PEM_TYPE))


def revocation_list(call: Call) -> Answer:
    """Give an issuer's revocation list, in PEM where the path says so; nothing where there is none."""
    if "issuer" not in call.parts and not authorities.default_issuer(call.records):
        return Answer()
    data = lists.current(call.records, call.parts.get("issuer", authorities.DEFAULT), call.now)
    if "issuer" in call.parts and "form" not in call.parts:
        return Answer(data={"crl": formats.pem(formats.LIST, data)})
    return _raw(data, formats.LIST, _LIST_TYPE, pem=call.parts.get("form") == "pem")


def read_certificate(call: Call) -> Answer:
    """Tell a certificate by its serial number, or 'ca', 'ca_chain' and 'crl'."""
    name = call.parts["serial"]
    if name == "crl":
        data = lists.current(call.records, authorities.DEFAULT, call.now)
        return Answer(data={"certificate": formats.pem(formats.LIST, data), **_revocation(call, "")})
    if name in ("ca", "ca_chain"):
        data = authorities.find_issuer(call.records, authorities.DEFAULT).certificate
        told: dict[str, object] = {"certificate": formats.pem(formats.CERTIFICATE, data), **_revocation(call, "")}
        return Answer(data={**told, "ca_chain": _chain(call)} if name == "ca_chain" else told)
    serial, data = _require(call)
    return Answer(data={"certificate": formats.pem(formats.CERTIFICATE, data), **_revocation(call, serial)})


def read_raw(call: Call) -> Answer:
    """Give a certificate by its serial number or 'ca' in DER, or in PEM where the path says so."""
    if call.parts["serial"] == "ca":
        return authority(call)
    _, data = _require(call)
    return _raw(data, formats.CERTIFICATE, _CERTIFICATE_TYPE, pem="form" in call.parts)


def list_serials(call: Call) -> Answer:
    """List the serial numbers of what is kept."""
    found = certificates.serials(call.records)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def issuer_certificate(call: Call) -> Answer:
    """Give an issuer's certificate in DER or PEM, or with its chain as JSON."""
    issuer = authorities.find_issuer(call.records, call.parts["issuer"])
    if call.parts["form"] != "json":
        return _raw(issuer.certificate, formats.CERTIFICATE, _CERTIFICATE_TYPE, pem=call.parts["form"] == "pem")
    found = [formats.pem(formats.CERTIFICATE, data) for data in authorities.chain(call.records, issuer)]
    told = {"issuer_id": issuer.ident, "issuer_name": issuer.name, "certificate": found[0], "ca_chain": found}
    return Answer(data=told)


def _require(call: Call) -> tuple[str, bytes]:
    serial = certificates.normal_serial(call.parts["serial"])
    data = certificates.find(call.records, serial) if serial else None
    if serial is None or data is None:
        raise RequestError("", status=404)
    return serial, data


def _revocation(call: Call, serial: str) -> dict[str, object]:
    found = certificates.find_revocation(call.records, serial) if serial else None
    if found is None:
        return {"revocation_time": 0, "revocation_time_rfc3339": ""}
    time = certificates.told_time(found.at)
    return {"revocation_time": found.at, "revocation_time_rfc3339": time, "issuer_id": found.issuer}


def _chain(call: Call) -> str:
    issuer = authorities.find_issuer(call.records, authorities.DEFAULT)
    return "\n".join(formats.pem(formats.CERTIFICATE, data) for data in authorities.chain(call.records, issuer))


def _raw(data: bytes, label: str, media_type: str, *, pem: bool) -> Answer:
    if pem:
        return Answer(raw=Raw(body=(formats.pem(label, data) + "\n").encode("ascii"), media_type=_PEM_TYPE))
    return Answer(raw=Raw(body=data, media_type=media_type))
