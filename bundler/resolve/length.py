"""How large the file behind a URL is, as its server says."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bundler.errors import ResolveError
from bundler.transport import Headers, Transport

_GIVE = "give its size in the recipe, beside sha256"


def content_length(url: str, transport: Transport, headers: Headers | None = None) -> int:
    """Return the size in bytes of the file behind `url`; nothing of it is read but what comes unasked.

    Raises:
        ResolveError: it is not there, or its server does not say.
        TransferError: no answer came.
    """
    if url.startswith("file:"):
        return _file_size(url)
    reply = transport.read(url, limit=0, headers=headers)
    if reply.status != 200:
        raise ResolveError(f"expected the file, its server answered {reply.status}", place=url)
    length = reply.headers.get("content-length", "")
    if not length.isascii() or not length.isdecimal() or len(length) > 18:
        raise ResolveError("expected a Content-Length, its server gives none", place=url, hint=_GIVE)
    return int(length)


def _file_size(url: str) -> int:
    try:
        status = Path(unquote(urlsplit(url).path)).stat()
    except OSError as error:
        raise ResolveError(f"expected the file: {error.strerror}", place=url) from error
    if not stat.S_ISREG(status.st_mode):
        raise ResolveError("expected a regular file", place=url)
    return status.st_size
