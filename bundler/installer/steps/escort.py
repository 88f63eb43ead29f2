"""Step `escort`: the configuration of gateway, firewall and monitoring, proved by their own programs first."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from bundler.installer.escort.proof import prove
from bundler.installer.facts import Facts
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "escort"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a file is missing, altered, or no longer wanted."""
    reasons = {}
    for service in sorted(wanted.files.keys() | facts.rendered.keys()):
        texts, has = wanted.files.get(service, {}), facts.rendered.get(service, {})
        for file in sorted(texts.keys() | has.keys()):
            if texts.get(file) != has.get(file):
                reasons[f"{service}/{file}"] = _reason(file, texts, has)
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def _reason(file: str, texts: Mapping[str, str], has: Mapping[str, str]) -> str:
    if file not in has:
        return "is not there"
    return "is not as this release writes it" if file in texts else "is no longer wanted"


def apply(job: Job) -> None:
    """Prove what is new, then write it.

    Raises:
        HostError: a program does not take its configuration.
    """
    for service, texts in job.wanted.files.items():
        if texts != job.facts.rendered.get(service, {}):
            prove(service, texts, job.now)
    _write(job, job.wanted.files)


def undo(job: Job) -> None:
    """Write back what stood there."""
    _write(job, job.facts.rendered)


def _write(job: Job, files: Mapping[str, Mapping[str, str]]) -> None:
    top = job.layout.rendered
    for service, texts in files.items():
        (top / service).mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            write_file(top / service / file, text.encode("utf-8", "surrogateescape"))
        for path in (top / service).iterdir():
            if path.name not in texts:
                path.unlink()
    for path in top.glob("*"):
        if path.name not in files:
            shutil.rmtree(path)
    if not files and top.exists():
        top.rmdir()
