"""The boot test: the services of a recipe come up and answer, in the image's own root, without network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bundler.errors import HostError, ResolveError
from bundler.model.egress import Attempt
from bundler.model.service import Service
from bundler.sandbox.namespace import run_in_root

_SLACK_S = 120
# An emulated processor is about this much slower.
_EMULATED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Booted:
    """What a boot showed: the seconds that each service took to be ready, and what they tried to reach, in order.

    `attempts` is None where that could not be watched.
    """

    ready_s: dict[str, str]
    attempts: tuple[Attempt, ...] | None = ()

    def facts(self) -> dict[str, str]:
        """Return what a store remembers of it."""
        attempts = None if self.attempts is None else [asdict(one) for one in self.attempts]
        return {"ready_s": json.dumps(self.ready_s), "attempts": json.dumps(attempts)}

    @staticmethod
    def from_facts(facts: Mapping[str, str]) -> Booted:
        """Return what a store remembers."""
        return Booted(ready_s=json.loads(facts["ready_s"]), attempts=_attempts(json.loads(facts["attempts"])))


def boot(
    root: Path,
    services: Sequence[Service],
    python: str,
    *,
    emulated: bool = False,
    shown: Sequence[tuple[Path, str]] = (),
) -> Booted:
    """Start every service with the tree at `root` as its root directory, and watch where they try to connect.

    The tree is used up: services write into it. `shown` are files of this host that they read at places in it. On an
    `emulated` processor they get more time, and nothing can be watched.

    Raises:
        ResolveError: one does not come up, or does not answer its probe; the message holds its log's end.
        HostError: no network namespace can be made here, or nothing can be watched in it.
    """
    if emulated:
        services = [replace(one, start_timeout_s=one.start_timeout_s * _EMULATED) for one in services]
    documents = [{**asdict(service), "environment": dict(service.environment)} for service in services]
    place = {"root": "/", "state": "/tmp/ferry-boot"}  # noqa: S108 (of the new root)
    spec = {**place, "services": documents, "emulated": emulated}
    timeout_s = sum(service.start_timeout_s for service in services) + _SLACK_S
    answer = run_in_root(root, f"/usr/bin/python{python}", "inside_boot.py", spec, timeout_s=timeout_s, shown=shown)
    if "unwatchable" in answer:
        raise HostError(
            f"expected to watch the connections of a boot: {answer['unwatchable']}",
            hint="build where Linux is 5.5 or later, outside of containers with a seccomp listener of their own",
        )
    attempts = _attempts(answer["attempts"])
    if "failed" in answer:
        raise _failed(answer, attempts or ())
    return Booted(
        ready_s={name: str(result["ready_s"]) for name, result in answer["services"].items()}, attempts=attempts
    )


def _attempts(given: list[dict[str, str]] | None) -> tuple[Attempt, ...] | None:
    return None if given is None else tuple(Attempt(**one) for one in given)


def _failed(answer: dict[str, Any], attempts: Sequence[Attempt]) -> ResolveError:
    lines = [f"  {one.destination} ({one.protocol}), by {one.service}: {one.process}" for one in attempts]
    tried = "\n".join(["it tried to reach:", *lines, ""]) if lines else ""
    return ResolveError(
        f"the service did not come up without network: {answer['why']}\n{answer['log']}{tried}",
        place=f"services: {answer['failed']}",
        hint="what was locked does not work together, or it needs the network: change the recipe, lock again",
    )
