"""HTTP/1.1 as a server needs it here: one small protocol with limits on everything that a client decides.

Source: RFC 9112. Requests whose length could be read in two ways are refused, as a proxy before us may read the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

HEAD_BYTES = 32 * 1024
HEADERS = 100
BODY_BYTES = 32 * 1024 * 1024
_QUERY_FIELDS = 100
_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,8192}) HTTP/1\.([01])")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\x80-\xff\t]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]{0,256})?\r\n")
_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


class HttpError(Exception):
    """A request is malformed or too large: it is answered with a status, and the connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request; names of headers in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    length: int | None
    keep: bool

    @property
    def path(self) -> str:
        """The decoded path."""
        try:
            return unquote(self.target.partition("?")[0], errors="strict")
        except UnicodeDecodeError:
            raise HttpError(400, "expected a path in UTF-8, got other bytes") from None

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of a name that comes twice the last value."""
        text = self.target.partition("?")[2]
        if not text:
            return {}
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS)
        except ValueError:
            raise HttpError(400, "expected a query in UTF-8, got something else") from None
        return dict(pairs)


def parse_head(data: bytes) -> Head:
    """Return the head of a request, without the empty line that ends it; a `length` of None stands for chunks.

    Raises: HttpError.
    """
    first, *lines = data.split(b"\r\n")
    found = _LINE.fullmatch(first)
    if found is None:
        raise HttpError(400, "expected a request line of HTTP/1.1, got something else")
    if len(lines) > HEADERS:
        raise HttpError(431, f"expected at most {HEADERS} headers, got {len(lines)}")
    headers = _headers(lines)
    close = "close" in headers.get("connection", "").lower()
    keep = found[3] == b"1" and not close
    return Head(found[1].decode(), found[2].decode(), headers, _length(headers), keep)


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.fullmatch(line)
        if match is None:
            raise HttpError(400, "expected a header, got something else")
        name, value = match[1].decode().lower(), match[2].decode("latin-1").rstrip(" \t")
        if name in headers and name in ("content-length", "transfer-encoding", "host", "x-vault-token"):
            raise HttpError(400, f"expected one header {name}, got two")
        headers[name] = value
    return headers


def _length(headers: Mapping[str, str]) -> int | None:
    """Return the length of the body, None for chunks."""
    text, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None:
        if text is not None or coding.lower() != "chunked":
            raise HttpError(400, "expected a body in chunks or of a length, got both or another coding")
        return None
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise HttpError(400, "expected a length in digits, got something else")
    if int(text) > BODY_BYTES:
        raise HttpError(413, f"expected a body of at most {BODY_BYTES} bytes, got {int(text)}")
    return int(text)


class Chunks:
    """Collect a body that comes in chunks."""

    def __init__(self) -> None:
        self.body = bytearray()

    def feed(self, buffer: bytearray) -> bool:
        """Take whole chunks off the front of a buffer; tell whether the last one came.

        Raises: HttpError.
        """
        while True:
            head = _CHUNK.match(buffer)
            if head is None:
                if len(buffer) > 512 or (b"\r\n" in buffer):
                    raise HttpError(400, "expected the size of a chunk, got something else")
                return False
            size = int(head[1], 16)
            if len(self.body) + size > BODY_BYTES:
                raise HttpError(413, f"expected a body of at most {BODY_BYTES} bytes, got more")
            end = head.end() + size + 2
            if len(buffer) < end:
                return False
            if buffer[end - 2 : end] != b"\r\n":
                raise HttpError(400, "expected the end of a chunk, or no trailers, got something else")
            self.body += buffer[head.end() : end - 2]
            del buffer[:end]
            if size == 0:
                return True


def response(status: int, media_type: str, body: bytes, *, keep: bool, bodyless: bool = False) -> bytes:
    """Return the bytes of a response."""
    reason = _REASONS.get(status, b"Status")
    kind = f"Content-Type: {media_type}\r\n" if body else ""
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
    end = "" if keep else "Connection: close\r\n"
    head = f"{kind}{length}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{end}\r\n"
    return b"HTTP/1.1 %d %s\r\n%s%s" % (status, reason, head.encode("ascii"), b"" if bodyless else body)
