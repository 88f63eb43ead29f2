"""`ferry host report`: what was installed, for the committee that accepts it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from bundler.cli.messages import tr
from bundler.errors import HostError
from bundler.installer.layout import Layout
from bundler.installer.report.document import report_document
from bundler.installer.report.gather import make_report
from bundler.installer.report.page import Page
from bundler.installer.systemd import HostSystemd
from bundler.store import write_file


@click.command(
    "report",
    short_help=tr("Write a report of the installation.", "写出安装报告。"),
    help=tr(
        "Write what is installed on this host, from which signed manifest, with every check and the time of every "
        "stage, as one HTML page that needs no other file. Nothing on the host is changed.",
        "将本机安装内容、所依据的签名清单、全部检查项和各阶段用时写成一个独立的 HTML 文件。不改动主机。",
    ),
    epilog=tr(
        "Examples:  ferry host report -o report.html  |  ferry host report --language zh -o report.html  |  "
        "ferry host report --json",
        "示例：ferry host report -o report.html  |  ferry host report --language en -o report.html  |  "
        "ferry host report --json",
    ),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("The page to write.", "输出文件。"),
)
@click.option(
    "--language",
    type=click.Choice(["en", "zh"]),
    help=tr("Of the page; default: that of the locale.", "报告语言；默认随系统语言。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON instead.", "改为输出 JSON。"))
def report_command(output: Path | None, language: str | None, as_json: bool) -> None:
    """Write or print a report."""
    if as_json == (output is not None):
        raise click.UsageError(tr("expected one of --output and --json", "应给出 --output 或 --json 之一"))
    report = make_report(Layout(), HostSystemd(), now=datetime.now(UTC), ferry_version=version("ferry-airgap"))
    if output is None:
        click.echo(json.dumps(report_document(report), ensure_ascii=False))
        return
    page = Page(report, chinese=(language or tr("en", "zh")) == "zh").render()
    try:
        write_file(output, page.encode())
    except OSError as error:
        raise HostError(f"the report cannot be written: {error.strerror}", place=str(output)) from error
    click.echo(str(output))
