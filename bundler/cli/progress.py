"""Progress bars for a person; nothing at all when nobody looks."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from bundler.cli.messages import tr

_STAGES = {
    "hash": ("hashing files", "计算文件摘要"),
    "copy": ("copying files", "复制文件"),
    "take": ("taking images", "获取镜像"),
    "fetch": ("fetching", "下载"),
    "compose": ("composing layers", "组装镜像层"),
    "egress": ("looking for downloads at run time", "检查运行时下载"),
    "boot": ("boot test without network", "断网启动测试"),
    "sbom": ("listing contents", "生成物料清单"),
    "pack": ("packing", "打包"),
    "verify": ("verifying", "校验"),
    "install": ("installing", "安装"),
}


class Shown:
    """Reports to the terminal that standard error is, if it is one."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None

    def start(self, stage: str, total: int) -> None:
        """Begin a stage on a bar of its own; before the first one nothing is drawn, so that a question can be asked."""
        self._bars.start()
        if self._task is not None:
            done = next(task for task in self._bars.tasks if task.id == self._task)
            self._bars.update(self._task, total=done.completed or 1, completed=done.completed or 1)
        self._task = self._bars.add_task(tr(*_STAGES.get(stage, (stage, stage))), total=total or None)

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()
