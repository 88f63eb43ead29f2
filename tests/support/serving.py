"""A bundle served by a thread of the test's own process."""

from __future__ import annotations

import ssl
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from bundles import SIGNER

from bundler.serve.resource import OpenBundle
from bundler.serve.routes import make_routes
from bundler.serve.server import Listening, Server
from bundler.verify import Policy, verify

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def held(path: Path) -> OpenBundle:
    return OpenBundle(verify(path, Policy(trusted=(SIGNER.public,)), now=NOW))


class Running:
    """A server in a thread of its own."""

    def __init__(self, path: Path, **listening: object) -> None:
        self.bundle = held(path)
        self.server = Server(
            self.bundle,
            make_routes(self.bundle),
            Listening(host="127.0.0.1", port=0, **listening),  # type: ignore[arg-type]
        )
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.server.url + path, headers=named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.trust()) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), error.read()

    def trust(self) -> ssl.SSLContext | None:
        return None

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
        self.bundle.close()
