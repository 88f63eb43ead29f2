"""Carry a request through: understand, know the caller, allow, audit, do, keep, audit the answer, answer."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, Protocol

from keystore.access.acl import Demand
from keystore.engines.request import Operation, RequestError
from keystore.errors import KeystoreError, StoreError
from keystore.service import auditevent, backend, identity, inbound, wrapping
from keystore.service.call import Call
from keystore.service.core import Core
from keystore.service.log import CORE
from keystore.service.message import Inbound, Reply, Response, Slow, refusal
from keystore.service.system import routes
from keystore.service.workshop import NeedsWork

Respond = Callable[[Reply], None]
DENIED = "permission denied"
KEYS_WAITING = 64
"""How many requests may wait for keys that are made beside the loop."""
_DENIED_HERE = "1 error occurred:\n\t* permission denied\n\n"


class Target(Protocol):
    """What answers a path: a route of sys/, or the engine that is mounted there."""

    @property
    def open(self) -> bool:
        """Whether it needs no token."""

    @property
    def unchecked(self) -> bool:
        """Whether any token will do."""

    def exists(self, call: Call) -> bool:
        """Tell whether a write would change something, and not create it."""

    def sudo(self, call: Call) -> bool:
        """Tell whether the path demands the capability sudo."""

    def handle(self, call: Call) -> Response | Slow:
        """Do what is asked.

        Raises: KeystoreError.
        """


class Dispatcher:
    """Answer requests one after the other; what takes long, and the disk, run beside."""

    def __init__(self, core: Core, slow: Executor, keys: Executor) -> None:
        self._core = core
        self._slow = slow
        self._keys = keys
        self._waiting = 0

    def handle(self, request: Inbound, respond: Respond) -> None:
        """Carry out a request; `respond` is called once, now or later, in this thread."""
        call: Call | None = None
        flight, respond = self._core.traffic.begin(request, respond)
        try:
            call = self._understand(request)
            call.flight, flight.id = flight, call.id
            result = self._attempt(call)
        except KeystoreError as error:
            result = refused(error)
        except Exception as error:  # noqa: BLE001 (one fault of ours must leave neither a client waiting nor half a change)
            result = self._broken(call, error)
        self._settle(call, result, respond)

    def _attempt(self, call: Call) -> Response | Slow:
        """Carry a request out; where it needs work that takes long, say so, and begin it again after that.

        Others are answered meanwhile, so nothing that was found or changed before the work may count after it.
        """
        try:
            return self._begin(call)
        except NeedsWork as needed:
            name = needed.name
            call.begin_again(call.moment, inbound.operation_of(call.inbound))
            if self._waiting >= KEYS_WAITING:
                raise RequestError("too many keys are being made: try again later", status=429) from None
            return Slow(needed.work, lambda made: self._again(call, name, made), key=True)

    def _again(self, call: Call, name: str, made: object) -> Response | Slow:
        call.workshop.keep(name, made)
        call.begin_again(self._core.now(), call.operation)
        return self._attempt(call)

    def _broken(self, call: Call | None, error: Exception) -> Response:
        """Tell the operator where the fault is, and never what was in the request."""
        if call is not None and call.touched is not None:
            call.touched.drop()
        last = traceback.extract_tb(error.__traceback__)[-1]
        fault = f"fault: {type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        self._core.log.error(CORE, fault)
        return refusal(500, "internal error")

    def _understand(self, request: Inbound) -> Call:
        if request.namespace.strip("/") not in ("", "root"):
            raise RequestError("namespaces are not supported", status=404)
        operation = inbound.operation_of(request)
        return Call(
            core=self._core,
            inbound=request,
            id=str(uuid.uuid4()),
            moment=self._core.now(),
            operation=operation,
            path=inbound.path_of(request),
            data=inbound.data_of(request, operation),
            wrap_s=inbound.wrap_of(request),
        )

    def _begin(self, call: Call) -> Response | Slow:
        route = routes.find(call) if call.path.startswith("sys/") else None
        if route is not None and route.free:
            return route.handle(call)
        self._core.limiter.check(call.view, call.path, call.inbound.remote, self._core.clock())
        target: Target = route or backend.target(call)
        call.token = identity.caller(call)
        if call.flight is not None:
            call.flight.token = call.token
        if not target.open:
            self._allow(call, target)
        self._audit_request(call)
        return self._carry_out(call, target)

    def _allow(self, call: Call, target: Target) -> None:
        """Refuse what the caller's policies do not allow; what is denied is in the audit too."""
        try:
            if call.token is None:
                raise RequestError(DENIED, status=403)
            if call.operation is Operation.UPDATE and not target.exists(call):
                call.operation = Operation.CREATE
            self._check(call, target)
        except KeystoreError as error:
            self._audit_request(call, str(error))
            raise

    def _check(self, call: Call, target: Target) -> None:
        call.acl = identity.acl(call)
        path = call.path + "/" if call.operation is Operation.LIST else call.path
        demand = Demand(operation=call.operation, path=path, data=call.data, wrap_s=call.wrap_s)
        if not target.unchecked and not call.acl.allows(demand, sudo=target.sudo(call)):
            raise RequestError(_DENIED_HERE, status=403)
        identity.use(call)

    def _carry_out(self, call: Call, target: Target) -> Response | Slow:
        """Do what is asked; a refusal leaves nothing behind but the use of the token."""
        used = dict(call.view.changes)
        try:
            return target.handle(call)
        except BaseException:
            call.view.drop()
            call.view.changes.update(used)
            raise

    def _settle(self, call: Call | None, result: Response | Slow, respond: Respond) -> None:
        if isinstance(result, Slow):
            assert call is not None
            self._run_beside(call, result, respond)
            return
        untouched = call is None or (call.touched is None and not call.audited)
        if call is None or untouched or self._core.unsealed is None:
            respond(result.render(call.id if call else str(uuid.uuid4())))
            return
        self._finish(call, result, respond)

    def _run_beside(self, call: Call, slow: Slow, respond: Respond) -> None:
        def done(future: Future[Any]) -> None:
            self._core.loop.call_soon_threadsafe(self._go_on, call, slow, future, respond)

        self._waiting += slow.key
        (self._keys if slow.key else self._slow).submit(slow.work).add_done_callback(done)

    def _go_on(self, call: Call, slow: Slow, future: Future[Any], respond: Respond) -> None:
        self._waiting -= slow.key
        try:
            result = slow.after(future.result())
        except KeystoreError as error:
            result = refused(error)
        except Exception as error:  # noqa: BLE001 (see handle)
            result = self._broken(call, error)
        self._settle(call, result, respond)

    def _finish(self, call: Call, response: Response, respond: Respond) -> None:
        """Keep what changed, and answer when it, and all that the answer tells of, is on the disk."""
        try:
            if call.wrap_s and response.errors is None and not response.empty and response.raw is None:
                response = self._wrapped(call, response)
            if call.last_use:
                identity.revoke(call, call.caller.id)
        except KeystoreError as error:
            response = refused(error)
        call.view.finish(lambda error: self._kept(call, response, error, respond))

    def _wrapped(self, call: Call, response: Response) -> Response:
        tokens = self._core.open.tokens
        document = response.document(call.id)
        info = wrapping.wrap(call.view, tokens, document, path=call.path, ttl_s=call.wrap_s, now=call.now)
        return Response(wrap_info=info)

    def _kept(self, call: Call, response: Response, error: KeystoreError | None, respond: Respond) -> None:
        final = response if error is None else refused(error)
        if call.issued is not None and error is None:
            self._core.traffic.issued(call.issued)
        if call.audited:
            try:
                auditevent.response(call, final)
            except KeystoreError as failure:
                final = refused(failure)
        respond(final.render(call.id))
        if self._core.seal_soon:
            self._core.seal_soon = False
            self._core.close()

    def _audit_request(self, call: Call, refusal_text: str = "") -> None:
        if call.audited:
            return
        call.audited = True
        try:
            auditevent.request(call, refusal_text)
        except KeystoreError:
            call.audited = False
            raise


def refused(error: KeystoreError) -> Response:
    """Return the response of an error."""
    if isinstance(error, RequestError):
        messages = [error.message] if error.message else []
        return refusal(error.status, *messages, data=error.data)
    status = 500 if isinstance(error, StoreError) else 400
    return refusal(status, str(error))
