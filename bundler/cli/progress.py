"""Progress bars for a person; nothing at all when nobody looks."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from bundler.cli.messages import tr

_STAGES = {
    "hash": ("hashing files", "计算文件摘要"),
    "copy": ("copying files", "复制文件"),
    "take": ("taking images", "获取镜像"),
    "fetch": ("fetching", "下载"),
    "check": ("checking blobs", "校验数据"),
    "digest": ("computing SM3 digests", "计算 SM3 摘要"),
    "compose": ("composing layers", "组装镜像层"),
    "egress": ("looking for downloads at run time", "检查运行时下载"),
    "boot": ("boot test without network", "断网启动测试"),
    "sbom": ("listing contents", "生成物料清单"),
    "patch": ("making patches", "生成补丁"),
    "base": ("checking what this host has", "校验本机已有数据"),
    "rebuild": ("rebuilding from patches", "由补丁重建"),
    "pack": ("packing", "打包"),
    "verify": ("verifying", "校验"),
    "push": ("pushing", "推送"),
    "pull": ("pulling", "取回"),
    "install": ("installing", "安装"),
}


# More lines than these push everything else off a small terminal.
_MOST_ITEMS = 8
_NAME_WIDTH = 32
# What is done in a moment would only flicker.
_LEAST_ITEM_BYTES = 1_000_000


class Shown:
    """Reports to the terminal that standard error is, if it is one: the stage, and below it what is under way."""

    def __init__(self) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None
        self._items = 0
        self._lock = threading.Lock()

    def start(self, stage: str, total: int) -> None:
        """Begin a stage on a bar of its own; before the first one nothing is drawn, so that a question can be asked."""
        self._bars.start()
        if self._task is not None:
            done = next(task for task in self._bars.tasks if task.id == self._task)
            self._bars.update(self._task, total=done.completed or 1, completed=done.completed or 1)
        self._task = self._bars.add_task(tr(*_STAGES.get(stage, (stage, stage))), total=total or None)

    def pause(self) -> None:
        """Take the bars away, so that a question can be asked; the next stage brings them back."""
        self._bars.stop()

    def advance(self, count: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, count)

    @contextmanager
    def item(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Show one thing of the stage on a bar of its own while it is under way and there is room."""
        bar = self._begin(name, size)
        if bar is None:
            yield self.advance
            return

        def advance(count: int) -> None:
            self._bars.advance(bar, count)
            self.advance(count)

        try:
            yield advance
        finally:
            self._bars.remove_task(bar)
            with self._lock:
                self._items -= 1

    def _begin(self, name: str, size: int) -> TaskID | None:
        with self._lock:
            if self._bars.disable or size < _LEAST_ITEM_BYTES or self._items >= _MOST_ITEMS:
                return None
            self._items += 1
        return self._bars.add_task(f"  {_shortened(name)}", total=size)

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bars.stop()


def _shortened(name: str) -> str:
    """Return the last part of a path or URL, cut to what fits before a bar."""
    last = name.rstrip("/").rpartition("/")[2]
    return last if len(last) <= _NAME_WIDTH else last[: _NAME_WIDTH - 1] + "…"
