"""What `ferry lock` says of charts."""

from __future__ import annotations

import click

from bundler.cli.messages import tr
from bundler.model.lock import Lock


def print_not_carried(lock: Lock) -> None:
    """Name what looks like an image of a chart, but which no container asks for."""
    for chart in lock.charts:
        for text in chart.not_carried:
            told = f"chart {chart.name}: {text} looks like an image, but no container asks for it; it is not carried"
            told_zh = f"chart {chart.name}：{text} 像是镜像，但没有容器使用它，不会收入数据包"
            click.echo(tr(f"{told} unless the recipe lists it", f"{told_zh}（除非配方列出）"), err=True)
