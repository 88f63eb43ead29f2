"""Whether a host's driver is enough for a payload, and which of some packages it gets else; no effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.accelerators.catalogue import vendor
from bundler.model.driver import DriverNeed, DriverPackage, kernel_fits, system_fits, version_key


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What is known of a host and the cards of one vendor; None is not known.

    `devices` are PCI devices, `driver` the installed version ("" for none), `headers` says whether those of its kernel
    are there, `tools` are the programs that it has, `modules` those of the kernel that are loaded.
    """

    devices: tuple[str, ...] | None
    driver: str | None
    kernel: str | None
    system: tuple[str, str] | None
    headers: bool | None = None
    tools: frozenset[str] | None = None
    modules: frozenset[str] | None = None
    secure_boot: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of one vendor's driver on a host.

    `chosen` is the place of the package to install, None for none; `gap` says why the payload cannot work there, with
    `hint`, what to do; `unknown` names what could not be checked.
    """

    vendor: str
    has: str | None
    need: DriverNeed | None
    chosen: int | None = None
    gap: str = ""
    hint: str = ""
    unknown: tuple[str, ...] = ()


def is_enough(driver: str, need: DriverNeed | None) -> bool:
    """Say whether an installed driver will do; without a need any will."""
    return need is None or version_key(driver) >= version_key(need.minimum)


def decide(name: str, machine: Machine, need: DriverNeed | None, packages: Sequence[DriverPackage]) -> Decision | None:
    """Decide about one vendor; None where the host has no card of it.

    The newest package that fits is taken; an installed driver that is enough is left alone.
    """
    if machine.devices is None:
        return Decision(vendor=name, has=machine.driver, need=need, unknown=("its cards",))
    if not machine.devices:
        return None
    if machine.driver and is_enough(machine.driver, need):
        return Decision(vendor=name, has=machine.driver, need=need)
    reasons = [why_not(package, machine, need) for package in packages]
    fitting = [index for index, reason in enumerate(reasons) if reason is None]
    if not fitting:
        return _nothing(name, machine, need, packages, reasons)
    chosen = max(fitting, key=lambda index: version_key(packages[index].version))
    gap, hint = _build_gap(packages[chosen], machine)
    return Decision(
        vendor=name,
        has=machine.driver,
        need=need,
        chosen=None if gap else chosen,
        gap=f"driver {packages[chosen].version} cannot be installed: {gap}" if gap else "",
        hint=hint,
        unknown=_unknown(packages[chosen], machine),
    )


def why_not(package: DriverPackage, machine: Machine, need: DriverNeed | None) -> str | None:
    """Say why a package is not for a host, None when it is as far as is known."""
    if not is_enough(package.version, need):
        assert need is not None
        return f"is older than {need.minimum}"
    others = sorted(set(machine.devices or ()) - set(package.cards)) if package.cards else []
    if others:
        facts = vendor(package.vendor)
        is_for, has = (", ".join(map(facts.card_name, ids)) for ids in (package.cards, others))
        return f"is for {is_for}, the host has {has}"
    if machine.kernel is not None and not kernel_fits(machine.kernel, package.kernels):
        return f"is for kernels {package.kernels}, the host has {machine.kernel}"
    if machine.system is not None and not system_fits(*machine.system, package.systems):
        return f"is for {', '.join(package.systems)}, the host is {'-'.join(filter(None, machine.system))}"
    return None


def _nothing(
    name: str,
    machine: Machine,
    need: DriverNeed | None,
    packages: Sequence[DriverPackage],
    reasons: Sequence[str | None],
) -> Decision:
    """Tell that no package fits; without a need, and without knowing what is installed, that is no gap."""
    if machine.driver is None:
        return Decision(vendor=name, has=None, need=need, unknown=("its driver",))
    if need is None and not packages:
        return Decision(vendor=name, has=machine.driver, need=need)
    has = f"driver {machine.driver} is too old" if machine.driver else "there is no driver"
    asks = f", the payload needs {need.minimum} or newer: {told_need(need)}" if need else ""
    given = "; ".join(f"{package.version} {reason}" for package, reason in zip(packages, reasons, strict=True))
    return Decision(
        vendor=name,
        has=machine.driver,
        need=need,
        gap=f"{has}{asks}" + (f"; of the drivers given, {given}" if given else "; no driver is given for it"),
        hint=f"name one that fits under drivers in the recipe, or install one by hand: {_example(name)}",
    )


def told_need(need: DriverNeed) -> str:
    """Say why a payload needs its driver."""
    return need.because if need.verified else f"{need.because}; not confirmed by the vendor"


def _example(name: str) -> str:
    return {
        "nvidia": "NVIDIA-Linux-x86_64-VERSION.run",
        "ascend": "Ascend-hdk-910b-npu-driver_VERSION_linux-aarch64.run",
        "cambricon": "cambricon-mlu-driver-ubuntu20.04-dkms_VERSION_amd64.deb",
        "iluvatar": "corex-driver-linux64-VERSION_x86_64.run",
    }[name]


def _build_gap(package: DriverPackage, machine: Machine) -> tuple[str, str]:
    """Return what keeps a package from being installed, and what to do."""
    kernel = machine.kernel or "its kernel"
    lacks = [f"the headers of kernel {kernel}"] if package.headers and machine.headers is False else []
    if package.headers and machine.tools is not None:
        lacks += [tool for tool in package.tools if tool not in machine.tools]
    if lacks:
        hint = f"bring them as packages of the host, such as linux-headers-{kernel} under debs, or install them there"
        return f"the host lacks {', '.join(lacks)}", hint
    held = sorted(set(package.conflicts) & (machine.modules or frozenset()))
    if held:
        hint = f"forbid it in /etc/modprobe.d (blacklist {held[0]}), make the initial RAM disk anew, and reboot"
        return f"the module {held[0]} is loaded, which holds the card", hint
    if machine.secure_boot == "on" and not package.signed:
        hint = 'sign its modules with a key that the host has enrolled and say "signed: true", or turn secure boot off'
        return "secure boot is on and refuses modules that nobody signed", hint
    return "", ""


def _unknown(package: DriverPackage, machine: Machine) -> tuple[str, ...]:
    """Name what a package asks for and the description does not tell."""
    found = []
    if package.headers and machine.headers is None:
        found.append("headers of its kernel")
    if package.headers and package.tools and machine.tools is None:
        found.append(", ".join(package.tools))
    if package.kernels and machine.kernel is None:
        found.append("its kernel")
    if package.systems and machine.system is None:
        found.append("its system")
    return (*found, "secure boot") if machine.secure_boot is None and not package.signed else tuple(found)
