"""Whether a service answers on its own port, and what."""

from __future__ import annotations

import http.client

from bundler.errors import StepError
from bundler.installer.escort.nftables import PROGRAM, TABLE
from bundler.model.service import Service
from bundler.run import run

_SHOWN = 300
_TIMEOUT_S = 30


def why_not_ready(service: Service, *, timeout_s: float = 5) -> str | None:
    """Ask a service for its readiness; return None when it answers 200, else what came instead.

    The firewall has no port: its rules must be in the kernel.
    """
    if not service.port:
        return _why_not_loaded()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=timeout_s)
    try:
        connection.request("GET", service.ready)
        reply = connection.getresponse()
        text = reply.read(_SHOWN).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer on port {service.port} ({getattr(error, 'strerror', None) or error})"
    finally:
        connection.close()
    return None if reply.status == http.client.OK else f"{service.ready} answers {reply.status} {text}".strip()


def _why_not_loaded() -> str | None:
    try:
        run([PROGRAM, "list", "counter", "inet", TABLE, "refused"], timeout_s=_TIMEOUT_S)
    except StepError as error:
        return f"its rules are not loaded: {error.message.splitlines()[-1]}"
    return None
