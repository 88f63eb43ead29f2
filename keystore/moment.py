"""Points in time as documents write them: UTC, to the second, in one form."""

from __future__ import annotations

from datetime import UTC, datetime

from keystore.errors import KeystoreError

_FORM = "%Y-%m-%dT%H:%M:%SZ"


def stamp(moment: datetime) -> str:
    """Return a time in UTC such as '2026-01-31T12:00:00Z'; parts of a second are dropped."""
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def parse(text: str, place: str) -> datetime:
    """Return the time of a text that `stamp` could have written.

    Raises: KeystoreError.
    """
    try:
        found = datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    except ValueError:
        found = None
    if found is None or stamp(found) != text:
        raise KeystoreError(f"expected a time such as '2026-01-31T12:00:00Z', got {text!r}", place=place)
    return found
