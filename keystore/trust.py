"""Who may sign what, in TUF's words: root documents, their rotation, revocations, thresholds; no I/O.

Source: The Update Framework, specification 1.0.33, clauses 4.3 and 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keystore import document, moment
from keystore.envelope import parse_envelope, signed_by
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey, read_public

ROOT_FORMAT = "ferry/root/v1"
ROOT_TYPE = "application/vnd.ferry.root+json"
_PLACE = "root"
_ROOT = {"format": str, "version": int, "created": str, "expires": str, "keys": dict, "roles": dict}
_ROLE = {"keyids": list, "threshold": int}
_SHOWN = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """Keys, ordered by keyid, of which `threshold` must sign."""

    name: str
    keys: tuple[VerifyingKey, ...]
    threshold: int

    def __post_init__(self) -> None:
        keyids = [key.keyid for key in self.keys]
        if keyids != sorted(set(keyids)):
            raise SignatureError("expected different keys, ordered by keyid, got others", place=f"roles.{self.name}")
        if not 1 <= self.threshold <= len(keyids):
            raise SignatureError(
                f"expected a threshold of 1 to {len(keyids)}, the number of keys, got {self.threshold}",
                place=f"roles.{self.name}.threshold",
            )

    @classmethod
    def of(cls, name: str, keys: Iterable[VerifyingKey], threshold: int) -> Role:
        """Make a role of keys in any order."""
        return cls(name=name, keys=tuple(sorted(keys, key=lambda key: key.keyid)), threshold=threshold)


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """The keys of both roles at one version; `expires` is None where the document never ends."""

    version: int
    created: datetime
    expires: datetime | None
    root: Role
    release: Role

    def expired(self, now: datetime) -> bool:
        """Tell whether the document's time is over."""
        return self.expires is not None and now >= self.expires

    def encode(self) -> bytes:
        """Return the payload of the envelope in canonical JSON."""
        roles = {role.name: role for role in (self.root, self.release)}
        return document.canonical(
            {
                "format": ROOT_FORMAT,
                "version": self.version,
                "created": moment.stamp(self.created),
                "expires": moment.stamp(self.expires) if self.expires else "",
                "keys": {key.keyid: key.pem() for role in roles.values() for key in role.keys},
                "roles": {
                    name: {"keyids": [key.keyid for key in role.keys], "threshold": role.threshold}
                    for name, role in roles.items()
                },
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Revocation:
    """A key that is believed no more; `since` says when it was lost, for people: nothing it signed counts."""

    keyid: str
    since: datetime
    reason: str


def parse_root(envelope: bytes) -> Root:
    """Return the root document in an envelope; its shape is checked, no signature is.

    Raises: SignatureError.
    """
    return _parsed(parse_envelope(envelope, payload_type=ROOT_TYPE).payload)


def check_root(envelope: bytes) -> Root:
    """Return a root document that the threshold of its own root role has signed.

    That proves nothing to who does not know one of its keys: compare their fingerprints on paper.
    Raises: SignatureError.
    """
    found = parse_root(envelope)
    _expect_signed(envelope, found.root, f"{_PLACE} version {found.version}")
    return found


def walk(anchor: Root, chain: Sequence[bytes], *, now: datetime | None) -> Root:
    """Follow root documents from the one that is trusted; return the last.

    Versions below the anchor's are passed over; one of its own version must be the same document; each next one is
    one higher, and signed by the root role before it and by its own. The last must not be over at `now`; None asks
    for no such check.
    Raises: SignatureError.
    """
    trusted = anchor
    for envelope in chain:
        found = parse_root(envelope)
        if found.version < trusted.version:
            continue
        if found.version == trusted.version:
            _expect_same(found, trusted)
            continue
        if found.version != trusted.version + 1:
            raise SignatureError(
                f"expected version {trusted.version + 1}, got {found.version}",
                place=f"{_PLACE}.version",
                hint="carry every root document between the two",
            )
        place = f"{_PLACE} version {found.version}"
        _expect_signed(envelope, trusted.root, f"{place}, by the role before it")
        _expect_signed(envelope, found.root, place)
        trusted = found
    if now is not None and trusted.expired(now):
        ended = moment.stamp(trusted.expires) if trusted.expires else ""
        raise SignatureError(
            f"expected a root document that is not over, got one that ended at {ended}",
            place=f"{_PLACE} version {trusted.version}",
            hint="carry a newer root document: ferry trust rotate, signed by the root keys",
        )
    return trusted


def satisfied(
    role: Role,
    signers: Iterable[VerifyingKey],
    revoked: Iterable[Revocation] = (),
    *,
    demands: Sequence[str] = (),
    place: str | None = None,
) -> tuple[VerifyingKey, ...]:
    """Return the keys of a role that count among those that signed, once they reach its threshold.

    A revoked key never counts. For each scheme in `demands` the keys of that scheme alone must reach the threshold.
    Raises: SignatureError.
    """
    reasons = {entry.keyid: entry for entry in revoked}
    members = {key.keyid for key in role.keys}
    signed = {key.keyid: key for key in signers if key.keyid in members}
    counted = tuple(signed[keyid] for keyid in sorted(signed) if keyid not in reasons)
    lost = [reasons[keyid] for keyid in sorted(signed) if keyid in reasons]
    _expect_enough(role, counted, lost, "", place)
    for scheme in demands:
        _expect_enough(role, tuple(key for key in counted if key.scheme == scheme), lost, f"{scheme} ", place)
    return counted


def _expect_enough(
    role: Role, counted: Sequence[VerifyingKey], lost: Sequence[Revocation], scheme: str, place: str | None
) -> None:
    if len(counted) >= role.threshold:
        return
    got = f"{len(counted)}" + (f" ({', '.join(key.keyid[:_SHOWN] for key in counted)})" if counted else "")
    told = "; ".join(f"{entry.keyid[:_SHOWN]} ({entry.reason})" for entry in lost)
    raise SignatureError(
        f"expected {scheme}signatures by {role.threshold} of the {role.name} role's keys, got {got}"
        + (f"; revoked: {told}" if told else ""),
        place=place,
        hint="have more holders of the role's keys sign, or compare the signers' fingerprints with the root document",
    )


def _expect_signed(envelope: bytes, role: Role, place: str) -> None:
    _, signers = signed_by(envelope, role.keys, payload_type=ROOT_TYPE)
    satisfied(role, signers, place=place)


def _expect_same(found: Root, trusted: Root) -> None:
    if found != trusted:
        raise SignatureError(
            f"expected the same root document of version {trusted.version} that is trusted here, got another",
            place=f"{_PLACE}.version",
            hint="two documents of one version: ask the holders of the root keys which one they signed",
        )


def _parsed(payload: bytes) -> Root:
    try:
        return _parse(payload)
    except SignatureError:
        raise
    except KeystoreError as error:
        raise SignatureError(error.message, place=error.place, hint=error.hint) from error


def _parse(payload: bytes) -> Root:
    found = document.parse(payload, _PLACE)
    document.expect(found.get("format"), ROOT_FORMAT, f"{_PLACE}.format", "a newer Ferry may have written it")
    document.fields(found, _PLACE, _ROOT)
    if found["version"] < 1:
        raise SignatureError(f"expected 1 or more, got {found['version']}", place=f"{_PLACE}.version")
    keys = {keyid: _key(keyid, pem) for keyid, pem in found["keys"].items()}
    roles = document.fields(found["roles"], f"{_PLACE}.roles", {"root": dict, "release": dict})
    root, release = (_role(name, roles[name], keys) for name in ("root", "release"))
    idle = sorted(keys.keys() - {key.keyid for role in (root, release) for key in role.keys})
    if idle:
        raise SignatureError(f"expected keys of a role alone, got {idle[0]}", place=f"{_PLACE}.keys")
    expires = moment.parse(found["expires"], f"{_PLACE}.expires") if found["expires"] else None
    created = moment.parse(found["created"], f"{_PLACE}.created")
    made = Root(version=found["version"], created=created, expires=expires, root=root, release=release)
    if made.encode() != payload:
        raise SignatureError("expected canonical JSON, got another form", place=_PLACE)
    return made


def _key(keyid: str, pem: object) -> VerifyingKey:
    place = f"{_PLACE}.keys.{keyid}"
    if not isinstance(pem, str):
        raise SignatureError("expected a string", place=place)
    try:
        key = read_public(pem)
    except KeystoreError as error:
        raise SignatureError(error.message, place=place, hint=error.hint) from error
    document.expect(keyid, key.keyid, place)
    return key


def _role(name: str, value: Mapping[str, Any], keys: Mapping[str, VerifyingKey]) -> Role:
    place = f"{_PLACE}.roles.{name}"
    fields = document.fields(value, place, _ROLE)
    for index, keyid in enumerate(fields["keyids"]):
        if not isinstance(keyid, str) or keyid not in keys:
            raise SignatureError("expected a keyid that `keys` has, got another", place=f"{place}.keyids[{index}]")
    if len(set(fields["keyids"])) != len(fields["keyids"]):
        raise SignatureError("expected every key once, got one twice", place=f"{place}.keyids")
    return Role.of(name, (keys[keyid] for keyid in fields["keyids"]), fields["threshold"])
