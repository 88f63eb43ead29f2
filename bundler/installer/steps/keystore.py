"""Step `keystore`: the keystore is made and unsealed, and services get their secrets from it as credentials.

Of a secret there are the keystore's copy and the credential, which systemd hands to one service alone; neither a unit
nor a setting holds one. Nothing is asked here by which a person would have to be present: the share that unseals the
store is a credential too.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from bundler.errors import HostError
from bundler.installer.escort import credentials, vault
from bundler.installer.escort.certificate import public_part
from bundler.installer.escort.issue import CERTIFICATE, Issuer
from bundler.installer.escort.unit import SOCKET, UNSEAL
from bundler.installer.escort.wish import certificate_names, is_given
from bundler.installer.facts import Facts
from bundler.installer.layout import PREFIX, Layout, unit_name
from bundler.installer.settings import read_settings
from bundler.installer.steps.services import reasons_to_start
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.escort import KEYSTORE
from bundler.store import write_file

NAME = "keystore"
_START_S = 60
_BEFORE = ".before"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the keystore must start, or a credential is missing, made of something else, or no longer wanted."""
    reasons = {}
    if (started := reasons_to_start(wanted, facts).get(KEYSTORE)) is not None:
        reasons[KEYSTORE] = started
    for service, name in _changed(wanted, facts):
        reasons[f"{service}/{name}"] = _reason(service, name, wanted, facts)
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def _changed(wanted: Wanted, facts: Facts) -> list[tuple[str, str]]:
    """Return the credentials that are not as wanted."""
    found = []
    for service in sorted(wanted.secrets.keys() | facts.secrets.keys()):
        want, has = wanted.secrets.get(service, {}), facts.secrets.get(service, {})
        found += [(service, name) for name in sorted(want.keys() | has.keys()) if want.get(name) != has.get(name)]
    return found


def _reason(service: str, name: str, wanted: Wanted, facts: Facts) -> str:
    has, want = facts.secrets.get(service, {}).get(name), wanted.secrets.get(service, {}).get(name)
    if has is None:
        return f"is not there ({want})"
    return "is no longer wanted" if want is None else f"is {has}, not {want}"


def apply(job: Job) -> None:
    """Make the store where there is none, start it, and write the credentials that differ.

    Raises:
        HostError: the share of a store that is there is gone, or the keystore does not answer.
    """
    _forget_earlier(job.layout)
    if job.wanted.manifest.escort.keystore is not None:
        is_new = _make_store(job)
        share = credentials.get(job.layout, KEYSTORE, UNSEAL)
        _start(job)
        with vault.as_root(_socket(job.layout), share) as found:
            found.furnish(f"/var/lib/{PREFIX}{KEYSTORE}/audit.log")
            issuer = _issuer(job, found)
            # What an earlier store held is gone with it: each credential follows the one that is there.
            for service, name in _all(job.wanted) if is_new else _changed(job.wanted, job.facts):
                if name in job.wanted.secrets.get(service, {}) and service != KEYSTORE:
                    _renew(job, service, name, issuer.value(service, name))
        _seal_share_anew(job, share)
    for service, name in _changed(job.wanted, job.facts):
        if name not in job.wanted.secrets.get(service, {}):
            _set_aside(credentials.place(job.layout, service, name))
    credentials.write_index(job.layout, job.wanted.secrets)


def _socket(layout: Layout) -> Path:
    return layout.at(SOCKET)


def _all(wanted: Wanted) -> list[tuple[str, str]]:
    return [(service, name) for service, names in wanted.secrets.items() for name in names]


def _make_store(job: Job) -> bool:
    """Make the store, unless it is there, and say so; its share is on the disk before it is in its place."""
    store = job.layout.at(f"/var/lib/private/{PREFIX}{KEYSTORE}")
    if (store / vault.STORE).exists():
        return False
    shutil.rmtree(store, ignore_errors=True)
    vault.initialise(store, lambda share: credentials.put(job.layout, KEYSTORE, UNSEAL, share))
    return True


def _start(job: Job) -> None:
    unit = unit_name(KEYSTORE)
    if KEYSTORE in reasons_to_start(job.wanted, job.facts):
        job.systemd.start(unit)
        job.layout.run.mkdir(parents=True, exist_ok=True)
        write_file(job.layout.run / f"{KEYSTORE}.started", job.wanted.started_with[KEYSTORE].encode())
    try:
        vault.wait(_socket(job.layout), _START_S)
    except HostError as error:
        error.hint = job.systemd.log(unit, 20)
        raise


def _seal_share_anew(job: Job, share: str) -> None:
    """Write the share again where this host's systemd has learned to seal it."""
    has = job.facts.secrets.get(KEYSTORE, {}).get(UNSEAL)
    if has is not None and has != job.wanted.secrets[KEYSTORE][UNSEAL]:
        _renew(job, KEYSTORE, UNSEAL, share)


def _issuer(job: Job, found: vault.Vault) -> Issuer:
    gateway = job.wanted.manifest.escort.gateway
    settings = {name: read_settings(text) for name, text in job.wanted.settings.items()}
    return Issuer(
        vault=found,
        clients=gateway.clients if gateway else (),
        names=certificate_names(settings),
        certificate_given=is_given(job.wanted.secrets, *CERTIFICATE),
        now=job.now,
    )


def _renew(job: Job, service: str, name: str, value: str) -> None:
    _keep_before(credentials.place(job.layout, service, name))
    credentials.put(job.layout, service, name, value)
    if (service, name) == CERTIFICATE:
        write_file(job.layout.certificate, public_part(value).encode())


def _keep_before(path: Path) -> None:
    """Keep what an undo returns to."""
    if path.exists():
        shutil.copy2(path, path.with_name(f"{path.name}{_BEFORE}"))


def _set_aside(path: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"{path.name}{_BEFORE}"))


def _forget_earlier(layout: Layout) -> None:
    for path in layout.secrets.glob(f"*/*{_BEFORE}"):
        path.unlink()


def undo(job: Job) -> None:
    """Put the credentials back; a store that this run made goes, with its share. One that stays keeps its share."""
    for path in job.layout.secrets.glob(f"*/*{_BEFORE}"):
        path.rename(path.with_name(path.name.removesuffix(_BEFORE)))
    stays = KEYSTORE in job.facts.data
    for path in job.layout.secrets.glob("*/*"):
        is_share = (path.parent.name, path.name) == (KEYSTORE, UNSEAL)
        if path.name not in job.facts.secrets.get(path.parent.name, {}) and not (is_share and stays):
            path.unlink()
    credentials.write_index(job.layout, job.facts.secrets)
    for directory in (*job.layout.secrets.glob("*"), job.layout.secrets):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    _undo_certificate(job)
    if not stays:
        _remove_store(job)


def _remove_store(job: Job) -> None:
    job.systemd.stop([unit_name(KEYSTORE)])
    (job.layout.run / f"{KEYSTORE}.started").unlink(missing_ok=True)
    for path in job.layout.data(KEYSTORE):
        path.unlink(missing_ok=True) if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)


def _undo_certificate(job: Job) -> None:
    if job.facts.certificate:
        write_file(job.layout.certificate, job.facts.certificate.encode())
    else:
        job.layout.certificate.unlink(missing_ok=True)
