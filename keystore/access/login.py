"""What a way to log in is asked and answers: a login is who it was and which token he gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keystore.access.settings import TokenSettings
from keystore.engines.request import Answer, Records, Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Someone proved who he is: `alias` names him within the mount, `settings` are those of the role."""

    alias: str
    display_name: str
    settings: TokenSettings
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A proof that takes long to check: `work` runs beside the service and tells whether it holds."""

    work: Callable[[], bool]
    passed: Callable[[], Login]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A request to a way to log in, and what the connection tells of the caller."""

    request: Request
    remote: str
    certificate: bytes | None
    mac: Callable[[str, bytes], bytes]


class LoginMethod(Protocol):
    """A way to log in; it keeps no state between requests but what is in its records."""

    def is_open(self, path: str) -> bool:
        """Tell whether a path needs no token: that of the login itself."""

    def handle(self, attempt: Attempt, records: Records) -> Answer | Login | Check:
        """Answer a request.

        Raises: RequestError.
        """

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a path names something."""

    def alias(self, attempt: Attempt) -> str:
        """Return whom a login's failures count against."""


def described(settings: TokenSettings) -> dict[str, Any]:
    """Return a role's settings as a read shows them, under the older names too."""
    found = settings.document()
    return {**found, "policies": found["token_policies"]}
