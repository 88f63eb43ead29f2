"""One repository of a registry that is written to: blobs, documents, and what refers to them.

Source: OCI Distribution Specification 1.1 (pushing manifests, referrers, the referrers tag schema).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from typing import Any

from bundler.client import Body, Extent
from bundler.errors import IntegrityError, TransferError
from bundler.model.artifact import Written, index_of
from bundler.model.document import Fields
from bundler.model.image import MANIFEST_MAX_BYTES
from bundler.registry import Registry
from bundler.transport import Progress, Reply, Transport
from bundler.upload import Content, Upload, refused


class Repository:
    """The repository `name` at the registry `host`."""

    def __init__(self, transport: Transport, registry: Registry, host: str, name: str) -> None:
        self.name = name
        self._transport = transport
        self._registry = registry
        self._base = registry.base(host, name)

    def bring(self, content: Content, progress: Progress, source: str = "") -> bool:
        """Bring a blob, from the repository `source` if it is there; return whether bytes were sent.

        Raises:
            TransferError, IntegrityError: as an upload says.
        """
        headers = self._registry.headers_of(self._base)
        source = "" if source == self.name else source
        return Upload(self._transport, self._base, headers, content, progress, source).run()

    def bring_bytes(self, data: bytes, sha256: str, source: str = "") -> None:
        """Bring a blob that stands in no file.

        Raises:
            TransferError: the registry refuses it.
        """
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(data)
            content = Content(sha256=sha256, extent=Extent(file=file, offset=0, size=len(data)))
            self.bring(content, lambda count: None, source)

    def put(self, document: Written, tag: str = "") -> Reply:
        """Write a manifest or an index under a tag, or under its digest alone.

        Raises:
            TransferError: the registry refuses it.
            IntegrityError: it took other bytes.
        """
        digest = f"sha256:{document.sha256}"
        url = f"{self._base}/manifests/{tag or digest}"
        reply = self._transport.read(
            url,
            limit=MANIFEST_MAX_BYTES,
            headers=self._registry.headers,
            method="PUT",
            own={"Content-Type": document.media_type},
            body=Body(size=len(document.data), pieces=lambda: (document.data,)),
        )
        if reply.status not in (200, 201, 202):
            raise refused(reply, url)
        taken = reply.headers.get("docker-content-digest", digest)
        if taken != digest:
            raise IntegrityError(f'expected the registry to take {digest}, it took "{taken[:100]}"', place=url)
        return reply

    def refer(self, referrers: Sequence[Written], subject: Written) -> str:
        """Write what refers to a document; return the tag that lists it where the registry does not do so itself.

        Raises:
            TransferError, IntegrityError: as for `put`.
        """
        unlisted = [one for one in referrers if "oci-subject" not in self.put(one).headers]
        if not unlisted:
            return ""
        tag = f"sha256-{subject.sha256}"
        known = self._listed(tag)
        digests = {one.get("digest") for one in known}
        new = [one.descriptor() for one in unlisted if f"sha256:{one.sha256}" not in digests]
        if new:
            self.put(index_of([*known, *new]), tag)
        return tag

    def _listed(self, tag: str) -> list[dict[str, Any]]:
        """Return the descriptors that a tag lists already; others may have signed the same bundle."""
        url = f"{self._base}/manifests/{tag}"
        reply = self._transport.read(url, limit=MANIFEST_MAX_BYTES, headers=self._registry.headers)
        if reply.status == 404:
            return []
        if reply.status != 200:
            raise refused(reply, url)
        try:
            fields = Fields(json.loads(reply.body), place=url, error=TransferError)
        except (ValueError, RecursionError) as error:
            raise TransferError("expected an index of referrers, got something else", place=url) from error
        values = [value for _, value in fields.items("manifests")]
        for value in values:
            Fields(value, place=url, error=TransferError).text("digest")
        return values
