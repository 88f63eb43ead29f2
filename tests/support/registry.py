"""A registry on loopback that asks for tokens or passwords, and fails as it is told."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mirror import Answer

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
USER, PASSWORD = "alice", "open sesame"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: where to, and what it carried."""

    path: str
    authorization: str | None
    range: str | None
    accept: str | None
    form: dict[str, str] = field(default_factory=dict)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


class FakeRegistry:
    """Manifests by `REPOSITORY/TAG-or-digest`, blobs by digest; `faults` are given first, path by path.

    `auth` is "", "basic" or "token"; `refuse` refuses every token; `blobs_at` is a URL that blobs are led to.
    """

    def __init__(self, *, auth: str = "", certificate: Path | None = None) -> None:
        self.auth = auth
        self.refuse = False
        self.anonymous = True
        self.blobs_at = ""
        self.realm = ""
        self.asked: list[Asked] = []
        self.faults: dict[str, list[Answer]] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        self.tokens: list[str] = []
        self.expired: set[str] = set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def put(self, repository: str, tag: str, image: Image) -> str:
        """Hold an image under a tag and its digest; return the digest."""
        self.blobs |= image.blobs
        for name in (tag, image.digest):
            self.manifests[f"{repository}/{name}"] = (image.media_type, image.manifest)
        for child in image.children:
            self.put(repository, child.digest, child)
        return image.digest

    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    def challenge(self) -> str:
        if self.auth == "basic":
            return 'Basic realm="registry"'
        realm = self.realm or f"{self.url}/token"
        return f'Bearer realm="{realm}",service="fake",scope="repository:any:pull"'

    def lets_in(self, authorization: str | None) -> bool:
        if self.auth == "basic":
            return authorization == BASIC
        word, _, token = (authorization or "").partition(" ")
        return not self.auth or (word == "Bearer" and token in self.tokens and token not in self.expired)

    def token(self, authorization: str | None, form: Mapping[str, str]) -> Answer:
        known = authorization == BASIC or form.get("refresh_token") == PASSWORD
        if not known and not (self.anonymous and authorization is None and not form):
            return Answer(status=401, body=b"{}", headers={"WWW-Authenticate": "Basic realm=tokens"})
        self.tokens.append(f"t{len(self.tokens)}")
        if self.refuse:
            self.expired.add(self.tokens[-1])
        return Answer(body=json.dumps({"token": self.tokens[-1]}).encode())

    def content(self, path: str) -> Answer:
        _, _, rest = path.partition("/v2/")
        for kind in ("/manifests/", "/blobs/"):
            repository, found, what = rest.partition(kind)
            if found and kind == "/blobs/" and what in self.blobs:
                led = {"Location": f"{self.blobs_at}{path}"}
                return Answer(status=307, headers=led) if self.blobs_at else Answer(body=self.blobs[what])
            if found and f"{repository}/{what}" in self.manifests:
                media_type, data = self.manifests[f"{repository}/{what}"]
                return Answer(body=data, headers={"Content-Type": media_type} if media_type else {})
        return Answer(status=404, body=b"{}")

    def __enter__(self) -> FakeRegistry:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 2

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(text).items()})

        def _answer(self, form: dict[str, str]) -> None:
            path = urlsplit(self.path).path
            given = self.headers["Authorization"]
            registry.asked.append(
                Asked(
                    path=path,
                    authorization=given,
                    range=self.headers["Range"],
                    accept=self.headers["Accept"],
                    form=form,
                )
            )
            if registry.faults.get(path):
                answer = registry.faults[path].pop(0)
            elif path == "/token":
                answer = registry.token(given, form)
            elif not registry.lets_in(given):
                answer = Answer(status=401, body=b"{}", headers={"WWW-Authenticate": registry.challenge()})
            else:
                answer = registry.content(path)
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            body, status, headers = answer.body, answer.status, dict(answer.headers)
            if (wanted := self.headers["Range"]) and status == 200:
                first = int(wanted.removeprefix("bytes=").rstrip("-"))
                headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                body, status = body[first:], 206
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if answer.cut is None else body[: answer.cut])
            self.close_connection = answer.cut is not None

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@dataclass(frozen=True, kw_only=True)
class Image:
    """A manifest or an index with everything below it."""

    media_type: str
    manifest: bytes
    blobs: dict[str, bytes]
    children: tuple[Image, ...] = ()

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def make_image(*layers: bytes, architecture: str = "amd64", docker: bool = False, **changes: Any) -> Image:
    """Return an image of one platform; `changes` are fields of its manifest, None leaves one out."""
    kinds = [f"{DOCKER}.container.image.v1+json", f"{DOCKER}.image.rootfs.diff.tar.gzip"]
    media_type = f"{DOCKER}.distribution.manifest.v2+json" if docker else f"{OCI}.manifest.v1+json"
    if not docker:
        kinds = [f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip"]
    diffs = [digest(gzip.decompress(one) if one.startswith(b"\x1f\x8b") else one) for one in layers]
    rootfs = {"type": "layers", "diff_ids": diffs}
    config = json.dumps({"os": "linux", "architecture": architecture, "config": {}, "rootfs": rootfs}).encode()
    described = [
        {"mediaType": kind, "digest": digest(data), "size": len(data)}
        for kind, data in [(kinds[0], config), *((kinds[1], layer) for layer in layers)]
    ]
    document = {"schemaVersion": 2, "mediaType": media_type, "config": described[0], "layers": described[1:], **changes}
    kept = {name: value for name, value in document.items() if value is not None}
    blobs = {digest(data): data for data in (config, *layers)}
    # Spaces that no encoder would write again: the bytes must stay as they are.
    return Image(media_type=media_type, manifest=json.dumps(kept, indent=3).encode(), blobs=blobs)


def make_index(*images: tuple[str, Image], docker: bool = False, **changes: Any) -> Image:
    """Return an index of (platform, image); the platform may have a variant, or be empty."""
    media_type = f"{DOCKER}.distribution.manifest.list.v2+json" if docker else f"{OCI}.index.v1+json"
    manifests = []
    for platform, image in images:
        names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
        manifests.append({**image.descriptor, **({"platform": names} if platform else {})})
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, **changes}
    children = tuple(image for _, image in images)
    return Image(media_type=media_type, manifest=json.dumps(document, indent=3).encode(), blobs={}, children=children)
