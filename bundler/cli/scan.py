"""`ferry scan`: look into what a recipe or a bundle carries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from bundler.anchors import read_trust
from bundler.build import scan
from bundler.cli.findings import egress_document, print_report
from bundler.cli.make import store_directory
from bundler.cli.messages import tr
from bundler.cli.policy import shown
from bundler.cli.progress import Shown
from bundler.model.platform import PLATFORMS, parse_platform
from bundler.scan.bundle import scan_bundle
from bundler.scan.finding import Report, refuse
from bundler.store import Store
from bundler.verify import Policy, verify

_RECIPE_SUFFIXES = (".yaml", ".yml")


@click.group(
    "scan",
    short_help=tr("Look for what would fail on an isolated host.", "查找在隔离主机上会失败的内容。"),
    help=tr("Look into what a recipe or a bundle carries.", "检查配方或数据包携带的内容。"),
    epilog=tr("Example:  ferry scan egress recipes/agentscope", "示例：ferry scan egress recipes/agentscope"),
)
def scan_group() -> None:
    """Hold the commands that look into things."""


@scan_group.command(
    "egress",
    short_help=tr("Find what would be fetched at run time.", "查找运行时会下载的内容。"),
    help=tr(
        "Find what SUBJECT, a recipe or a bundle, would fetch at run time: in its commands, environments, scripts, "
        "MCP configurations, images and wheels.\n\n"
        "A bundle is verified first (--trust). Exit code 3 means that there is an error that its recipe does not "
        "allow. What services really try to reach is seen by the boot test of `ferry build`.",
        "查找 SUBJECT（配方或数据包）在运行时会下载的内容：检查命令行、环境变量、脚本、MCP 配置、镜像和 wheel。\n\n"
        "数据包会先校验（--trust）。退出码 3 表示有配方未放行的错误。"
        "服务实际尝试的连接由 `ferry build` 的启动测试记录。",
    ),
    epilog=tr(
        "Examples:  ferry scan egress recipes/hello  |  ferry scan egress hello.tar --trust release.pem --json",
        "示例：ferry scan egress recipes/hello  |  ferry scan egress hello.tar --trust release.pem --json",
    ),
)
@click.argument("subject", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help=tr(
        "What you trust, for a bundle: a public key, an SM2 root certificate or a root document.",
        "用于数据包的信任依据：公钥、SM2 根证书或根文件。",
    ),
)
@click.option(
    "--platform",
    type=click.Choice([str(one) for one in PLATFORMS]),
    help=tr("Of a recipe; default: this host's, if the lock has it.", "用于配方；默认：本机平台。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print the report as JSON.", "以 JSON 输出报告。"))
def egress_command(subject: Path, trust: tuple[Path, ...], platform: str | None, as_json: bool) -> None:
    """Find what would be fetched at run time."""
    store = Store(store_directory())
    with Shown() as progress:
        if subject.is_dir() or subject.suffix in _RECIPE_SUFFIXES:
            chosen = parse_platform(platform) if platform else None
            report = scan(subject, store=store, platform=chosen, progress=progress)
        else:
            report = _bundle(subject, trust, store, progress)
    if as_json:
        click.echo(json.dumps(egress_document(report), ensure_ascii=False))
    else:
        print_report(report)
    refuse(report)


def _bundle(path: Path, trust: tuple[Path, ...], store: Store, progress: Shown) -> Report:
    if not trust:
        raise click.UsageError(tr("expected --trust, the key that signed the bundle", "需要 --trust：签名数据包的公钥"))
    verified = verify(
        path,
        Policy(trusted=tuple(read_trust(one) for one in trust), accept_expired=True),
        now=datetime.now(UTC),
        reading=shown(progress),
    )
    progress.start("egress", 0)
    return scan_bundle(verified, store)
