"""What the escort of a manifest wants of a host: texts of files, units and credentials; no effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundler.installer.escort import haproxy, nftables
from bundler.installer.escort.credentials import line
from bundler.installer.escort.haproxy import listen_of, render_haproxy
from bundler.installer.escort.nftables import render_nftables
from bundler.installer.escort.prometheus import render_prometheus
from bundler.installer.escort.services import escort_services
from bundler.installer.escort.unit import UNSEAL, Given, render_escort_unit
from bundler.model.escort import FIREWALL, GATEWAY, KEYSTORE, MONITORING
from bundler.model.manifest import Manifest

Settings = Mapping[str, Mapping[str, str]]
Texts = Mapping[str, Mapping[str, str]]
MADE, GIVEN = "made here", "given by the operator"
_SEALED = ", sealed"


def wish_files(manifest: Manifest, settings: Settings) -> Texts:
    """Return the texts of configuration files, by service and name.

    Raises:
        HostError: a setting of the operator's does not fit.
    """
    escort = manifest.escort
    services = {service.name: service for service in manifest.services}
    found: dict[str, Mapping[str, str]] = {}
    if escort.firewall is not None:
        found[FIREWALL] = {nftables.FILE: render_nftables(escort.firewall, settings)}
    if escort.gateway is not None:
        found[GATEWAY] = {haproxy.FILE: render_haproxy(escort.gateway, services, settings.get(GATEWAY, {}))}
    if escort.monitoring is not None:
        found[MONITORING] = render_prometheus(escort, services)
    return found


def wish_units(
    manifest: Manifest, settings: Settings, lines: Mapping[str, Sequence[str]], *, python: str, others: Sequence[str]
) -> dict[str, str]:
    """Return the units of the escort; `lines` hand credentials over, `others` are all services that run."""
    escort = manifest.escort
    return {
        service.name: render_escort_unit(
            service,
            escort,
            Given(
                python=python,
                credentials=lines.get(service.name, ()),
                listen=listen_of(settings.get(GATEWAY, {})),
                others=[name for name in others if name != FIREWALL],
            ),
        )
        for service in escort_services(escort)
    }


def wish_secrets(manifest: Manifest, has: Texts, settings: Settings, *, sealed: bool) -> dict[str, dict[str, str]]:
    """Return what each credential is made of, by service and name.

    What the operator must give is wanted once it is there (`has`); until then its service runs without.
    """
    escort, mark = manifest.escort, _SEALED * sealed
    found: dict[str, dict[str, str]] = {}
    if escort.keystore is not None:
        found[KEYSTORE] = {UNSEAL: f"one share{mark}"}
    elif KEYSTORE in has:
        # A release without a keystore leaves the store of an earlier one where it is, and what opens it.
        found[KEYSTORE] = dict(has[KEYSTORE])
    if escort.gateway is not None:
        names = " ".join(certificate_names(settings))
        given = is_given(has, GATEWAY, haproxy.CERTIFICATE)
        found[GATEWAY] = {
            haproxy.CERTIFICATE: (GIVEN if given else f"certificate of {names}") + mark,
            haproxy.TOKENS: f"tokens of {' '.join(escort.gateway.clients)}{mark}",
        }
    for secret in escort.secrets:
        given = is_given(has, secret.service, secret.name)
        if given or secret.made:
            found.setdefault(secret.service, {})[secret.name] = (GIVEN if given else MADE) + mark
    return found


def is_given(has: Texts, service: str, name: str) -> bool:
    """Say whether the operator gave this credential."""
    return has.get(service, {}).get(name, "").removesuffix(_SEALED) == GIVEN


def give(has: Texts, service: str, name: str) -> dict[str, dict[str, str]]:
    """Return what there is once the operator has given a credential."""
    found = {one: dict(names) for one, names in has.items()}
    found.setdefault(service, {})[name] = GIVEN
    return found


def certificate_names(settings: Settings) -> tuple[str, ...]:
    """Return the names for which the gateway's own certificate is, besides that of the host."""
    listen = listen_of(settings.get(GATEWAY, {}))
    names = ["localhost", haproxy.DEFAULT_LISTEN]
    if not haproxy.is_interface(listen) and listen not in (*names, "0.0.0.0", "::"):  # noqa: S104 (a comparison)
        names.append(listen)
    return tuple(names)


def credential_lines(
    secrets: Texts, operator: Mapping[str, Sequence[str]], *, sealed: bool
) -> dict[str, tuple[str, ...]]:
    """Return the lines of units that hand Ferry's credentials over, but for those of which the operator has a file."""
    return {
        service: tuple(
            line(service, name, sealed=sealed) for name in sorted(names) if name not in operator.get(service, ())
        )
        for service, names in secrets.items()
    }
