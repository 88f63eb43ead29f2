"""Lines of an audit device, in the form of `keystore.audit`, each chained to the one before it by SM3."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keystore import document, moment, sm3
from keystore.chain import LINE_BYTES, Head
from keystore.errors import KeystoreError

_ENVELOPE_BYTES = 400


def chained(before: Head, event: Mapping[str, Any], now: datetime) -> tuple[Head, bytes]:
    """Return the line that follows `before`, and where the log ends with it.

    The line is put together by hand: its fields stand in the order of canonical JSON, and the event is encoded once.
    Raises: KeystoreError of the place 'audit' when the event is too long for a line.
    """
    text = document.canonical(event).decode("ascii")
    if len(text) > LINE_BYTES - _ENVELOPE_BYTES:
        raise KeystoreError(f"expected an event of less than {LINE_BYTES} bytes, got {len(text)}", place="audit")
    rest = f'"prev":"{before.hash}","seq":{before.count + 1},"time":"{moment.stamp(now)}"}}'
    made = sm3.sm3(f'{{"event":{text},{rest}'.encode("ascii")).hex()
    line = f'{{"event":{text},"hash":"{made}",{rest}\n'.encode("ascii")
    return Head(count=before.count + 1, hash=made), line
