"""The smallest service a bundle can carry. Start: `python hello.py`; HOST (127.0.0.1), PORT (8070)."""

import json
import os
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

ANSWERS = {
    "/": {"greeting": "Hello from the other side of the air gap."},
    "/health": {"status": "healthy"},
    "/ready": {"status": "ready"},
}


class Handler(BaseHTTPRequestHandler):
    """Answer one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "hello"
    sys_version = ""
    timeout = 30
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        answer = ANSWERS.get(self.path)
        body = json.dumps(answer or {"error": "no such path"}).encode() + b"\n"
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write no line for each request."""


class Server(ThreadingHTTPServer):
    """A server that does not wait for idle connections when it stops."""

    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer looks its own name up, which waits for a name server that is not there.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


def main() -> int:
    """Serve until SIGTERM; return 2 for a bad port, 1 when the address cannot be bound."""
    host, port = os.environ.get("HOST", "") or "127.0.0.1", os.environ.get("PORT", "") or "8070"
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        print(f"error: PORT: expected a whole number from 1 to 65535, got {port!r}", file=sys.stderr)
        return 2
    try:
        server = Server((host, int(port)), Handler)
    except OSError as error:
        print(f"error: cannot bind {host!r} port {port}: {error.strerror}", file=sys.stderr)
        return 1
    # shutdown() waits for serve_forever(), which runs in the thread that takes the signal.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
