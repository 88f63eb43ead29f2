"""Ports of loopback for tests that run beside each other."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

# Below those that the kernel gives to clients, which could take one between its choice and its use.
_FIRST, _COUNT = 20000, 12000


def free_port() -> int:
    """Return a port that nobody listens on and that no other test is given, in whichever process it runs."""
    path = Path(tempfile.gettempdir(), f"ferry-tests-{os.getuid()}.port")
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        last = int(file.read() or 0)
        port = next(port for port in (_FIRST + (last + step) % _COUNT for step in range(1, _COUNT)) if _is_free(port))
        file.truncate(0)
        file.write(str(port - _FIRST))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
