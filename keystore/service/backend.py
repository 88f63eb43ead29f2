"""Hand a request to the engine, or the way to log in, that is mounted at its path, and its answer back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keystore.access.login import Attempt, Check, Login
from keystore.engines.request import Answer, Request, RequestError
from keystore.service import engines, leases, mounts
from keystore.service.call import Call
from keystore.service.message import Response, Slow
from keystore.service.mounts import Mount
from keystore.service.records import MountRecords
from keystore.service.tokens import Issue, auth_of, issue, kind_of, least

_SUDO = ("token/accessors", "token/create-orphan", "token/revoke-orphan", "token/tidy")


@dataclass(frozen=True, slots=True)
class Backend:
    """A mount and the path below it."""

    mount: Mount
    path: str
    engine: Any

    @property
    def open(self) -> bool:
        """Whether the path needs no token: that of a login, or what an engine gives to everyone, such as its CRL."""
        is_open = getattr(self.engine, "is_open", None)
        return is_open is not None and bool(is_open(self.path))

    @property
    def unchecked(self) -> bool:
        """Tell that policies count for everything that is mounted."""
        return False

    def exists(self, call: Call) -> bool:
        """Tell whether a write would change something, and not create it."""
        return bool(self.engine.exists(self.path, self.records(call)))

    def sudo(self, call: Call) -> bool:
        """Tell whether the path demands the capability sudo."""
        return self.mount.login and (self.mount.path + self.path) in _SUDO

    def records(self, call: Call) -> MountRecords:
        """Return the records of the mount."""
        return MountRecords(call.view, self.mount.prefix)

    def handle(self, call: Call) -> Response | Slow:
        """Let the engine answer.

        Raises: RequestError.
        """
        call.mount_type = self.mount.type
        if self.mount.type == "cubbyhole" and call.caller.batch:
            raise RequestError('cubbyhole operations are only supported by "service" type tokens')
        if self.mount.type == "token":
            return self.engine.answer(call, self.path)  # type: ignore[no-any-return]
        request = Request(
            operation=call.operation,
            path=self.path,
            now=call.moment,
            data=call.data,
            token=call.token.id if call.token else "",
            user=call.token.display_name if call.token else "",
            identity=call.token.identity if call.token else "",
            entity=call.token.entity if call.token else "",
            beside=call.workshop,
            default_ttl_s=self.mount.ttl_s,
            max_ttl_s=self.mount.max_ttl_s,
        )
        if self.mount.login:
            return self._log_in(call, request)
        return self._response(call, self.engine.handle(request, self.records(call)))

    def _response(self, call: Call, answer: Answer) -> Response:
        made = Response(status=answer.status or 0, data=answer.data, warnings=list(answer.warnings), raw=answer.raw)
        if answer.lease is not None:
            made.lease_s, made.renewable = answer.lease.ttl_s or self.mount.ttl_s, answer.lease.renewable
            if answer.lease.path is not None:
                kept = leases.keep(call.view, self.mount, call.path, answer.lease, call.token, call.now)
                made.lease_id, made.lease_s = kept.id, kept.ttl_s
                call.core.open.expiry.lease(kept.expires, kept.id)
        return made

    def _log_in(self, call: Call, request: Request) -> Response | Slow:
        store = call.core.open.store
        attempt = Attempt(
            request=request, remote=call.inbound.remote, certificate=call.inbound.certificate, mac=store.mac
        )
        guessed = f"login {self.mount.route} {self.engine.alias(attempt)}" if self.open else ""
        if guessed:
            call.core.backoff.check(guessed)
        try:
            result = self.engine.handle(attempt, self.records(call))
        except RequestError:
            if guessed:
                call.core.backoff.failed(guessed)
            raise
        if isinstance(result, Check):
            return Slow(result.work, lambda passed: self._checked(call, result, guessed, passed=passed))
        if isinstance(result, Login):
            return self._logged_in(call, result, guessed)
        return self._response(call, result)

    def _checked(self, call: Call, check: Check, guessed: str, *, passed: bool) -> Response:
        if not passed:
            call.core.backoff.failed(guessed)
            raise RequestError("invalid username or password", status=400)
        return self._logged_in(call, check.passed(), guessed)

    def _logged_in(self, call: Call, login: Login, guessed: str) -> Response:
        call.core.backoff.succeeded(guessed)
        settings = login.settings
        entity = call.core.open.store.mac("entity", f"{self.mount.accessor}\0{login.alias}".encode()).hex()
        shaped = f"{entity[:8]}-{entity[8:12]}-{entity[12:16]}-{entity[16:20]}-{entity[20:32]}"
        secret, token, warnings = issue(
            call,
            Issue(
                path=call.path,
                policies=settings.token_policies,
                no_default_policy=settings.token_no_default_policy,
                display_name=login.display_name,
                meta=dict(login.metadata),
                ttl_s=settings.token_ttl or self.mount.ttl_s,
                max_ttl_s=least(settings.token_max_ttl, self.mount.max_ttl_s),
                longest_s=self.mount.max_ttl_s,
                kind=kind_of("", settings.token_type, self.mount.token_type),
                explicit_max_ttl_s=settings.token_explicit_max_ttl,
                period_s=settings.token_period,
                num_uses=settings.token_num_uses,
                cidrs=settings.token_bound_cidrs,
                mount=self.mount.route,
                entity=shaped,
                alias=login.alias,
            ),
        )
        call.token = token
        return Response(auth=auth_of(secret, token, call.now), warnings=warnings)


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A path where nothing is mounted; who may not ask for it does not learn that."""

    open: bool = False
    unchecked: bool = False

    def exists(self, call: Call) -> bool:
        """Tell that a write would be an update."""
        return True

    def sudo(self, call: Call) -> bool:
        """Tell that the path demands nothing more."""
        return False

    def handle(self, call: Call) -> Response:
        """Refuse.

        Raises: RequestError of status 404.
        """
        raise RequestError(f'no handler for route "{call.path}". route entry not found.', status=404)


def target(call: Call) -> Backend | Nowhere:
    """Return what is mounted at the path of a request."""
    mount = mounts.find(call.view, call.path)
    if mount is None or mount.type == "system":
        return Nowhere()
    engine = engines.of_mount(mount, call.core.seal.profile)
    return Backend(mount, (call.path + "/")[len(mount.route) :].rstrip("/"), engine)
