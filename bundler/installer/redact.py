"""What must not leave a host is taken out of texts: the secrets that are on it, and whatever looks like one."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from bundler.installer.layout import Layout
from bundler.installer.settings import read_settings

REDACTED = "[redacted]"
# A shorter value would take ordinary words out of every text.
_LEAST_SECRET = 4
_FILE_LIMIT = 64 * 1024
_TELLING = r"[A-Za-z0-9_.-]*(?:KEY(?!ID)|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH)[A-Za-z0-9_.-]*"
_PATTERNS = (
    # Blocks of private keys, whole or cut off.
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL), ""),
    # Authorization headers; before names, which would take the word in front for the value.
    (re.compile(r"(?i)(\b(?:bearer|basic|token)[ \t]+)[A-Za-z0-9._~+/=-]{8,}"), r"\1"),
    # NAME=value and "name": "value" where the name tells.
    (re.compile(rf"""(?i)(["']?\b{_TELLING}["']?[ \t]*[=:][ \t]*)("[^"\n]*"|'[^'\n]*'|[^\s,;&"']+)"""), r"\1"),
    # Logins in URLs.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+(?=@)"), r"\1"),
    # Tokens whose form is known: JWTs, Vault's, those of model providers.
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"), ""),
    (re.compile(r"\b(?:hv[sbr]|sk|ghp|glpat)[-._][A-Za-z0-9_-]{12,}"), ""),
)


class Redactor:
    """Takes known secrets and what looks like one out of texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if len(secret) >= _LEAST_SECRET for form in _forms(secret)}
        # The longest first: one may hold another.
        ordered = sorted(forms, key=lambda one: (-len(one), one))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __repr__(self) -> str:
        return "Redactor()"

    def clean(self, text: str) -> str:
        """Return a text without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        for pattern, kept in _PATTERNS:
            text = pattern.sub(kept + REDACTED, text)
        return text


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may be written: as it is, in a URL, in base64."""
    yield secret
    yield quote(secret, safe="")
    encoded = base64.b64encode(secret.encode("utf-8", "surrogateescape")).decode().rstrip("=")
    if len(encoded) >= 2 * _LEAST_SECRET:
        yield encoded


def host_secrets(layout: Layout) -> set[str]:
    """Return the secrets that stand on a host in plain: credentials of services, and settings whose name tells."""
    found = set()
    for path in sorted((layout.settings / "credentials").glob("*/*")):
        text = _read(path)
        found |= {text.strip(), *text.split()}
    for path in sorted(layout.settings.glob("*.env")):
        found |= {value for name, value in read_settings(_read(path)).items() if re.fullmatch(_TELLING, name, re.I)}
    return {secret for secret in found if secret}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_FILE_LIMIT).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
