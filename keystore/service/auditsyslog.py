"""An audit device that sends its lines to the host's syslog, each one datagram, chained within one opening.

Source: RFC 3164 in the form that syslog(3) sends to /dev/log.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keystore.chain import START, Head
from keystore.errors import KeystoreError
from keystore.service.auditline import chained

DEFAULT_SOCKET = "/dev/log"
DEFAULT_FACILITY = "AUTH"
DEFAULT_TAG = "ferry-keystore"
FACILITIES: Mapping[str, int] = {
    name: number
    for number, name in enumerate(
        ("KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP")
    )
} | {f"LOCAL{number}": 16 + number for number in range(8)}
_INFORMATION = 6
# A full queue of the receiver is waited for: to refuse a request at every burst would be worse.
_PATIENCE_S = 1.0
BEGINS = "begins"


class AuditSyslog:
    """The connection to a syslog; what was sent is the receiver's to keep."""

    begun: datetime | None = None
    size_bytes = 0
    moved = False

    def __init__(self, address: str, facility: str, tag: str) -> None:
        self.path = Path(address)
        self._front = f"<{FACILITIES[facility] * 8 + _INFORMATION}>{tag}[{os.getpid()}]: ".encode("ascii")
        self._channel: socket.socket | None = None
        self.unsynced: list[bytes] = []
        self.head = Head(count=0, hash=START)

    def open(self, now: datetime, kept: Head, lines: Sequence[bytes] = ()) -> None:
        """Connect, and begin a chain with a line that names the head that was kept of the one before.

        Raises: KeystoreError.
        """
        self._connect()
        self.append({"kind": BEGINS, "seq": kept.count, "hash": kept.hash}, now)

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Send one line; a receiver that was started anew is connected to again.

        Raises: KeystoreError.
        """
        head, line = chained(self.head, event, now)
        message = self._front + line.rstrip(b"\n")
        try:
            self._send(message)
        except KeystoreError:
            self._connect()
            self._send(message)
        self.head = head

    def sync(self) -> None:
        """Do nothing: lines are on their way at once."""

    def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None

    def rotate(self, now: datetime) -> Path | None:
        """Do nothing: the receiver rotates."""
        return None

    def retire(self, now: datetime, keep: timedelta) -> list[str]:
        """Do nothing: the receiver keeps."""
        return []

    def _connect(self) -> None:
        self.close()
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        channel.settimeout(_PATIENCE_S)
        try:
            channel.connect(str(self.path))
        except OSError as error:
            channel.close()
            raise self._unusable(error) from error
        with contextlib.suppress(OSError):
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._channel = channel

    def _send(self, message: bytes) -> None:
        try:
            if self._channel is None:
                raise OSError(107, "not connected")
            self._channel.send(message)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> KeystoreError:
        reason = (error.strerror or str(error)).lower()
        return KeystoreError(f"expected a syslog that takes lines, got '{reason}'", place=str(self.path))
