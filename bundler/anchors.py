"""What a verifier trusts beforehand: public keys, SM2 root certificates, root documents; and whom each lets speak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bundler.errors import TrustError
from bundler.model.trust import TrustDocument
from keystore.certificate import Certificate, check_chain, parse_certificate, split
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey, read_public
from keystore.trust import Role, Root, check_root, parse_root, walk

ROOT_FILE = "root.json"
RELEASE = "release"
# Under this a host remembers the lists of its root document, of which it has one.
ROOT_NAME = "root"
_LARGEST_FILE = 1024 * 1024
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateAnchor:
    """A root certificate: whoever holds a fitting one below it may sign."""

    pem: bytes
    certificate: Certificate


@dataclass(frozen=True, kw_only=True, slots=True)
class RootAnchor:
    """A root document, in its envelope and parsed: its release role signs, its root role follows itself."""

    document: bytes
    root: Root


# A key by itself is a release role of threshold 1.
Anchor = VerifyingKey | CertificateAnchor | RootAnchor


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaker:
    """Who may sign, by one source of trust: `release` signs bundles, `lists` the revoked keys.

    `source` is `key`, `certificate` or `root`; `anchor` is what stands for it from now on, None for keys. `name` is
    that under which a host remembers the version of the lists, "" where each key has lists of its own.
    """

    source: str
    release: Role
    lists: Role
    anchor: CertificateAnchor | RootAnchor | None = None
    name: str = ""


def parse_anchor(data: bytes, place: str) -> Anchor:
    """Parse a public key in PEM, a root certificate in PEM, or a root document.

    Raises:
        TrustError: it is none of them, or a root document that its own root role has not signed.
    """
    try:
        if data.lstrip().startswith(b"{"):
            return RootAnchor(document=data, root=check_root(data))
        if _CERTIFICATE in data:
            return _certificate(data)
        return read_public(data)
    except KeystoreError as error:
        said = f"{error.place}: {error.message}" if error.place else error.message
        raise TrustError(
            f"expected a public key (PEM), an SM2 root certificate or a root document: {said}",
            place=place,
            hint=error.hint,
        ) from error


def _certificate(data: bytes) -> CertificateAnchor:
    found = split(data)
    if len(found) != 1:
        raise SignatureError(f"expected one root certificate, got {len(found)}", hint="the bundle carries the others")
    return CertificateAnchor(pem=found[0], certificate=parse_certificate(found[0]))


def read_trust(path: Path) -> Anchor:
    """Read what an operator trusts.

    Raises:
        TrustError: the file cannot be read, or is no anchor.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise TrustError(f"the trusted key cannot be read: {error.strerror}", place=str(path)) from error
    if len(data) > _LARGEST_FILE:
        raise TrustError(f"expected a file of at most {_LARGEST_FILE} bytes, got more", place=str(path))
    return parse_anchor(data, str(path))


def read_anchors(directory: Path) -> tuple[Anchor, ...]:
    """Read what this host trusts: `root.json` alone where there is one, else each `*.crt` and `*.pem`.

    Raises:
        TrustError: one of them is damaged.
    """
    root = directory / ROOT_FILE
    if root.is_file():
        return (read_trust(root),)
    return tuple(map(read_trust, sorted((*directory.glob("*.crt"), *directory.glob("*.pem")))))


def anchor_file(anchor: Anchor) -> tuple[str, bytes]:
    """Return the name and the content of the file that holds an anchor on a host."""
    if isinstance(anchor, RootAnchor):
        return ROOT_FILE, anchor.document
    if isinstance(anchor, CertificateAnchor):
        return f"{anchor.certificate.key.keyid}.crt", anchor.pem
    return f"{anchor.keyid}.pem", anchor.pem().encode()


def choose_anchors(named: Sequence[Anchor], known: Sequence[Anchor], *, place: str) -> tuple[Anchor, ...]:
    """Return what decides on a host: what the operator names, else what the host knows.

    A root document that the host knows stays: otherwise a key named beside it would undo its threshold, its rotations
    and its revocations.

    Raises:
        TrustError: a key or a certificate is named where a root document is known.
    """
    if not any(isinstance(anchor, RootAnchor) for anchor in known):
        return tuple(named or known)
    if any(not isinstance(anchor, RootAnchor) for anchor in named):
        raise TrustError(
            "expected no key or certificate, this host trusts a root document",
            place="--trust",
            hint=f"leave out --trust; to begin anew, remove {place}/{ROOT_FILE}",
        )
    return tuple(known)


def speakers(anchors: Sequence[Anchor]) -> tuple[tuple[Anchor, ...], ...]:
    """Return the anchors that speak together: each root document and certificate alone, keys with one another."""
    alone = [(anchor,) for anchor in anchors if isinstance(anchor, RootAnchor | CertificateAnchor)]
    keys = tuple(anchor for anchor in anchors if not isinstance(anchor, RootAnchor | CertificateAnchor))
    return (*alone, keys) if keys else tuple(alone)


def follow(anchors: Sequence[Anchor], carried: TrustDocument, *, now: datetime) -> Speaker:
    """Return who may sign by anchors that speak together, with what the bundle carries.

    Raises:
        SignatureError: the root documents or certificates do not lead from the anchor to a signer.
    """
    first = anchors[0]
    if isinstance(first, RootAnchor):
        return _by_root(first, carried, now)
    if isinstance(first, CertificateAnchor):
        role = Role.of(RELEASE, [check_chain(carried.certificates, first.pem, now=now)], 1)
        name = first.certificate.key.keyid
        return Speaker(source="certificate", release=role, lists=role, anchor=first, name=name)
    keys = {anchor.keyid: anchor for anchor in anchors if not isinstance(anchor, RootAnchor | CertificateAnchor)}
    role = Role.of(RELEASE, keys.values(), 1)
    return Speaker(source="key", release=role, lists=role)


def _by_root(anchor: RootAnchor, carried: TrustDocument, now: datetime) -> Speaker:
    root = walk(anchor.root, carried.roots, now=now)
    newest = next((one for one in carried.roots if parse_root(one).version == root.version), anchor.document)
    return Speaker(
        source="root",
        release=root.release,
        lists=root.root,
        anchor=RootAnchor(document=newest, root=root),
        name=ROOT_NAME,
    )
