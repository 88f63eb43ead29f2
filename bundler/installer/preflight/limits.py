"""Limits of the kernel, and what it counts and confines processes with."""

from __future__ import annotations

from bundler.installer.preflight.check import Verdict, View, failed, must, passed, should, skipped, sysctl, unknown

_GROUP = "limits"


def _cgroups(view: View) -> Verdict:
    if "/sys/fs/cgroup/cgroup.controllers" in view.readings.texts:
        return passed("cgroup v2")
    if "/sys/fs/cgroup/memory" in view.readings.there:
        return passed("cgroup v1")
    if "/proc/self/mounts" not in view.readings.texts:
        return unknown("/proc/self/mounts")
    return failed(
        "expected control groups, none are mounted at /sys/fs/cgroup",
        "应挂载控制组（/sys/fs/cgroup），但没有",
        do=("boot with systemd and a kernel that has cgroups", "请以 systemd 及支持 cgroup 的内核启动"),
    )


def _cgroups_v2(view: View) -> Verdict:
    if "/sys/fs/cgroup/cgroup.controllers" in view.readings.texts:
        return passed("cgroup v2")
    return failed(
        "expected cgroup v2, got v1: limits of a service do not hold for all that it starts",
        "应为 cgroup v2，实为 v1：服务的限制无法覆盖其全部进程",
        do=(
            "boot with systemd.unified_cgroup_hierarchy=1 where the distribution supports it",
            "若发行版支持，请以 systemd.unified_cgroup_hierarchy=1 启动",
        ),
    )


def _memory_controller(view: View) -> Verdict:
    controllers = view.readings.texts.get("/sys/fs/cgroup/cgroup.controllers")
    if controllers is None:
        return skipped("for cgroup v2", "仅针对 cgroup v2")
    if "memory" not in controllers.split():
        return failed(
            f"expected the memory controller, got {controllers.strip() or 'none'}",
            f"应有 memory 控制器，实为 {controllers.strip() or '无'}",
            do=("boot with cgroup_enable=memory", "请以 cgroup_enable=memory 启动"),
        )
    return passed(controllers.strip())


def _overcommit(view: View) -> Verdict:
    got = view.readings.number("/proc/sys/vm/overcommit_memory")
    if got is None:
        return unknown("/proc/sys/vm/overcommit_memory")
    if got == 2:
        return failed(
            "expected vm.overcommit_memory 0 or 1, got 2: model servers reserve more than they use",
            "vm.overcommit_memory 应为 0 或 1，实为 2：模型服务会预留大量地址空间",
            do=("sysctl -w vm.overcommit_memory=0", "sysctl -w vm.overcommit_memory=0"),
        )
    return passed(str(got))


def _huge_pages(view: View) -> Verdict:
    text = view.readings.texts.get("/sys/kernel/mm/transparent_hugepage/enabled", "")
    if not text:
        return unknown("/sys/kernel/mm/transparent_hugepage")
    if "[always]" in text:
        return failed(
            "expected transparent huge pages on madvise or never, got always: databases and allocators stall",
            "透明大页应为 madvise 或 never，实为 always：数据库与分配器会停顿",
            do=(
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (and at boot)",
                "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled（并设为开机生效）",
            ),
        )
    return passed(text.strip())


def _swappiness(view: View) -> Verdict:
    got = view.readings.number("/proc/sys/vm/swappiness")
    if got is None:
        return unknown("/proc/sys/vm/swappiness")
    if got > 60:
        return failed(
            f"expected vm.swappiness of at most 60, got {got}",
            f"vm.swappiness 应不超过 60，实为 {got}",
            do=("sysctl -w vm.swappiness=10", "sysctl -w vm.swappiness=10"),
        )
    return passed(str(got))


# Name of the check, kernel parameter, least value, what it limits.
_PARAMETERS = (
    ("open-files", "fs.file-max", 65536, ("open files", "打开文件数")),
    ("open-files-process", "fs.nr_open", 65536, ("open files of a process", "单进程打开文件数")),
    ("inotify-instances", "fs.inotify.max_user_instances", 128, ("inotify instances", "inotify 实例")),
    ("inotify-watches", "fs.inotify.max_user_watches", 8192, ("inotify watches", "inotify 监视")),
    ("pid-max", "kernel.pid_max", 32768, ("processes", "进程数")),
    ("threads-max", "kernel.threads-max", 4096, ("threads", "线程数")),
    ("map-count", "vm.max_map_count", 65530, ("memory maps", "内存映射")),
    ("user-namespaces", "user.max_user_namespaces", 1, ("user namespaces", "用户命名空间")),
)

CHECKS = (
    must("cgroups", _GROUP, ("control groups", "控制组"), _cgroups),
    should("cgroups-v2", _GROUP, ("cgroup v2", "cgroup v2"), _cgroups_v2),
    should("cgroups-memory", _GROUP, ("limits on memory", "内存限制"), _memory_controller),
    *(
        should(name, _GROUP, what, sysctl(key, least, what=(f"a limit of {what[0]}", f"{what[1]}上限")))
        for name, key, least, what in _PARAMETERS
    ),
    should("overcommit", _GROUP, ("overcommit of memory", "内存超配"), _overcommit),
    should("huge-pages", _GROUP, ("huge pages", "透明大页"), _huge_pages),
    should("swappiness", _GROUP, ("swappiness", "swappiness"), _swappiness),
)
