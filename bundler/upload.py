"""A blob on its way into a registry: sent only where it is not there, and resumed where the connection was cut.

Source: OCI Distribution Specification 1.1, pushing blobs (monolithically, in chunks, by mounting).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from bundler.client import Body, Extent, Headers, origin
from bundler.errors import IntegrityError, TransferError
from bundler.persistence import FailedError
from bundler.transport import Progress, Reply, Transport

# Up to this size a cut costs less than the question how much arrived.
_WHOLE_UP_TO_BYTES = 8 * 1024 * 1024
# A proxy that refuses the whole is offered pieces of these sizes.
_SMALLER_BYTES = (64 * 1024 * 1024, 8 * 1024 * 1024)
# What the kernel is asked to copy at once: the bar moves, and a stop is heard, between two of them.
_EXTENT_BYTES = 4 * 1024 * 1024
_MOST_ANSWER_BYTES = 64 * 1024
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,18})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A blob as it stands in an open file."""

    sha256: str
    extent: Extent

    @property
    def size(self) -> int:
        """Its size in bytes."""
        return self.extent.size

    @property
    def digest(self) -> str:
        """Its digest as registries write it."""
        return f"sha256:{self.sha256}"


class Upload:
    """Brings one blob into the repository at `base`; `source` is a repository from which it may be mounted."""

    def __init__(
        self, transport: Transport, base: str, headers: Headers, content: Content, progress: Progress, source: str = ""
    ) -> None:
        self._transport = transport
        self._base = base
        self._headers = headers
        self._content = content
        self._progress = progress
        self._source = source
        self._location = ""
        self._offset = 0
        self._most = 0
        self._told = 0
        self._resumed = False
        self._pieces = [content.size, *(size for size in _SMALLER_BYTES if size < content.size)]

    def run(self) -> bool:
        """Bring it; return whether bytes had to be sent.

        Raises:
            TransferError: the registry refuses it, or cannot be reached.
            IntegrityError: other bytes stand in the file than the digest says.
        """
        sent: list[bool] = []
        self._transport.persist(self._base, lambda: sent.append(self._once()), came=lambda: self._most)
        self._tell(self._content.size)
        return sent[-1]

    def _once(self) -> bool:
        """Go on from where the last attempt ended; return whether bytes are sent."""
        if self._location:
            self._find_out()
        if not self._location and (self._is_there() or self._start()):
            return False
        if self._content.size <= _WHOLE_UP_TO_BYTES:
            self._put(self._content.extent)
            return True
        while self._offset < self._content.size:
            self._patch()
        self._put(None)
        return True

    def _is_there(self) -> bool:
        # Storage behind a registry may answer HEAD with anything: only a plain yes saves sending.
        return self._ask(f"{self._base}/blobs/{self._content.digest}", "HEAD").status == 200

    def _start(self) -> bool:
        """Begin an upload; return whether the registry took the blob from another repository instead."""
        mount = f"?{urlencode({'mount': self._content.digest, 'from': self._source})}" if self._source else ""
        reply = self._ask(f"{self._base}/blobs/uploads/{mount}", "POST")
        if reply.status == 201:
            return True
        if reply.status != 202:
            raise refused(reply, self._base)
        self._resumed = False
        self._move(0)
        self._led_to(reply)
        return False

    def _find_out(self) -> None:
        """Ask how much of an upload that was cut has arrived; a registry that cannot tell gets it anew."""
        reply = self._ask(self._location, "GET")
        end = _received(reply) if reply.status in (202, 204) else None
        if end is None or not 0 < end <= self._content.size:
            self._location = ""
            return
        self._resumed = True
        self._move(end)
        self._led_to(reply)

    def _patch(self) -> None:
        """Send what is left, or as much of it as the registry takes at once."""
        start = self._offset
        count = min(self._pieces[0], self._content.size - start)
        own = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{start + count - 1}"}
        reply = self._ask(self._location, "PATCH", own, self._part(start, count))
        if reply.status == 413 and len(self._pieces) > 1:
            self._pieces.pop(0)
            self._move(start)
            return
        if reply.status == 416:
            raise FailedError("answered 416", pressed=False)
        if reply.status not in (201, 202, 204):
            raise self._refused(reply)
        end = _received(reply)
        if end is not None and not start < end <= start + count:
            self._location = ""
            raise FailedError(f"took {end} of {start + count} bytes", pressed=False)
        self._move(start + count if end is None else end)
        self._led_to(reply)

    def _put(self, extent: Extent | None) -> None:
        """End the upload by the digest, with the whole content where nothing was sent yet."""
        url = f"{self._location}{'&' if urlsplit(self._location).query else '?'}digest={self._content.digest}"
        own = {"Content-Type": "application/octet-stream"}
        reply = self._ask(url, "PUT", own, self._part(0, extent.size) if extent else None)
        if reply.status in (201, 204):
            return
        # Whatever there is at this place is not to be gone on with.
        self._location = ""
        if reply.status == 404:
            raise FailedError("answered 404", pressed=False)
        raise self._refused(reply)

    def _refused(self, reply: Reply) -> Exception:
        codes = [code for code, _ in _errors(reply)]
        if reply.status not in (400, 404) or not {"DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"} & {*codes}:
            return refused(reply, self._base)
        if self._resumed or "DIGEST_INVALID" not in codes:
            # The parts may have been joined wrongly: once more in one piece.
            self._location = ""
            return FailedError(f"answered {reply.status} {codes[0]}", pressed=False)
        return IntegrityError(
            f"expected the bytes of {self._content.digest}, the registry got others",
            place=self._base,
            hint="run `ferry verify` on the bundle; if it is right, something on the way to the registry is not",
        )

    def _part(self, start: int, count: int) -> Body:
        def pieces() -> Iterator[Extent]:
            self._move(start)
            for at in range(start, start + count, _EXTENT_BYTES):
                self._transport.go_on()
                size = min(_EXTENT_BYTES, start + count - at)
                extent = self._content.extent
                yield Extent(file=extent.file, offset=extent.offset + at, size=size)
                self._tell(at + size)

        return Body(size=count, pieces=pieces)

    def _ask(self, url: str, method: str, own: dict[str, str] | None = None, body: Body | None = None) -> Reply:
        # A place that the registry leads to gets none of the user's credentials.
        headers = self._headers if origin(url) == origin(self._base) else None
        return self._transport.exchange(
            url, limit=_MOST_ANSWER_BYTES, headers=headers, method=method, own=own, body=body
        )

    def _led_to(self, reply: Reply) -> None:
        """Take the place at which the upload goes on."""
        location = reply.headers.get("location", "")
        if location or not self._location:
            self._location = next_place(self._base, location)

    def _move(self, offset: int) -> None:
        """Take note of how much has arrived."""
        self._offset = offset
        self._most = max(self._most, offset)
        self._tell(offset)

    def _tell(self, offset: int) -> None:
        if offset != self._told:
            self._progress(offset - self._told)
        self._told = offset


def next_place(base: str, location: str) -> str:
    """Return where an upload goes on: never from https to plain http, and never without a name.

    Raises:
        TransferError: the registry names no place.
    """
    url = urljoin(f"{base}/blobs/uploads/", location)
    ours, theirs = urlsplit(base), urlsplit(url)
    if not location or theirs.scheme not in ("http", "https") or not theirs.hostname:
        raise TransferError(
            "expected a Location to send the blob to, got " + (f'"{location[:200]}"' if location else "none"),
            place=base,
            hint="the registry, or the proxy before it, is not set up for pushing",
        )
    if theirs.scheme == "http" and ours.scheme == "https":
        if theirs.hostname != ours.hostname:
            raise TransferError(f'leads from https to plain http at "{theirs.hostname}"', place=base)
        # Behind a proxy that speaks TLS for it a registry does not know by which name it is called.
        return theirs._replace(scheme=ours.scheme, netloc=ours.netloc).geturl()
    return url


def refused(reply: Reply, place: str) -> TransferError:
    """Return what a registry says when it does not take something."""
    said = "; ".join(f"{code}: {message}" if message else code for code, message in _errors(reply))
    hints = {
        404: "make the repository (or project) in the registry first, or check its name",
        405: "this registry is read-only, such as a mirror: push to the one behind it",
        413: "a proxy before the registry refuses large bodies: raise its limit (nginx: client_max_body_size)",
        507: "the registry has no space left",
    }
    return TransferError(
        f"the registry refuses it: answered {reply.status}" + (f" ({said})" if said else ""),
        place=place,
        hint=hints.get(reply.status),
    )


def _errors(reply: Reply) -> list[tuple[str, str]]:
    """Return code and message of every error in an answer, as far as it has any."""
    try:
        errors = json.loads(reply.body)["errors"]
        return [(_shown(one["code"]), _shown(one.get("message", ""))) for one in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _shown(value: object) -> str:
    return "".join(one if one.isprintable() else "?" for one in str(value)[:200])


def _received(reply: Reply) -> int | None:
    """Return how many bytes a registry says it has; `0-0` is what many say of none."""
    match = _RANGE.fullmatch(reply.headers.get("range", "").strip())
    if match is None:
        return None
    return int(match[1]) + 1 if int(match[1]) else 0
