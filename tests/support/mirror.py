"""A mirror on loopback that serves files, and fails as it is told."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer; `cut` closes the connection after so many bytes of the body, `ranges` obeys a Range.

    `stall` sends so many bytes of what was asked for and then nothing, until the mirror is told to go on.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    stall: int | None = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what some tests are about."""


class Mirror:
    """The answers for each path in their order, the last one for ever; `asked` holds (path, Range).

    With `login`, what a request carries as its Authorization, every other one is refused.
    `sent` counts the bytes of bodies, path by path. With `most_at_once`, more requests than that are refused.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.login: str | None = None
        self.sent: Counter[str] = Counter()
        self.most_at_once: int | None = None
        self.refused = 0
        self.go_on = threading.Event()
        self._answers: dict[str, list[Answer]] = {}
        self._busy = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self._handler())
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

    @contextmanager
    def _visit(self) -> Iterator[bool]:
        with self._lock:
            self._busy += 1
            welcome = self.most_at_once is None or self._busy <= self.most_at_once
            self.refused += not welcome
        try:
            yield welcome
        finally:
            with self._lock:
                self._busy -= 1

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
                    self._send(Answer(status=401), 401, {"WWW-Authenticate": 'Basic realm="t"'}, b"")
                    return
                with mirror._visit() as welcome:
                    if welcome:
                        self._answer(path, wanted, mirror._take(path))
                    else:
                        self._send(Answer(status=429), 429, {"Retry-After": "0"}, b"")

            def _answer(self, path: str, wanted: str | None, answer: Answer) -> None:
                body, status, headers = answer.body, answer.status, dict(answer.headers)
                if wanted and answer.ranges and status == 200 and not wanted.startswith("bytes=-"):
                    first, _, last = wanted.removeprefix("bytes=").partition("-")
                    end = int(last) + 1 if last else len(body)
                    headers.setdefault("Content-Range", f"bytes {first}-{min(end, len(body)) - 1}/{len(body)}")
                    body, status = body[int(first) : end], 206
                self._send(answer, status, headers, body)

            do_HEAD = do_GET  # noqa: N815 (the library's name)

            def _send(self, answer: Answer, status: int, headers: dict[str, str], body: bytes) -> None:
                # A test may say what time it is.
                (self.send_response_only if "Date" in headers else self.send_response)(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self._write(body[: answer.cut if answer.stall is None else answer.stall])
                    if answer.stall is not None:
                        mirror.go_on.wait(30)
                        self._write(body[answer.stall :])
                self.close_connection = answer.cut is not None

            def _write(self, data: bytes) -> None:
                path = self.path.partition("?")[0]
                for start in range(0, len(data), 65536):
                    piece = data[start : start + 65536]
                    self.wfile.write(piece)
                    mirror.sent[path] += len(piece)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
