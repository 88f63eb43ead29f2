"""Template units of systemd, one instance for each replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundler.errors import HostError
from bundler.run import run

_TIMEOUT_S = 60.0
_PROPERTIES = ("Id", "LoadState", "ActiveState", "InactiveExitTimestampMonotonic")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A unit: `active` is its ActiveState, `since_s` when it began to start, by the monotonic clock."""

    active: str
    since_s: float

    @property
    def runs(self) -> bool:
        """Whether its program is there or is coming."""
        return self.active in ("active", "activating", "reloading")


def read_units(names: Sequence[str]) -> Mapping[str, Unit]:
    """Return the state of each unit.

    Raises:
        HostError: systemd does not know one.
        StepError: systemd does not answer.
    """
    text = run(["systemctl", "show", f"--property={','.join(_PROPERTIES)}", *names], timeout_s=_TIMEOUT_S).stdout
    found = {}
    for name, block in zip(names, text.strip().split("\n\n"), strict=True):
        row = dict(line.partition("=")[::2] for line in block.splitlines())
        if row.get("LoadState") == "not-found":
            raise HostError(
                "expected a template unit of systemd, there is none", place=name, hint="install the replicas' unit file"
            )
        found[name] = Unit(
            active=row.get("ActiveState", ""), since_s=int(row.get("InactiveExitTimestampMonotonic") or 0) / 1e6
        )
    return found


def start(names: Sequence[str]) -> None:
    """Start units and do not wait; one that failed before starts anew.

    Raises:
        StepError: systemd refuses.
    """
    if names:
        run(["systemctl", "reset-failed", *names], timeout_s=_TIMEOUT_S, accept=(0, 1))
        run(["systemctl", "--no-block", "start", *names], timeout_s=_TIMEOUT_S)


def stop(names: Sequence[str]) -> None:
    """Stop units and do not wait.

    Raises:
        StepError: systemd refuses.
    """
    if names:
        run(["systemctl", "--no-block", "stop", *names], timeout_s=_TIMEOUT_S)
