"""The firewall of a recipe: which flows leave the host; every other one is refused."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass
from typing import Any

from bundler.model.document import LINE, Fields, describe

_MOST_PORT = 65535
_WHY = "one line that says why"


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """One kind of connection that may go out, and why.

    Either `to`, a network in CIDR form, with `port` and `protocol`; or `setting`, SERVICE.NAME, whose value is the URL
    of an endpoint that the operator has set.
    """

    why: str
    to: str = ""
    port: int = 0
    protocol: str = "tcp"
    setting: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Firewall:
    """What may go out; `covers` says whose connections are refused otherwise: the `services`' or the whole `host`'s."""

    covers: str
    allow: tuple[Flow, ...] = ()


def firewall_section(fields: Fields) -> Firewall:
    """Take the section `firewall`."""
    firewall = Firewall(
        covers=fields.text("covers", "services", match="services|host", what='"services" or "host"'),
        allow=fields.each("allow", _flow, []),
    )
    fields.close()
    return firewall


def _flow(fields: Fields) -> Flow:
    why = fields.text("why", match=LINE.replace("*", "+"), what=_WHY)
    if fields.has("setting"):
        return Flow(why=why, setting=fields.text("setting"))
    return Flow(
        why=why,
        to=_network(fields),
        port=fields.integer("port", least=1, most=_MOST_PORT),
        protocol=fields.text("protocol", "tcp", match="tcp|udp", what='"tcp" or "udp"'),
    )


def _network(fields: Fields) -> str:
    text = fields.text("to")
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        hint = "names are not for a firewall: their addresses change; write 10.1.2.3 or 10.1.2.0/24"
        raise fields.refuse("to", f"expected an address or a network, got {describe(text)}", hint) from error


def firewall_document(firewall: Firewall) -> dict[str, Any]:
    """Return a firewall as it stands in a manifest: of a flow what it says."""
    flows = [
        {"setting": one.setting, "why": one.why}
        if one.setting
        else {key: value for key, value in asdict(one).items() if key != "setting"}
        for one in firewall.allow
    ]
    return {"covers": firewall.covers, "allow": flows}
