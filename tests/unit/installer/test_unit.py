"""Units: one whole text, and what each field of a service becomes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hosts import service

from bundler.installer.unit import render_unit

GOLDEN = """\
# Written by Ferry. A change here is undone by the next install; use: systemctl edit ferry-agent
[Unit]
Description=Ferry: The agent
After=network.target ferry-model.service
Wants=ferry-model.service

[Service]
Type=exec
ExecStart=/opt/ferry/current/root/usr/bin/python3.11 -m agent
WorkingDirectory=/opt/ferry/current/root/srv/data
Restart=on-failure
RestartSec=2
TimeoutStopSec=30
Environment="LANG=C.UTF-8"
Environment="PATH=/opt/ferry/current/root/usr/local/bin:/usr/bin:/bin"
Environment="PORT=8090"
Environment="PYTHONPYCACHEPREFIX=/var/cache/ferry-agent/bytecode"
EnvironmentFile=-/etc/ferry/agent.env
LoadCredential=model-api-key:/etc/ferry/credentials/agent/model-api-key
DynamicUser=yes
User=ferry-agent
CacheDirectory=ferry-agent
CacheDirectoryMode=0700
StateDirectory=ferry-agent
StateDirectoryMode=0700
MemoryMax=256M
IPAddressDeny=any
IPAddressAllow=localhost
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
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def rendered(settings: dict[str, str] | None = None, **changes: object) -> str:
    return render_unit(service("agent", 8090, **changes), python="3.11", after=[], settings=settings or {})


def test_a_whole_unit() -> None:
    whole = render_unit(
        service("agent", 8090, state=True, memory_max_mib=256),
        python="3.11",
        after=["model"],
        settings={"PROMPT": "hello"},
        credentials=["model-api-key"],
    )
    assert whole == GOLDEN


@pytest.mark.parametrize(
    ("url", "lines"),
    [
        ("http://127.0.0.1:8000/v1", ["IPAddressDeny=any", "IPAddressAllow=localhost"]),
        ("http://localhost:8000/v1", ["IPAddressDeny=any", "IPAddressAllow=localhost"]),
        ("http://10.0.0.5:8000/v1", ["IPAddressDeny=any", "IPAddressAllow=localhost 10.0.0.5"]),
        ("http://[fd00::5]:8000/v1", ["IPAddressDeny=any", "IPAddressAllow=localhost fd00::5"]),
        ("http://model.bank.example/v1", []),
    ],
)
def test_only_what_the_operator_named_is_reachable(url: str, lines: list[str]) -> None:
    text = rendered({"MODEL_BASE_URL": url})
    assert [line for line in text.splitlines() if line.startswith("IPAddress")] == lines


def test_what_systemd_would_expand_is_escaped() -> None:
    text = rendered(run=("python", "-c", "print('$HOME %n')"), environment=(("A", 'say "50%"\\'),))
    assert "ExecStart=/opt/ferry/current/root/usr/bin/python3.11 -c \"print('$$HOME %%n')\"\n" in text
    assert 'Environment="A=say \\"50%%\\"\\\\"\n' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "ferry-agent.service"
    # What it would run and where is not here.
    text = rendered(state=True).replace("/opt/ferry/current/root/usr/bin/python3.11", "/bin/true")
    path.write_text(text.replace("WorkingDirectory=/opt/ferry/current/root/srv/data\n", ""))
    argv = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if "ferry-agent" in line]
    assert complaints == []
