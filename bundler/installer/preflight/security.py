"""What guards a host, and what of it would stop an install or its services."""

from __future__ import annotations

import re

from bundler.installer.layout import MARK
from bundler.installer.preflight.check import Verdict, View, at_least, failed, must, passed, should, skipped, unknown

_GROUP = "security"
# systemd's dynamic users, systemd.exec(5).
_DYNAMIC = range(61184, 65520)


def _selinux(view: View) -> Verdict:
    got = view.readings.number("/sys/fs/selinux/enforce")
    if got is None:
        return skipped("SELinux is not here", "无 SELinux")
    if got:
        return failed(
            "expected a policy that knows /opt/ferry, SELinux is enforcing",
            "SELinux 处于强制模式，策略须认识 /opt/ferry",
            do=(
                "label it: semanage fcontext -a -t usr_t '/opt/ferry(/.*)?' && semanage fcontext -a -t bin_t "
                "'/opt/ferry/.*/bin/.*'; watch for denials with ausearch -m avc",
                "请打标签：semanage fcontext -a -t usr_t '/opt/ferry(/.*)?' && semanage fcontext -a -t bin_t "
                "'/opt/ferry/.*/bin/.*'；用 ausearch -m avc 查看拒绝记录",
            ),
        )
    return passed("permissive", "宽容模式")


def _apparmor(view: View) -> Verdict:
    text = view.readings.texts.get("/sys/module/apparmor/parameters/enabled", "").strip()
    if not text:
        return skipped("AppArmor is not here", "无 AppArmor")
    return passed("on" if text == "Y" else "off", "启用" if text == "Y" else "未启用")


def _fapolicyd(view: View) -> Verdict:
    if not view.readings.units:
        return unknown("systemd")
    if view.readings.is_active("fapolicyd.service"):
        return failed(
            "expected no fapolicyd, or one that trusts /opt/ferry: it stops programs that it does not know",
            "fapolicyd 正在运行，须信任 /opt/ferry：否则未知程序被拦截",
            do=(
                "fapolicyd-cli --file add /opt/ferry/ && fapolicyd-cli --update after the install of the toolchain",
                "请执行 fapolicyd-cli --file add /opt/ferry/ && fapolicyd-cli --update",
            ),
        )
    return passed("not running", "未运行")


def _lockdown(view: View) -> Verdict:
    match = re.search(r"\[(\w+)\]", view.readings.texts.get("/sys/kernel/security/lockdown", ""))
    if match is None:
        return skipped("the kernel has no lockdown", "内核无 lockdown")
    if match[1] != "none" and view.facts.machines:
        return failed(
            f"expected kernel lockdown to be none beside accelerators, got {match[1]}: unsigned modules do not load",
            f"有加速卡时内核 lockdown 应为 none，实为 {match[1]}：未签名模块无法加载",
            do=("use a driver whose modules are signed, or enrol its key", "请使用已签名的驱动，或登记其密钥"),
        )
    return passed(match[1])


def _auditd(view: View) -> Verdict:
    if not view.readings.units:
        return unknown("systemd")
    if not view.readings.is_active("auditd.service"):
        return failed(
            "expected auditd to run (GB/T 22239 level 3, security audit)",
            "auditd 应运行（GB/T 22239 第三级，安全审计）",
            do=("install auditd and enable it", "请安装并启用 auditd"),
        )
    return passed("auditd")


def _firewall(view: View) -> Verdict:
    if not view.readings.units:
        return unknown("systemd")
    names = ("firewalld.service", "nftables.service", "ufw.service")
    found = [name.removesuffix(".service") for name in names if view.readings.is_active(name)]
    if not found:
        return failed(
            "expected a firewall, none of firewalld, nftables and ufw runs",
            "应有防火墙，但 firewalld、nftables、ufw 均未运行",
            do=("enable one with default deny", "请启用其一，默认拒绝"),
        )
    return passed(", ".join(found))


def _journal(view: View) -> Verdict:
    configured = view.readings.field("/etc/systemd/journald.conf", "Storage")
    if configured != "persistent" and "/var/log/journal" not in view.readings.there:
        return failed(
            "expected a journal that survives a boot, /var/log/journal is not there",
            "日志应跨重启保留，但 /var/log/journal 不存在",
            do=(
                "mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal",
                "mkdir -p /var/log/journal && systemd-tmpfiles --create --prefix /var/log/journal",
            ),
        )
    return passed("/var/log/journal")


def _cores(view: View) -> Verdict:
    pattern = view.readings.texts.get("/proc/sys/kernel/core_pattern", "").strip()
    if not pattern:
        return passed("no core files", "不产生 core")
    if not pattern.startswith("|") and pattern != "/dev/null":
        return failed(
            f'expected core dumps to go to a program or nowhere, got files named "{pattern}": they may hold keys',
            f"core 转储应交给程序或禁用，实为文件“{pattern}”：其中可能含密钥",
            do=("sysctl -w kernel.core_pattern='|/bin/false'", "sysctl -w kernel.core_pattern='|/bin/false'"),
        )
    return passed(pattern)


def _users(view: View) -> Verdict:
    text = view.readings.texts.get("/etc/passwd")
    if text is None:
        return unknown("/etc/passwd")
    rows = [line.split(":") for line in text.splitlines()]
    taken = [row[0] for row in rows if len(row) > 2 and row[2].isdecimal() and int(row[2]) in _DYNAMIC]
    ours = [row[0] for row in rows if row[0].startswith("ferry-")]
    if taken or ours:
        names = ", ".join(sorted({*taken, *ours}))
        return failed(
            f"expected users 61184 to 65519 and names ferry-* to be free for services, got {names}",
            f"用户号 61184–65519 及 ferry-* 名称应留给服务，实有 {names}",
            do=("give these users other numbers or names", "请为这些用户更换编号或名称"),
        )
    return passed("61184-65519")


def _launcher(view: View) -> Verdict:
    text = view.facts.launcher
    if text and MARK not in text:
        return failed(
            "expected no file or Ferry's own at /usr/local/bin/ferry, got another program's",
            "/usr/local/bin/ferry 是其他程序的文件",
            do=("move it elsewhere", "请移走"),
        )
    return passed("/usr/local/bin/ferry")


CHECKS = (
    should("selinux", _GROUP, ("SELinux", "SELinux"), _selinux),
    should("apparmor", _GROUP, ("AppArmor", "AppArmor"), _apparmor),
    must("fapolicyd", _GROUP, ("application control", "应用白名单"), _fapolicyd),
    should("lockdown", _GROUP, ("kernel lockdown", "内核 lockdown"), _lockdown),
    should("auditd", _GROUP, ("audit service", "审计服务"), _auditd),
    should("firewall", _GROUP, ("firewall", "防火墙"), _firewall),
    should("journal", _GROUP, ("journal", "系统日志"), _journal),
    should("core-dumps", _GROUP, ("core dumps", "core 转储"), _cores),
    should("users", _GROUP, ("users of services", "服务用户"), _users),
    must("launcher", _GROUP, ("the command ferry", "ferry 命令"), _launcher),
    should(
        "entropy",
        _GROUP,
        ("random numbers", "随机数"),
        at_least(
            "/proc/sys/kernel/random/entropy_avail",
            200,
            what=("entropy", "熵"),
            do=(
                "install rng-tools or haveged, or give the guest virtio-rng",
                "请安装 rng-tools 或 haveged，或启用 virtio-rng",
            ),
        ),
    ),
)
