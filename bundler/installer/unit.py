"""A service of the manifest as a hardened systemd unit.

The user is systemd's own (DynamicUser=): nothing is written to /etc/passwd, the number follows from the name,
and data in /var/lib/ferry-NAME and /var/cache/ferry-NAME belongs to it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from bundler.installer.layout import MARK, PREFIX, unit_name
from bundler.model.service import Service

TREE = "/opt/ferry/current/root"
_STOP_S = 30
# Every directive is known to systemd 247 (Debian 11).
HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
PrivateTmp=yes
PrivateDevices=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
CapabilityBoundingSet=
UMask=0077"""


def render_unit(
    service: Service,
    *,
    python: str,
    after: Sequence[str],
    settings: Mapping[str, str],
    credentials: Sequence[str] = (),
    secrets: Sequence[str] = (),
) -> str:
    """Return the text of a unit; `after` names the services that run here and come first.

    `python` is the minor version; `settings` are those that the operator has set; `credentials` the names of the
    files in /etc/ferry/credentials/NAME; `secrets` are the lines that hand over what the keystore holds.
    """
    name = f"{PREFIX}{service.name}"
    first = " ".join(unit_name(other) for other in after)
    lines = [
        f"{MARK} A change here is undone by the next install; use: systemctl edit {name}",
        "[Unit]",
        f"Description=Ferry: {_percent(service.description)}",
        f"After=network.target {first}".rstrip(),
        *([f"Wants={first}"] if first else []),
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_argument(word) for word in _argv(service, python))}",
        f"WorkingDirectory={_percent(f'{TREE}/{service.directory}')}",
        "Restart=on-failure",
        "RestartSec=2",
        f"TimeoutStopSec={_STOP_S}",
        *_environment(service, name),
        *(
            f"LoadCredential={credential}:/etc/ferry/credentials/{service.name}/{credential}"
            for credential in credentials
        ),
        *secrets,
        "DynamicUser=yes",
        f"User={name}",
        *_directories(service, name),
        *([f"MemoryMax={service.memory_max_mib}M"] if service.memory_max_mib else []),
        *_network(settings),
        HARDENING,
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _argv(service: Service, python: str) -> list[str]:
    interpreter = f"{TREE}/usr/bin/python{python}"
    return [interpreter if word == "python" else word for word in service.run]


def _environment(service: Service, name: str) -> list[str]:
    fixed = {
        "LANG": "C.UTF-8",
        "PATH": f"{TREE}/usr/local/bin:/usr/bin:/bin",
        "PYTHONPYCACHEPREFIX": f"/var/cache/{name}/bytecode",
        **dict(service.environment),
    }
    lines = [f"Environment={_quote(_percent(f'{key}={value}'))}" for key, value in sorted(fixed.items())]
    return [*lines, f"EnvironmentFile=-/etc/ferry/{service.name}.env"]


def _directories(service: Service, name: str) -> list[str]:
    lines = [f"CacheDirectory={name}", "CacheDirectoryMode=0700"]
    return [*lines, f"StateDirectory={name}", "StateDirectoryMode=0700"] if service.state else lines


def _network(settings: Mapping[str, str]) -> list[str]:
    """Deny every address but loopback and the endpoints that the operator named by number.

    An endpoint with a name needs a name server, whose address is not known here: then nothing is denied.
    """
    allowed = ["localhost"]
    for value in settings.values():
        host = _host(value)
        if host in ("", "localhost"):
            continue
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return []
        if not address.is_loopback and str(address) not in allowed:
            allowed.append(str(address))
    return ["IPAddressDeny=any", f"IPAddressAllow={' '.join(allowed)}"]


def _host(value: str) -> str:
    try:
        return (urlsplit(value).hostname or "") if "://" in value else ""
    except ValueError:
        return ""


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _argument(word: str) -> str:
    text = _percent(word).replace("$", "$$")
    plain = text and not any(character in " \t\"'\\;" for character in text)
    return text if plain else _quote(text)
