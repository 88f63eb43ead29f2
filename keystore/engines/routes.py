"""Which handler answers which path of an engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from keystore.engines.body import Body
from keystore.engines.request import Answer, Operation, Records, Request, RequestError


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request on its way to its handler: its fields, the parts of its path, and the mount's records."""

    request: Request = field(repr=False)
    records: Records
    body: Body
    parts: Mapping[str, str]

    @property
    def now(self) -> datetime:
        """The time of the request."""
        return self.request.now


Handler: TypeAlias = Callable[[Call], Answer]


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A form of path and its handlers; a create goes to the update's handler where it has none of its own."""

    path: re.Pattern[str]
    handlers: Mapping[Operation, Handler]


def route(path: str, **handlers: Handler) -> Route:
    """Return the route of a path in which '{name}' stands for a key or role name and other parts are as written.

    A trailing '{name?}' may be absent with its slash. Handlers are named by their operation.
    """
    pattern = re.sub(r"/\{(\w+)\?\}", r"(?:/(?P<\1>[^/]+))?", path)
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
    return Route(path=re.compile(pattern), handlers={Operation(name): act for name, act in handlers.items()})


def dispatch(routes: Sequence[Route], request: Request, records: Records) -> Answer:
    """Answer a request by the first route that fits its path.

    Raises: RequestError, with status 404 for no such path and 405 for an operation that the path does not have.
    """
    for found in routes:
        matched = found.path.fullmatch(request.path)
        if matched is not None:
            return _handler(found, request.operation)(_call(request, records, matched))
    raise RequestError("unsupported path", status=404)


def _handler(found: Route, operation: Operation) -> Handler:
    handler = found.handlers.get(operation)
    if handler is None and operation is Operation.CREATE:
        handler = found.handlers.get(Operation.UPDATE)
    if handler is None:
        raise RequestError("unsupported operation", status=405)
    return handler


def _call(request: Request, records: Records, matched: re.Match[str]) -> Call:
    parts = {name: text for name, text in matched.groupdict().items() if text is not None}
    return Call(request=request, records=records, body=Body(fields=request.data), parts=parts)
