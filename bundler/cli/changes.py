"""How commands tell in words what differs."""

from __future__ import annotations

import click

from bundler.cli.messages import tr
from bundler.model.difference import Change, Comparison

_KINDS = {
    "runtime": tr("packages of the Python runtime", "Python 运行时的系统包"),
    "wheel": tr("Python packages", "Python 包"),
    "build": tr("build tools, which stay on the connected host", "构建工具（留在联网主机）"),
    "toolchain": tr("Python packages of the installer", "安装程序的 Python 包"),
    "deb": tr("Debian packages for the host", "主机的 Debian 包"),
    "rpm": tr("RPM packages for the host", "主机的 RPM 包"),
    "driver": tr("drivers", "驱动"),
    "file": tr("files", "文件"),
    "image": tr("images", "镜像"),
    "chart": tr("Helm charts", "Helm chart"),
    "python": tr("Python runtime", "Python 运行时"),
    "layer": tr("layers of images", "镜像层"),
    "apt": tr("lists for apt", "apt 的清单"),
    "dnf": tr("lists and keys for dnf", "dnf 的清单与公钥"),
    "artifact": tr("artifacts of charts", "chart 的制品"),
    "report": tr("reports", "报告"),
    "upstream": tr("signed lists of archives", "软件源的签名清单"),
}


def print_comparison(comparison: Comparison) -> None:
    """Print what differs, kind by kind, and the sums."""
    kind = ""
    for change in comparison.changes:
        if change.kind != kind:
            kind = change.kind
            click.echo(f"{_KINDS.get(kind, kind)}:")
        click.echo(f"  {_words(change)}")
    print_sums(comparison)


def _words(change: Change) -> str:
    enters = f"  (+{_bytes(change.entering_bytes)})" if change.entering_bytes else ""
    if not change.old:
        return tr("new      ", "新增  ") + f"{change.name} {change.new}{enters}"
    if not change.new:
        return tr("gone     ", "移除  ") + f"{change.name} {change.old}"
    if change.old == change.new:
        same = tr("same version, other files", "版本相同，文件不同")
        return tr("replaced ", "替换  ") + f"{change.name} {change.new}: {same}{enters}"
    return tr("changed  ", "变更  ") + f"{change.name} {change.old} -> {change.new}{enters}"


def print_sums(comparison: Comparison) -> None:
    """Print what enters the zone and what no longer does, in bytes."""
    if not comparison.changes:
        click.echo(tr("nothing else enters the zone", "进入隔离区的内容没有变化"))
        return
    entering = _sum(comparison.entering, comparison.entering_bytes)
    leaving = _sum(comparison.leaving, comparison.leaving_bytes)
    words = tr("enters the zone: {}; no longer enters: {}", "新进入隔离区：{}；不再进入：{}")
    click.echo(words.format(entering, leaving))


def _sum(files: int, size: int) -> str:
    return tr(f"{files} {'file' if files == 1 else 'files'}, {_bytes(size)}", f"{files} 个文件，{_bytes(size)}")


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} B"
