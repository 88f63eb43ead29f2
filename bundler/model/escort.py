"""The escort of a payload: what a host runs beside its services, the same value in the recipe and in the manifest.

Unknown fields in these sections are refused in a manifest too: a limit that is not understood must not be ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bundler.model.document import Fields
from bundler.model.firewall import Firewall, firewall_document, firewall_section
from bundler.model.gateway import Gateway, gateway_document, gateway_section
from bundler.model.monitoring import Monitoring, monitoring_document, monitoring_section
from bundler.model.secret import Keystore, Secret, keystore_section, secret_entry
from bundler.model.service import Service

# The names of its services; those of a recipe have others.
KEYSTORE, GATEWAY, FIREWALL, MONITORING = "keystore", "gateway", "firewall", "monitoring"
NAMES = (KEYSTORE, FIREWALL, GATEWAY, MONITORING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Escort:
    """What runs beside the payload; None for what the recipe does not ask for."""

    keystore: Keystore | None = None
    secrets: tuple[Secret, ...] = ()
    gateway: Gateway | None = None
    firewall: Firewall | None = None
    monitoring: Monitoring | None = None


NO_ESCORT = Escort()


def take_escort(fields: Fields, services: Sequence[Service]) -> Escort:
    """Take the sections of a recipe or a manifest.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    escort = Escort(
        keystore=keystore_section(fields.mapping(KEYSTORE)) if fields.has(KEYSTORE) else None,
        secrets=fields.each("secrets", secret_entry, []),
        gateway=gateway_section(fields.mapping(GATEWAY)) if fields.has(GATEWAY) else None,
        firewall=firewall_section(fields.mapping(FIREWALL)) if fields.has(FIREWALL) else None,
        monitoring=monitoring_section(fields.mapping(MONITORING)) if fields.has(MONITORING) else None,
    )
    _check(fields, escort, services)
    return escort


def escort_document(escort: Escort) -> dict[str, Any]:
    """Return the sections as they stand in a manifest: those that are there."""
    document: dict[str, Any] = {}
    if escort.keystore is not None:
        document[KEYSTORE] = asdict(escort.keystore)
    if escort.secrets:
        document["secrets"] = [asdict(one) for one in escort.secrets]
    if escort.gateway is not None:
        document[GATEWAY] = gateway_document(escort.gateway)
    if escort.firewall is not None:
        document[FIREWALL] = firewall_document(escort.firewall)
    if escort.monitoring is not None:
        document[MONITORING] = monitoring_document(escort.monitoring)
    return document


def _check(fields: Fields, escort: Escort, services: Sequence[Service]) -> None:
    for user, is_there in (("secrets", bool(escort.secrets)), (GATEWAY, escort.gateway is not None)):
        if is_there and escort.keystore is None:
            raise fields.refuse(user, "expected a keystore beside it", "add a section: keystore: {}")
    _check_names(fields, escort, services)
    _check_ports(fields, escort, services)
    _check_secrets(fields, escort.secrets)
    fallbacks = {service.name for service in services if service.unless}
    for index, route in enumerate(escort.gateway.routes if escort.gateway else ()):
        if route.service in fallbacks:
            got = f'expected a service that always runs, "{route.service}" has "unless"'
            raise fields.refuse(f"gateway.routes[{index}].service", got)
    switches = {f"{service.name}.{setting}" for service in services for setting in service.settings}
    for index, flow in enumerate(escort.firewall.allow if escort.firewall else ()):
        if flow.setting and flow.setting not in switches:
            got = f'expected SERVICE.NAME, a setting of a service, got "{flow.setting}"'
            raise fields.refuse(f"firewall.allow[{index}].setting", got)


def _check_names(fields: Fields, escort: Escort, services: Sequence[Service]) -> None:
    names = [service.name for service in services]
    for index, name in enumerate(names):
        if name in NAMES and getattr(escort, name) is not None:
            raise fields.refuse(f"services[{index}].name", f'the name "{name}" is that of a section of the recipe')
    named = [(f"secrets[{i}]", one.service) for i, one in enumerate(escort.secrets)]
    named += [
        (f"gateway.routes[{i}]", one.service) for i, one in enumerate(escort.gateway.routes if escort.gateway else ())
    ]
    scrapes = escort.monitoring.scrape if escort.monitoring else ()
    named += [(f"monitoring.scrape[{i}]", one.service) for i, one in enumerate(scrapes)]
    for place, name in named:
        if name not in names:
            raise fields.refuse(f"{place}.service", f'expected the name of a service, got "{name}"')


def _check_ports(fields: Fields, escort: Escort, services: Sequence[Service]) -> None:
    taken = {service.port: service.name for service in services}
    for place, port in ports_of(escort).items():
        if port in taken:
            raise fields.refuse(place, f'the port {port} is that of "{taken[port]}"')
        taken[port] = place


def ports_of(escort: Escort) -> Mapping[str, int]:
    """Return every port that the escort listens on, by its place in the recipe."""
    found: dict[str, int] = {}
    if escort.keystore is not None:
        found["keystore.port"] = escort.keystore.port
    if escort.gateway is not None:
        found |= {"gateway.port": escort.gateway.port, "gateway.metrics_port": escort.gateway.metrics_port}
    if escort.monitoring is not None:
        found["monitoring.port"] = escort.monitoring.port
    return found


def _check_secrets(fields: Fields, secrets: Sequence[Secret]) -> None:
    paths = [one.path for one in secrets]
    for index, path in enumerate(paths):
        if paths.index(path) != index:
            raise fields.refuse(f"secrets[{index}].name", f'"{path}" stands twice')
