"""`ferry export 7z`: a bundle in an encrypted archive."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.checks import Reading
from bundler.cli.messages import tr
from bundler.cli.password import password_from, password_option
from bundler.cli.policy import make_policy, policy_options
from bundler.cli.progress import Shown
from bundler.cli.split import read_size, volume_options
from bundler.encrypt import encrypt


@click.command(
    "7z",
    short_help=tr("An encrypted 7z archive of a bundle, in volumes.", "加密的 7z 分卷压缩包。"),
    help=tr(
        "Verify BUNDLE and write it as a 7z archive in volumes of --size, encrypted with AES-256, names too. Nothing "
        "is compressed again. `ferry verify` and `ferry host install` read NAME.7z.001 in place, without a copy, once "
        "all volumes are in one directory; a host without Ferry unpacks it: `7z x NAME.7z.001`.",
        "校验 BUNDLE，并写成 --size 大小的 7z 分卷，用 AES-256 加密（含文件名），不再压缩。所有分卷放入同一目录后，"
        "`ferry verify` 和 `ferry host install` 直接读取 NAME.7z.001，不产生副本；"
        "没有 Ferry 的主机用 `7z x NAME.7z.001` 解包。",
    ),
    epilog=tr(
        "Examples:  ferry export 7z agentscope.tar  |  ferry export --7z agentscope.tar --size dvd "
        "--password-file p.txt",
        "示例：ferry export 7z agentscope.tar  |  ferry export --7z agentscope.tar --size dvd --password-file p.txt",
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@volume_options
@password_option
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def sevenzip_command(
    bundle: Path, size: str, output: Path | None, password_file: Path | None, as_json: bool, **choices: Any
) -> None:
    """Write an encrypted archive."""
    volume_bytes = read_size(size)
    policy = make_policy(**choices)
    password = password_from(password_file, twice=True)()
    with Shown() as progress:
        # The bundle is verified, written, and read again beside its archive.
        progress.start("pack", 3 * bundle.stat().st_size if bundle.is_file() else 0)
        paths = encrypt(
            bundle,
            output or bundle.parent,
            password=password,
            volume_bytes=volume_bytes,
            policy=policy,
            now=datetime.now(UTC),
            reading=Reading(advance=progress.advance),
        )
    if as_json:
        click.echo(json.dumps({"volumes": [{"path": str(one), "size": one.stat().st_size} for one in paths]}))
        return
    for path in paths:
        click.echo(f"{path}  {path.stat().st_size:,}")
