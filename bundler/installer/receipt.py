"""A receipt: what this host really holds, read anew and signed with a key of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from bundler.delta.deflate import fingerprint
from bundler.errors import HostError
from bundler.installer.base import damaged_blobs, forget
from bundler.installer.facts import held_blobs, os_release
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from bundler.installer.release import Release, read_releases
from bundler.model.manifest import Entry
from bundler.model.platform import platform_of_machine
from bundler.model.progress import Progress
from bundler.model.receipt import RECEIPT_TYPE, Held, HeldRelease, Receipt, format_receipt
from bundler.ownwheel import ferry_version
from keystore import marks
from keystore.envelope import sign_envelope
from keystore.errors import KeystoreError
from keystore.file import FileKeystore, exists
from keystore.signer import Signer

_KEY = "receipt"


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedReceipt:
    """A receipt in its envelope, who signed it, and the digests of blobs that are damaged and not listed."""

    receipt: Receipt
    envelope: bytes
    keyid: str
    fingerprint: str
    damaged: tuple[str, ...]
    held_bytes: int


def make_receipt(layout: Layout, *, now: datetime, progress: Progress) -> SignedReceipt:
    """Read every blob of this host's store and sign what is right; what is damaged counts as missing from now on.

    Raises:
        HostError: Ferry has not been here, or the key cannot be used.
        IntegrityError: the record of a release is damaged.
    """
    releases = read_releases(layout.records)
    if not releases:
        raise HostError(
            "expected a release, this host has none", place=str(layout.records), hint="install a full bundle first"
        )
    sizes = held_blobs(layout.store)
    entries = [Entry(name=sha256, size=size, sha256=sha256, sm3="") for sha256, size in sizes.items()]
    damaged = damaged_blobs(entries, layout, "sha256", progress)
    forget(layout, damaged)
    signer = host_signer(layout)
    right = [sha256 for sha256 in sizes if sha256 not in damaged]
    receipt = _receipt(layout, releases, right, signer, now)
    return SignedReceipt(
        receipt=receipt,
        envelope=sign_envelope(RECEIPT_TYPE, format_receipt(receipt), [signer]) + b"\n",
        keyid=signer.keyid,
        fingerprint=signer.public.fingerprint(),
        damaged=tuple(sorted(damaged)),
        held_bytes=sum(sizes[sha256] for sha256 in right),
    )


def _receipt(layout: Layout, releases: tuple[Release, ...], right: list[str], signer: Signer, now: datetime) -> Receipt:
    platform = platform_of_machine(os.uname().machine)
    if platform is None:
        raise HostError(f"expected a host that Ferry has bundles for, this is {os.uname().machine}")
    system = os_release(layout.at("/etc/os-release"))
    current = layout.current.readlink().name if layout.current.is_symlink() else ""
    return Receipt(
        created=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        platform=platform,
        os_id=system.get("ID", ""),
        os_version=system.get("VERSION_ID", ""),
        ferry_version=ferry_version(),
        deflate=fingerprint(),
        releases=tuple(
            HeldRelease(
                name=one.name,
                version=one.version,
                sequence=one.sequence,
                manifest_sha256=one.manifest_sha256,
                current=str(one.number) == current,
            )
            for one in releases
        ),
        marks=high_water_marks(layout, releases),
        held=Held.of(right),
        key=signer.public.pem(),
    )


def high_water_marks(layout: Layout, releases: tuple[Release, ...]) -> tuple[tuple[str, int], ...]:
    """Return the highest sequence of each product that this host has had, as its marks and release records tell.

    Raises:
        TrustError: the marks were altered.
    """
    highest = {name: mark.sequence for name, mark in read_marks(layout).products.items()}
    for one in releases:
        highest[one.name] = max(one.sequence, highest.get(one.name, 0))
    return tuple(sorted(highest.items()))


def host_signer(layout: Layout) -> Signer:
    """Return the SM2 key that signs this host's receipts; make it on first use, sealed under a secret of the host.

    Raises:
        HostError: it cannot be used, or others may read it.
    """
    place = layout.receipt
    try:
        secret = marks.host_secret(place / "secret").hex()
        if not exists(place / "keystore"):
            FileKeystore.create(place / "keystore", secret)
        keystore = FileKeystore.open(place / "keystore")
        if _KEY not in keystore.names():
            keystore.generate(_KEY, secret)
        return keystore.signer(_KEY, secret)
    except KeystoreError as error:
        raise HostError(error.message, place=error.place or str(place), hint=error.hint) from error
