"""The HTTP side of serving: one thread for each connection, bodies copied by the kernel, nothing ever written.

Source: RFC 9110 (range requests, conditional requests, authentication).
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import ssl
import sys
import threading
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import AF_INET, AF_INET6
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bundler.errors import HostError, IntegrityError
from bundler.serve.resource import OpenBundle, Resource
from bundler.serve.routes import Routes
from bundler.serve.wheels import HTML, JSON

_MOST_CONNECTIONS = 256
_IDLE_S = 60.0
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """Where a server listens and whom it answers: `token` is what a client must show, empty for anybody."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    token: str = ""

    def __repr__(self) -> str:
        return f"Listening(host={self.host!r}, port={self.port})"


class Server(ThreadingHTTPServer):
    """Serves one bundle until it is shut down; more than 256 connections at once wait."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, bundle: OpenBundle, routes: Routes, listening: Listening) -> None:
        self.address_family = AF_INET6 if ":" in listening.host else AF_INET
        self.bundle = bundle
        self.routes = routes
        self.token = listening.token.encode()
        self._slots = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._tls = _context(listening)
        try:
            super().__init__((listening.host, listening.port), _Handler)
        except OSError as error:
            place = f"{listening.host}:{listening.port}"
            raise HostError(f"cannot listen: {error.strerror}", place=place, hint="choose another --listen") from error

    @property
    def url(self) -> str:
        """Where clients find it."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if self.address_family == AF_INET6 else str(host)
        return f"{'https' if self._tls else 'http'}://{name}:{port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, when one of the slots is free."""
        self._slots.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Do the handshake in the connection's own thread, where a slow client holds up nobody."""
        try:
            request.settimeout(_IDLE_S)
            wrapped = self._tls.wrap_socket(request, server_side=True) if self._tls else request
            super().process_request_thread(wrapped, client_address)
        except OSError as error:
            _log.info("%s: no connection: %s", client_address[0], error)
            self.shutdown_request(request)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a client that went away in one line; anything else is a mistake of ours."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            _log.info("%s: went away: %s", client_address[0], error)
        else:
            _log.error("%s: %r", client_address[0], error)


def _context(listening: Listening) -> ssl.SSLContext | None:
    if listening.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listening.certificate, listening.key)
    except OSError as error:
        raise HostError(
            f"expected a certificate and its key in PEM: {error.strerror or error}", place=str(listening.certificate)
        ) from error
    return context


class _Handler(BaseHTTPRequestHandler):
    """One connection: GET and HEAD of what the bundle holds."""

    server: Server
    protocol_version = "HTTP/1.1"
    # Otherwise the end of each body waits for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def version_string(self) -> str:
        """Say who answers, without versions."""
        return "ferry"

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not self._may_enter():
            self._refuse(HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="ferry"'})
            return
        resource = self._find()
        if resource is None:
            self._refuse(HTTPStatus.NOT_FOUND, "NOT_FOUND", {})
            return
        try:
            self.server.bundle.check_same()
            self._give(resource, body=body)
        except IntegrityError as error:
            _log.error("error: %s", error)
            self.close_connection = True

    def _may_enter(self) -> bool:
        if not self.server.token:
            return True
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        secret = given.strip().encode()
        if scheme.lower() == "basic":
            try:
                _, _, secret = b64decode(secret, validate=True).partition(b":")
            except (Base64Error, ValueError):
                return False
        return scheme.lower() in ("basic", "bearer") and hmac.compare_digest(secret, self.server.token)

    def _find(self) -> Resource | None:
        parts = urlsplit(self.path)
        # apt asks for `./Packages` below a repository.
        path = unquote(parts.path, errors="replace").replace("/./", "/")
        if parts.path.startswith("/v2/") and (space := parse_qs(parts.query).get("ns")):
            # containerd names the registry for which we stand in.
            found = self.server.routes.plain.get(f"/v2/{space[0]}/{path.removeprefix('/v2/')}")
            if found is not None:
                return found
        if JSON in self.headers.get("Accept", "") and path in self.server.routes.as_json:
            return self.server.routes.as_json[path]
        return self.server.routes.plain.get(path)

    def _give(self, resource: Resource, *, body: bool) -> None:
        tag = f'"{resource.sha256}"' if resource.sha256 else ""
        if tag and tag in self.headers.get("If-None-Match", ""):
            self._head(HTTPStatus.NOT_MODIFIED, resource, 0, {})
            return
        start, end = self._range(resource, tag)
        if start >= resource.size > 0:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                "RANGE_INVALID",
                {"Content-Range": f"bytes */{resource.size}"},
            )
            return
        part = (start, end) != (0, resource.size)
        shown = {"Content-Range": f"bytes {start}-{end - 1}/{resource.size}"} if part else {}
        self._head(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, resource, end - start, shown)
        if body:
            self._send(resource, start, end - start)

    def _range(self, resource: Resource, tag: str) -> tuple[int, int]:
        """Return from where to where is asked for; several ranges at once get the whole."""
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        condition = self.headers.get("If-Range", tag)
        if match is None or not any(match.groups()) or condition != tag:
            return 0, resource.size
        first, last = match.groups()
        if not first:
            return max(0, resource.size - int(last)), resource.size
        end = min(int(last) + 1, resource.size) if last else resource.size
        return (int(first), end) if int(first) < end or int(first) >= resource.size else (0, resource.size)

    def _head(self, status: HTTPStatus, resource: Resource, length: int, more: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", resource.media_type)
        if status is not HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if resource.sha256:
            self.send_header("ETag", f'"{resource.sha256}"')
        if resource.media_type in (HTML, JSON):
            self.send_header("Vary", "Accept")
        for name, value in {**(resource.headers or {}), **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, resource: Resource, start: int, count: int) -> None:
        bundle = self.server.bundle
        if resource.data is not None or isinstance(self.connection, ssl.SSLSocket):
            for piece in bundle.pieces(resource, start, count):
                self.wfile.write(piece)
            return
        self.wfile.flush()
        if count:
            bundle.send(self.connection, resource, start, count)

    def _refuse(self, status: HTTPStatus, code: str, headers: dict[str, str]) -> None:
        data = json.dumps({"errors": [{"code": code, "message": status.phrase.lower()}]}).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Tell of a request, with nothing in it that a terminal would obey, and without its query."""
        # A request that could not be read has no path.
        path = getattr(self, "path", "-").partition("?")[0][:200]
        shown = "".join(one if one.isprintable() else "?" for one in path)
        status = code.value if isinstance(code, HTTPStatus) else code
        _log.info("%s %s %s %s", self.client_address[0], self.command or "-", shown, status)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name in the base class)
        """Tell of a bad request in the same way."""
        text = format % args
        _log.info("%s %s", self.client_address[0], "".join(one if one.isprintable() else "?" for one in text[:200]))
