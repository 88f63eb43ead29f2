"""The cubbyhole: a key/value store of each token's own, gone with the token."""

from __future__ import annotations

import json
from collections.abc import Sequence

from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Operation, Records, Request, RequestError


class Cubbyhole:
    """Answer for the one mount; every path is below the id of the caller's token."""

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (offer("{path}", Operation.READ, Operation.UPDATE, Operation.DELETE, Operation.LIST),)

    def exists(self, path: str, records: Records) -> bool:
        """Tell that nothing exists: whether it does depends on the token, and a cubbyhole needs no such difference."""
        return False

    def handle(self, request: Request, records: Records) -> Answer:
        """Read, write, delete or list.

        Raises: RequestError.
        """
        if not request.token:
            raise RequestError("permission denied", status=403)
        key = f"{request.token}/{request.path}"
        if request.operation is Operation.LIST:
            return _list(records, key if request.path else request.token)
        if not request.path or request.operation is Operation.PATCH:
            raise RequestError("unsupported operation", status=405)
        if request.operation is Operation.READ:
            return _read(records, key)
        if request.operation is Operation.DELETE:
            records.delete(key)
        elif not request.data:
            raise RequestError("missing data fields")
        else:
            records.put(key, json.dumps(request.data).encode())
        return Answer()


def _read(records: Records, key: str) -> Answer:
    found = records.get(key)
    if found is None:
        raise RequestError("", status=404)
    return Answer(data=json.loads(found))


def _list(records: Records, folder: str) -> Answer:
    found = records.names(f"{folder}/")
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})
