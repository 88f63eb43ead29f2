"""One request on its way through the service, with all that its handler may need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keystore.access.acl import Acl
from keystore.access.token import Token
from keystore.barrier.overlay import View
from keystore.engines.request import Operation
from keystore.service.core import Core
from keystore.service.message import Inbound
from keystore.service.traffic import Flight
from keystore.service.workshop import Workshop


@dataclass(kw_only=True, slots=True)
class Call:
    """A request; `view` is set where the store is unsealed, `token` and `acl` where the caller showed a token."""

    core: Core
    inbound: Inbound
    id: str
    moment: datetime
    operation: Operation
    path: str
    data: Mapping[str, Any]
    wrap_s: int = 0
    token: Token | None = None
    acl: Acl | None = None
    last_use: bool = False
    audited: bool = False
    mount_type: str = ""
    issued: Token | None = None
    flight: Flight | None = field(default=None, repr=False)
    workshop: Workshop = field(default_factory=Workshop, repr=False)
    _view: View | None = field(default=None)

    def begin_again(self, moment: datetime, operation: Operation) -> None:
        """Forget what was found and changed; what was made beside stays."""
        self.moment, self.operation = moment, operation
        self.token = self.acl = self.issued = self._view = None
        self.last_use = False

    @property
    def now(self) -> int:
        """The time in seconds since 1970."""
        return int(self.moment.timestamp())

    @property
    def view(self) -> View:
        """What the request reads and changes.

        Raises: RequestError of status 503 while sealed.
        """
        if self._view is None:
            self._view = self.core.open.view()
        return self._view

    @property
    def touched(self) -> View | None:
        """The view, if one was needed."""
        return self._view

    @property
    def caller(self) -> Token:
        """The token of the caller; only what demands one asks for it."""
        assert self.token is not None
        return self.token
