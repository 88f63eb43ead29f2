"""Every check of a host, in the order in which they are told."""

from __future__ import annotations

from bundler.installer.preflight import clock, hardware, limits, network, security, software, storage, system
from bundler.installer.preflight.check import Check, Finding, Text, View

CHECKS: tuple[Check, ...] = (
    *system.CHECKS,
    *hardware.CHECKS,
    *clock.CHECKS,
    *storage.CHECKS,
    *network.CHECKS,
    *limits.CHECKS,
    *security.CHECKS,
    *software.CHECKS,
)
GROUPS = {
    "system": Text(english="System", chinese="系统"),
    "hardware": Text(english="Hardware", chinese="硬件"),
    "clock": Text(english="Clock", chinese="时钟"),
    "storage": Text(english="Storage", chinese="存储"),
    "network": Text(english="Network", chinese="网络"),
    "limits": Text(english="Kernel and limits", chinese="内核与限制"),
    "security": Text(english="Security", chinese="安全"),
    "software": Text(english="Software", chinese="软件"),
    "accelerators": Text(english="Accelerators", chinese="加速卡"),
}


def examine(view: View) -> tuple[Finding, ...]:
    """Look at a host with every check."""
    return tuple(Finding(check=check, verdict=check.look(view)) for check in CHECKS)
