"""File systems: room, inodes, and whether programs and services may live on them."""

from __future__ import annotations

from collections.abc import Callable

from bundler.errors import HostError
from bundler.installer.preflight.check import Verdict, View, failed, must, passed, should, skipped, unknown
from bundler.installer.preflight.readings import TEMPORARY, Place
from bundler.installer.preflight.required import check_space

_GROUP = "storage"
STATE, PROGRAMS = "/var/lib/ferry", "/opt/ferry"
_NETWORK = frozenset(
    {"9p", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "glusterfs", "lustre", "nfs", "nfs4", "smb3"}
)
_MEMORY = frozenset({"ramfs", "tmpfs"})
_MIB = 1024 * 1024
_LEAST_INODES = 20_000
_GROUP_OR_OTHER = 0o022


def _space(view: View) -> Verdict:
    if view.plan is None:
        return skipped("no bundle is named", "未指定数据包")
    try:
        check_space(view.plan, view.facts)
    except HostError as error:
        return failed(
            f"{error.place}: {error.message}",
            f"{error.place}：空间不足（{error.message}）",
            do=(error.hint or "", "请腾出相应空间，或挂载更大的文件系统"),
        )
    needed = view.plan.store_bytes + view.plan.tree_bytes + view.plan.packages_bytes
    return passed(f"{needed // _MIB} MiB")


def _inodes(view: View) -> Verdict:
    poor = [
        f"{path}: {place.free_inodes}"
        for path, place in _of(view, STATE, PROGRAMS)
        if place.inodes and place.free_inodes < _LEAST_INODES
    ]
    if poor:
        return failed(
            f"expected {_LEAST_INODES} free inodes, got {', '.join(poor)}",
            f"空闲 inode 应不少于 {_LEAST_INODES}，实为 {', '.join(poor)}",
            do=(
                "remove small files, or make the file system anew with more inodes",
                "请清理小文件，或以更多 inode 重建文件系统",
            ),
        )
    return passed(f">= {_LEAST_INODES}")


def _of(view: View, *paths: str) -> list[tuple[str, Place]]:
    return [(path, view.readings.places[path]) for path in paths if path in view.readings.places]


def _without(option: str, english: str, chinese: str, *paths: str) -> Callable[[View], Verdict]:
    """Return a look at mounts that must not have an option."""

    def look(view: View) -> Verdict:
        places = _of(view, *paths)
        if not any(place.options for _, place in places):
            return unknown("/proc/self/mounts")
        found = [path for path, place in places if option in place.options]
        if found:
            where = ", ".join(found)
            return failed(
                f"expected {where} {english}, it is mounted with {option}",
                f"{where} {chinese}，但挂载选项含 {option}",
                do=(
                    f"mount it without {option} (see /etc/fstab)",
                    f"请去掉挂载选项 {option}（见 /etc/fstab）",
                ),
            )
        return passed(", ".join(paths))

    return look


def _kinds(view: View, kinds: frozenset[str], english: str, chinese: str) -> Verdict:
    places = _of(view, STATE, PROGRAMS)
    if not any(place.kind for _, place in places):
        return unknown("/proc/self/mounts")
    found = [f"{path} ({place.kind})" for path, place in places if place.kind in kinds]
    if found:
        return failed(
            f"expected a local disk, got {', '.join(found)}: {english}",
            f"应为本地磁盘，实为 {', '.join(found)}：{chinese}",
            do=("mount a local file system there: ext4 or xfs", "请在该处挂载本地文件系统：ext4 或 xfs"),
        )
    return passed(", ".join(sorted({place.kind for _, place in places})))


def _memory_disk(view: View) -> Verdict:
    return _kinds(view, _MEMORY, "it is gone after a boot", "重启后丢失")


def _network_disk(view: View) -> Verdict:
    return _kinds(view, _NETWORK, "locks and renames are not safe on it", "锁与改名不可靠")


def _owner(view: View) -> Verdict:
    wrong = [
        f"{place.at} (user {place.owner}, mode {place.mode:04o})"
        for _, place in _of(view, STATE, PROGRAMS, "/etc", "/usr")
        if place.owner != view.readings.owner or (place.mode & _GROUP_OR_OTHER and not place.mode & 0o1000)
    ]
    if wrong:
        return failed(
            f"expected directories that root alone writes, got {', '.join(wrong)}",
            f"目录应仅 root 可写，实为 {', '.join(wrong)}",
            do=("chown root and chmod go-w them", "请 chown root 并 chmod go-w"),
        )
    return passed(f"{STATE}, {PROGRAMS}")


def _links(view: View) -> Verdict:
    found = [place.at for _, place in _of(view, STATE, PROGRAMS) if place.is_link]
    if found:
        return failed(
            f"expected directories, got symbolic links at {', '.join(found)}",
            f"应为目录，但 {', '.join(found)} 是符号链接",
            do=("mount the other file system there instead", "请改为在该处挂载文件系统"),
        )
    return passed(f"{STATE}, {PROGRAMS}")


def _free(path: str, least_mib: int, why: tuple[str, str]) -> Callable[[View], Verdict]:
    """Return a look at the room of a directory."""

    def look(view: View) -> Verdict:
        place = view.readings.places.get(path)
        if place is None:
            return unknown(path)
        got = place.free_bytes // _MIB
        if got < least_mib:
            return failed(
                f"expected {least_mib} MiB free in {path}, got {got} MiB: {why[0]}",
                f"{path} 应有 {least_mib} MiB 空闲，实为 {got} MiB：{why[1]}",
                do=("free that much there", "请在该处腾出空间"),
            )
        return passed(f"{got} MiB")

    return look


CHECKS = (
    must("disk-space", _GROUP, ("disk space", "磁盘空间"), _space),
    must("inodes", _GROUP, ("inodes", "inode"), _inodes),
    must(
        "disk-writable",
        _GROUP,
        ("writable file systems", "可写文件系统"),
        _without("ro", "to be writable", "应可写", STATE, PROGRAMS, "/etc"),
    ),
    must(
        "disk-executable",
        _GROUP,
        ("programs may run", "可执行文件系统"),
        _without("noexec", "to let programs run", "应允许执行程序", STATE, PROGRAMS),
    ),
    must("disk-kept", _GROUP, ("a disk that stays", "持久磁盘"), _memory_disk),
    should("disk-local", _GROUP, ("a local disk", "本地磁盘"), _network_disk),
    must("disk-owner", _GROUP, ("owners of directories", "目录属主"), _owner),
    should("disk-links", _GROUP, ("no symbolic links", "无符号链接"), _links),
    should(
        "space-root",
        _GROUP,
        ("room on /", "根文件系统空间"),
        _free("/", 512, ("a full / stops services", "写满后服务停止")),
    ),
    should(
        "space-log",
        _GROUP,
        ("room for logs", "日志空间"),
        _free("/var/log", 1024, ("six months of logs are kept", "日志须保留六个月")),
    ),
    must(
        "space-run",
        _GROUP,
        ("room on /run", "/run 空间"),
        _free("/run", 16, ("systemd keeps its state there", "systemd 在此保存状态")),
    ),
    should(
        "space-tmp",
        _GROUP,
        ("room for drivers", "驱动解包空间"),
        _free(TEMPORARY, 256, ("drivers unpack there", "驱动在此解包")),
    ),
)
