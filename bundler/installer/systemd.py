"""What Ferry asks of the host's systemd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bundler.errors import StepError
from bundler.run import run

_TIMEOUT_S = 180
_PROPERTIES = ("Id", "ActiveState", "UnitFileState", "NRestarts", "ActiveEnterTimestamp")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitState:
    """A unit as systemd sees it: `active` is its ActiveState, `since` the time it came up, in words."""

    active: str
    enabled: bool
    restarts: int = 0
    since: str = ""


class Systemd(Protocol):
    """The verbs of systemd that Ferry uses, on units by their full names."""

    def states(self, units: Sequence[str]) -> Mapping[str, UnitState]:
        """Return the state of each unit, also of those that are not there."""

    def reload(self) -> None:
        """Read all unit files again."""

    def enable(self, units: Sequence[str]) -> None:
        """Start them at every boot."""

    def disable(self, units: Sequence[str]) -> None:
        """Do not start them at boot; also those that are not there."""

    def start(self, unit: str) -> None:
        """Start one anew, also one that runs; return when its program runs."""

    def stop(self, units: Sequence[str]) -> None:
        """Stop them and forget that they failed; return when their processes are gone."""

    def log(self, unit: str, lines: int) -> str:
        """Return the last lines that a unit wrote."""


class HostSystemd:
    """The systemd that runs here, through systemctl and journalctl."""

    def states(self, units: Sequence[str]) -> Mapping[str, UnitState]:
        """Ask once for all units."""
        if not units:
            return {}
        text = run(["systemctl", "show", f"--property={','.join(_PROPERTIES)}", *units], timeout_s=_TIMEOUT_S).stdout
        return dict(_state(block) for block in text.strip().split("\n\n"))

    def reload(self) -> None:
        """Run daemon-reload."""
        run(["systemctl", "daemon-reload"], timeout_s=_TIMEOUT_S)

    def enable(self, units: Sequence[str]) -> None:
        """Run enable."""
        if units:
            run(["systemctl", "--quiet", "enable", *units], timeout_s=_TIMEOUT_S)

    def disable(self, units: Sequence[str]) -> None:
        """Run disable; a unit that has no file is disabled already."""
        if units:
            run(["systemctl", "--quiet", "disable", *units], timeout_s=_TIMEOUT_S, accept=(0, 1))

    def start(self, unit: str) -> None:
        """Run restart, with what the unit wrote in the error."""
        try:
            run(["systemctl", "restart", unit], timeout_s=_TIMEOUT_S)
        except StepError as error:
            raise StepError(f"{error.message}\n{self.log(unit, 20)}", place=unit) from error

    def stop(self, units: Sequence[str]) -> None:
        """Run stop, then reset-failed."""
        if units:
            run(["systemctl", "stop", *units], timeout_s=_TIMEOUT_S, accept=(0, 5))
            run(["systemctl", "reset-failed", *units], timeout_s=_TIMEOUT_S, accept=(0, 1))

    def log(self, unit: str, lines: int) -> str:
        """Ask journalctl."""
        argv = ["journalctl", "--no-pager", "--output=cat", f"--lines={lines}", f"--unit={unit}"]
        return run(argv, timeout_s=_TIMEOUT_S, accept=(0, 1)).stdout.strip()


def _state(block: str) -> tuple[str, UnitState]:
    values = dict(line.partition("=")[::2] for line in block.splitlines())
    restarts = values.get("NRestarts", "")
    return values["Id"], UnitState(
        active=values.get("ActiveState", "inactive"),
        enabled=values.get("UnitFileState") == "enabled",
        restarts=int(restarts) if restarts.isdecimal() else 0,
        since=values.get("ActiveEnterTimestamp", ""),
    )
