"""The key/value engine of version 2: every write is a version that can be deleted, brought back and destroyed.

Source: "KV secrets engine, version 2" of the Vault HTTP API documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keystore.access import field
from keystore.engines import kv2metadata
from keystore.engines.kv2metadata import CONFIG, METADATA, Config, Metadata
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Operation, Records, Request, RequestError

DATA = "data/"
_DEPTH_MOST = 100


class Kv2:
    """Answer for one mount."""

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (
            offer("config", Operation.READ, Operation.UPDATE),
            *(offer(f"{kind}/{{path}}", *handlers) for kind, handlers in _ROUTES.items()),
        )

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether the secret of a path has metadata."""
        kind, _, name = path.partition("/")
        if kind == "config":
            return records.get(CONFIG) is not None
        return bool(name) and records.get(METADATA + name) is not None

    def handle(self, request: Request, records: Records) -> Answer:
        """Answer a request by the first word of its path.

        Raises: RequestError.
        """
        kind, _, name = request.path.partition("/")
        if kind == "config" and not name:
            return kv2metadata.configure(request, records)
        if kind not in _ROUTES:
            raise RequestError(f"unsupported path {request.path!r}", status=404)
        if not name and request.operation is not Operation.LIST:
            raise RequestError("unsupported operation", status=405)
        handler = _ROUTES[kind].get(request.operation)
        if handler is None:
            raise RequestError("unsupported operation", status=405)
        return handler(request, records, name)


def _read(request: Request, records: Records, name: str) -> Answer:
    metadata, number = _version(request, records, name)
    shown = metadata.shown(number)
    if metadata.gone(number, request.now):
        raise RequestError("", status=404, data={"data": None, "metadata": shown})
    return Answer(data={"data": _content(records, name, number), "metadata": shown})


def _version(request: Request, records: Records, name: str) -> tuple[Metadata, int]:
    """Return the metadata of a secret, and the version that is asked for.

    Raises: RequestError of status 404 where there is none.
    """
    metadata = Metadata.read(records, name)
    number = field.whole(request.data, "version") or (metadata.current if metadata else 0)
    if metadata is None or str(number) not in metadata.versions:
        raise RequestError("", status=404)
    return metadata, number


def _content(records: Records, name: str, number: int) -> dict[str, Any]:
    found = records.get(f"{DATA}{name}/{number}")
    return {} if found is None else dict(json.loads(found))


def _write(request: Request, records: Records, name: str) -> Answer:
    data = request.data.get("data")
    if data is None:
        raise RequestError("no data provided")
    if not isinstance(data, dict):
        raise RequestError("data: expected an object, got something else")
    metadata = Metadata.read(records, name) or Metadata.new(request.now)
    _check_cas(request, records, metadata)
    return _keep(records, name, metadata, data, request.now)


def _patch(request: Request, records: Records, name: str) -> Answer:
    patch = request.data.get("data")
    if not isinstance(patch, dict):
        raise RequestError("no data provided")
    metadata = Metadata.read(records, name)
    if metadata is None or not metadata.current:
        raise RequestError("", status=404)
    _check_cas(request, records, metadata)
    if metadata.gone(metadata.current, request.now):
        raise RequestError("", status=404, data={"data": None, "metadata": metadata.shown(metadata.current)})
    merged = merge(_content(records, name, metadata.current), patch)
    return _keep(records, name, metadata, merged, request.now)


def merge(target: Any, patch: Any) -> Any:
    """Return a JSON value with a merge patch applied: null removes. Source: RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value)
    return found


def _check_cas(request: Request, records: Records, metadata: Metadata) -> None:
    options = field.table(request.data, "options")
    if options.get("cas") is None:
        if metadata.cas_required or Config.read(records).cas_required:
            raise RequestError("check-and-set parameter required for this call")
        return
    if field.whole(options, "cas") != metadata.current:
        raise RequestError("check-and-set parameter did not match the current version")


def _keep(records: Records, name: str, metadata: Metadata, data: Mapping[str, Any], now: datetime) -> Answer:
    config = Config.read(records)
    for number in metadata.add(now, config):
        records.delete(f"{DATA}{name}/{number}")
    records.put(f"{DATA}{name}/{metadata.current}", json.dumps(data).encode())
    metadata.write(records, name)
    return Answer(data=metadata.shown(metadata.current))


def _delete_latest(request: Request, records: Records, name: str) -> Answer:
    metadata = Metadata.read(records, name)
    if metadata is not None and metadata.current:
        metadata.delete([metadata.current], request.now)
        metadata.write(records, name)
    return Answer()


def _numbers(request: Request) -> list[int]:
    found = request.data.get("versions")
    if isinstance(found, str):
        found = [part.strip() for part in found.split(",") if part.strip()]
    if not isinstance(found, list) or not found:
        raise RequestError("No version number provided")
    return [field.whole({"versions": one}, "versions") for one in found]


def _delete(request: Request, records: Records, name: str) -> Answer:
    numbers = _numbers(request)
    if (metadata := Metadata.read(records, name)) is not None:
        metadata.delete(numbers, request.now)
        metadata.write(records, name)
    return Answer()


def _undelete(request: Request, records: Records, name: str) -> Answer:
    numbers = _numbers(request)
    if (metadata := Metadata.read(records, name)) is not None:
        metadata.undelete(numbers)
        metadata.write(records, name)
    return Answer()


def _destroy(request: Request, records: Records, name: str) -> Answer:
    numbers = _numbers(request)
    if (metadata := Metadata.read(records, name)) is not None:
        for number in metadata.destroy(numbers):
            records.delete(f"{DATA}{name}/{number}")
        metadata.write(records, name)
    return Answer()


def _subkeys(request: Request, records: Records, name: str) -> Answer:
    metadata, number = _version(request, records, name)
    shown = metadata.shown(number)
    if metadata.gone(number, request.now):
        raise RequestError("", status=404, data={"subkeys": None, "metadata": shown})
    depth = field.whole(request.data, "depth") or _DEPTH_MOST
    return Answer(data={"subkeys": _outline(_content(records, name, number), depth), "metadata": shown})


def _outline(value: Any, depth: int) -> Any:
    """Return the keys of an object without their values."""
    if not isinstance(value, dict) or not value or depth == 0:
        return None
    return {key: _outline(inner, depth - 1) for key, inner in value.items()}


def _list(request: Request, records: Records, name: str) -> Answer:
    found = records.names(METADATA + (f"{name}/" if name else ""))
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def _read_metadata(request: Request, records: Records, name: str) -> Answer:
    metadata = Metadata.read(records, name)
    if metadata is None:
        raise RequestError("", status=404)
    return Answer(data=metadata.described())


def _write_metadata(request: Request, records: Records, name: str) -> Answer:
    metadata = Metadata.read(records, name) or Metadata.new(request.now)
    metadata.change(request.data, request.now)
    metadata.write(records, name)
    return Answer()


def _patch_metadata(request: Request, records: Records, name: str) -> Answer:
    metadata = Metadata.read(records, name)
    if metadata is None:
        raise RequestError("", status=404)
    custom = request.data.get("custom_metadata")
    data = dict(request.data)
    if isinstance(custom, dict):
        data["custom_metadata"] = merge(metadata.custom or {}, custom)
    metadata.change(data, request.now)
    metadata.write(records, name)
    return Answer()


def _delete_metadata(request: Request, records: Records, name: str) -> Answer:
    metadata = Metadata.read(records, name)
    if metadata is not None:
        for number in metadata.versions:
            records.delete(f"{DATA}{name}/{number}")
        records.delete(METADATA + name)
    return Answer()


Handler = Callable[[Request, Records, str], Answer]
_ROUTES: Mapping[str, Mapping[Operation, Handler]] = {
    "data": {
        Operation.READ: _read,
        Operation.CREATE: _write,
        Operation.UPDATE: _write,
        Operation.PATCH: _patch,
        Operation.DELETE: _delete_latest,
    },
    "metadata": {
        Operation.LIST: _list,
        Operation.READ: _read_metadata,
        Operation.CREATE: _write_metadata,
        Operation.UPDATE: _write_metadata,
        Operation.PATCH: _patch_metadata,
        Operation.DELETE: _delete_metadata,
    },
    "delete": {Operation.CREATE: _delete, Operation.UPDATE: _delete},
    "undelete": {Operation.CREATE: _undelete, Operation.UPDATE: _undelete},
    "destroy": {Operation.CREATE: _destroy, Operation.UPDATE: _destroy},
    "subkeys": {Operation.READ: _subkeys},
}
