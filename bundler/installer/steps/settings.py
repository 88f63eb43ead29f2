"""Step `settings`: the operator's files in /etc/ferry."""

from __future__ import annotations

from bundler.installer.facts import Facts
from bundler.installer.settings import read_settings
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "settings"
# Only root reads them: systemd hands them to the services.
_MODE = 0o600


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a file is missing, or a setting changes."""
    reasons = {}
    for name, text in wanted.settings.items():
        before = facts.settings.get(name, "")
        if text != before:
            reasons[f"{name}.env"] = _reason(before, text)
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def _reason(before: str, after: str) -> str:
    if not before:
        return "is not there"
    old, new = read_settings(before), read_settings(after)
    changed = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    return f"{', '.join(changed)} changes" if changed else "lacks a setting of this release"


def apply(job: Job) -> None:
    """Write what differs."""
    job.layout.settings.mkdir(parents=True, exist_ok=True)
    for name, text in job.wanted.settings.items():
        if text != job.facts.settings.get(name, ""):
            write_file(job.layout.settings / f"{name}.env", _encode(text), _MODE)


def undo(job: Job) -> None:
    """Write back what stood there."""
    for name in job.wanted.settings:
        path = job.layout.settings / f"{name}.env"
        if name in job.facts.settings:
            write_file(path, _encode(job.facts.settings[name]), _MODE)
        else:
            path.unlink(missing_ok=True)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
