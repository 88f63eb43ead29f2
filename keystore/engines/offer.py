"""What an engine offers: forms of paths and their operations, read off the tables that it answers by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from keystore.engines.request import Operation
from keystore.engines.routes import Route

_OPTIONAL = re.compile(r"\(\?:/(\(\?P<\w+>[^()]*\))\)\?")
_NAMED = re.compile(r"\(\?P<(\w+)>([^()]*)\)")
_ANY = "[^/]+"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A path below a mount, in which '{name}' stands for a part of it, and what may be asked of it.

    `choices` are the words that a part may be, where it is not any.
    """

    path: str
    operations: frozenset[Operation]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def offer(path: str, *operations: Operation) -> Offer:
    """Return the offer of a path."""
    return Offer(path=path, operations=frozenset(operations))


def of_routes(routes: Iterable[Route]) -> list[Offer]:
    """Return the offers of a table; a part that may be absent makes two of one."""
    return [made for one in routes for made in _of_pattern(one.path.pattern, frozenset(one.handlers))]


def _of_pattern(pattern: str, operations: frozenset[Operation]) -> list[Offer]:
    forms = [pattern]
    if _OPTIONAL.search(pattern):
        forms = [_OPTIONAL.sub("", pattern), _OPTIONAL.sub(r"/\1", pattern)]
    return [_of_form(form, operations) for form in forms]


def _of_form(form: str, operations: frozenset[Operation]) -> Offer:
    choices = {name: tuple(words.split("|")) for name, words in _NAMED.findall(form) if words != _ANY}
    return Offer(path=_NAMED.sub(r"{\1}", form), operations=operations, choices=choices)
