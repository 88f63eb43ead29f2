"""The units of the escort: our own, with our own configuration and least privilege, not those of the distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bundler.installer.escort import haproxy, nftables, prometheus
from bundler.installer.layout import MARK, PREFIX, unit_name
from bundler.installer.unit import HARDENING
from bundler.model.escort import FIREWALL, GATEWAY, KEYSTORE, MONITORING, Escort
from bundler.model.service import Service

RENDERED = "/var/lib/ferry/rendered"
SOCKET = "/run/ferry-keystore/api.sock"
UNSEAL = "unseal"
_LOOPBACK = ("IPAddressDeny=any", "IPAddressAllow=localhost")


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What units follow from besides the manifest: `credentials` are lines, `listen` is where the gateway listens."""

    python: str
    credentials: Sequence[str]
    listen: str
    others: Sequence[str]


def render_escort_unit(service: Service, escort: Escort, given: Given) -> str:
    """Return the text of the unit of one service of the escort."""
    lines = [
        f"{MARK} A change here is undone by the next install; use: systemctl edit {PREFIX}{service.name}",
        "[Unit]",
        f"Description=Ferry: {service.description}",
        *_ORDER[service.name](given),
        "",
        "[Service]",
        *_SERVICE[service.name](escort, given),
        *given.credentials,
        *([f"MemoryMax={service.memory_max_mib}M"] if service.memory_max_mib else []),
        *(_ROOT if service.name == FIREWALL else (f"User={PREFIX}{service.name}", "DynamicUser=yes", HARDENING)),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


# Only root may load rules, and of its rights this needs one.
_ROOT = tuple(
    HARDENING.replace("CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_NET_ADMIN")
    .replace("AF_UNIX AF_INET AF_INET6", "AF_UNIX AF_NETLINK")
    .splitlines()
)


def _after_network(given: Given) -> list[str]:
    return ["After=network.target"]


def _before_all(given: Given) -> list[str]:
    """Load the rules before anything of the bundle can send."""
    return [f"Before={' '.join(map(unit_name, given.others))}"] if given.others else []


def _firewall(escort: Escort, given: Given) -> list[str]:
    load = f"{nftables.PROGRAM} -f {RENDERED}/{FIREWALL}/{nftables.FILE}"
    return [
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={load}",
        f"ExecReload={load}",
        f"ExecStop={nftables.PROGRAM} delete table inet {nftables.TABLE}",
    ]


def _keystore(escort: Escort, given: Given) -> list[str]:
    assert escort.keystore is not None
    words = [
        *(given.python, "-I", "-m", "bundler.cli", "keystore", "serve"),
        *("--data", f"/var/lib/{PREFIX}{KEYSTORE}"),
        *("--listen", f"127.0.0.1:{escort.keystore.port}", "--no-tls", "--socket", SOCKET),
        *("--unseal-from", f"${{CREDENTIALS_DIRECTORY}}/{UNSEAL}"),
    ]
    return [
        "Type=notify",
        f"ExecStart={' '.join(words)}",
        "Restart=on-failure",
        "RestartSec=2",
        f"StateDirectory={PREFIX}{KEYSTORE}",
        "StateDirectoryMode=0700",
        f"RuntimeDirectory={PREFIX}{KEYSTORE}",
        "RuntimeDirectoryMode=0700",
        "LimitMEMLOCK=infinity",
        *_LOOPBACK,
    ]


def _gateway(escort: Escort, given: Given) -> list[str]:
    words = f"{haproxy.PROGRAM} -Ws -f {RENDERED}/{GATEWAY}/{haproxy.FILE}"
    return [
        "Type=notify",
        f"ExecStart={words}",
        "ExecReload=/bin/kill -USR2 $MAINPID",
        "KillMode=mixed",
        "SuccessExitStatus=143",
        "Restart=on-failure",
        "RestartSec=2",
        "LimitNOFILE=65536",
        *(_LOOPBACK if given.listen.startswith("127.") else ()),
    ]


def _monitoring(escort: Escort, given: Given) -> list[str]:
    assert escort.monitoring is not None
    monitoring, data = escort.monitoring, f"/var/lib/{PREFIX}{MONITORING}"
    words = [
        prometheus.PROGRAM,
        f"--config.file={RENDERED}/{MONITORING}/{prometheus.FILE}",
        f"--storage.tsdb.path={data}/tsdb",
        f"--storage.tsdb.retention.time={monitoring.keep_days}d",
        *([f"--storage.tsdb.retention.size={monitoring.keep_mib}MB"] if monitoring.keep_mib else []),
        f"--web.listen-address=127.0.0.1:{monitoring.port}",
    ]
    return [
        "Type=exec",
        f"ExecStart={' '.join(words)}",
        f"WorkingDirectory={data}",
        "Restart=on-failure",
        "RestartSec=2",
        f"StateDirectory={PREFIX}{MONITORING}",
        "StateDirectoryMode=0700",
        *_LOOPBACK,
    ]


_ORDER: Mapping[str, Callable[[Given], list[str]]] = {
    FIREWALL: _before_all,
    KEYSTORE: _after_network,
    GATEWAY: _after_network,
    MONITORING: _after_network,
}
_SERVICE: Mapping[str, Callable[[Escort, Given], list[str]]] = {
    FIREWALL: _firewall,
    KEYSTORE: _keystore,
    GATEWAY: _gateway,
    MONITORING: _monitoring,
}
