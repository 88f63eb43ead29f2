"""What is installed already: Ferry itself, packages, container runtimes, drivers."""

from __future__ import annotations

from bundler.accelerators.catalogue import vendor
from bundler.installer.drivers import choose
from bundler.installer.escort.programs import sources
from bundler.installer.own_driver import waits_for_reboot
from bundler.installer.preflight.check import Verdict, View, failed, must, passed, should, skipped
from bundler.installer.preflight.system import version

_GROUP = "software"
# The first versions that read what Ferry hands over and have no known hole in doing so.
_RUNTIMES = {"containerd": (1, 4), "docker": (20, 10), "podman": (3, 0)}
_NO_BUNDLE = ("no bundle is named", "未指定数据包")


def _product(view: View) -> Verdict:
    installed = view.facts.installed
    if installed is None:
        return passed("nothing is installed", "尚未安装")
    told = f"{installed.name} {installed.version}"
    if view.plan is not None and view.plan.wanted.manifest.name != installed.name:
        return failed(
            f"expected no product or the same one, {told} is installed",
            f"已安装其他产品：{told}",
            do=("ferry host uninstall, or use another host", "请先 ferry host uninstall，或使用其他主机"),
        )
    return passed(told)


def _dpkg(view: View) -> Verdict:
    if view.facts.packages is None and view.facts.rpms is None:
        return skipped("neither dpkg nor rpm is here", "无 dpkg 和 rpm")
    wanted = view.plan.wanted.manifest if view.plan else None
    if wanted and wanted.of_kind("deb") and not wanted.of_kind("rpm") and view.facts.packages is None:
        return failed(
            "expected dpkg for the bundle's Debian packages, this host has rpm",
            "数据包含 Debian 软件包，但本机使用 rpm",
            do=("use a bundle that carries RPM packages too", "请使用同时含 RPM 的数据包"),
        )
    if wanted and wanted.of_kind("rpm") and not wanted.of_kind("deb") and view.facts.rpms is None:
        return failed(
            "expected rpm for the bundle's RPM packages, this host has dpkg",
            "数据包含 RPM 软件包，但本机使用 dpkg",
            do=("use a bundle that carries Debian packages too", "请使用同时含 Debian 软件包的数据包"),
        )
    return passed("dpkg" if view.facts.packages is not None else "rpm")


def _suite(view: View) -> Verdict:
    if view.plan is None:
        return skipped(*_NO_BUNDLE)
    if view.plan.left_out:
        suites = ", ".join(view.plan.left_out)
        return failed(
            f"expected a host of {suites}, for which the bundle's Debian packages are; it goes without them",
            f"数据包的 Debian 软件包适用于 {suites}，与本机不符：将不安装",
            do=("lock the recipe for this host: ferry lock --target", "请针对本机锁定配方：ferry lock --target"),
        )
    return passed(view.facts.os_codename or "-")


def _runtime(view: View) -> Verdict:
    runtime = view.facts.runtime
    needed = view.plan is not None and view.plan.wanted.manifest.images_needed
    if runtime is None and view.plan is not None and view.plan.idle_images and needed:
        return failed(
            "expected a container runtime (podman, docker or containerd), none is here",
            "应有容器运行时（podman、docker 或 containerd），但没有",
            do=(
                "install one, or use a bundle that brings one with its packages",
                "请安装其一，或使用自带运行时的数据包",
            ),
        )
    if runtime is None:
        return skipped("no container runtime is here, none is needed", "无容器运行时，也不需要")
    if runtime.problem:
        return failed(
            f"expected {runtime.name} to answer, got: {runtime.problem}",
            f"{runtime.name} 无应答：{runtime.problem}",
            do=(f"systemctl restart {runtime.name}", f"systemctl restart {runtime.name}"),
        )
    return passed(runtime.name)


def _runtime_version(view: View) -> Verdict:
    if view.facts.runtime is None:
        return skipped("no container runtime is here", "无容器运行时")
    name = view.facts.runtime.name
    got, least = view.readings.programs.get(name, ""), _RUNTIMES.get(name, ())
    if not got:
        return skipped(f"{name} does not tell its version", f"{name} 未说明版本")
    if version(got) < least:
        wanted = ".".join(map(str, least))
        return failed(
            f"expected {name} {wanted} or newer, got {got}",
            f"{name} 应为 {wanted} 或更新，实为 {got}",
            do=("update it from the distribution's medium", "请用发行版介质升级"),
        )
    return passed(f"{name} {got}")


def _several_runtimes(view: View) -> Verdict:
    found = sorted(set(view.readings.programs) & set(_RUNTIMES))
    if len(found) > 1 and view.facts.runtime is not None:
        return failed(
            f"expected one container runtime, got {', '.join(found)}; images go to {view.facts.runtime.name}",
            f"存在多个容器运行时：{', '.join(found)}；镜像载入 {view.facts.runtime.name}",
            do=("keep in mind that the others do not see the images", "请注意其余运行时看不到这些镜像"),
        )
    return passed(", ".join(found) or "-")


def _cards(view: View) -> Verdict:
    if not view.facts.machines:
        return skipped("no accelerator is here", "无加速卡")
    return passed(
        ", ".join(
            f"{vendor(name).title}: {len(machine.devices or ())}" for name, machine in view.facts.machines.items()
        )
    )


def _one_vendor(view: View) -> Verdict:
    names = [vendor(name).title for name in view.facts.machines]
    if len(names) > 1:
        return failed(
            f"expected cards of one vendor, got {', '.join(names)}",
            f"应为同一厂商的加速卡，实有 {', '.join(names)}",
            do=("make sure that each service is bound to the cards it was made for", "请确认各服务绑定到对应的加速卡"),
        )
    return passed(", ".join(names) or "-")


def _driver_answers(view: View) -> Verdict:
    if not view.facts.machines:
        return skipped("no accelerator is here", "无加速卡")
    silent = [vendor(name).title for name, machine in view.facts.machines.items() if not machine.driver]
    if silent:
        return failed(
            f"expected the driver of {', '.join(silent)} to answer, it does not",
            f"{', '.join(silent)} 的驱动无应答",
            do=("install the driver, or use a bundle that brings it", "请安装驱动，或使用自带驱动的数据包"),
        )
    return passed(", ".join(f"{name} {machine.driver}" for name, machine in view.facts.machines.items()))


def _driver_minimum(view: View) -> Verdict:
    if view.plan is None:
        return skipped(*_NO_BUNDLE)
    choices = choose(view.plan.wanted.manifest, view.facts.machines)
    for choice in choices:
        if choice.decision.gap:
            title = vendor(choice.decision.vendor).title
            return failed(
                f"{title}: {choice.decision.gap}",
                f"{title}：驱动不满足要求（{choice.decision.gap}）",
                do=(choice.decision.hint, "请按提示安装驱动或更换数据包：" + choice.decision.hint),
            )
    planned = [choice.package.version for choice in choices if choice.item]
    if planned:
        return passed(f"installs {', '.join(planned)}", f"将安装 {', '.join(planned)}")
    return passed("enough" if choices else "none is needed", "满足" if choices else "无要求")


def _driver_reboot(view: View) -> Verdict:
    for name, own in view.facts.own_drivers.items():
        if waits_for_reboot(own, view.facts.boot):
            return failed(
                f"expected a reboot: driver {own.package.version} of {vendor(name).title} works after it only",
                f"须重启：{vendor(name).title} 驱动 {own.package.version} 重启后生效",
                do=("reboot this host", "请重启本机"),
            )
    return passed("none is due", "无")


def _nouveau(view: View) -> Verdict:
    machine = view.facts.machines.get("nvidia")
    if machine is None:
        return skipped("no NVIDIA card is here", "无 NVIDIA 卡")
    if "nouveau" in (machine.modules or ()):
        return failed(
            "expected the module nouveau not to be loaded: it holds the cards",
            "不应加载 nouveau 模块：它占用显卡",
            do=(
                "echo 'blacklist nouveau' > /etc/modprobe.d/nouveau.conf, make the initramfs anew and reboot",
                "echo 'blacklist nouveau' > /etc/modprobe.d/nouveau.conf，重建 initramfs 并重启",
            ),
        )
    return passed("not loaded", "未加载")


def _headers(view: View) -> Verdict:
    if not view.facts.machines:
        return skipped("no accelerator is here", "无加速卡")
    lacking = [machine for machine in view.facts.machines.values() if machine.headers is False]
    if lacking:
        return failed(
            f"expected headers of kernel {lacking[0].kernel}, /lib/modules/{lacking[0].kernel}/build is not there",
            f"缺少内核 {lacking[0].kernel} 的头文件（/lib/modules/{lacking[0].kernel}/build）",
            do=(
                "install the distribution's kernel headers of this very version: a driver may have to be compiled",
                "请安装同版本内核头文件：驱动可能需要编译",
            ),
        )
    return passed("/lib/modules/*/build")


def _secure_boot(view: View) -> Verdict:
    states = {machine.secure_boot for machine in view.facts.machines.values()}
    if "on" in states:
        return failed(
            "expected secure boot off, or a driver whose modules are signed with an enrolled key",
            "安全启动已开启：驱动模块须以已登记的密钥签名",
            do=(
                "enrol the key with mokutil --import, or switch secure boot off",
                "请用 mokutil --import 登记密钥，或关闭安全启动",
            ),
        )
    return passed("off" if "off" in states else "-", "关闭" if "off" in states else "-")


def _escort(view: View) -> Verdict:
    """Say where each program of the escort comes from."""
    if view.plan is None:
        return skipped(*_NO_BUNDLE)
    found = sources(view.plan.wanted.manifest, view.facts)
    missing = [program for program, source in found.items() if not source]
    if missing:
        programs = ", ".join(missing)
        return failed(
            f"expected {programs} from the bundle or on this host",
            f"数据包或本机应提供 {programs}",
            do=("install it, or add its package to the recipe", "请安装，或将其软件包加入配方"),
        )
    if not found:
        return passed("the bundle asks for none", "数据包不需要")
    english = {"bundle": "from the bundle", "host": "this host's"}
    chinese = {"bundle": "数据包自带", "host": "本机已有"}
    return passed(
        ", ".join(f"{program} {english[source]}" for program, source in found.items()),
        "，".join(f"{program} {chinese[source]}" for program, source in found.items()),
    )


CHECKS = (
    must("product", _GROUP, ("installed product", "已装产品"), _product),
    must("package-manager", _GROUP, ("package manager", "软件包管理器"), _dpkg),
    should("suite", _GROUP, ("suite of the packages", "软件包所属版本"), _suite),
    must("container-runtime", _GROUP, ("container runtime", "容器运行时"), _runtime),
    should("container-version", _GROUP, ("its version", "容器运行时版本"), _runtime_version),
    should("container-single", _GROUP, ("one runtime", "唯一运行时"), _several_runtimes),
    must("escort", _GROUP, ("programs of gateway, firewall and monitoring", "网关、防火墙与监控程序"), _escort),
    should("cards", "accelerators", ("accelerators", "加速卡"), _cards),
    should("cards-vendor", "accelerators", ("one vendor", "同一厂商"), _one_vendor),
    should("driver-answers", "accelerators", ("driver answers", "驱动应答"), _driver_answers),
    must("driver", "accelerators", ("driver's version", "驱动版本"), _driver_minimum),
    must("driver-reboot", "accelerators", ("reboot for a driver", "驱动待重启"), _driver_reboot),
    should("nouveau", "accelerators", ("nouveau", "nouveau"), _nouveau),
    should("kernel-headers", "accelerators", ("kernel headers", "内核头文件"), _headers),
    should("secure-boot", "accelerators", ("secure boot", "安全启动"), _secure_boot),
)
