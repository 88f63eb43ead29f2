"""The key/value engine of version 1: one value a path, written over.

Source: "KV secrets engine, version 1" of the Vault HTTP API documentation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from keystore.access import duration
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Lease, Operation, Records, Request, RequestError
from keystore.errors import KeystoreError


class Kv1:
    """Answer for one mount."""

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (offer("{path}", Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.LIST),)

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a path has a value."""
        return records.get(path) is not None

    def handle(self, request: Request, records: Records) -> Answer:
        """Read, write, delete or list.

        Raises: RequestError.
        """
        if request.operation is Operation.LIST:
            return _list(records, request.path)
        if not request.path:
            raise RequestError("unsupported operation", status=405)
        if request.operation is Operation.READ:
            return _read(records, request.path)
        if request.operation is Operation.DELETE:
            records.delete(request.path)
            return Answer()
        if request.operation is Operation.PATCH:
            raise RequestError("unsupported operation", status=405)
        if not request.data:
            raise RequestError("missing data fields")
        records.put(request.path, json.dumps(request.data).encode())
        return Answer()


def _read(records: Records, path: str) -> Answer:
    found = records.get(path)
    if found is None:
        raise RequestError("", status=404)
    data = json.loads(found)
    try:
        ttl_s = duration.parse(data.get("ttl", data.get("lease")), "ttl")
    except KeystoreError:
        # The field is the user's own and may hold anything: then it says nothing of a time.
        ttl_s = 0
    return Answer(data=data, lease=Lease(ttl_s=ttl_s, renewable=False))


def _list(records: Records, path: str) -> Answer:
    found = records.names(f"{path}/" if path else "")
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})
