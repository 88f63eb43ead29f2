"""What comes in and what goes out: a request as the listener parsed it, and a response before it is JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keystore.engines.request import Raw

JSON = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inbound:
    """A request: `path` is decoded and without `/v1/`; `certificate` is the DER of the client's, where TLS asked."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    token: str = field(default="", repr=False)
    wrap_ttl: str = ""
    namespace: str = ""
    remote: str = ""
    certificate: bytes | None = None


@dataclass(kw_only=True, slots=True)
class Response:
    """A response; `plain` replaces the usual form, `top` repeats the data at the top as paths below sys/ do."""

    status: int = 0
    data: Mapping[str, Any] | None = None
    auth: dict[str, Any] | None = None
    wrap_info: dict[str, Any] | None = None
    lease_id: str = ""
    lease_s: int = 0
    renewable: bool = False
    warnings: list[str] = field(default_factory=list)
    errors: list[str] | None = None
    plain: Mapping[str, Any] | None = None
    raw: Raw | None = None
    top: bool = False

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the JSON object of the response."""
        # A version that was deleted is a 404 with what is known of it, and in no other form than an answer.
        if self.errors or (self.errors is not None and self.data is None):
            refused: dict[str, Any] = {"errors": self.errors}
            return refused | ({"data": self.data} if self.data is not None else {})
        found = {
            "request_id": request_id,
            "lease_id": self.lease_id,
            "renewable": self.renewable,
            "lease_duration": self.lease_s,
            "data": self.data,
            "wrap_info": self.wrap_info,
            "warnings": self.warnings or None,
            "auth": self.auth,
        }
        return {**self.data, **found} if self.top and self.data else found

    @property
    def empty(self) -> bool:
        """Whether there is nothing to tell: a 204."""
        told = (self.data, self.auth, self.wrap_info, self.errors, self.plain, self.raw)
        return all(one is None for one in told) and not self.warnings and not self.lease_id

    def render(self, request_id: str) -> Reply:
        """Return status, media type and bytes."""
        if self.raw is not None:
            return Reply(self.status or 200, self.raw.media_type, self.raw.body)
        if self.empty:
            return Reply(self.status or 204, JSON, b"")
        document = self.plain if self.plain is not None else self.document(request_id)
        return Reply(self.status or 200, JSON, json.dumps(document, separators=(",", ":")).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the listener sends."""

    status: int
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Slow:
    """Work that takes long, such as hashing a password: it runs beside the loop, then `after` goes on in it.

    Making a `key` may take many seconds, so logins do not wait behind it.
    """

    work: Callable[[], Any]
    after: Callable[[Any], Any]
    key: bool = False


def refusal(status: int, *messages: str, data: Mapping[str, Any] | None = None) -> Response:
    """Return a response that refuses."""
    return Response(status=status, errors=list(messages), data=data)
