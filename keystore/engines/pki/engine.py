"""The PKI engine: every path that it answers, and who answers it.

Source: the Vault HTTP API documentation, 'PKI secrets engine'. Where this differs, `keystore/FORMAT.md` says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from keystore.engines.offer import Offer, of_routes
from keystore.engines.pki import configuring, founding, issuing, publishing, revoking, roles
from keystore.engines.pki.keys import check_size
from keystore.engines.pki.validity import Limits
from keystore.engines.request import Answer, Records, Request
from keystore.engines.routes import Call, Route, dispatch, route

DEFAULT_TTL_S = 768 * 3600
MAX_TTL_S = 20 * 365 * 86400
_OPEN = re.compile(
    r"ca|ca/pem|ca_chain|crl|crl/pem|cert/[^/]+(/raw(/pem)?)?|issuer/[^/]+/(pem|der|json|crl(/pem|/der)?)"
)


class Pki:
    """Answer requests of one mount; keys are of `default_kind` unless another is asked for."""

    __slots__ = ("_routes",)

    def __init__(
        self, *, default_ttl_s: int = DEFAULT_TTL_S, max_ttl_s: int = MAX_TTL_S, default_kind: str = "rsa"
    ) -> None:
        check_size(default_kind, 0)
        self._routes = _routes(Limits(default_ttl_s=default_ttl_s, max_ttl_s=max_ttl_s), default_kind)

    def handle(self, request: Request, records: Records) -> Answer:
        """Answer a request.

        Raises: RequestError.
        """
        return dispatch(self._routes, request, records)

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return of_routes(self._routes)

    def exists(self, path: str, records: Records) -> bool:
        """Tell that every write updates, as the API has no create here."""
        return True

    def is_open(self, path: str) -> bool:
        """Tell whether everyone may read a path without a token: certificates and lists are no secrets.

        Such a path answers no other operation.
        """
        return _OPEN.fullmatch(path) is not None


def _routes(limits: Limits, default_kind: str) -> Sequence[Route]:
    return (*_authorities(limits, default_kind), *_issuing(limits, default_kind), *_published(), *_configuration())


def _limits(call: Call, own: Limits) -> Limits:
    """Return the times that the mount was tuned to, those of the engine where it was not."""
    return Limits(
        default_ttl_s=call.request.default_ttl_s or own.default_ttl_s,
        max_ttl_s=call.request.max_ttl_s or own.max_ttl_s,
    )


def _authorities(limits: Limits, default_kind: str) -> Sequence[Route]:
    def root(path: str) -> Route:
        return route(path, update=lambda call: founding.generate_root(call, _limits(call, limits), default_kind))

    def intermediate(path: str) -> Route:
        return route(path, update=lambda call: founding.generate_intermediate(call, default_kind))

    def below(path: str) -> Route:
        return route(path, update=lambda call: issuing.sign_intermediate(call, _limits(call, limits)))

    return (
        root("root/generate/{exported}"),
        root("root/rotate/{exported}"),
        root("issuers/generate/root/{exported}"),
        route("root", delete=founding.delete_all),
        below("root/sign-intermediate"),
        below("issuer/{issuer}/sign-intermediate"),
        route("root/sign-self-issued", update=issuing.sign_self_issued),
        intermediate("intermediate/generate/{exported}"),
        intermediate("issuers/generate/intermediate/{exported}"),
        route("intermediate/set-signed", update=founding.take_bundle),
        route("config/ca", update=founding.take_bundle),
        route("issuers/import/bundle", update=founding.take_bundle),
        route("issuers/import/cert", update=founding.take_bundle),
    )


def _issuing(limits: Limits, default_kind: str) -> Sequence[Route]:
    def each(path: str) -> Sequence[Route]:
        """Return the three ways to issue, below a prefix."""
        return (
            route(f"{path}issue/{{role}}", update=lambda call: issuing.issue(call, _limits(call, limits))),
            route(f"{path}sign/{{role}}", update=lambda call: issuing.sign(call, _limits(call, limits))),
            route(
                f"{path}sign-verbatim/{{role?}}", update=lambda call: issuing.sign_verbatim(call, _limits(call, limits))
            ),
        )

    return (
        *each(""),
        *each("issuer/{issuer}/"),
        route("roles", list=roles.list_names),
        route(
            "roles/{role}",
            update=lambda call: roles.write(call, default_kind),
            patch=roles.patch,
            read=roles.read,
            delete=roles.delete,
        ),
        route("revoke", update=revoking.revoke),
        route("certs", list=publishing.list_serials),
        route("certs/revoked", list=revoking.list_revoked),
        route("crl/rotate", read=revoking.rotate),
        route("tidy", update=revoking.tidy),
        route("tidy-status", read=revoking.tidy_status),
    )


def _published() -> Sequence[Route]:
    return (
        route("ca", read=publishing.authority),
        Route(path=re.compile("ca/(?P<form>pem)"), handlers=route("", read=publishing.authority).handlers),
        route("ca_chain", read=publishing.chain),
        route("crl", read=publishing.revocation_list),
        Route(path=re.compile("crl/(?P<form>pem)"), handlers=route("", read=publishing.revocation_list).handlers),
        route("cert/{serial}", read=publishing.read_certificate),
        route("lease/{serial}", delete=revoking.revoke_kept),
        Route(
            path=re.compile("cert/(?P<serial>[^/]+)/raw(?:/(?P<form>pem))?"),
            handlers=route("", read=publishing.read_raw).handlers,
        ),
        Route(
            path=re.compile("issuer/(?P<issuer>[^/]+)/(?P<form>pem|der|json)"),
            handlers=route("", read=publishing.issuer_certificate).handlers,
        ),
        Route(
            path=re.compile("issuer/(?P<issuer>[^/]+)/crl(?:/(?P<form>pem|der))?"),
            handlers=route("", read=publishing.revocation_list).handlers,
        ),
    )


def _configuration() -> Sequence[Route]:
    return (
        route("config/urls", read=configuring.read_urls, update=configuring.write_urls),
        route("config/crl", read=configuring.read_lists, update=configuring.write_lists),
        route("config/issuers", read=configuring.read_default_issuer, update=configuring.write_default_issuer),
        route("config/keys", read=configuring.read_default_key, update=configuring.write_default_key),
        route("issuers", list=configuring.list_issuers),
        route("issuer/{issuer}/revoke", update=revoking.revoke_issuer),
        route(
            "issuer/{issuer}",
            read=configuring.read_issuer,
            update=configuring.write_issuer,
            patch=configuring.write_issuer,
            delete=configuring.delete_issuer,
        ),
        route("keys", list=configuring.list_keys),
        route("key/{key}", read=configuring.read_key, delete=configuring.delete_key),
    )
