"""What may reach out at run time: attempts that a boot saw, and what a recipe allows, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.model.document import Fields

_RULE = "[a-z][a-z0-9-]*"
_LINE = r"[^\x00-\x1f\x7f]+"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One destination outside the host that a process of a service tried to reach.

    `process` is its command line; `protocol` tcp, udp, raw or dns; `destination` NAME:PORT, ADDRESS:PORT or, for a
    name that was only looked up (dns), the name.
    """

    service: str
    process: str
    protocol: str
    destination: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """A finding that the author of a recipe accepts: its rule, a glob of its place, and why."""

    rule: str
    where: str
    reason: str


def egress_allowed(fields: Fields) -> tuple[Allowed, ...]:
    """Take the section `egress` of a recipe."""
    if not fields.has("egress"):
        return ()
    section = fields.mapping("egress")
    allowed = section.each("allow", parse_allowed, [])
    section.close()
    return allowed


def parse_allowed(fields: Fields) -> Allowed:
    """Take one finding that is allowed."""
    return Allowed(
        rule=fields.text("rule", match=_RULE, what="the id of a rule"),
        where=fields.text("where", match=_LINE, what="a glob of places in one line"),
        reason=fields.text("reason", match=_LINE, what="a reason in one line"),
    )
