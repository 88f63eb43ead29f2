"""The signing engine: every path that it answers, and who answers it. `keystore/FORMAT.md` tells the API."""

from __future__ import annotations

import re
from collections.abc import Sequence

from keystore.engines.offer import Offer, of_routes
from keystore.engines.request import Answer, Records, Request, RequestError
from keystore.engines.routes import dispatch, route
from keystore.engines.signing import approving, keys, proposals, signing
from keystore.errors import KeystoreError, UseError

_ROUTES = (
    route("keys", list=keys.list_names),
    route("keys/{name}", create=keys.create, update=keys.refuse_second, read=keys.read),
    route("keys/{name}/use", update=keys.change_use),
    route("keys/{name}/use/propose", update=proposals.propose_use),
    route("keys/{name}/certificates", update=keys.certify),
    route("proposals/{name}", list=proposals.list_digests),
    route("proposals/{name}/{sha256}", update=proposals.propose, read=proposals.read, delete=proposals.delete),
    route("approvals/{name}/{sha256}", update=approving.approve, delete=approving.withdraw),
    route("pending", read=proposals.pending),
    route("pending/{name}", read=proposals.pending),
    route("sign/{name}/{sha256}", update=signing.sign),
)
_KEPT = re.compile(r"keys/[^/]+|proposals/[^/]+/[^/]+")


class Signing:
    """Answer requests of one mount."""

    __slots__ = ()

    def handle(self, request: Request, records: Records) -> Answer:
        """Answer a request; what a use policy does not allow is refused with status 403.

        Raises: RequestError.
        """
        try:
            return dispatch(_ROUTES, request, records)
        except UseError as error:
            told = f"{error}; {error.hint}" if error.hint else str(error)
            raise RequestError(told, status=403) from error
        except RequestError:
            raise
        except KeystoreError as error:
            raise RequestError(str(error)) from error

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return of_routes(_ROUTES)

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a key or a proposal is there; every other write updates."""
        return not _KEPT.fullmatch(path) or records.get(path) is not None
