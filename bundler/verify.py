"""The gate of the isolated side: a bundle is believed only after every step here, in this order.

1. The head has the shape of a bundle.
2. A trusted key signed the exact bytes of the manifest, and the envelope over them.
3. The manifest is one that this Ferry knows, is not expired, and names each entry once, as it must.
4. The file has exactly the size that follows from the manifest.
5. Every header stands where it must, byte for byte; every padding is zero.
6. Every entry has the digest that the manifest promises.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler.archive import (
    END,
    Head,
    read_head,
    spans,
    total_size,
)
from bundler.attest import check
from bundler.checks import Checks, Reading
from bundler.errors import IntegrityError, TrustError
from bundler.model.manifest import Manifest, parse_manifest
from bundler.source import FileSource, Source, as_stream
from keystore.errors import KeystoreError
from keystore.sm2 import PublicKey

# The digest that proves the bytes, by the name of a verifier's profile.
PROFILES = {"gm": "sm3", "standard": "sha256"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a verifier demands.

    `trusted` keys; `algorithm` is the digest that proves the bytes: `sm3` (the GM profile) or `sha256`;
    `accept_expired` lets a bundle pass that is past its end.
    """

    trusted: tuple[PublicKey, ...]
    algorithm: str = "sm3"
    accept_expired: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedBundle:
    """A bundle that passed every step; only `verify` makes one."""

    path: Path
    manifest: Manifest
    manifest_bytes: bytes
    head_end: int
    key: PublicKey
    algorithm: str


def read_trust(path: Path) -> PublicKey:
    """Read a trusted public key in PEM.

    Raises:
        TrustError: the file cannot be read or holds no SM2 public key.
    """
    try:
        return PublicKey.from_pem(path.read_bytes())
    except OSError as error:
        raise TrustError(f"the trusted key cannot be read: {error.strerror}", place=str(path)) from error
    except KeystoreError as error:
        raise TrustError(f"expected an SM2 public key in PEM: {error}", place=str(path)) from error


def read_manifest(head: Head, policy: Policy, *, now: datetime) -> tuple[Manifest, PublicKey]:
    """Do steps 2 and 3: return the manifest and the key that signed it.

    Raises:
        TrustError: not signed by a trusted key, or expired.
        IntegrityError: signed, but not a manifest that this Ferry knows.
    """
    key = check(head.manifest, head.signature, head.envelope, policy.trusted)
    manifest = parse_manifest(head.manifest)
    if manifest.expires_before(now) and not policy.accept_expired:
        raise TrustError(
            f"the bundle expired at {manifest.expires}, it is {now:%Y-%m-%dT%H:%M:%SZ}",
            place="ferry.json: expires",
            hint="bring a newer bundle, or check this host's clock",
        )
    return manifest, key


def verify(
    path: Path,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading | None = None,
) -> VerifiedBundle:
    """Check a whole bundle, reading it once; `reading` takes part on the way. Memory is constant.

    Raises:
        TrustError, IntegrityError: as the steps say. A sink's own errors pass through.
    """
    with FileSource(path) as source:
        return verify_source(source, policy, now=now, reading=reading)


def verify_source(
    source: Source,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading | None = None,
) -> VerifiedBundle:
    """Check a whole bundle, wherever its bytes are.

    Raises:
        TrustError, IntegrityError: as the steps say. A sink's own errors pass through.
    """
    reading = reading or Reading()
    head = read_head(as_stream(source))
    manifest, key = read_manifest(head, policy, now=now)
    reading.started(manifest)
    _check_size(source, manifest, head.end)
    checks = Checks(source, policy.algorithm, reading)
    checks.run(list(spans(manifest, head.end)), total_size(manifest, head.end) - len(END))
    return VerifiedBundle(
        path=Path(source.name),
        manifest=manifest,
        manifest_bytes=head.manifest,
        head_end=head.end,
        key=key,
        algorithm=policy.algorithm,
    )


def open_bundle(path: Path) -> BinaryIO:
    """Open a bundle or a volume for reading.

    Raises:
        IntegrityError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise IntegrityError(f"the bundle cannot be read: {error.strerror}", place=str(path)) from error


def _check_size(source: Source, manifest: Manifest, start: int) -> None:
    expected, got = total_size(manifest, start), source.size
    if expected != got:
        kind = "cut short" if got < expected else "followed by other data"
        raise IntegrityError(
            f"expected {expected} bytes, got {got}: the bundle is {kind}",
            hint="carry the bundle again and compare its size on both sides",
        )
