"""A check of a host: what it looks at, whether it must or should hold, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from bundler.installer.facts import Facts
from bundler.installer.plan import Plan
from bundler.installer.preflight.readings import Readings


class Level(StrEnum):
    """A host on which a `must` does not hold cannot be installed; a `should` is told."""

    MUST = "must"
    SHOULD = "should"


class State(StrEnum):
    """What a check found; `unknown` where the host does not tell, `skipped` where it does not apply."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A sentence in both languages."""

    english: str
    chinese: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a check found, told for a person; a failed one has a `remedy`."""

    state: State
    told: Text
    remedy: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """All that checks look at; `plan` is that of a bundle, None when the host is looked at alone."""

    readings: Readings
    facts: Facts
    now: datetime
    plan: Plan | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check; `name` is stable, for programs."""

    name: str
    group: str
    level: Level
    title: Text
    look: Callable[[View], Verdict]


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A check and its verdict on this host."""

    check: Check
    verdict: Verdict

    @property
    def refuses(self) -> bool:
        """Whether nothing can be installed because of it."""
        return self.check.level is Level.MUST and self.verdict.state is State.FAILED


def passed(english: str, chinese: str = "") -> Verdict:
    """Return that a check holds; what needs no translation is told once."""
    return Verdict(state=State.PASSED, told=Text(english=english, chinese=chinese or english))


def failed(english: str, chinese: str, *, do: tuple[str, str]) -> Verdict:
    """Return that a check does not hold, and what to `do` in both languages."""
    return Verdict(
        state=State.FAILED,
        told=Text(english=english, chinese=chinese),
        remedy=Text(english=do[0], chinese=do[1]),
    )


def unknown(what: str) -> Verdict:
    """Return that the host does not tell; `what` is a path or a program."""
    return Verdict(state=State.UNKNOWN, told=Text(english=f"{what} does not tell", chinese=f"无法从 {what} 得知"))


def skipped(english: str, chinese: str) -> Verdict:
    """Return that a check does not apply here, and why."""
    return Verdict(state=State.SKIPPED, told=Text(english=english, chinese=chinese))


def must(name: str, group: str, title: tuple[str, str], look: Callable[[View], Verdict]) -> Check:
    """Return a check that must hold."""
    return Check(name=name, group=group, level=Level.MUST, title=Text(english=title[0], chinese=title[1]), look=look)


def should(name: str, group: str, title: tuple[str, str], look: Callable[[View], Verdict]) -> Check:
    """Return a check that should hold."""
    return Check(name=name, group=group, level=Level.SHOULD, title=Text(english=title[0], chinese=title[1]), look=look)


def at_least(path: str, minimum: int, *, what: tuple[str, str], do: tuple[str, str]) -> Callable[[View], Verdict]:
    """Return a look at a number in a file, which must not be below `minimum`."""

    def look(view: View) -> Verdict:
        got = view.readings.number(path)
        if got is None:
            return unknown(path)
        if got < minimum:
            return failed(
                f"expected {what[0]} of at least {minimum}, got {got}",
                f"{what[1]}应不低于 {minimum}，实为 {got}",
                do=do,
            )
        return passed(str(got))

    return look


def sysctl(name: str, minimum: int, *, what: tuple[str, str]) -> Callable[[View], Verdict]:
    """Return a look at a kernel parameter, which must not be below `minimum`."""
    line = f"echo '{name} = {minimum}' > /etc/sysctl.d/90-site.conf && sysctl --system"
    path = "/proc/sys/" + name.replace(".", "/")
    return at_least(path, minimum, what=what, do=(f"raise it: {line}", f"调高该值：{line}"))
