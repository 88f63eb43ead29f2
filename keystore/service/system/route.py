"""One path below sys/, or a folder of paths: which operations it has and who may ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keystore.engines.request import Operation, RequestError
from keystore.service.call import Call
from keystore.service.message import Response

Handler = Callable[[Call, str], Response]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """Operations and their handlers.

    `free` is answered also while sealed, without a token; `open` needs no token, `unchecked` any of any policy.
    """

    handlers: Mapping[Operation, Handler]
    free: bool = False
    open: bool = False
    unchecked: bool = False
    sudo: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """A route and what of the path follows it."""

    route: Route
    rest: str

    @property
    def free(self) -> bool:
        """Whether it is answered also while sealed."""
        return self.route.free

    @property
    def open(self) -> bool:
        """Whether it needs no token."""
        return self.route.open

    @property
    def unchecked(self) -> bool:
        """Whether any token will do."""
        return self.route.unchecked

    def exists(self, call: Call) -> bool:
        """Tell that there is something: a write below sys/ is always an update."""
        return True

    def sudo(self, call: Call) -> bool:
        """Tell whether the path demands the capability sudo."""
        return self.route.sudo

    def handle(self, call: Call) -> Response:
        """Do what is asked.

        Raises: KeystoreError.
        """
        handler = self.route.handlers.get(call.operation)
        if handler is None:
            raise RequestError("unsupported operation", status=405)
        found = handler(call, self.rest)
        found.top = True
        return found


def read(handler: Handler) -> Mapping[Operation, Handler]:
    """Return the operations of a path that can be read alone."""
    return {Operation.READ: handler}


def write(handler: Handler) -> Mapping[Operation, Handler]:
    """Return the operations of a path that can be written alone."""
    return {Operation.UPDATE: handler}
