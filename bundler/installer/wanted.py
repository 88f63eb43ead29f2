"""What a host should be, worked out from a manifest, the facts and the operator's changes; no effects."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bundler.anchors import Anchor
from bundler.installer.escort.services import all_services
from bundler.installer.escort.wish import credential_lines, wish_files, wish_secrets, wish_units
from bundler.installer.facts import Facts
from bundler.installer.layout import MARK
from bundler.installer.settings import edit_settings, read_settings
from bundler.installer.unit import render_unit
from bundler.model.manifest import Manifest
from bundler.model.service import Service
from keystore.public import VerifyingKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The state to reach. `services` are those that run, in the order in which they start.

    `settings` and `units` are the texts of files by service; `started_with` is what each service's process follows
    from: another value means that it must be started again. `key` stands for who signed; `anchors` are what this host
    trusts from now on. `files` are the escort's, `secrets` say what credentials are made of, both by service and name.
    """

    manifest: Manifest
    manifest_sha256: str
    key: VerifyingKey
    anchors: tuple[Anchor, ...]
    number: int
    services: tuple[Service, ...]
    settings: Mapping[str, str]
    units: Mapping[str, str]
    started_with: Mapping[str, str]
    launcher: str
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    revocations: Mapping[str, int] = field(default_factory=dict)


def want(
    manifest: Manifest,
    manifest_sha256: str,
    key: VerifyingKey,
    facts: Facts,
    *,
    anchors: tuple[Anchor, ...] = (),
    revocations: Mapping[str, int] | None = None,
    changes: Mapping[str, Mapping[str, str]],
    python: str,
) -> Wanted:
    """Work out the state to reach; `changes` are new settings by service, `python` runs the host's own Ferry."""
    settings = {
        service.name: text
        for service in all_services(manifest)
        if (text := edit_settings(facts.settings.get(service.name, ""), service, changes.get(service.name, {})))
    }
    values = {name: read_settings(text) for name, text in settings.items()}
    services = in_start_order([service for service in all_services(manifest) if not _is_replaced(service, values)])
    running = {service.name for service in services}
    number = _number(manifest_sha256, facts)
    files = wish_files(manifest, values)
    secrets = wish_secrets(manifest, facts.secrets, values, sealed=facts.can_seal)
    lines = credential_lines(secrets, facts.credentials, sealed=facts.can_seal)
    escort = wish_units(manifest, values, lines, python=python, others=[service.name for service in services])
    units = {
        service.name: render_unit(
            service,
            python=manifest.python_version,
            after=[name for name in service.after if name in running],
            settings=values.get(service.name, {}),
            credentials=facts.credentials.get(service.name, ()),
            secrets=lines.get(service.name, ()),
        )
        for service in services
        if service.name not in escort
    } | escort
    return Wanted(
        manifest=manifest,
        manifest_sha256=manifest_sha256,
        key=key,
        anchors=anchors or (key,),
        revocations=revocations or {},
        number=number,
        services=services,
        settings=settings,
        units=units,
        started_with={
            name: _fingerprint(
                *(text, settings.get(name, ""), str(number), manifest_sha256),
                *(files.get(name, {}).values()),
                *(secrets.get(name, {}).values()),
            )
            for name, text in units.items()
        },
        launcher=f'#!/bin/sh\n{MARK}\nexec {python} -I -m bundler.cli "$@"\n',
        files=files,
        secrets=secrets,
    )


def _is_replaced(service: Service, values: Mapping[str, Mapping[str, str]]) -> bool:
    """Say whether the operator set what makes this service needless."""
    name, _, setting = service.unless.partition(".")
    return bool(service.unless) and setting in values.get(name, {})


def in_start_order(services: Sequence[Service]) -> tuple[Service, ...]:
    """Sort services so that each comes behind those in its `after`; otherwise the order stays."""
    left, ordered = list(services), []
    while left:
        waiting = {service.name for service in left}
        # A circle cannot be ordered: its first one goes first.
        chosen = next((service for service in left if not waiting & set(service.after)), left[0])
        left.remove(chosen)
        ordered.append(chosen)
    return tuple(ordered)


def _number(manifest_sha256: str, facts: Facts) -> int:
    """Return the number of the release: the one that is there already, or the next."""
    for release in reversed(facts.releases):
        if release.manifest_sha256 == manifest_sha256 and release.number in facts.trees:
            return release.number
    return max((release.number for release in facts.releases), default=0) + 1


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
