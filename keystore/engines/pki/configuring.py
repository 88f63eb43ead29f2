"""Handlers of what a mount is set to, and of its issuers and keys by name."""

from __future__ import annotations

import dataclasses

from keystore.engines.pki import authorities, certificates, formats, founding, keys, settings
from keystore.engines.pki.record import DEFAULT_USAGE, Issuer
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call

_LATE = ("err", "truncate", "permit")
_URLS = ("issuing_certificates", "crl_distribution_points", "ocsp_servers")
_UNUSED_URLS = {"delta_crl_distribution_points": [], "enable_templating": False}
_UNUSED_LISTS = {
    "auto_rebuild": False,
    "auto_rebuild_grace_period": "12h",
    "delta_rebuild_interval": "15m",
    "enable_delta": False,
    "ocsp_disable": True,
    "ocsp_expiry": "12h",
}


def read_urls(call: Call) -> Answer:
    """Tell where the mount publishes."""
    return Answer(data={**settings.read_urls(call.records).describe(), **_UNUSED_URLS})


def write_urls(call: Call) -> Answer:
    """Set where the mount publishes."""
    return Answer(data={**settings.change_urls(call.records, call.body).describe(), **_UNUSED_URLS})


def read_lists(call: Call) -> Answer:
    """Tell how lists are made."""
    return Answer(data={**settings.read_lists(call.records).describe(), **_UNUSED_LISTS})


def write_lists(call: Call) -> Answer:
    """Set how lists are made."""
    return Answer(data={**settings.change_lists(call.records, call.body).describe(), **_UNUSED_LISTS})


def read_default_issuer(call: Call) -> Answer:
    """Tell the default issuer."""
    found = authorities.default_issuer(call.records)
    return Answer(data={"default": found, "default_follows_latest_issuer": False})


def write_default_issuer(call: Call) -> Answer:
    """Set the default issuer."""
    if call.body.flag("default_follows_latest_issuer"):
        raise RequestError("default_follows_latest_issuer is not supported: expected False")
    try:
        issuer = authorities.find_issuer(call.records, call.body.text("default"))
    except RequestError as error:
        raise RequestError(f"Error resolving issuer reference: {error.message}") from None
    authorities.set_defaults(call.records, issuer=issuer.ident)
    return read_default_issuer(call)


def read_default_key(call: Call) -> Answer:
    """Tell the default key."""
    return Answer(data={"default": authorities.default_key(call.records)})


def write_default_key(call: Call) -> Answer:
    """Set the default key."""
    try:
        key = authorities.find_key(call.records, call.body.text("default"))
    except RequestError as error:
        raise RequestError(f"Error resolving key reference: {error.message}") from None
    authorities.set_defaults(call.records, key=key.ident)
    return read_default_key(call)


def list_issuers(call: Call) -> Answer:
    """List the issuers by id."""
    default = authorities.default_issuer(call.records)
    found = {
        issuer.ident: {
            "issuer_name": issuer.name,
            "is_default": issuer.ident == default,
            "key_id": issuer.key,
            "serial_number": certificates.read_serial(authorities.load(issuer.certificate)),
        }
        for issuer in authorities.issuers(call.records)
    }
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": list(found), "key_info": found})


def read_issuer(call: Call) -> Answer:
    """Tell an issuer."""
    return Answer(data=_tell(call, authorities.find_issuer(call.records, call.parts["issuer"])))


def write_issuer(call: Call) -> Answer:
    """Set an issuer's name, its places to publish, and what it may do."""
    issuer, body = authorities.find_issuer(call.records, call.parts["issuer"]), call.body
    name = founding.check_name(call.records, body.text("issuer_name", issuer.name), "issuer", issuer.ident)
    late = body.text("leaf_not_after_behavior", issuer.late_leaf)
    usage = body.names("usage", tuple(issuer.usage.split(",")))
    if late not in _LATE:
        raise RequestError(f"Unknown value for field `leaf_not_after_behavior`. Possible values are {', '.join(_LATE)}")
    unknown = sorted(set(usage) - set(DEFAULT_USAGE.split(",")))
    if unknown:
        raise RequestError(f"unknown issuer usage {unknown[0]!r}")
    urls = {field: settings.asked_urls(body, field, getattr(issuer, field)) for field in _URLS}
    made = dataclasses.replace(
        issuer,
        name=name,
        late_leaf=late,
        usage=",".join(sorted(usage)),
        issuing_certificates=urls["issuing_certificates"],
        crl_distribution_points=urls["crl_distribution_points"],
        ocsp_servers=urls["ocsp_servers"],
    )
    authorities.save_issuer(call.records, made)
    return Answer(data=_tell(call, made))


def delete_issuer(call: Call) -> Answer:
    """Forget an issuer; its key stays."""
    issuer = authorities.find_issuer(call.records, call.parts["issuer"])
    was_default = authorities.default_issuer(call.records) == issuer.ident
    authorities.forget_issuer(call.records, issuer)
    warning = (
        f"Deleted issuer {issuer.ident} (via issuer_ref {call.parts['issuer']}); this was configured as the default "
        "issuer. Operations without an explicit issuer will not work until a new default is configured."
    )
    return Answer(warnings=(warning,) if was_default else ())


def list_keys(call: Call) -> Answer:
    """List the keys by id."""
    default = authorities.default_key(call.records)
    found = {
        key.ident: {"key_name": key.name, "is_default": key.ident == default}
        for key in authorities.key_records(call.records)
    }
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": list(found), "key_info": found})


def read_key(call: Call) -> Answer:
    """Tell what a key is, never the key."""
    key = authorities.find_key(call.records, call.parts["key"])
    identifier = keys.key_identifier(key.spki).hex(":")
    return Answer(data={"key_id": key.ident, "key_name": key.name, "key_type": key.kind, "subject_key_id": identifier})


def delete_key(call: Call) -> Answer:
    """Forget a private key for good; what it signed stays."""
    key = authorities.find_key(call.records, call.parts["key"])
    authorities.forget_key(call.records, key)
    for issuer in list(authorities.issuers(call.records)):
        if issuer.key == key.ident:
            authorities.save_issuer(call.records, dataclasses.replace(issuer, key=""))
    return Answer()


def _tell(call: Call, issuer: Issuer) -> dict[str, object]:
    chain = [formats.pem(formats.CERTIFICATE, data) for data in authorities.chain(call.records, issuer)]
    told: dict[str, object] = {
        "issuer_id": issuer.ident,
        "issuer_name": issuer.name,
        "key_id": issuer.key,
        "certificate": chain[0],
        "ca_chain": chain,
        "manual_chain": None,
        "leaf_not_after_behavior": issuer.late_leaf,
        "usage": issuer.usage,
        "revoked": bool(issuer.revoked_at),
        "delta_crl_distribution_points": [],
        "revocation_signature_algorithm": "",
        **{field: list(getattr(issuer, field)) for field in _URLS},
    }
    if issuer.revoked_at:
        told["revocation_time"] = issuer.revoked_at
        told["revocation_time_rfc3339"] = certificates.told_time(issuer.revoked_at)
    return told
