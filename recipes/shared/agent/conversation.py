"""Check what a client sends to /process and read the outcome from what is sent back."""

import json
import re
import uuid
from typing import Any

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
ROLES = ("user", "assistant")


class BadRequest(Exception):  # noqa: N818 - named after the HTTP status it becomes
    """The client sent something that is refused with 400."""


def is_safe_id(text: object) -> bool:
    """Tell whether an id can be one path component and one part of a composed key."""
    return isinstance(text, str) and SAFE_ID.fullmatch(text) is not None


def parse_request(body: bytes) -> dict[str, Any]:
    """Rebuild the request from the fields that are known to be harmless.

    Only text passes: the formatter opens an image or audio "URL" that names a local file, and fetches others.
    Ids are always present afterwards: the runtime takes all requests without them for one session.

    Raises:
        BadRequest: naming the field, what is expected and what was given.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest("body: expected JSON") from None
    if not isinstance(data, dict):
        raise BadRequest("body: expected a JSON object")
    session = _identity(data, "session_id") or uuid.uuid4().hex
    messages = data.get("input")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("input: expected a list of messages")
    request = {
        "session_id": session,
        "user_id": _identity(data, "user_id") or session,
        "input": [_message(f"input[{index}]", message) for index, message in enumerate(messages)],
    }
    if identity := _identity(data, "id"):
        request["id"] = identity
    return request


def _identity(data: dict[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    if not is_safe_id(value):
        raise BadRequest(f"{name}: expected 1 to 128 of A-Z a-z 0-9 . _ @ - beginning with a letter or digit")
    return str(value)


def _message(place: str, message: object) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise BadRequest(f"{place}: expected an object")
    if message.get("role") not in ROLES:
        raise BadRequest(f"{place}.role: expected user or assistant")
    if message.get("type", "message") != "message":
        raise BadRequest(f"{place}.type: expected message")
    content = message.get("content")
    if not isinstance(content, list) or not content:
        raise BadRequest(f"{place}.content: expected a list of texts")
    parts = [_text(f"{place}.content[{index}]", part) for index, part in enumerate(content)]
    return {"role": message["role"], "type": "message", "content": parts}


def _text(place: str, part: object) -> dict[str, str]:
    if not isinstance(part, dict) or part.get("type") != "text":
        raise BadRequest(f"{place}.type: expected text, the only content this service takes")
    text = part.get("text")
    if not isinstance(text, str):
        raise BadRequest(f"{place}.text: expected a string")
    # A lone surrogate is valid JSON and cannot be sent on as UTF-8.
    return {"type": "text", "text": text.encode("utf-8", "replace").decode("utf-8")}


class Outcome:
    """The outcome of a conversation, read from its server-sent events."""

    def __init__(self) -> None:
        self.name = "cancelled"
        self.usage: dict[str, Any] = {}
        self.error: dict[str, Any] = {}
        self.is_begun = False
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream, however they are cut."""
        *events, self._rest = (self._rest + chunk).split(b"\n\n")
        for event in events:
            # Quotes inside JSON strings are escaped, so a client's text cannot look like these.
            if b'"object":"response"' in event or event.startswith(b'data: {"error"'):
                self._take(event)
            elif b'"object":"content"' in event:
                self.is_begun = True

    def _take(self, event: bytes) -> None:
        try:
            data = json.loads(event.removeprefix(b"data: "))
        except ValueError:
            return
        if data.get("status") in ("completed", "failed"):
            self.name = data["status"]
            self.usage = data.get("usage") or {}
            self.error = data.get("error") or {}
        elif "status" not in data and data.get("error"):
            self.name = "failed"
