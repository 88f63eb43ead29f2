"""The operating system: what it is, how it was started, and what its programs are."""

from __future__ import annotations

import os
import re

from bundler.installer.preflight.check import Verdict, View, failed, must, passed, should, skipped, unknown

_GROUP = "system"
_KNOWN = ("anolis", "centos", "debian", "kylin", "openeuler", "rhel", "rocky", "ubuntu", "uos", "deepin")
_LEAST_KERNEL, _GOOD_KERNEL = (3, 10), (4, 18)
_LEAST_GLIBC = (2, 17)
_LEAST_SYSTEMD, _GOOD_SYSTEMD = 235, 247


def version(text: str) -> tuple[int, ...]:
    """Return the numbers at the start of a version."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()


def _system(view: View) -> Verdict:
    os_id, os_version = view.facts.os_id, view.facts.os_version
    if not os_id:
        return unknown("/etc/os-release")
    if os_id.lower() not in _KNOWN:
        return failed(
            f'expected a known distribution, got "{os_id}"',
            f"应为已知发行版，实为“{os_id}”",
            do=("try the bundle on a spare host of this system first", "请先在同系统的备用主机上试装"),
        )
    return passed(f"{os_id} {os_version}".strip())


def _machine(view: View) -> Verdict:
    here = view.facts.machine
    if view.plan is None:
        return passed(here)
    wanted = view.plan.wanted.manifest.platform.machine
    if here != wanted:
        return failed(
            f"expected a host of {wanted}, this is {here}",
            f"应为 {wanted} 主机，本机为 {here}",
            do=(f"bring the bundle for {here}", f"请使用适用于 {here} 的数据包"),
        )
    return passed(here)


def _kernel(least: tuple[int, ...], why: tuple[str, str]) -> Verdict | None:
    """Return a failure of the kernel's version, None when it is enough."""
    got = os.uname().release
    if version(got) >= least:
        return None
    wanted = ".".join(map(str, least))
    return failed(
        f"expected Linux {wanted} or newer, got {got}: {why[0]}",
        f"内核应为 {wanted} 或更新，实为 {got}：{why[1]}",
        do=("install a newer kernel of the distribution and reboot", "请安装发行版的新内核并重启"),
    )


def _kernel_least(view: View) -> Verdict:
    why = ("the carried Python does not run on it", "所携 Python 无法运行")
    return _kernel(_LEAST_KERNEL, why) or passed(os.uname().release)


def _kernel_good(view: View) -> Verdict:
    why = ("overlay file systems and cgroups are complete from then on", "此后 overlay 与 cgroup 方才完备")
    return _kernel(_GOOD_KERNEL, why) or passed(os.uname().release)


def _glibc(view: View) -> Verdict:
    got = view.facts.glibc.removeprefix("glibc ")
    if not got:
        return unknown("the C library")
    if version(got) < _LEAST_GLIBC:
        return failed(
            f"expected glibc 2.17 or newer for drivers and host programs, got {got}",
            f"驱动与主机程序要求 glibc 2.17 或更新，实为 {got}",
            do=("use a newer release of the distribution", "请使用更新的发行版本"),
        )
    return passed(got)


def _init(view: View) -> Verdict:
    if not view.facts.has_systemd:
        return failed(
            "expected systemd as process 1, /run/systemd/system is not there",
            "1 号进程应为 systemd，但 /run/systemd/system 不存在",
            do=(
                "use a host or a virtual machine that boots with systemd; a plain container cannot hold services",
                "请使用以 systemd 启动的主机或虚拟机；普通容器无法承载服务",
            ),
        )
    return passed("systemd")


def _systemd_version(view: View) -> int | None:
    got = version(view.readings.programs.get("systemctl", ""))
    return got[0] if got else None


def _systemd_least(view: View) -> Verdict:
    got = _systemd_version(view)
    if got is None:
        return unknown("systemctl")
    if got < _LEAST_SYSTEMD:
        return failed(
            f"expected systemd {_LEAST_SYSTEMD} or newer, got {got}: services run as users of its making",
            f"systemd 应为 {_LEAST_SYSTEMD} 或更新，实为 {got}：服务使用其动态用户",
            do=("use a newer release of the distribution", "请使用更新的发行版本"),
        )
    return passed(str(got))


def _systemd_good(view: View) -> Verdict:
    got = _systemd_version(view)
    if got is None:
        return unknown("systemctl")
    if got < _GOOD_SYSTEMD:
        return failed(
            f"expected systemd {_GOOD_SYSTEMD} or newer, got {got}: credentials and some hardening are not known to it",
            f"systemd 应为 {_GOOD_SYSTEMD} 或更新，实为 {got}：不支持凭据与部分加固项",
            do=(
                "keep secrets out of the settings on this host, or use a newer release",
                "请勿在本机设置中存放密钥，或使用更新的发行版本",
            ),
        )
    return passed(str(got))


def _container(view: View) -> Verdict:
    kind = view.readings.texts.get("/run/systemd/container", "").strip()
    if kind:
        return failed(
            f"expected a host or a virtual machine, this is a container of {kind}",
            f"应为主机或虚拟机，本机为 {kind} 容器",
            do=(
                "give it the cards' devices, cgroups and enough rights, or install on the host itself",
                "请为其提供加速卡设备、cgroup 和权限，或直接装在主机上",
            ),
        )
    return passed("no container", "非容器")


def _root(view: View) -> Verdict:
    if os.geteuid() != view.readings.owner:
        return failed("expected to run as root", "应以 root 运行", do=("run it with sudo", "请使用 sudo"))
    return passed("root")


def _reboot(view: View) -> Verdict:
    if "/run/reboot-required" in view.readings.there:
        return failed(
            "expected no reboot to be due, /run/reboot-required is there",
            "不应有待执行的重启，但存在 /run/reboot-required",
            do=("reboot before you install", "请先重启再安装"),
        )
    return passed("none is due", "无")


def _openssl(view: View) -> Verdict:
    if "openssl" not in view.readings.programs:
        return failed(
            "expected openssl, it is not here",
            "缺少 openssl",
            do=(
                "check the first bundle's signature on another host that has it",
                "请在装有 openssl 的主机上校验首个数据包的签名",
            ),
        )
    return passed(view.readings.programs["openssl"] or "openssl")


def _tar(view: View) -> Verdict:
    if "tar" not in view.readings.programs:
        return failed(
            "expected tar, it is not here",
            "缺少 tar",
            do=("install the distribution's package tar", "请安装发行版的 tar 软件包"),
        )
    return passed(view.readings.programs["tar"] or "tar")


def _fips(view: View) -> Verdict:
    got = view.readings.number("/proc/sys/crypto/fips_enabled")
    if got is None:
        return skipped("the kernel has no such mode", "内核无此模式")
    if got:
        return failed(
            "expected the kernel's FIPS mode off: OpenSSL then refuses SM2, SM3 and SM4",
            "内核 FIPS 模式应关闭：否则 OpenSSL 拒绝 SM2、SM3、SM4",
            do=(
                "boot without fips=1, or verify with --profile standard",
                "请去掉 fips=1 启动，或使用 --profile standard",
            ),
        )
    return passed("off", "关闭")


CHECKS = (
    should("os-release", _GROUP, ("distribution", "发行版"), _system),
    must("architecture", _GROUP, ("architecture", "架构"), _machine),
    must("kernel", _GROUP, ("kernel", "内核"), _kernel_least),
    should("kernel-recent", _GROUP, ("kernel's age", "内核新旧"), _kernel_good),
    should("glibc", _GROUP, ("C library", "C 库"), _glibc),
    must("init", _GROUP, ("init system", "init 系统"), _init),
    must("systemd-version", _GROUP, ("systemd", "systemd 版本"), _systemd_least),
    should("systemd-recent", _GROUP, ("systemd's age", "systemd 新旧"), _systemd_good),
    should("container", _GROUP, ("virtualisation", "虚拟化"), _container),
    must("root", _GROUP, ("rights", "权限"), _root),
    should("reboot-due", _GROUP, ("pending reboot", "待重启"), _reboot),
    should("openssl", _GROUP, ("openssl", "openssl"), _openssl),
    should("tar", _GROUP, ("tar", "tar"), _tar),
    should("fips", _GROUP, ("FIPS mode", "FIPS 模式"), _fips),
)
