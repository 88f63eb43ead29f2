"""From when until when a certificate holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from keystore.engines.body import Body
from keystore.engines.pki.authorities import Signer
from keystore.engines.request import RequestError

_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The mount's default and longest lifetime, in seconds."""

    default_ttl_s: int
    max_ttl_s: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Validity:
    """Both ends, to the second, and what was cut off on the way."""

    begins: datetime
    ends: datetime
    warnings: tuple[str, ...] = ()


def choose(
    body: Body, now: datetime, limits: Limits, *, ttl_s: int = 0, max_ttl_s: int = 0, back_s: int = 30, until: str = ""
) -> Validity:
    """Return the validity that a request asks for: its own lifetime, else `ttl_s`, else the mount's.

    The longest is the lower of `max_ttl_s` and the mount's; more is cut, with a warning.
    Raises: RequestError.
    """
    now = now.astimezone(UTC).replace(microsecond=0)
    begins = now - timedelta(seconds=back_s)
    fixed = body.text("not_after") or until
    if fixed:
        return Validity(begins=begins, ends=_parse(fixed, now))
    longest = min(max_ttl_s or limits.max_ttl_s, limits.max_ttl_s)
    lifetime, warnings = body.seconds("ttl") or ttl_s or limits.default_ttl_s, ()
    if lifetime < 0:
        raise RequestError(f"expected a ttl of 0 or more, got {lifetime}")
    if lifetime > longest:
        return Validity(begins=begins, ends=_after(now, longest), warnings=(_cut(lifetime, longest),))
    return Validity(begins=begins, ends=_after(now, lifetime), warnings=warnings)


def fit(found: Validity, signer: Signer) -> Validity:
    """Return a validity that does not outlast its issuer, or refuse, as the issuer says.

    Raises: RequestError.
    """
    end = signer.certificate.not_valid_after_utc
    if found.ends <= end or signer.issuer.late_leaf == "permit":
        return found
    if signer.issuer.late_leaf == "truncate":
        return Validity(begins=found.begins, ends=end, warnings=found.warnings)
    raise RequestError(
        f"cannot satisfy request, as TTL would result in notAfter of {_told(found.ends)} that is beyond the expiration "
        f"of the CA certificate at {_told(end)}"
    )


def _after(now: datetime, seconds: int) -> datetime:
    try:
        return min(now + timedelta(seconds=seconds), _LAST)
    except OverflowError:
        return _LAST


def _parse(text: str, now: datetime) -> datetime:
    found = _moment(text)
    if found is None:
        raise RequestError(f"expected a not_after such as '2030-01-31T12:00:00Z', got {text!r}")
    if found.microsecond or found <= now:
        raise RequestError(f"expected a not_after in the future, to the second, got {text!r}")
    return found


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.utcoffset() is not None else None
    except (ValueError, OverflowError):
        return None


def _cut(asked: int, longest: int) -> str:
    return f'TTL "{asked}s" is longer than permitted maxTTL "{longest}s", so maxTTL is being used'


def _told(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
