"""A whole bundle as an artifact of a registry, of which `ferry pull` makes the same file again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from bundler.model.artifact import EMPTY_DATA, EMPTY_SHA256, MOST_LAYERS, Artifact, Named, Written, make_artifact
from bundler.model.manifest import Manifest
from bundler.model.progress import Progress
from bundler.model.reference import Reference
from bundler.push.repository import Repository
from bundler.push.source import Source
from bundler.registry import Registry
from bundler.transport import Transport
from bundler.verify import Policy


@dataclass(kw_only=True)
class Tally:
    """What was sent and what was there already, in blobs and bytes; threads count together."""

    sent: int = 0
    sent_bytes: int = 0
    there: int = 0
    there_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, size: int, *, sent: bool) -> None:
        """Count one blob."""
        with self._lock:
            if sent:
                self.sent, self.sent_bytes = self.sent + 1, self.sent_bytes + size
            else:
                self.there, self.there_bytes = self.there + 1, self.there_bytes + size


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """A bundle in a registry: its reference with the digest; `listed` is the tag of its referrers, if one is needed."""

    reference: Reference
    manifest: Manifest
    tally: Tally
    parts: int
    referrers: tuple[Written, ...]
    listed: str


def push_bundle(
    bundle: Path,
    reference: Reference,
    policy: Policy,
    *,
    now: datetime,
    progress: Progress,
    mount_from: str = "",
    most_layers: int = MOST_LAYERS,
    transport: Transport | None = None,
) -> Pushed:
    """Send a bundle, as one manifest of at most so many layers or an index of several of them; the tag comes last.

    It is written when every byte was checked and is there.

    Raises:
        TrustError, IntegrityError: the bundle is refused.
        TransferError: the registry refuses it, or cannot be reached.
    """
    transport = transport or Transport()
    registry = Registry(transport, pushing=True, sources=[mount_from] if mount_from else [])
    source = Source(bundle, policy, now=now)
    try:
        layers = source.layers
        artifact = make_artifact(source.manifest, layers, most_layers=most_layers)
        repository = Repository(transport, registry, reference.host, reference.repository)
        tally = Tally()
        once = {one.sha256: one for one in reversed(layers)}.values()
        progress.start("push", sum(one.size for one in once))
        largest_first = sorted(once, key=lambda one: (-one.size, one.sha256))
        bring = partial(_bring, source, repository, mount_from, progress, tally)
        source.send([partial(bring, one) for one in largest_first], transport)
        listed = _put(repository, artifact, reference.tag, mount_from)
    finally:
        source.close()
    return Pushed(
        reference=Reference(
            host=reference.host, repository=reference.repository, tag=reference.tag, sha256=artifact.root.sha256
        ),
        manifest=source.manifest,
        tally=tally,
        parts=len(artifact.parts),
        referrers=artifact.referrers,
        listed=listed,
    )


def _bring(
    source: Source, repository: Repository, mount_from: str, progress: Progress, tally: Tally, one: Named
) -> None:
    with progress.item(one.name, one.size) as advance:
        sent = repository.bring(source.content(one.name, one.sha256), advance, mount_from)
    tally.count(one.size, sent=sent)


def _put(repository: Repository, artifact: Artifact, tag: str, mount_from: str) -> str:
    """Write the documents from the leaves up; what refers to the bundle comes last."""
    repository.bring_bytes(EMPTY_DATA, EMPTY_SHA256, mount_from)
    for part in artifact.parts:
        repository.put(part)
    repository.put(artifact.root, tag)
    return repository.refer(artifact.referrers, artifact.root)
