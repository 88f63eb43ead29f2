"""The transit engine: every path that it answers, and who answers it.

Source: the Vault HTTP API documentation, 'Transit secrets engine'. Where this differs, `keystore/FORMAT.md` says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from keystore.engines.offer import Offer, of_routes
from keystore.engines.request import Answer, Records, Request
from keystore.engines.routes import Route, dispatch, route
from keystore.engines.transit import (
    archive,
    authenticating,
    encrypting,
    exporting,
    importing,
    kinds,
    lifecycle,
    plain,
)

DEFAULT_TYPE = "aes256-gcm96"
_UPSERT = "encrypt/"


class Transit:
    """Answer requests of one mount; `default_type` is that of keys whose maker names none."""

    __slots__ = ("_routes",)

    def __init__(self, default_type: str = DEFAULT_TYPE) -> None:
        kinds.named(default_type)
        self._routes = _routes(default_type)

    def handle(self, request: Request, records: Records) -> Answer:
        """Answer a request.

        Raises: RequestError.
        """
        return dispatch(self._routes, request, records)

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return of_routes(self._routes)

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a write updates: only to encrypt with a key that does not exist is to create it."""
        if not path.startswith(_UPSERT):
            return True
        return archive.known(records, path.removeprefix(_UPSERT))


def _routes(default_type: str) -> Sequence[Route]:
    return (
        route("keys", list=lifecycle.list_names),
        route(
            "keys/{name}",
            update=lambda call: lifecycle.create(call, default_type),
            read=lifecycle.read,
            delete=lifecycle.delete,
        ),
        route("keys/{name}/config", update=lifecycle.configure),
        route("keys/{name}/rotate", update=lifecycle.rotate),
        route("keys/{name}/trim", update=lifecycle.trim),
        route("keys/{name}/import", update=importing.take),
        route("keys/{name}/import_version", update=importing.take_version),
        route("wrapping_key", read=importing.wrapping_key),
        route("encrypt/{name}", update=lambda call: encrypting.encrypt(call, default_type)),
        route("decrypt/{name}", update=encrypting.decrypt),
        route("rewrap/{name}", update=encrypting.rewrap),
        route("datakey/{form}/{name}", update=encrypting.datakey),
        route("sign/{name}/{algorithm?}", update=authenticating.sign),
        route("verify/{name}/{algorithm?}", update=authenticating.verify),
        route("hmac/{name}/{algorithm?}", update=authenticating.mac),
        route("random/{first?}/{second?}", update=plain.random),
        route("hash/{algorithm?}", update=plain.hash_input),
        route("export/{form}/{name}/{version?}", read=exporting.export),
        route("backup/{name}", read=exporting.backup),
        route("restore/{name?}", update=exporting.restore),
    )
