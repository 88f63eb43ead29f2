"""What passes between the service and a secrets engine: a request, an answer, and the mount's own records.

Source: the Vault HTTP API documentation, whose paths, fields and status codes the engines follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from keystore.errors import KeystoreError


class Operation(StrEnum):
    """What is asked of a path; `create` is an update of what does not exist yet."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"
    LIST = "list"


class Records(Protocol):
    """The records of one mount by key ('/' parts them), sealed and kept by the service.

    All changes of one request are kept together or not at all: an engine that raises has changed nothing.
    """

    def get(self, key: str) -> bytes | None:
        """Return a record, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a record under a key, in place of what was there."""

    def delete(self, key: str) -> None:
        """Forget a record, if there is one."""

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix ('' or ending with '/'), sorted; a folder's ends with '/'."""


T = TypeVar("T")


class Beside(Protocol):
    """Do work that takes long, such as making an RSA key, where it keeps nobody waiting, and return what it made."""

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Return what the work of this name made.

        The service answers other requests meanwhile and then carries out this one from its beginning, with the same
        result for the same name: what was changed before is forgotten, so ask for the work before anything else.
        """


def at_once(name: str, work: Callable[[], T]) -> T:
    """Do the work here and now."""
    return work()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request to an engine, already authenticated and allowed.

    `path` is relative to the mount, without a slash at either end; `data` is the JSON body or the query, parsed.
    `token` is a stable id of the caller's token (never the token itself), `user` its display name. `identity` names
    who logged in, as 'userpass/alice', and `entity` is its id; both are empty for a token that no login gave. The
    times are what the mount was tuned to, 0 where it was not.
    """

    operation: Operation
    path: str
    now: datetime
    data: Mapping[str, object] = field(default_factory=dict)
    token: str = ""
    user: str = ""
    identity: str = ""
    entity: str = ""
    beside: Beside = field(default=at_once, repr=False)
    default_ttl_s: int = 0
    max_ttl_s: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A promise to take a secret back: after `ttl_s` seconds the engine is asked to `delete` `path`, if it has one."""

    ttl_s: int
    renewable: bool = False
    path: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Raw:
    """An answer that is not JSON, such as a CRL in DER."""

    body: bytes
    media_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What an engine answers: `data` of the response, or nothing (204), or `raw`."""

    data: Mapping[str, object] | None = None
    warnings: tuple[str, ...] = ()
    lease: Lease | None = None
    raw: Raw | None = None
    status: int | None = None


class RequestError(KeystoreError):
    """A request is refused: `status` is the HTTP status (400, 403, 404, 405, 412 ...), the message what was wrong.

    `data` accompanies the refusal where the API says so (a deleted version of a KV v2 secret is a 404 with data).
    """

    def __init__(self, message: str, *, status: int = 400, data: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.data = data


class Engine(Protocol):
    """A secrets engine; it keeps no state between requests but what is in its records."""

    def handle(self, request: Request, records: Records) -> Answer:
        """Answer a request.

        Raises: RequestError.
        """

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a path names something, so that a write to it is an update and not a create."""
