"""The firewall's rules: one table of Ferry's own, which refuses what goes out undeclared; nothing that comes in.

Services are told by their user numbers: systemd gives every `DynamicUser=` one of a fixed range, whatever runs when the
rules are loaded. Other programs that systemd runs under such users are covered with them.

Source: systemd, docs/UIDS-GIDS.md, "Special systemd UID ranges": 61184 to 65519 for dynamic users.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from bundler.errors import HostError
from bundler.installer.layout import MARK
from bundler.model.escort import FIREWALL
from bundler.model.firewall import Firewall, Flow

PROGRAM = "/usr/sbin/nft"
FILE = "ferry.nft"
TABLE = "ferry"
_DYNAMIC_USERS = "61184-65519"
_PORTS = {"http": 80, "https": 443}
_SSH = 22


def render_nftables(firewall: Firewall, settings: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text that `nft -f` takes in one transaction; `settings` are the operator's, by service.

    Raises:
        HostError: a setting that a flow follows names an endpoint by name.
    """
    lines = [
        f"{MARK} A change here is undone by the next install.",
        f"table inet {TABLE} {{}}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        "  counter refused {}",
        "  chain declared {",
        *(rule for flow in firewall.allow for rule in _rules(flow, settings)),
        '    limit rate 6/minute burst 6 packets log prefix "ferry-firewall: " flags skuid',
        "    counter name refused reject with icmpx type admin-prohibited",
        "  }",
        "  chain output {",
        "    type filter hook output priority filter; policy accept;",
        '    oifname "lo" accept comment "the host itself"',
        '    ct state established,related accept comment "answers"',
        *(_of_host() if firewall.covers == "host" else _of_services()),
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _of_services() -> list[str]:
    return [f'    meta skuid {_DYNAMIC_USERS} goto declared comment "services with a user of their own"']


def _of_host() -> list[str]:
    """Return what a host needs to stay reachable, whatever a recipe declares.

    Answers of sshd pass also where the kernel has not followed a connection from its beginning: an operator's session
    outlives the loading of the rules.
    """
    return [
        f'    tcp sport {_SSH} tcp flags & (syn | ack) != syn accept comment "answers of sshd"',
        '    udp sport 68 udp dport 67 accept comment "the lease of the address"',
        '    udp sport 546 udp dport 547 accept comment "the lease of the address"',
        "    icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
        "    icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } accept",
        "    ip protocol igmp accept",
        "    ip protocol icmp icmp type { echo-reply, destination-unreachable, time-exceeded } accept",
        "    meta l4proto ipv6-icmp icmpv6 type { echo-reply, destination-unreachable, packet-too-big } accept",
        "    goto declared",
    ]


def _rules(flow: Flow, settings: Mapping[str, Mapping[str, str]]) -> Sequence[str]:
    """Return the rule of a flow, none for a setting that the operator has not set or that leads to the host itself."""
    to, port, protocol = flow.to, flow.port, flow.protocol
    if flow.setting:
        service, _, name = flow.setting.partition(".")
        if not (value := settings.get(service, {}).get(name, "")):
            return ()
        to, port = _endpoint(value, flow.setting)
    network = ipaddress.ip_network(to)
    if network.is_loopback:
        return ()
    family = "ip6" if network.version == 6 else "ip"
    return (f"    {family} daddr {network} {protocol} dport {port} accept comment {_comment(flow.why)}",)


def _endpoint(value: str, setting: str) -> tuple[str, int]:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        host, port = "", 0
    host = "127.0.0.1" if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        port = 0
    if not port:
        raise HostError(
            f'expected a URL with an address, such as http://10.1.2.3:8000/v1, got "{value}"',
            place=f"{FIREWALL}: {setting}",
            hint="this bundle's firewall opens the way to that endpoint alone: name it by its number, not by its name",
        )
    return host, port


def _comment(why: str) -> str:
    """Return a comment as nft takes it: at most 128 bytes, without quotes."""
    text = "".join(one for one in why if one.isprintable() and one not in '"\\')
    return '"' + text.encode()[:120].decode("utf-8", "ignore") + '"'
