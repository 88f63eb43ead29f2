"""Findings, and the author's word on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase

from bundler.errors import IntegrityError, RecipeError
from bundler.model.document import Fields
from bundler.model.egress import Allowed, Attempt, parse_allowed
from bundler.scan.rules import CONNECTION, ERROR, INFO, WARNING, read_rules

REPORT_NAME = "egress.json"
_FORMAT = "ferry/egress/v1"
_ORDER = {ERROR: 0, WARNING: 1, INFO: 2}
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that would reach out at run time.

    `item` is what holds it (a wheel, an image, a file, `services.NAME`), `path` the place in it, `line` the first line
    (0 for none), `count` how often it stands there. A connection's item is its destination, its path the service.
    """

    rule: str
    severity: str
    item: str
    path: str = ""
    line: int = 0
    found: str = ""
    count: int = 1

    @property
    def place(self) -> str:
        """What the glob of an `allow` is held against."""
        return f"{self.item}:{self.path}" if self.path and self.rule != CONNECTION else self.item

    @property
    def shown_place(self) -> str:
        """Where it stands, for a reader."""
        return f"{self.place}:{self.line}" if self.line else self.place


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found, by severity, what of it is allowed, and whether a boot was watched."""

    findings: tuple[Finding, ...] = ()
    allowed: tuple[Allowed, ...] = ()
    watched: bool = False

    def allows(self, finding: Finding) -> Allowed | None:
        """Return what allows a finding, if anything does."""
        return next((one for one in self.allowed if _covers(one, finding)), None)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The errors that nothing allows."""
        return tuple(one for one in self.findings if one.severity == ERROR and self.allows(one) is None)

    def document(self) -> bytes:
        """Return the report as a bundle carries it; the same findings give the same bytes."""
        document = {
            "format": _FORMAT,
            "findings": [asdict(one) for one in self.findings],
            "allowed": [asdict(one) for one in self.allowed],
        }
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def make_report(findings: Iterable[Finding], allowed: Sequence[Allowed]) -> Report:
    """Sort the findings, the gravest first."""
    key = lambda one: (_ORDER[one.severity], one.rule, one.place, one.line, one.found)  # noqa: E731
    return Report(findings=tuple(sorted(findings, key=key)), allowed=tuple(allowed))


def parse_allows(data: bytes) -> tuple[Allowed, ...]:
    """Return what the report in a bundle allows; its bytes must be verified.

    Raises:
        IntegrityError: it is no such report.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected a report in JSON", place=REPORT_NAME) from error
    fields = Fields(document, place="", error=IntegrityError)
    if (form := fields.text("format")) != _FORMAT:
        raise fields.refuse("format", f'expected "{_FORMAT}", got "{form}"')
    return fields.each("allowed", parse_allowed)


def connections(attempts: Iterable[Attempt]) -> list[Finding]:
    """Return what a boot saw as findings."""
    return [
        Finding(
            rule=CONNECTION,
            severity=ERROR,
            item=one.destination,
            path=f"services.{one.service}",
            found=f"{one.process} ({one.protocol})",
        )
        for one in attempts
    ]


def refuse(report: Report) -> None:
    """Refuse errors that the recipe does not allow.

    Raises:
        RecipeError: naming each, with the remedy of the first.
    """
    if not (refused := report.refused):
        return
    lines = [f"\n  {_sentence(one)}" for one in refused[:_SHOWN]]
    more = f"\n  and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    first = refused[0]
    remedy = read_rules().texts[first.rule][1]["en"]
    allow = f'egress: {{allow: [{{rule: {first.rule}, where: "{first.place}", reason: "..."}}]}}'
    raise RecipeError(
        f"expected nothing that reaches out at run time, got {len(refused)}:{''.join(lines)}{more}",
        place="egress",
        hint=f"{remedy}; or allow it in the recipe: {allow}",
    )


def judge(findings: Sequence[Finding], allowed: Sequence[Allowed], attempts: Sequence[Attempt] | None) -> Report:
    """Return the report on a bundle and its boot; `attempts` are None where none was watched.

    Raises:
        RecipeError: something is not allowed, or allowed and never found.
    """
    report = replace(make_report([*findings, *connections(attempts or ())], allowed), watched=attempts is not None)
    refuse(report)
    _refuse_unused(report)
    return report


def _refuse_unused(report: Report) -> None:
    """Refuse what is allowed and never found: it is a typo, or no longer needed.

    Connections are only known after a boot.

    Raises:
        RecipeError: naming the first.
    """
    known = read_rules().texts
    for index, one in enumerate(report.allowed):
        place = f"egress.allow[{index}]"
        if one.rule not in known:
            raise RecipeError(f'expected one of {", ".join(sorted(known))}, got "{one.rule}"', place=f"{place}.rule")
        if one.rule == CONNECTION and not report.watched:
            continue
        if not any(_covers(one, finding) for finding in report.findings):
            raise RecipeError(
                f'nothing that "{one.rule}" finds is at "{one.where}"',
                place=place,
                hint="correct the glob, or remove what is no longer needed; `ferry scan egress` lists the places",
            )


def _sentence(finding: Finding) -> str:
    if finding.rule == CONNECTION:
        return f"{finding.path}: {finding.found} tries to reach {finding.item}"
    return f"{finding.shown_place}: {finding.rule}: {finding.found}"


def _covers(allowed: Allowed, finding: Finding) -> bool:
    return allowed.rule == finding.rule and fnmatchcase(finding.place, allowed.where)
