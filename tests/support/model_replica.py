"""A stand-in for a server of a model: a set rate of tokens, a set start, vLLM's metrics; standard library alone.

model_replica.py PORT COLD_S TOKENS_S   POST / with {"tokens": N} answers when N tokens were made
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_AT_ONCE = 4


class Model:
    """Makes tokens at a set rate, shared by the requests that run; the others wait."""

    def __init__(self, tokens_s: float) -> None:
        self._tokens_s = tokens_s
        self._change = threading.Condition()
        self.running = 0
        self.waiting = 0
        self.made = 0.0
        self.done = 0
        self.asleep = False

    def serve(self, tokens: int) -> None:
        with self._change:
            self.waiting += 1
            self._change.wait_for(lambda: self.running < _AT_ONCE)
            self.waiting -= 1
            self.running += 1
        left = float(tokens)
        try:
            while left > 0:
                time.sleep(0.02)
                with self._change:
                    made = min(left, 0.02 * self._tokens_s / self.running)
                    self.made += made
                left -= made
        finally:
            with self._change:
                self.running -= 1
                self.done += 1
                self._change.notify_all()

    def metrics(self) -> str:
        rows = {
            "num_requests_running": self.running,
            "num_requests_waiting": self.waiting,
            "kv_cache_usage_perc": min(1.0, self.running / _AT_ONCE),
            "prompt_tokens_total": 0,
            "generation_tokens_total": round(self.made),
            "request_success_total": self.done,
        }
        return "".join(f'vllm:{name}{{model_name="m"}} {value}\n' for name, value in rows.items())


def main(port: int, cold_s: float, tokens_s: float) -> None:
    time.sleep(cold_s)
    model = Model(tokens_s)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/is_sleeping":
                self._send(json.dumps({"is_sleeping": model.asleep}))
            else:
                self._send(model.metrics() if self.path == "/metrics" else "ok")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if self.path.startswith("/sleep"):
                model.asleep = True
            elif self.path == "/wake_up":
                model.asleep = False
            else:
                model.serve(json.loads(body)["tokens"])
            self._send("done")

        def _send(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
