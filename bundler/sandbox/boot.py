"""The boot test: the services of a recipe come up and answer, in the image's own root, without network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bundler.errors import ResolveError
from bundler.model.service import Service
from bundler.sandbox.namespace import run_in_root

_SLACK_S = 120
# An emulated processor is about this much slower.
_EMULATED = 20


def boot(root: Path, services: Sequence[Service], python: str, *, emulated: bool = False) -> dict[str, str]:
    """Start every service with the tree at `root` as its root directory; return the seconds each took to be ready.

    The tree is used up: services write into it. On an `emulated` processor they get more time.

    Raises:
        ResolveError: one does not come up, or does not answer its probe; the message holds its log's end.
        HostError: no network namespace can be made here.
    """
    if emulated:
        services = [replace(one, start_timeout_s=one.start_timeout_s * _EMULATED) for one in services]
    documents = [{**asdict(service), "environment": dict(service.environment)} for service in services]
    spec = {"root": "/", "state": "/tmp/ferry-boot", "services": documents}  # noqa: S108 (of the new root)
    timeout_s = sum(service.start_timeout_s for service in services) + _SLACK_S
    answer = run_in_root(root, f"/usr/bin/python{python}", "inside_boot.py", spec, timeout_s=timeout_s)
    if "failed" in answer:
        raise ResolveError(
            f"the service did not come up without network: {answer['why']}\n{answer['log']}",
            place=f"services: {answer['failed']}",
            hint="what was locked does not work together, or it needs the network: change the recipe, lock again",
        )
    return {name: str(result["ready_s"]) for name, result in answer["services"].items()}
