"""A secrets engine mounted in memory, asked directly or through hvac: all changes of a request are kept or none."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import hvac
import requests
from requests.adapters import BaseAdapter

from keystore.engines.request import Answer, Engine, Operation, Request, RequestError

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
URL = "http://engine.invalid"
_OPERATIONS = {"GET": Operation.READ, "DELETE": Operation.DELETE, "LIST": Operation.LIST, "PATCH": Operation.PATCH}


class MemoryRecords:
    """The records of one mount."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    def put(self, key: str, value: bytes) -> None:
        assert isinstance(value, bytes)
        self.kept[key] = value

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)

    def names(self, prefix: str) -> list[str]:
        below = [key.removeprefix(prefix) for key in self.kept if key.startswith(prefix)]
        return sorted({name if "/" not in name else name.partition("/")[0] + "/" for name in below})


class Mounted:
    """An engine, its records and its clock."""

    def __init__(self, engine: Engine, now: datetime = START) -> None:
        self.engine, self.records, self.now = engine, MemoryRecords(), now
        self.identity = ""

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def ask(self, operation: Operation, path: str, data: Mapping[str, object]) -> Answer:
        before = dict(self.records.kept)
        try:
            request = Request(
                operation=operation,
                path=path,
                now=self.now,
                data=data,
                identity=self.identity,
                entity=f"entity-of-{self.identity.replace('/', '-')}" if self.identity else "",
            )
            return self.engine.handle(request, self.records)
        except BaseException:
            self.records.kept = before
            raise

    def read(self, path: str, **data: object) -> Answer:
        return self.ask(Operation.READ, path, data)

    def list(self, path: str) -> list[str]:
        found = self.ask(Operation.LIST, path, {}).data
        assert found is not None
        names = found["keys"]
        assert isinstance(names, list)
        return names

    def delete(self, path: str) -> Answer:
        return self.ask(Operation.DELETE, path, {})

    def write(self, path: str, **data: object) -> Answer:
        known = self.engine.exists(path, self.records)
        return self.ask(Operation.UPDATE if known else Operation.CREATE, path, data)

    def get(self, path: str, **data: object) -> Any:
        """Write and return the data of the answer."""
        return self.write(path, **data).data

    def refusal(self, path: str, **data: object) -> tuple[int, str]:
        """Write, and return status and message of the refusal."""
        return refusal(lambda: self.write(path, **data))


def refusal(act: Any) -> tuple[int, str]:
    """Return status and message of what must be refused."""
    try:
        answer = act()
    except RequestError as error:
        return error.status, error.message
    raise AssertionError(f"expected a refusal, got {answer}")


class EngineTransport(BaseAdapter):
    """Carry hvac's requests to mounted engines, with the status codes and documents of the API."""

    def __init__(self, mounts: Mapping[str, Mounted]) -> None:
        super().__init__()
        self._mounts = mounts

    def send(self, request: requests.PreparedRequest, *_: object, **__: object) -> requests.Response:
        assert request.url is not None
        parts = urllib.parse.urlsplit(request.url)
        mount, _, path = urllib.parse.unquote(parts.path).removeprefix("/v1/").partition("/")
        data = json.loads(request.body) if request.body else dict(urllib.parse.parse_qsl(parts.query))
        mounted = self._mounts[mount]
        operation = _OPERATIONS.get(request.method or "")
        if operation is None:
            known = mounted.engine.exists(path.strip("/"), mounted.records)
            operation = Operation.UPDATE if known else Operation.CREATE
        try:
            return _response(request, mounted.ask(operation, path.strip("/"), data))
        except RequestError as error:
            body: dict[str, object] = {"errors": [error.message] if error.message else []}
            return _json(request, error.status, body if error.data is None else {**body, "data": error.data})

    def close(self) -> None:
        """Hold nothing."""


def client(**mounts: Mounted) -> hvac.Client:
    """Return an hvac client of mounted engines."""
    session = requests.Session()
    session.mount(URL, EngineTransport(mounts))
    return hvac.Client(url=URL, token="t", session=session)


def _response(request: requests.PreparedRequest, answer: Answer) -> requests.Response:
    if answer.raw is not None:
        return _made(request, answer.status or 200, answer.raw.body, answer.raw.media_type)
    if answer.data is None and not answer.warnings:
        return _made(request, answer.status or 204, b"", "text/plain")
    lease = answer.lease.ttl_s if answer.lease else 0
    body = {"request_id": "r", "lease_duration": lease, "data": answer.data, "warnings": list(answer.warnings) or None}
    return _json(request, answer.status or 200, body)


def _json(request: requests.PreparedRequest, status: int, body: Mapping[str, object]) -> requests.Response:
    return _made(request, status, json.dumps(body).encode(), "application/json")


def _made(request: requests.PreparedRequest, status: int, body: bytes, media_type: str) -> requests.Response:
    made = requests.Response()
    made.status_code, made._content, made.url = status, body, request.url or ""
    made.headers["Content-Type"] = media_type
    made.request = request
    return made
