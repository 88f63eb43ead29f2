"""`ferry host support-bundle`: what a maker needs to help, without secrets."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from bundler.cli.messages import tr
from bundler.installer.layout import Layout
from bundler.installer.support import write_support
from bundler.installer.systemd import HostSystemd


@click.command(
    "support-bundle",
    short_help=tr("Write what a maker needs to help, without secrets.", "导出供技术支持使用的脱敏资料。"),
    help=tr(
        "Write the report, journal, records, units, settings and last log lines of this host into one archive. The "
        "secrets of this host, and whatever looks like one, are taken out. Read it before you hand it on.",
        "将本机的报告、日志、记录、单元、设置及服务最近的日志写入一个归档文件。"
        "本机密钥以及形似密钥的内容均已去除。交出前请自行检查。",
    ),
    epilog=tr(
        "Examples:  ferry host support-bundle -o support.tar.gz  |  tar -tzf support.tar.gz",
        "示例：ferry host support-bundle -o support.tar.gz  |  tar -tzf support.tar.gz",
    ),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=tr("The archive to write.", "输出文件。"),
)
def support_command(output: Path) -> None:
    """Write a support bundle."""
    names = write_support(output, Layout(), HostSystemd(), now=datetime.now(UTC), ferry_version=version("ferry-airgap"))
    for name in names:
        click.echo(f"  {name}")
    click.echo(tr(f"{output}: {len(names)} parts, secrets taken out", f"{output}：{len(names)} 个部分，已脱敏"))
