"""The digest of what is inside a gzip stream, piece by piece and in constant memory."""

from __future__ import annotations

import hashlib
import zlib

_PIECE_BYTES = 1024 * 1024
_WITH_HEADER = 31


class Gunzip:
    """Takes the bytes of a gzip stream, of one member or several, and hashes what they unpack to."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._member = zlib.decompressobj(_WITH_HEADER)

    def update(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            zlib.error: they are not gzip's.
        """
        while data:
            if self._member.eof:
                # Some writers fill the last block with zeros.
                data = data.lstrip(b"\0")
                self._member = zlib.decompressobj(_WITH_HEADER) if data else self._member
                continue
            self._digest.update(self._member.decompress(data, _PIECE_BYTES))
            data = self._member.unused_data or self._member.unconsumed_tail

    def finish(self) -> str:
        """Return the SHA-256, in hex, of all that was inside.

        Raises:
            zlib.error: the stream is cut off.
        """
        while not self._member.eof and (piece := self._member.decompress(b"", _PIECE_BYTES)):
            self._digest.update(piece)
        if not self._member.eof:
            raise zlib.error("the compressed stream is cut off")
        return self._digest.hexdigest()
