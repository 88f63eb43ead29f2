"""A mirror on loopback that serves files, and fails as it is told."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer; `cut` closes the connection after so many bytes of the body, `ranges` obeys a Range."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True


class Mirror:
    """The answers for each path in their order, the last one for ever; `asked` holds (path, Range).

    With `login`, what a request carries as its Authorization, every other one is refused.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.login: str | None = None
        self._answers: dict[str, list[Answer]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, path: str, *answers: Answer) -> str:
        """Set the answers for a path; return its URL."""
        self._answers[path] = list(answers)
        return self.url + path

    def ranges(self) -> list[str | None]:
        return [range_ for _, range_ in self.asked]

    def _take(self, path: str) -> Answer:
        answers = self._answers.get(path, [Answer(status=404)])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path, wanted = self.path.partition("?")[0], self.headers["Range"]
                mirror.asked.append((path, wanted))
                if mirror.login not in (None, self.headers["Authorization"]):
                    self._send(401, {"WWW-Authenticate": 'Basic realm="t"'}, b"", None)
                    return
                answer = mirror._take(path)
                body, status, headers = answer.body, answer.status, dict(answer.headers)
                if wanted and answer.ranges and status == 200 and not wanted.startswith("bytes=-"):
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    end = int(last) + 1 if last else len(body)
                    headers.setdefault("Content-Range", f"bytes {first}-{min(end, len(body)) - 1}/{len(body)}")
                    body, status = body[int(first) : end], 206
                self._send(status, headers, body, answer.cut)

            do_HEAD = do_GET  # noqa: N815 (the library's name)

            def _send(self, status: int, headers: dict[str, str], body: bytes, cut: int | None) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body if cut is None else body[:cut])
                self.close_connection = cut is not None

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
