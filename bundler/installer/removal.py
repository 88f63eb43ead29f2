"""What a package manager may take from a host: nothing that was there before, nothing that others need."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bundler.errors import HostError, StepError


def refuse_harm(told: Sequence[str], *, program: str, place: str) -> None:
    """Refuse what would take a package of the host away; `told` are such changes in words.

    Raises:
        HostError: there is one.
    """
    if told:
        raise HostError(
            f"expected to remove and downgrade no package of this host, {program} would {', '.join(told)}",
            place=place,
            hint="lock the recipe for this host: ferry target probe, then ferry lock --target",
        )


def removable(goes_with: Callable[[Sequence[str]], set[str]], names: Sequence[str]) -> list[str]:
    """Return those packages that can go without taking others along; `goes_with` asks the package manager."""

    def stay_alone(wanted: Sequence[str]) -> bool:
        try:
            return goes_with(wanted) <= set(names)
        except StepError:
            # It refuses to remove what the system cannot do without.
            return False

    if not names or stay_alone(names):
        return list(names)
    return [name for name in names if stay_alone([name])]
