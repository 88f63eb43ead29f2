"""Names, loopback and ports: services of a host talk to each other over them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from bundler.errors import HostError
from bundler.installer.preflight.check import (
    Verdict,
    View,
    failed,
    must,
    passed,
    should,
    skipped,
    sysctl,
    unknown,
)
from bundler.installer.preflight.required import check_ports

_GROUP = "network"
_IFF_UP = 1
_NAME = re.compile("[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*")


def _hostname(view: View) -> Verdict:
    name = view.readings.texts.get("/proc/sys/kernel/hostname", "").strip()
    if not name:
        return unknown("/proc/sys/kernel/hostname")
    if name in ("localhost", "localhost.localdomain", "(none)") or not _NAME.fullmatch(name):
        return failed(
            f'expected a host name of its own (RFC 1123), got "{name}"',
            f"应有自己的主机名（RFC 1123），实为“{name}”",
            do=("hostnamectl set-hostname NAME", "hostnamectl set-hostname 名称"),
        )
    return passed(name)


def _hosts(view: View) -> Iterator[tuple[str, list[str]]]:
    for line in view.readings.texts.get("/etc/hosts", "").splitlines():
        words = line.partition("#")[0].split()
        if len(words) > 1:
            yield words[0], words[1:]


def _own_name(view: View) -> Verdict:
    name = view.readings.texts.get("/proc/sys/kernel/hostname", "").strip()
    if not name or "/etc/hosts" not in view.readings.texts:
        return unknown("/etc/hosts")
    if not any(name in names for _, names in _hosts(view)):
        return failed(
            f'expected the host\'s own name "{name}" in /etc/hosts: without a name server each look-up waits',
            f"/etc/hosts 中应有本机名“{name}”：没有域名服务器时每次解析都会等待",
            do=(f"add the line: 127.0.1.1 {name}", f"请添加一行：127.0.1.1 {name}"),
        )
    return passed(name)


def _localhost(view: View) -> Verdict:
    if "/etc/hosts" not in view.readings.texts:
        return unknown("/etc/hosts")
    found = [address for address, names in _hosts(view) if "localhost" in names]
    wrong = [address for address in found if not _is_loopback(address)]
    if wrong or not found:
        got = ", ".join(wrong) or "no line"
        return failed(
            f"expected localhost to be 127.0.0.1 in /etc/hosts, got {got}",
            f"/etc/hosts 中 localhost 应为 127.0.0.1，实为 {', '.join(wrong) or '无此行'}",
            do=("write the line: 127.0.0.1 localhost", "请写入一行：127.0.0.1 localhost"),
        )
    return passed(", ".join(found))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _loopback(view: View) -> Verdict:
    text = view.readings.texts.get("/sys/class/net/lo/flags", "").strip()
    if not re.fullmatch("0x[0-9a-f]{1,8}", text):
        return unknown("/sys/class/net/lo")
    if not int(text, 16) & _IFF_UP:
        return failed(
            "expected the interface lo to be up, it is down",
            "回环接口 lo 应已启用",
            do=("ip link set lo up", "ip link set lo up"),
        )
    return passed("lo")


def _ports(view: View) -> Verdict:
    if view.plan is None:
        return skipped("no bundle is named", "未指定数据包")
    try:
        check_ports(view.plan, view.facts)
    except HostError as error:
        return failed(
            f"{error.place}: {error.message}",
            f"{error.place}：所需端口已被占用（{error.message}）",
            do=(error.hint or "", "请停止占用端口的程序，或为其更换端口"),
        )
    return passed(", ".join(str(service.port) for service in view.plan.wanted.services if service.port) or "-")


def _ephemeral(view: View) -> Verdict:
    match = re.match(r"(\d+)\s+(\d+)", view.readings.texts.get("/proc/sys/net/ipv4/ip_local_port_range", ""))
    if match is None:
        return unknown("/proc/sys/net/ipv4/ip_local_port_range")
    low, high = int(match[1]), int(match[2])
    if view.plan is None:
        return passed(f"{low}-{high}")
    inside = [service for service in view.plan.wanted.services if low <= service.port <= high]
    if inside:
        ports = ", ".join(str(service.port) for service in inside)
        return failed(
            f"expected services' ports outside of {low}-{high}, got {ports}: a connection may hold one at boot",
            f"服务端口应在 {low}-{high} 之外，实为 {ports}：开机时可能被客户端连接占用",
            do=(
                f"reserve them: sysctl -w net.ipv4.ip_local_reserved_ports={ports.replace(' ', '')}",
                f"请保留端口：sysctl -w net.ipv4.ip_local_reserved_ports={ports.replace(' ', '')}",
            ),
        )
    return passed(f"{low}-{high}")


def _forward(view: View) -> Verdict:
    if view.facts.runtime is None and not (view.plan and view.plan.wanted.manifest.of_kind("image")):
        return skipped("no containers here", "无容器")
    got = view.readings.number("/proc/sys/net/ipv4/ip_forward")
    if got is None:
        return unknown("/proc/sys/net/ipv4/ip_forward")
    if not got:
        return failed(
            "expected net.ipv4.ip_forward = 1, got 0: containers with a network of their own reach nothing",
            "net.ipv4.ip_forward 应为 1，实为 0：使用独立网络的容器无法通信",
            do=(
                "echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/90-site.conf && sysctl --system",
                "echo 'net.ipv4.ip_forward = 1' > /etc/sysctl.d/90-site.conf && sysctl --system",
            ),
        )
    return passed("1")


def _proxy(view: View) -> Verdict:
    lines = view.readings.texts.get("/etc/environment", "").splitlines()
    values = {name.strip().lower(): value.strip("\"' ") for name, _, value in (line.partition("=") for line in lines)}
    proxies = [name for name in ("http_proxy", "https_proxy", "all_proxy") if values.get(name)]
    if proxies and "127.0.0.1" not in values.get("no_proxy", ""):
        return failed(
            f"expected 127.0.0.1 in no_proxy beside {', '.join(proxies)} in /etc/environment",
            f"/etc/environment 设置了 {', '.join(proxies)}，但 no_proxy 不含 127.0.0.1",
            do=("add: no_proxy=localhost,127.0.0.1", "请添加：no_proxy=localhost,127.0.0.1"),
        )
    return passed(", ".join(proxies) or "none", ", ".join(proxies) or "无")


CHECKS = (
    should("hostname", _GROUP, ("host name", "主机名"), _hostname),
    should("hostname-resolves", _GROUP, ("host name in /etc/hosts", "本机名解析"), _own_name),
    must("localhost", _GROUP, ("localhost", "localhost"), _localhost),
    must("loopback", _GROUP, ("loopback interface", "回环接口"), _loopback),
    must("ports", _GROUP, ("ports of the services", "服务端口"), _ports),
    should("ports-ephemeral", _GROUP, ("ports of clients", "临时端口范围"), _ephemeral),
    should(
        "somaxconn",
        _GROUP,
        ("queue of connections", "连接队列"),
        sysctl("net.core.somaxconn", 1024, what=("a queue of connections", "连接队列")),
    ),
    should("ip-forward", _GROUP, ("forwarding for containers", "容器转发"), _forward),
    should("proxy", _GROUP, ("proxies", "代理"), _proxy),
)
