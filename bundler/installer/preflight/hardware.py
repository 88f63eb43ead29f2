"""Processors and memory."""

from __future__ import annotations

import os
import re

from bundler.installer.preflight.check import Verdict, View, failed, must, passed, should, skipped, unknown

_GROUP = "hardware"
# What the x86-64-v2 level of the psABI adds, by the names of /proc/cpuinfo.
_V2 = frozenset({"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"})
_ARM = frozenset({"asimd", "fp"})
_LEAST_MIB, _GOOD_MIB, _FREE_MIB = 900, 3500, 512


def _flags(view: View) -> frozenset[str]:
    name = "flags" if view.facts.machine == "x86_64" else "Features"
    return frozenset(view.readings.field("/proc/cpuinfo", name).split())


def _cpu_flags(view: View) -> Verdict:
    flags = _flags(view)
    if not flags:
        return unknown("/proc/cpuinfo")
    missing = sorted((_V2 if view.facts.machine == "x86_64" else _ARM) - flags)
    if missing:
        return failed(
            f"expected the processor's {', '.join(missing)}: wheels for numbers end with an illegal instruction",
            f"处理器缺少 {', '.join(missing)}：数值计算 wheel 会因非法指令退出",
            do=(
                "let the hypervisor pass the host's processor through (cpu: host)",
                "请让虚拟机直通主机处理器（cpu: host）",
            ),
        )
    return passed("x86-64-v2" if view.facts.machine == "x86_64" else "asimd, fp")


def _vectors(view: View) -> Verdict:
    if view.facts.machine != "x86_64":
        return skipped("for x86-64", "仅针对 x86-64")
    flags = _flags(view)
    if not flags:
        return unknown("/proc/cpuinfo")
    if "avx2" not in flags:
        return failed(
            "expected AVX2, this processor has none: models and hashes run slower",
            "缺少 AVX2：模型与摘要计算较慢",
            do=("use a newer processor or pass it through to the guest", "请使用更新的处理器，或直通给虚拟机"),
        )
    return passed("AVX2")


def _cores(view: View) -> Verdict:
    got = os.cpu_count() or 1
    if got < 2:
        return failed(
            f"expected at least 2 processors, got {got}",
            f"应至少有 2 个处理器，实为 {got}",
            do=("give the machine another one", "请增加处理器"),
        )
    return passed(str(got))


def _load(view: View) -> Verdict:
    match = re.match(r"[0-9.]+ ([0-9]+)", view.readings.texts.get("/proc/loadavg", ""))
    if match is None:
        return unknown("/proc/loadavg")
    got, limit = int(match[1]), 2 * (os.cpu_count() or 1)
    if got > limit:
        return failed(
            f"expected a load of at most {limit} over five minutes, got {got}",
            f"五分钟负载应不超过 {limit}，实为 {got}",
            do=("find what keeps the host busy before you install: top", "请先用 top 查明占用者"),
        )
    return passed(str(got))


def _mib(view: View, name: str) -> int | None:
    match = re.match("([0-9]+) kB", view.readings.field("/proc/meminfo", name))
    return int(match[1]) // 1024 if match else None


def _memory(view: View, least: int, english: str, chinese: str) -> Verdict:
    got = _mib(view, "MemTotal")
    if got is None:
        return unknown("/proc/meminfo")
    if got < least:
        return failed(
            f"expected at least {least} MiB of memory{english}, got {got} MiB",
            f"内存应不少于 {least} MiB{chinese}，实为 {got} MiB",
            do=("give the machine more memory", "请增加内存"),
        )
    return passed(f"{got} MiB")


def _memory_least(view: View) -> Verdict:
    return _memory(view, _LEAST_MIB, "", "")


def _memory_good(view: View) -> Verdict:
    return _memory(view, _GOOD_MIB, " for an agent platform", "（智能体平台）")


def _memory_services(view: View) -> Verdict:
    if view.plan is None:
        return skipped("no bundle is named", "未指定数据包")
    wanted = sum(service.memory_max_mib or 0 for service in view.plan.wanted.services)
    return _memory(view, wanted, " for the services' limits in sum", "（各服务上限之和）")


def _memory_free(view: View) -> Verdict:
    got = _mib(view, "MemAvailable")
    if got is None:
        return unknown("/proc/meminfo")
    if got < _FREE_MIB:
        return failed(
            f"expected at least {_FREE_MIB} MiB to be available now, got {got} MiB",
            f"当前可用内存应不少于 {_FREE_MIB} MiB，实为 {got} MiB",
            do=("stop what is not needed, or add memory", "请停止不需要的程序，或增加内存"),
        )
    return passed(f"{got} MiB")


def _swap(view: View) -> Verdict:
    total, free = _mib(view, "SwapTotal"), _mib(view, "SwapFree")
    if total is None or free is None:
        return unknown("/proc/meminfo")
    if total and free * 2 < total:
        return failed(
            f"expected less than half of the swap to be in use, got {total - free} of {total} MiB",
            f"交换区占用应低于一半，实为 {total - free} / {total} MiB",
            do=("add memory: a model that is swapped out answers late", "请增加内存：被换出的模型响应迟缓"),
        )
    return passed(f"{total - free} / {total} MiB")


CHECKS = (
    must("cpu-flags", _GROUP, ("instruction set", "指令集"), _cpu_flags),
    should("cpu-vectors", _GROUP, ("vector instructions", "向量指令"), _vectors),
    should("cpu-count", _GROUP, ("processors", "处理器数"), _cores),
    should("load", _GROUP, ("load", "负载"), _load),
    must("memory", _GROUP, ("memory", "内存"), _memory_least),
    should("memory-ample", _GROUP, ("memory for a platform", "平台内存"), _memory_good),
    should("memory-services", _GROUP, ("memory for the services", "服务内存"), _memory_services),
    should("memory-available", _GROUP, ("memory that is free", "可用内存"), _memory_free),
    should("swap", _GROUP, ("swap", "交换区"), _swap),
)
