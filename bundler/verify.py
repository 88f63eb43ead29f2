"""The gate of the isolated side: a bundle is believed only after every step here, in this order.

1. The head has the shape of a bundle.
2. Enough of those whom the verifier trusts signed the envelope; none of them is revoked; it is of the exact bytes of
   the manifest and of the detached signature.
3. The manifest is one that this Ferry knows, is not expired, and names each entry once, as it must.
4. The file has exactly the size that follows from the manifest.
5. Every header stands where it must, byte for byte; every padding is zero.
6. Every entry has the digest that the manifest promises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler.anchors import Anchor, read_trust
from bundler.archive import (
    END,
    Head,
    read_head,
    spans,
    total_size,
)
from bundler.attest import Attested, Demands, check
from bundler.checks import Checks, Reading
from bundler.errors import IntegrityError, TrustError
from bundler.model.manifest import Manifest, parse_manifest
from bundler.source import FileSource, Source, as_stream
from keystore import sm2
from keystore.public import VerifyingKey

__all__ = [
    "PROFILES",
    "Policy",
    "VerifiedBundle",
    "open_bundle",
    "read_manifest",
    "read_trust",
    "verify",
    "verify_source",
]

# The digest that proves the bytes, by the name of a verifier's profile.
PROFILES = {"gm": "sm3", "standard": "sha256"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a verifier demands.

    `trusted` are its anchors; `algorithm` is the digest that proves the bytes: `sm3` (the GM profile) or `sha256`;
    `accept_expired` lets a bundle pass that is past its end. Each scheme in `demands` must reach the threshold by
    itself; None means what the profile asks: SM2 in the GM profile, of root documents that have keys of it. Revocations
    older than `oldest_revocations` says, by the name under which a host remembers them, are refused unless
    `accept_older_revocations`.
    """

    trusted: tuple[Anchor, ...]
    algorithm: str = "sm3"
    accept_expired: bool = False
    demands: tuple[str, ...] | None = None
    oldest_revocations: Mapping[str, int] = field(default_factory=dict)
    accept_older_revocations: bool = False

    @property
    def of_signatures(self) -> Demands:
        """What it asks of signatures."""
        return Demands(
            schemes=self.demands,
            preferred=sm2.SCHEME if self.algorithm == PROFILES["gm"] else "",
            oldest_revocations={} if self.accept_older_revocations else self.oldest_revocations,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedBundle:
    """A bundle that passed every step; only `verify` makes one."""

    path: Path
    manifest: Manifest
    manifest_bytes: bytes
    head_end: int
    attested: Attested
    algorithm: str

    @property
    def key(self) -> VerifyingKey:
        """The signer that stands for all where one is named."""
        return self.attested.key


def read_manifest(head: Head, policy: Policy, *, now: datetime, few: bool = False) -> tuple[Manifest, Attested]:
    """Do steps 2 and 3: return the manifest, and who signed it; with `few`, one trusted signature will do.

    Raises:
        TrustError: not signed as the policy asks, or expired.
        IntegrityError: signed, but not a manifest that this Ferry knows.
    """
    attested = check(head, policy.trusted, replace(policy.of_signatures, few=few), now=now)
    manifest = parse_manifest(head.manifest)
    if manifest.expires_before(now) and not policy.accept_expired:
        raise TrustError(
            f"the bundle expired at {manifest.expires}, it is {now:%Y-%m-%dT%H:%M:%SZ}",
            place="ferry.json: expires",
            hint="bring a newer bundle, or check this host's clock",
        )
    return manifest, attested


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
    manifest, attested = read_manifest(head, policy, now=now)
    reading.started(manifest)
    _check_size(source, manifest, head.end)
    checks = Checks(source, manifest, policy.algorithm, reading)
    checks.run(list(spans(manifest, head.end)), total_size(manifest, head.end) - len(END))
    return VerifiedBundle(
        path=Path(source.name),
        manifest=manifest,
        manifest_bytes=head.manifest,
        head_end=head.end,
        attested=attested,
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
