"""A registry on loopback that takes what is pushed, in memory, and fails as it is told."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from mirror import Answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


@dataclass(kw_only=True)
class Behaviour:
    """How a registry is: `faults` are the first answers to requests of a method.

    `cuts` are after how many bytes of a PATCH the connection breaks, one after the other; `resumes` tells how much
    came; `most_body` is the largest body it takes; `referrers` keeps them; `location` is where every upload goes on.
    `token_uses` is how many requests one token is good for, where it wants tokens at all.
    """

    faults: dict[str, list[Answer]] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    resumes: bool = True
    most_body: int = 1 << 40
    referrers: bool = False
    location: str | None = None
    token_uses: int | None = None


class WritableRegistry:
    """Blobs and manifests by `REPOSITORY@DIGEST` or `REPOSITORY:TAG`; `asked` are method and path of all requests."""

    def __init__(self) -> None:
        self.now = Behaviour()
        self.asked: list[tuple[str, str]] = []
        self.ranges: list[str] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.tokens: list[int] = []
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def count(self, method: str, part: str = "") -> int:
        """Return how many requests of a method had `part` in their path."""
        return sum(one == method and part in path for one, path in self.asked)

    def __enter__(self) -> WritableRegistry:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _error(status: int, code: str) -> Answer:
    return Answer(status=status, body=json.dumps({"errors": [{"code": code, "message": "no"}]}).encode())


def _handler(registry: WritableRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5

        def _any(self) -> None:
            parts = urlsplit(self.path)
            registry.asked.append((self.command, self.path))
            faults = registry.now.faults.get(self.command)
            repository, _, rest = parts.path.removeprefix("/v2/").partition("/blobs/")
            is_blob = bool(rest)
            if not is_blob:
                repository, _, rest = parts.path.removeprefix("/v2/").partition("/manifests/")
            if faults:
                self._read()
                self._send(faults.pop(0))
            elif parts.path == "/token":
                registry.tokens.append(registry.now.token_uses or 0)
                self._send(Answer(body=json.dumps({"token": str(len(registry.tokens) - 1)}).encode()))
            elif registry.now.token_uses is not None and not self._admitted():
                self._refuse()
            elif rest.startswith("uploads/"):
                self._send_or_cut(self._upload(repository, rest.removeprefix("uploads/"), parts.query))
            elif is_blob:
                self._send(self._found(registry.blobs.get(f"{repository}@{rest}")))
            elif self.command == "PUT":
                self._send(self._put(repository, rest))
            else:
                known = registry.manifests.get(f"{repository}{'@' if ':' in rest else ':'}{rest}")
                self._send(self._found(known[1], known[0]) if known else _error(404, "MANIFEST_UNKNOWN"))

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _any  # noqa: N815 (the library's names)

        def _admitted(self) -> bool:
            name = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            with registry.lock:
                if not name or registry.tokens[int(name)] <= 0:
                    return False
                registry.tokens[int(name)] -= 1
            return True

        def _refuse(self) -> None:
            """Answer at once, as registries do, without the body that is on its way."""
            self.close_connection = True
            challenge = (
                f'Bearer realm="http://{registry.host}/token",service="test",scope="repository:team/sample:pull,push"'
            )
            self._send(Answer(status=401, headers={"WWW-Authenticate": challenge}))

        def _read(self, most: int | None = None) -> bytes:
            count = int(self.headers["Content-Length"] or 0)
            return self.rfile.read(count if most is None else min(count, most))

        def _found(self, data: bytes | None, kind: str = "application/octet-stream") -> Answer:
            return _error(404, "BLOB_UNKNOWN") if data is None else Answer(body=data, headers={"Content-Type": kind})

        def _upload(self, repository: str, name: str, query: str) -> Answer | None:
            asked = parse_qs(query)
            if self.command == "POST":
                return self._begin(repository, asked)
            held = registry.uploads.get(name)
            if held is None:
                return _error(404, "BLOB_UPLOAD_UNKNOWN")
            if self.command == "GET":
                return self._at(repository, name, 204) if registry.now.resumes else _error(404, "BLOB_UPLOAD_UNKNOWN")
            if int(self.headers["Content-Length"] or 0) > registry.now.most_body:
                self.close_connection = True
                return _error(413, "SIZE_INVALID")
            cut = registry.now.cuts.pop(0) if registry.now.cuts and self.command == "PATCH" else None
            registry.ranges += [self.headers["Content-Range"]] if self.command == "PATCH" else []
            held += self._read(cut)
            if cut is not None:
                return None
            if self.command == "PATCH":
                return self._at(repository, name, 202)
            digest = asked["digest"][0]
            if digest != "sha256:" + hashlib.sha256(held).hexdigest():
                return _error(400, "DIGEST_INVALID")
            registry.blobs[f"{repository}@{digest}"] = bytes(held)
            del registry.uploads[name]
            return Answer(status=201)

        def _begin(self, repository: str, asked: dict[str, list[str]]) -> Answer:
            mount, source = asked.get("mount", [""])[0], asked.get("from", [""])[0]
            if f"{source}@{mount}" in registry.blobs:
                registry.blobs[f"{repository}@{mount}"] = registry.blobs[f"{source}@{mount}"]
                return Answer(status=201)
            name = str(len(registry.asked))
            registry.uploads[name] = bytearray()
            return self._at(repository, name, 202)

        def _at(self, repository: str, name: str, status: int) -> Answer:
            place = f"/v2/{repository}/blobs/uploads/{name}?state=x"
            location = place if registry.now.location is None else registry.now.location
            last = max(0, len(registry.uploads[name]) - 1)
            return Answer(status=status, headers={"Location": location, "Range": f"0-{last}"})

        def _put(self, repository: str, tag: str) -> Answer:
            data = self._read()
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            for name in (f"{repository}@{digest}", *([] if ":" in tag else [f"{repository}:{tag}"])):
                registry.manifests[name] = (self.headers["Content-Type"], data)
            subject = json.loads(data).get("subject") if registry.now.referrers else None
            headers = {"OCI-Subject": subject["digest"]} if subject else {}
            return Answer(status=201, headers={"Docker-Content-Digest": digest, **headers})

        def _send_or_cut(self, answer: Answer | None) -> None:
            if answer is None:
                self.close_connection = True
                self.connection.close()
            else:
                self._send(answer)

        def _send(self, answer: Answer) -> None:
            body, status, headers = answer.body, answer.status, dict(answer.headers)
            if (wanted := self.headers["Range"]) and status == 200:
                first, _, last = wanted.removeprefix("bytes=").partition("-")
                end = int(last) + 1 if last else len(body)
                headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(body)}"
                body, status = body[int(first) : end], 206
            self.send_response(status)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if answer.cut is None else body[: answer.cut])
            self.close_connection = self.close_connection or answer.cut is not None

        def log_message(self, *_: object) -> None:
            pass

    return Handler
