"""Secrets of an installed release: which there are, what they are, and others in their place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bundler.errors import HostError
from bundler.installer.audit import HostLog, on_record
from bundler.installer.escort import credentials, haproxy, vault
from bundler.installer.escort.certificate import public_part
from bundler.installer.escort.issue import CERTIFICATE, TOKENS, Issuer, new_secret, token_path
from bundler.installer.escort.unit import SOCKET, UNSEAL
from bundler.installer.escort.wish import (
    certificate_names,
    credential_lines,
    give,
    wish_secrets,
)
from bundler.installer.facts import Facts, gather, installed_manifest
from bundler.installer.journal import exclusive
from bundler.installer.layout import Layout, unit_name
from bundler.installer.preflight.required import check_owner
from bundler.installer.settings import read_settings
from bundler.installer.systemd import Systemd
from bundler.model.escort import GATEWAY, KEYSTORE
from bundler.model.manifest import Manifest
from bundler.store import write_file

# As bundler.installer.unit and bundler.installer.escort.unit write it.
_LINE = re.compile(rf"^LoadCredential(Encrypted)?=[^:]+:{re.escape(credentials.DIRECTORY)}/.*\n", re.M)

_TOKEN = re.compile("[!-~]{16,512}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A secret that may be shown and replaced; `made_of` is "" for one that the operator has not given yet."""

    path: str
    made_of: str
    description: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a secret goes: the path in the keystore, and the credential that follows from it."""

    path: str
    service: str
    name: str


def list_secrets(layout: Layout, systemd: Systemd) -> tuple[Listed, ...]:
    """Return the secrets of the installed release, without their values.

    Raises:
        HostError: nothing is installed here, or it has no keystore.
    """
    facts, manifest = _installed(layout, systemd)
    found = []
    for place in _places(manifest):
        made_of = facts.secrets.get(place.service, {}).get(place.name, "")
        told = next((one.description for one in manifest.escort.secrets if one.path == place.path), "")
        found.append(Listed(path=place.path, made_of=made_of, description=told))
    return tuple(found)


def show_secret(layout: Layout, systemd: Systemd, path: str, *, now: datetime) -> str:
    """Return a secret; that it was shown goes on record.

    Raises:
        HostError: there is none of that path, or the keystore does not answer.
    """
    check_owner(layout)
    _, manifest = _installed(layout, systemd)
    place = _place(manifest, path)
    with on_record(HostLog(layout=layout, now=now), "secret shown", path=place.path):
        share = credentials.get(layout, KEYSTORE, UNSEAL)
        with vault.as_root(layout.at(SOCKET), share) as found:
            value = found.read(place.path)
        if value is None:
            raise HostError("expected a secret, none was given yet", place=path, hint=f"ferry host secret set {path}")
        return value


def change_secret(layout: Layout, systemd: Systemd, path: str, value: str | None, *, now: datetime) -> str:
    """Put another secret in the place of one, a random one for None, and start its service anew; return its unit.

    Raises:
        HostError: there is none of that path, its value does not fit, or the keystore does not answer.
    """
    check_owner(layout)
    with exclusive(layout.run):
        facts, manifest = _installed(layout, systemd)
        place = _place(manifest, path)
        _check_value(manifest, place, value)
        with on_record(HostLog(layout=layout, now=now), "secret changed", path=place.path):
            _change(layout, facts, manifest, place, value, now)
            return _start_anew(layout, systemd, manifest, place.service)


def _check_value(manifest: Manifest, place: _Place, value: str | None) -> None:
    """Refuse what could not be used: at random only what this host makes itself, a token as a header carries it."""
    is_token = (place.service, place.name) == TOKENS
    is_made = is_token or any(one.made for one in manifest.escort.secrets if one.path == place.path)
    if value is None and not is_made:
        hint = f"give it: ferry host secret set {place.path} FILE"
        raise HostError("expected a secret that is made here, this one comes from outside", place=place.path, hint=hint)
    if value is not None and is_token and not _TOKEN.fullmatch(value):
        raise HostError("expected a token of 16 to 512 printable characters without spaces", place=place.path)
    if value is not None and (place.service, place.name) == CERTIFICATE:
        public_part(value)


def _installed(layout: Layout, systemd: Systemd) -> tuple[Facts, Manifest]:
    facts = gather(layout, systemd)
    manifest = installed_manifest(layout, facts.releases, facts.current)
    if manifest is None or manifest.escort.keystore is None:
        raise HostError(
            "expected an installed release with a keystore, there is none",
            place="secrets",
            hint="a recipe asks for one with the section keystore",
        )
    return facts, manifest


def _places(manifest: Manifest) -> list[_Place]:
    found = [_Place(path=one.path, service=one.service, name=one.name) for one in manifest.escort.secrets]
    if manifest.escort.gateway is not None:
        found.append(_Place(path="/".join(CERTIFICATE), service=GATEWAY, name=haproxy.CERTIFICATE))
        clients = manifest.escort.gateway.clients
        found += [_Place(path=token_path(one), service=GATEWAY, name=haproxy.TOKENS) for one in clients]
    return found


def _place(manifest: Manifest, path: str) -> _Place:
    places = _places(manifest)
    for place in places:
        if place.path == path:
            return place
    known = ", ".join(place.path for place in places)
    raise HostError(f'expected one of {known or "none: the bundle has no secrets"}, got "{path}"', place="secret")


def _change(layout: Layout, facts: Facts, manifest: Manifest, place: _Place, value: str | None, now: datetime) -> None:
    settings = {name: read_settings(text) for name, text in facts.settings.items()}
    share = credentials.get(layout, KEYSTORE, UNSEAL)
    with vault.as_root(layout.at(SOCKET), share) as found:
        found.write(place.path, new_secret() if value is None else value)
        issuer = Issuer(
            vault=found,
            clients=manifest.escort.gateway.clients if manifest.escort.gateway else (),
            names=certificate_names(settings),
            certificate_given=True,
            now=now,
        )
        content = issuer.value(place.service, place.name)
    credentials.put(layout, place.service, place.name, content)
    if (place.service, place.name) == CERTIFICATE:
        write_file(layout.certificate, public_part(content).encode())
    has = facts.secrets
    if value is not None and (place.service, place.name) != TOKENS:
        has = give(has, place.service, place.name)
    credentials.write_index(layout, wish_secrets(manifest, has, settings, sealed=facts.can_seal))


def _start_anew(layout: Layout, systemd: Systemd, manifest: Manifest, service: str) -> str:
    """Let the unit hand over what there is now, as the next install would write it, and start it."""
    unit = unit_name(service)
    path = layout.units / unit
    if not path.exists():
        return ""
    facts = gather(layout, systemd)
    lines = credential_lines(facts.secrets, facts.credentials, sealed=facts.can_seal).get(service, ())
    _rewrite(path, lines)
    systemd.reload()
    # Without its note the next install goes by the files, which are as it wants them.
    (layout.run / f"{service}.started").unlink(missing_ok=True)
    systemd.start(unit)
    return unit


def _rewrite(path: Path, lines: tuple[str, ...]) -> None:
    text = path.read_text()
    bare = _LINE.sub("", text)
    head, mark, tail = bare.partition("DynamicUser=yes\n")
    # The escort's units have the lines before their bounds, the payload's before their user.
    if "MemoryMax=" in head:
        head, mark, tail = bare.partition("MemoryMax=")
    changed = head + "".join(f"{line}\n" for line in lines) + mark + tail
    if changed != text:
        write_file(path, changed.encode())
