"""A package index (PEP 691) on loopback, with a login if it is told one."""

from __future__ import annotations

import base64
import hashlib
import json

from artifacts import make_wheel
from mirror import Answer, Mirror

OLD = "2026-01-10T10:00:00Z"
Files = list[tuple[str, bytes, str]]


class Index:
    """Projects below `/simple` of a mirror; what was asked of it is in `mirror.asked`."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._files: dict[str, Files] = {}

    @property
    def url(self) -> str:
        return f"{self.mirror.url}/simple"

    def url_with(self, login: str) -> str:
        return self.url.replace("://", f"://{login}@")

    def add(self, project: str, name: str, data: bytes, uploaded: str = OLD) -> str:
        """Publish a file; return its SHA-256."""
        self._files.setdefault(project, []).append((name, data, uploaded))
        self.mirror.serve(f"/files/{name}", Answer(body=data))
        listed = [
            {
                "filename": one,
                "url": f"{self.mirror.url}/files/{one}",
                "hashes": {"sha256": hashlib.sha256(raw).hexdigest()},
                "size": len(raw),
                "upload-time": when,
                "requires-python": ">=3.8",
            }
            for one, raw, when in self._files[project]
        ]
        page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": listed}
        kind = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
        self.mirror.serve(f"/simple/{project}/", Answer(body=json.dumps(page).encode(), headers=kind))
        return hashlib.sha256(data).hexdigest()

    def wheel(
        self,
        name: str,
        version: str,
        *,
        tag: str = "py3-none-any",
        needs: str | tuple[str, ...] = (),
        uploaded: str = OLD,
    ) -> str:
        """Publish a wheel; return its SHA-256."""
        wanted = (needs,) if isinstance(needs, str) else needs
        lines = [f"Requires-Dist: {need}" for need in wanted]
        return self.add(name, *make_wheel(name, version, {}, tag=tag, metadata=lines), uploaded)


def basic(login: str) -> str:
    """Return the header that a login becomes (RFC 7617)."""
    return "Basic " + base64.b64encode(login.encode()).decode()
