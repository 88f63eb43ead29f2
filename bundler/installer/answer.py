"""Whether a service answers on its own port, and what."""

from __future__ import annotations

import http.client

from bundler.model.service import Service

_SHOWN = 300


def why_not_ready(service: Service, *, timeout_s: float = 5) -> str | None:
    """Ask a service for its readiness; return None when it answers 200, else what came instead."""
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
