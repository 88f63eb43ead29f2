"""Which names a role lets into a certificate.

Source: the Vault HTTP API documentation, 'PKI: create/update role'; RFC 1123 and RFC 6125 (host names, wildcards);
RFC 5322, clause 3.2.3 (the part of an address before '@').
"""

from __future__ import annotations

import re

from keystore.engines.pki.role import Role

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?")
_WILD_FIRST = re.compile(rf"[a-z0-9-]*\*[a-z0-9-]*(?:\.{_LABEL})+\.?")
_MAILBOX = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_LIMIT = 253
_LOCAL = ("localhost", "localdomain")


def is_host(name: str) -> bool:
    """Tell whether a name is a host's, perhaps with a wildcard in its first label."""
    folded = name.lower()
    return name.isascii() and len(name) <= _LIMIT and bool(_HOST.fullmatch(folded) or _WILD_FIRST.fullmatch(folded))


def allowed(role: Role, name: str, user: str = "") -> bool:
    """Tell whether a role allows a host name or an email address, whatever its case."""
    folded = name.lower()
    mailbox, at, host = folded.rpartition("@")
    # Letters beyond ASCII may fold into ASCII: a Kelvin sign becomes a k.
    if not name.isascii() and (role.enforce_hostnames or not role.allow_any_name):
        return False
    if at and not _MAILBOX.fullmatch(mailbox):
        return False
    if "*" in host and not role.allow_wildcard_certificates:
        return False
    if role.enforce_hostnames and not is_host(host):
        return False
    if role.allow_any_name or _is_local(role, host):
        return True
    if role.allow_token_displayname and user and _fits(role, folded, host, user.lower()):
        return True
    return any(_fits(role, folded, host, domain.lower()) for domain in role.allowed_domains)


def common_name_allowed(role: Role, name: str, user: str = "") -> bool:
    """Tell whether a role allows a common name."""
    if role.cn_validations == ("disabled",):
        return True
    is_address = "@" in name
    if is_address and "email" not in role.cn_validations:
        return False
    if not is_address and "hostname" not in role.cn_validations:
        return False
    return allowed(role, name, user)


def matches(pattern: str, text: str) -> bool:
    """Tell whether a text fits a pattern in which '*' stands for any characters; the time grows with the text alone."""
    first, *middle = pattern.split("*")
    if not middle:
        return pattern == text
    last = middle.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _is_local(role: Role, host: str) -> bool:
    return role.allow_localhost and host in _LOCAL


def _fits(role: Role, name: str, host: str, domain: str) -> bool:
    """Tell whether a name is a domain itself, below it, or fits it as a pattern, as far as the role says."""
    if role.allow_bare_domains and domain in (name, host):
        return True
    if "@" in domain and name == domain:
        return True
    if role.allow_subdomains and host.endswith(f".{domain}"):
        return True
    return role.allow_glob_domains and "*" in domain and matches(domain, host)
