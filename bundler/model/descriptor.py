"""What is known of a blob before it is read: media type, size and both digests."""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_BYTES = 16 * 1024 * 1024
CHUNKED_ABOVE_BYTES = 64 * 1024 * 1024
# 2020-01-01, the one time that files of a bundle have: tar warns about files older than any computer's clock would say.
MTIME = 1577836800

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
WHEEL = "application/vnd.pypi.wheel+zip"
DEB = "application/vnd.debian.binary-package"
RPM = "application/x-rpm"
OCTETS = "application/octet-stream"
JSON = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """A blob: its media type, its size in bytes, its SHA-256 and SM3 in hex.

    `chunks` holds the SM3 of each 16 MiB piece of a blob larger than 64 MiB, so that damage in it is found
    on all cores and named by its offset; it is empty for smaller blobs.
    """

    media_type: str
    size: int
    sha256: str
    sm3: str
    chunks: tuple[str, ...] = ()

    @property
    def entry_name(self) -> str:
        """Name of the blob inside an OCI layout."""
        return f"blobs/sha256/{self.sha256}"


def chunk_count(size: int) -> int:
    """Return how many chunk digests a blob of `size` bytes carries."""
    return 0 if size <= CHUNKED_ABOVE_BYTES else -(-size // CHUNK_BYTES)
