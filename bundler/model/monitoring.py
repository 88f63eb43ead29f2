"""The monitoring of a recipe: which services are asked for their figures, and how long these are kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bundler.model.document import Fields
from bundler.model.secret import own_port

PORT = 9090
KEEP_DAYS = 15
_MOST_DAYS = 3650


@dataclass(frozen=True, kw_only=True, slots=True)
class Scrape:
    """Figures of a service, as Prometheus reads them at `path`; `pack` names the alerts that know them."""

    service: str
    path: str = "/metrics"
    pack: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitoring:
    """What watches the services: `keep_mib` is the room that figures may take, 0 for no bound but the days."""

    scrape: tuple[Scrape, ...] = ()
    port: int = PORT
    keep_days: int = KEEP_DAYS
    keep_mib: int = 1024


def monitoring_section(fields: Fields) -> Monitoring:
    """Take the section `monitoring`."""
    monitoring = Monitoring(
        scrape=fields.each("scrape", _scrape, []),
        port=own_port(fields, "port", PORT),
        keep_days=fields.integer("keep_days", KEEP_DAYS, least=1, most=_MOST_DAYS),
        keep_mib=fields.integer("keep_mib", 1024),
    )
    fields.close()
    return monitoring


def _scrape(fields: Fields) -> Scrape:
    return Scrape(
        service=fields.text("service"),
        path=fields.text("path", "/metrics", match="/[A-Za-z0-9_./-]*", what="a path that starts with /"),
        pack=fields.text("pack", "", match="agent|model", what='"agent" or "model"'),
    )


def monitoring_document(monitoring: Monitoring) -> dict[str, Any]:
    """Return a monitoring as it stands in a manifest."""
    return {**asdict(monitoring), "scrape": [asdict(one) for one in monitoring.scrape]}
