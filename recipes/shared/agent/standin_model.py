"""A stand-in for a language model: an OpenAI-compatible endpoint that only repeats the question.

It proves that an installation works from end to end before a real model is connected. Start:
`python standin_model.py`; HOST (127.0.0.1), PORT (8000), MODEL_NAME (standin), TOKEN_DELAY_MS (0).
"""

import ipaddress
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

MAX_BODY_BYTES = 4 << 20
IDLE_TIMEOUT_S = 30
ROLES = ("system", "developer", "user", "assistant", "tool")


class BadCall(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """A call that is answered with an error object."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server(ThreadingHTTPServer):
    """The endpoint with its settings."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], model: str, delay_s: float) -> None:
        super().__init__(address, Handler)
        self.model = model
        self.delay_s = delay_s

    def server_bind(self) -> None:
        # HTTPServer looks its own name up, which waits for a name server that is not there.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say in one line what went wrong; a client that went away is not worth a traceback."""
        if not isinstance(error := sys.exception(), OSError):
            print(f"error: {client_address}: {type(error).__name__}: {error}", file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """Answer one connection."""

    protocol_version = "HTTP/1.1"
    server_version = "standin-model"
    sys_version = ""
    timeout = IDLE_TIMEOUT_S
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200, {"status": "healthy", "model": self.server.model})
        elif self.path == "/v1/models":
            card = {"id": self.server.model, "object": "model", "created": 0, "owned_by": "standin"}
            self._send(200, {"object": "list", "data": [card]})
        else:
            self._fail(BadCall(404, f"no such path: GET {self.path[:200]}"))

    def do_POST(self) -> None:
        try:
            if self.path != "/v1/chat/completions":
                self.close_connection = True
                raise BadCall(404, f"no such path: POST {self.path[:200]}")
            call = self._read()
            question, texts = check(call, self.server.model)
        except BadCall as error:
            self._fail(error)
            return
        reply = compose(self.server.model, question, texts)
        if call.get("stream"):
            self._stream(reply, bool((call.get("stream_options") or {}).get("include_usage")))
        else:
            time.sleep(self.server.delay_s * len(reply["words"]))
            self._send(200, completion(reply))

    def _read(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            self.close_connection = True
            raise BadCall(411, "Content-Length: expected a number")
        if int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            raise BadCall(413, f"body: expected at most {MAX_BODY_BYTES} bytes, got {length}")
        try:
            call = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise BadCall(400, "body: expected JSON") from None
        if not isinstance(call, dict):
            raise BadCall(400, "body: expected a JSON object")
        return call

    def _stream(self, reply: dict[str, Any], include_usage: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in chunks(reply, include_usage):
            time.sleep(self.server.delay_s)
            self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _fail(self, error: BadCall) -> None:
        detail = {"message": str(error), "type": "invalid_request_error", "param": None, "code": error.status}
        self._send(error.status, {"error": detail})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write no line for each request."""


def check(call: dict[str, Any], model: str) -> tuple[str, list[str]]:
    """Return the last user message and the texts of all messages.

    Raises:
        BadCall: naming the field and what is expected.
    """
    if call.get("model") != model:
        raise BadCall(404, f"model: expected {model!r}, got {call.get('model')!r:.200}")
    messages = call.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadCall(400, "messages: expected a list of messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise BadCall(400, f"messages[{index}].role: expected one of {', '.join(ROLES)}")
    if not isinstance(call.get("tools", []), list):
        raise BadCall(400, "tools: expected a list")
    if not isinstance(call.get("stream_options") or {}, dict):
        raise BadCall(400, "stream_options: expected an object")
    asked = [text(message.get("content")) for message in messages if message["role"] == "user"]
    if not asked:
        raise BadCall(400, "messages: expected a message of the user")
    return asked[-1], [text(message.get("content")) for message in messages]


def text(content: object) -> str:
    """Return the text of a message's content, which is a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))


def compose(model: str, question: str, texts: list[str]) -> dict[str, Any]:
    """Compose the answer; tokens are estimated as a quarter of the UTF-8 bytes."""
    answer = (
        "[stand-in model] No language model is connected here; this endpoint only repeats what it is asked. "
        f"Messages in this conversation: {len(texts)}. You asked: {question}"
    )
    tokens_in, tokens_out = sum(map(estimate, texts)), estimate(answer)
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    head = {"id": "chatcmpl-standin", "created": int(time.time()), "model": model}
    return {"head": head, "answer": answer, "words": re.findall(r"\s*\S+\s*", answer), "usage": usage}


def estimate(part: str) -> int:
    """Estimate the tokens of a text."""
    return len(part.encode("utf-8", "replace")) // 4 + 1


def completion(reply: dict[str, Any]) -> dict[str, Any]:
    """Return the answer in one piece."""
    message = {"role": "assistant", "content": reply["answer"]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {**reply["head"], "object": "chat.completion", "choices": [choice], "usage": reply["usage"]}


def chunks(reply: dict[str, Any], include_usage: bool) -> Iterator[dict[str, Any]]:
    """Yield the answer word by word, then its end, then the usage."""
    head = {**reply["head"], "object": "chat.completion.chunk"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": word} for word in reply["words"])]
    for delta in deltas:
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if include_usage:
        yield {**head, "choices": [], "usage": reply["usage"]}


def read_settings(env: Mapping[str, str]) -> tuple[tuple[str, int], str, float]:
    """Return address, model name and delay in seconds.

    Raises:
        ValueError: naming the variable, what is expected and what was given.
    """
    host = env.get("HOST", "") or "127.0.0.1"
    host = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"HOST: expected an IPv4 address or localhost, got {host!r}") from None
    if not address.is_loopback and env.get("ALLOW_NON_LOOPBACK", "") != "1":
        raise ValueError(f"HOST: {host!r} is not a loopback address; set ALLOW_NON_LOOPBACK=1 to bind it")
    port = _integer(env, "PORT", 8000, low=1, high=65535)
    delay_ms = _integer(env, "TOKEN_DELAY_MS", 0, low=0, high=10000)
    return (host, port), env.get("MODEL_NAME", "") or "standin", delay_ms / 1000


def _integer(env: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    given = env.get(name, "") or str(default)
    if not re.fullmatch(r"[0-9]{1,10}", given) or not low <= int(given) <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, got {given!r}")
    return int(given)


def main() -> int:
    """Serve until SIGTERM; return 2 for bad settings, 1 when the address is taken."""
    try:
        address, model, delay_s = read_settings(os.environ)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        server = Server(address, model, delay_s)
    except OSError as error:
        print(f"error: cannot bind {address[0]} port {address[1]}: {error.strerror}", file=sys.stderr)
        return 1
    # shutdown() waits for serve_forever(), which runs in the thread that takes the signal.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    with server:
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
