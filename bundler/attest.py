"""The signatures of a bundle: a DSSE envelope that any number of keys sign, and a detached one beside it.

Who may sign follows from what the verifier trusts (`bundler.anchors`); key and algorithm are always the verifier's own.
The detached signature serves those who have OpenSSL and nothing else; the Statement in the envelope covers it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bundler.anchors import Anchor, Speaker, follow, speakers
from bundler.archive import Head
from bundler.errors import TrustError
from bundler.model.manifest import parse_manifest
from bundler.model.provenance import PAYLOAD_TYPE, check_statement, make_statement
from bundler.model.trust import TrustDocument, format_trust, padded, parse_trust
from keystore import moment, sm2
from keystore.envelope import add_signature, parse_envelope, sign_envelope, signed_by, unsigned_envelope
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey
from keystore.revocation import REVOCATIONS_TYPE, Revocations, open_revocations
from keystore.signer import Signer, introduce
from keystore.trust import Role, check_root, satisfied, walk

_SHOWN = 16
_ENVELOPE = "ferry.json.dsse"
_DETACHED = "ferry.json.sig"
_HINT = "check that what --trust names is the builder's (compare fingerprints), and carry the bundle again"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attested:
    """Who vouches for a manifest: `signers` are the keys that count, ordered by keyid.

    `kept` is what a host trusts from now on; `detached` made the detached signature, None where it is not of the role.
    """

    signers: tuple[VerifyingKey, ...]
    speaker: Speaker
    kept: tuple[Anchor, ...]
    detached: VerifyingKey | None
    revocations: Revocations

    @property
    def list_versions(self) -> dict[str, int]:
        """The version of the revocations by the names under which a host remembers it."""
        return dict.fromkeys(_list_names(self.speaker, self.signers), self.revocations.version)

    @property
    def key(self) -> VerifyingKey:
        """The signer that stands for all where one is named: who made the detached signature, if it counts."""
        return next((key for key in self.signers if key == self.detached), self.signers[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Demands:
    """What a verifier asks of signatures beyond those of its anchors.

    `schemes`: each must reach the threshold by itself; None asks root documents that have keys of the scheme
    `preferred` for that one. Revocations must not be older than `oldest_revocations` says, by the name under which a
    host remembers them. With `few`, one signature will do.
    """

    schemes: tuple[str, ...] | None = None
    preferred: str = ""
    oldest_revocations: Mapping[str, int] = field(default_factory=dict)
    few: bool = False


def sign(manifest: bytes, *signers: Signer, carried: TrustDocument | None = None) -> tuple[bytes, bytes, bytes]:
    """Return the detached signature, the envelope and the trust entry for the exact bytes of a manifest.

    The detached signature is by the first SM2 key, or by the first key where there is none. Each key signs the
    revocations that are `carried` too; without any, an empty list of version 0.
    """
    parsed = parse_manifest(manifest)
    present(signers, manifest, carried)
    first = next((one for one in signers if one.public.scheme == sm2.SCHEME), signers[0])
    detached = first.sign(manifest)
    envelope = sign_envelope(PAYLOAD_TYPE, make_statement(parsed, manifest, detached), signers)
    carried = carried or TrustDocument(roots=(), revocations=b"", certificates=())
    if not carried.revocations:
        carried = replace(carried, revocations=_no_revocations(parsed.created))
    for signer in signers:
        carried = endorse(carried, signer)
    return detached, padded(envelope), padded(format_trust(carried))


def present(signers: Sequence[Signer], manifest: bytes, carried: TrustDocument | None) -> None:
    """Show signers that ask for it all that they are about to sign for, before the first signature is made.

    So operators who must approve find the manifest and the list of revoked keys together.
    """
    introduce(signers, manifest)
    if carried is not None and carried.revocations:
        found = parse_envelope(carried.revocations)
        signed = {keyid for keyid, _ in found.signatures}
        introduce([signer for signer in signers if signer.keyid not in signed], found.payload)


def endorse(carried: TrustDocument, signer: Signer) -> TrustDocument:
    """Return what a bundle carries with the signer's name under the revocations, where it is not there yet.

    So whoever trusts this key alone, and no root document, knows which list came with the bundle.
    """
    if signer.keyid in (keyid for keyid, _ in parse_envelope(carried.revocations).signatures):
        return carried
    return replace(carried, revocations=add_signature(carried.revocations, signer))


def _no_revocations(created: str) -> bytes:
    """Return a list of version 0 that names no key, still unsigned."""
    empty = Revocations(version=0, created=moment.parse(created, "created"), revoked=())
    return unsigned_envelope(REVOCATIONS_TYPE, empty.encode())


def check_carried(carried: TrustDocument | None, signers: Sequence[Signer]) -> None:
    """Refuse to build with root documents that no verifier would follow, or with keys that they do not let speak.

    Raises:
        TrustError: they do not follow one another, do not name a signer, or revoke one.
    """
    if carried is None or not carried.roots:
        return
    try:
        root = walk(check_root(carried.roots[0]), carried.roots, now=None)
        lost = {entry.keyid: entry for entry in open_revocations(carried.revocations, root.root).revoked}
    except SignatureError as error:
        raise _refusal(error, "ferry.trust.json") from error
    members = {key.keyid for key in root.release.keys}
    for signer in signers:
        if signer.keyid not in members:
            raise TrustError(
                f"expected a key of the release role of root document version {root.version}, got another",
                place=signer.keyid,
                hint="rotate the root document first (ferry trust rotate), or sign with another key",
            )
        if entry := lost.get(signer.keyid):
            raise TrustError(
                f"expected a key that is not revoked, got one that is ({entry.reason})", place=signer.keyid
            )


def check(head: Head, trusted: Sequence[Anchor], demands: Demands, *, now: datetime) -> Attested:
    """Check all signatures of a head; return who made them.

    Raises:
        TrustError: nothing that is trusted vouches for it.
        IntegrityError: its trust entry is in no form that this Ferry knows.
    """
    carried = parse_trust(head.trust)
    refused: list[TrustError] = []
    for anchors in speakers(trusted):
        try:
            return _check_by(anchors, head, carried, demands, now)
        except TrustError as error:
            refused.append(error)
    if len(refused) == 1:
        raise refused[0]
    raise TrustError(
        "expected a signature by a trusted key, "
        + ("none fits:" + "".join(f"\n  {error}" for error in refused) if refused else "no key is trusted"),
        place=_ENVELOPE,
        hint=_HINT,
    )


def _check_by(
    anchors: Sequence[Anchor], head: Head, carried: TrustDocument, demands: Demands, now: datetime
) -> Attested:
    try:
        speaker = follow(anchors, carried, now=now)
    except SignatureError as error:
        raise _refusal(error, "ferry.trust.json") from error
    payload, signed = _signed(head.envelope, speaker)
    revocations = _revocations(carried, speaker)
    counted = _counted(speaker, signed, revocations, demands)
    _check_age(revocations, _list_names(speaker, counted), demands)
    check_statement(payload, head.manifest, head.signature)
    return Attested(
        signers=counted,
        speaker=speaker,
        kept=(speaker.anchor,) if speaker.anchor else counted,
        detached=_detached(head, speaker.release),
        revocations=revocations,
    )


def _signed(envelope: bytes, speaker: Speaker) -> tuple[bytes, tuple[VerifyingKey, ...]]:
    """Return the payload, and the keys of the role that signed it, revoked or not."""
    try:
        payload, signed = signed_by(envelope, speaker.release.keys, payload_type=PAYLOAD_TYPE)
    except SignatureError as error:
        raise _refusal(error, _ENVELOPE) from error
    if not signed:
        others = ", ".join(keyid[:_SHOWN] for keyid, _ in parse_envelope(envelope).signatures)
        expected = f"signatures by {speaker.release.threshold} of the release role's keys"
        raise TrustError(
            f"expected {expected if speaker.source == 'root' else 'a signature by a trusted key'}, "
            f"got {f'signatures by {others}' if others else 'none'}",
            place=_ENVELOPE,
            hint=_HINT,
        )
    return payload, signed


def _revocations(carried: TrustDocument, speaker: Speaker) -> Revocations:
    try:
        return open_revocations(carried.revocations, speaker.lists)
    except SignatureError as error:
        raise _refusal(error, "ferry.trust.json") from error


def _list_names(speaker: Speaker, counted: Sequence[VerifyingKey]) -> tuple[str, ...]:
    return (speaker.name,) if speaker.name else tuple(key.keyid for key in counted)


def _check_age(found: Revocations, names: Sequence[str], demands: Demands) -> None:
    """Refuse a list that is older than one that was seen under one of these names."""
    oldest = max((demands.oldest_revocations.get(name, 0) for name in names), default=0)
    if found.version < oldest:
        raise TrustError(
            f"expected revocations of version {oldest} or later, got version {found.version}",
            place="ferry.trust.json: revocations",
            hint="an older list may hide that a key was lost: carry a bundle with the newer one; to take it all the "
            "same: --accept-older-revocations",
        )


def _counted(
    speaker: Speaker, signed: Sequence[VerifyingKey], revocations: Revocations, demands: Demands
) -> tuple[VerifyingKey, ...]:
    role = speaker.release
    schemes = _schemes(speaker, demands)
    if demands.few:
        role, schemes = Role.of(role.name, role.keys, 1), ()
    try:
        return satisfied(role, signed, revocations.revoked, demands=schemes, place=_ENVELOPE)
    except SignatureError as error:
        raise TrustError(error.message, place=error.place, hint=error.hint) from error


def _schemes(speaker: Speaker, demands: Demands) -> tuple[str, ...]:
    """Return the schemes that are demanded.

    Keys that an operator names one by one are alternatives; those of a root document are one body, which must not be
    outvoted by its keys of another scheme.
    """
    if demands.schemes is not None:
        return demands.schemes
    has = any(key.scheme == demands.preferred for key in speaker.release.keys)
    return (demands.preferred,) if speaker.source == "root" and has else ()


def _detached(head: Head, role: Role) -> VerifyingKey | None:
    """Return the key of the role that made the detached signature.

    Its bytes are covered by the envelope. None is right only where others have signed whom the role does not know.

    Raises:
        TrustError: none of the signers made it, so that OpenSSL could not check it.
    """
    for key in role.keys:
        try:
            key.verify(head.signature, head.manifest)
        except KeystoreError:
            continue
        return key
    known = {key.keyid for key in role.keys}
    if all(keyid in known for keyid, _ in parse_envelope(head.envelope).signatures):
        raise TrustError(
            "expected a detached signature by one of the keys that signed the envelope, got none that verifies",
            place=_DETACHED,
            hint="build the bundle again",
        )
    return None


def _refusal(error: SignatureError, entry: str) -> TrustError:
    return TrustError(error.message, place=f"{entry}: {error.place}" if error.place else entry, hint=error.hint)
