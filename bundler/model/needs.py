"""Which package of a list needs which: the reasons why each is there.

Source: Debian Policy 7.1 and 7.2 (syntax and kinds of relationships).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

# A package with what may follow its name: an architecture, a version, restrictions.
_NAME = re.compile(r"\s*([a-z0-9][a-z0-9+.-]*)")
_NEEDS = ("Pre-Depends", "Depends")

Control = Mapping[str, Mapping[str, str]]


def reasons(control: Control, wanted: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return for each package those of `wanted` that need it, directly or through others; itself, if it is wanted.

    `control` has the control fields of each package by name. What nothing needs, such as a newer version for the sake
    of another package, has no reason here.
    """
    needs = {name: tuple(sorted(set(_needs(fields, control)))) for name, fields in control.items()}
    found: dict[str, set[str]] = {name: set() for name in control}
    for root in wanted:
        for name in _reached(root, needs, control):
            found[name].add(root)
    return {name: tuple(sorted(roots)) for name, roots in found.items()}


def _reached(root: str, needs: Mapping[str, Sequence[str]], control: Control) -> set[str]:
    waiting, reached = _providers(root, control), set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += needs[name]
    return reached


def _needs(fields: Mapping[str, str], control: Control) -> Iterator[str]:
    for field in _NEEDS:
        for one in _names(fields.get(field, "")):
            yield from _providers(one, control)


def _providers(name: str, control: Control) -> list[str]:
    """Return the package of a name; where there is none, those that provide it."""
    if name in control:
        return [name]
    return [other for other, fields in control.items() if name in _names(fields.get("Provides", ""))]


def _names(relations: str) -> Iterable[str]:
    """Return the names in a list of relations; of alternatives, all."""
    return [match[1] for part in re.split("[,|]", relations) if (match := _NAME.match(part))]
