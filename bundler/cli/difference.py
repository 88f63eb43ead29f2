"""`ferry diff`: how two bundles differ."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.changes import print_comparison
from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options
from bundler.difference import BundleDifference, compare_bundles
from bundler.model.components import ComponentChange
from bundler.model.manifest import Manifest


@click.command(
    "diff",
    short_help=tr("Say in words how two bundles differ.", "用文字说明两个数据包的差异。"),
    help=tr(
        "Say in words how the bundle NEW differs from OLD: what it carries, how many bytes enter the zone, and which "
        "components of the SBOM come, go or change.\n\n"
        "Signatures, manifests and SBOMs are checked, other bytes are not read: run `ferry verify` for them. An "
        "expired bundle is compared too. The exit code is 0 also where they differ.",
        "用文字说明数据包 NEW 与 OLD 的差异：携带的内容、进入隔离区的字节数，以及 SBOM 组件的新增、移除与变更。\n\n"
        "会校验签名、清单与 SBOM，不读取其他字节（请运行 `ferry verify`）。"
        "已过期的数据包也可比较。有差异时退出码也是 0。",
    ),
    epilog=tr(
        "Examples:  ferry diff agentscope-1.tar agentscope-2.tar --trust release.pem  |  ferry diff a.tar b.tar --json",
        "示例：ferry diff agentscope-1.tar agentscope-2.tar --trust release.pem  |  ferry diff a.tar b.tar --json",
    ),
)
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def diff_command(old: Path, new: Path, as_json: bool, **choices: Any) -> None:
    """Compare two bundles."""
    found = compare_bundles(old, new, make_policy(**choices), now=datetime.now(UTC))
    if as_json:
        document = {
            "old": _product(found.old),
            "new": _product(found.new),
            "carried": asdict(found.carried),
            "components": [asdict(change) for change in found.components],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    _print(found)


def _product(manifest: Manifest) -> dict[str, object]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sequence": manifest.sequence,
        "platform": str(manifest.platform),
    }


def _print(found: BundleDifference) -> None:
    for mark, one in (("-", found.old), ("+", found.new)):
        sequence = tr(f"sequence {one.sequence}", f"序号 {one.sequence}")
        click.echo(f"{mark} {one.name} {one.version} ({one.platform}), {sequence}")
    print_comparison(found.carried)
    if not found.components:
        click.echo(tr("the SBOMs list the same components", "SBOM 组件相同"))
        return
    click.echo(tr("components of the SBOM:", "SBOM 组件："))
    for change in found.components:
        click.echo(f"  {_words(change)}")


def _words(change: ComponentChange) -> str:
    old, new = ", ".join(change.old), ", ".join(change.new)
    if not change.old:
        return tr("new      ", "新增  ") + f"{change.component} {new}"
    if not change.new:
        return tr("gone     ", "移除  ") + f"{change.component} {old}"
    versions = f"{old} -> {new}" if old != new else new
    if change.old_licenses == change.new_licenses:
        return tr("changed  ", "变更  ") + f"{change.component} {versions}"
    licenses = f"{', '.join(change.old_licenses) or '-'} -> {', '.join(change.new_licenses) or '-'}"
    return tr("changed  ", "变更  ") + f"{change.component} {versions}; " + tr("licences ", "许可证 ") + licenses
