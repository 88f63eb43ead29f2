"""The escort as services: the steps that write, start and watch the payload's units do the same for these."""

from __future__ import annotations

from bundler.model.escort import FIREWALL, GATEWAY, KEYSTORE, MONITORING, Escort
from bundler.model.manifest import Manifest
from bundler.model.service import Service

# Where the gateway listens: an address, or the name of an interface.
LISTEN = "LISTEN"


def all_services(manifest: Manifest) -> tuple[Service, ...]:
    """Return the services of a host, in the order in which they start: the escort's stand around the payload's."""
    escort = manifest.escort
    return (*_first(escort), *manifest.services, *_last(escort))


def escort_services(escort: Escort) -> tuple[Service, ...]:
    """Return the services of the escort alone."""
    return (*_first(escort), *_last(escort))


def _first(escort: Escort) -> list[Service]:
    found = []
    if escort.firewall is not None:
        found.append(_service(FIREWALL, "Outgoing connections, refused unless declared", port=0, ready=""))
    if escort.keystore is not None:
        found.append(
            _service(
                KEYSTORE,
                "Secrets, over Vault's API on the loopback",
                port=escort.keystore.port,
                ready="/v1/sys/health",
                memory_max_mib=512,
            )
        )
    return found


def _last(escort: Escort) -> list[Service]:
    found = []
    if escort.gateway is not None:
        found.append(
            _service(
                GATEWAY,
                "The way in: TLS, tokens, open paths, limits",
                port=escort.gateway.metrics_port,
                ready="/ready",
                settings=(LISTEN,),
                memory_max_mib=512,
            )
        )
    if escort.monitoring is not None:
        port = escort.monitoring.port
        found.append(_service(MONITORING, "Figures and alerts", port=port, ready="/-/ready", memory_max_mib=1024))
    return found


def _service(
    name: str, description: str, *, port: int, ready: str, settings: tuple[str, ...] = (), memory_max_mib: int = 0
) -> Service:
    return Service(
        name=name,
        description=description,
        run=(),
        directory="",
        port=port,
        ready=ready,
        settings=settings,
        memory_max_mib=memory_max_mib,
    )
