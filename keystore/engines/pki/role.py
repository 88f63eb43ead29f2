"""Roles: what may be issued to whom who may use them. Their fields and defaults are the API's.

Source: the Vault HTTP API documentation, 'PKI: create/update role'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keystore import document
from keystore.engines.body import Body
from keystore.engines.pki import keys, usage
from keystore.engines.pki.record import read_texts
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError

FORMAT = "ferry/pki-role/v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """The fields of a role; durations are seconds, 0 leaves them to the mount."""

    issuer_ref: str = "default"
    ttl: int = 0
    max_ttl: int = 0
    not_before_duration: int = 30
    not_after: str = ""
    allow_localhost: bool = True
    allowed_domains: tuple[str, ...] = ()
    allow_bare_domains: bool = False
    allow_subdomains: bool = False
    allow_glob_domains: bool = False
    allow_wildcard_certificates: bool = True
    allow_any_name: bool = False
    allow_token_displayname: bool = False
    enforce_hostnames: bool = True
    allow_ip_sans: bool = True
    allowed_uri_sans: tuple[str, ...] = ()
    allowed_other_sans: tuple[str, ...] = ()
    allowed_serial_numbers: tuple[str, ...] = ()
    cn_validations: tuple[str, ...] = ("email", "hostname")
    server_flag: bool = True
    client_flag: bool = True
    code_signing_flag: bool = False
    email_protection_flag: bool = False
    key_type: str = "rsa"
    key_bits: int = 0
    signature_bits: int = 0
    key_usage: tuple[str, ...] = ("DigitalSignature", "KeyAgreement", "KeyEncipherment")
    ext_key_usage: tuple[str, ...] = ()
    ext_key_usage_oids: tuple[str, ...] = ()
    use_csr_common_name: bool = True
    use_csr_sans: bool = True
    ou: tuple[str, ...] = ()
    organization: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    locality: tuple[str, ...] = ()
    province: tuple[str, ...] = ()
    street_address: tuple[str, ...] = ()
    postal_code: tuple[str, ...] = ()
    generate_lease: bool = False
    no_store: bool = False
    require_cn: bool = True
    policy_identifiers: tuple[str, ...] = ()
    basic_constraints_valid_for_non_ca: bool = False

    def encode(self) -> bytes:
        """Return the record."""
        return document.canonical({"format": FORMAT, **self.describe()})

    def describe(self) -> dict[str, object]:
        """Return the fields as JSON has them."""
        found = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


_DURATIONS = {"ttl", "max_ttl", "not_before_duration"}
# What roles of the API have beside, with the one value that fits here; any other is refused.
_FIXED: Mapping[str, object] = {
    "allowed_domains_template": False,
    "allowed_uri_sans_template": False,
    "allow_globs_in_identity_templates": False,
    "allowed_ip_sans_cidr": [],
    "allowed_user_ids": [],
    "use_pss": False,
    "not_before": "",
    "not_before_bound": "permit",
    "not_after_bound": "permit",
}
_DEFAULTS = Role()
ANYTHING = dataclasses.replace(
    _DEFAULTS,
    allow_any_name=True,
    enforce_hostnames=False,
    allowed_uri_sans=("*",),
    allowed_other_sans=("*",),
    allowed_serial_numbers=("*",),
    cn_validations=("disabled",),
    key_type="any",
    server_flag=False,
    client_flag=False,
    key_usage=(),
    require_cn=False,
    basic_constraints_valid_for_non_ca=False,
)


def read_role(body: Body, base: Role = _DEFAULTS) -> Role:
    """Return the role that a request describes; what it leaves out is as in `base`.

    Raises: RequestError.
    """
    for name, only in _FIXED.items():
        if body.has(name) and body.fields[name] not in (only, ""):
            raise RequestError(f"{name} is not supported: expected {only!r}")
    made = Role(
        **{entry.name: _read(body, entry.name, getattr(base, entry.name)) for entry in dataclasses.fields(Role)}
    )
    _check(made)
    if made.key_type not in keys.DEFAULT_BITS or made.key_bits:
        return made
    return dataclasses.replace(made, key_bits=keys.DEFAULT_BITS[made.key_type])


def tell(role: Role) -> dict[str, object]:
    """Return the fields of a role as the API has them."""
    return {**_FIXED, **role.describe()}


def parse_role(data: bytes, place: str) -> Role:
    """Return the role of a record.

    Raises: KeystoreError for every form that `encode` could not have written.
    """
    shape = {name: type(value) for name, value in _DEFAULTS.describe().items()}
    found = document.fields(document.parse(data, place), place, {"format": str, **shape})
    document.expect(found.pop("format"), FORMAT, f"{place}.format")
    fields: dict[str, Any] = {
        name: read_texts(value, f"{place}.{name}") if isinstance(value, list) else value
        for name, value in found.items()
    }
    made = Role(**fields)
    if made.encode() != data:
        raise KeystoreError("expected canonical JSON, got another form", place=place)
    return made


def _read(body: Body, name: str, before: Any) -> Any:
    if isinstance(before, bool):
        return body.flag(name, before)
    if isinstance(before, tuple):
        return body.names(name, before)
    if isinstance(before, str):
        return body.text(name, before)
    return body.seconds(name, before) if name in _DURATIONS else body.number(name, before)


def _check(role: Role) -> None:
    if role.key_type != "any":
        keys.check_size(role.key_type, role.key_bits)
    keys.check_signature_bits(role.signature_bits)
    for name in ("ttl", "max_ttl", "not_before_duration"):
        if getattr(role, name) < 0:
            raise RequestError(f"expected {name} of 0 or more, got {getattr(role, name)}")
    if role.max_ttl and role.ttl > role.max_ttl:
        raise RequestError('"ttl" value must be less than "max_ttl" value')
    usage.read_key_usage(role.key_usage)
    usage.read_purposes(role.ext_key_usage, role.ext_key_usage_oids)
    usage.read_policies(role.policy_identifiers)
    unknown = sorted(set(role.cn_validations) - {"email", "hostname", "disabled"})
    if unknown:
        raise RequestError(f"invalid cn_validations value: {unknown[0]}")
