"""`ferry build`: a recipe and its lock become a bundle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from bundler.build import Built, build
from bundler.cache import in_use
from bundler.cli.differential import differential_facts, differential_rows
from bundler.cli.findings import egress_document, print_summary
from bundler.cli.keystore import keystore_dir
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.cli.signing import carried_options, held_certificates, key_options, open_signers, read_carried
from bundler.cli.since import RECEIPT_KEY, SINCE, read_all_since
from bundler.model.platform import PLATFORMS, parse_platform
from bundler.store import Store
from keystore.trust import parse_root

RECIPE = click.argument("recipe", type=click.Path(exists=True, path_type=Path))


def store_directory() -> Path:
    """Return where the content store is: FERRY_STORE, or below the user's cache directory."""
    if chosen := os.environ.get("FERRY_STORE"):
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path("~/.cache").expanduser()) / "ferry" / "store"


@click.command(
    "build",
    short_help=tr("Make a signed bundle from a recipe and its lock.", "由配方和锁定文件生成签名数据包。"),
    help=tr(
        "Build the bundle of RECIPE: fetch what its lock names, boot it without network, list, sign, pack.\n\n"
        "The same lock and key give the same bytes.",
        "生成 RECIPE 的数据包：按锁定文件下载、断网启动测试、生成物料清单、签名、打包。\n\n"
        "相同的锁定文件和密钥生成完全相同的字节。",
    ),
    epilog=tr(
        "Examples:  ferry build recipes/hello --yes -o hello.tar  |  "
        "ferry build recipes/agentscope --platform linux/arm64 -o agentscope-arm64.tar  |  "
        "ferry build recipes/agentscope --since agentscope-1.tar --since receipt.json -o agentscope-2-from-1.tar",
        "示例：ferry build recipes/hello --yes -o hello.tar",
    ),
)
@RECIPE
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=tr("The bundle to write.", "输出文件。"),
)
@click.option(
    "--platform",
    type=click.Choice([str(one) for one in PLATFORMS]),
    help=tr("Default: this host's, if the lock has it.", "默认：本机平台。"),
)
@key_options
@carried_options
@SINCE
@RECEIPT_KEY
@click.option("--yes", is_flag=True, help=tr("Make a keystore if there is none.", "没有密钥库时自动创建。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def build_command(
    recipe: Path,
    output: Path,
    platform: str | None,
    keys: tuple[str, ...],
    keystore: Path | None,
    passphrase_file: Path | None,
    vault_address: str | None,
    roots: tuple[Path, ...],
    revocations: Path | None,
    since: tuple[Path, ...],
    receipt_key: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Build a bundle."""
    known = read_all_since(since, receipt_key)
    directory = keystore_dir(keystore)
    signers = open_signers(directory, keys, passphrase_file, yes=yes, address=vault_address)
    carried = read_carried(roots, revocations, held_certificates(directory, keys, signers))
    chosen = parse_platform(platform) if platform else None
    with Shown() as progress, in_use(store_directory()):
        built = build(
            recipe,
            output,
            store=Store(store_directory()),
            signers=signers,
            carried=carried,
            platform=chosen,
            progress=progress,
            since=known,
        )
    needed = parse_root(carried.roots[-1]).release.threshold if carried and carried.roots else 1
    _print_built(built, [signer.keyid for signer in signers], needed, as_json)


def _print_built(built: Built, keyids: list[str], needed: int, as_json: bool) -> None:
    manifest = built.manifest
    if as_json:
        document = {
            "path": str(built.path),
            "size": built.size,
            "name": manifest.name,
            "version": manifest.version,
            "platform": str(manifest.platform),
            "manifest_sha256": built.manifest_sha256,
            "items": len(manifest.items),
            "keyid": keyids[0],
            "keyids": keyids,
            "signatures_needed": needed,
            "egress": egress_document(built.egress),
            "booted": {name: float(seconds) for name, seconds in built.booted.items()},
        }
        if manifest.differential is not None:
            document["differential"] = differential_facts(manifest.differential)
        click.echo(json.dumps(document))
        return
    booted = ", ".join(f"{name} {seconds} s" for name, seconds in sorted(built.booted.items()))
    not_booted = tr(
        "not booted: this host neither has nor emulates its processor", "未启动测试：本机不是也不能模拟该处理器"
    )
    click.echo(f"{built.path}: {manifest.name} {manifest.version} {manifest.platform}")
    click.echo(
        tr(
            f"  {built.size:,} bytes, {len(manifest.items)} items",
            f"  {built.size:,} 字节，{len(manifest.items)} 项",
        )
    )
    if manifest.differential is not None:
        for row in differential_rows(manifest, manifest.differential):
            click.echo(f"  {row}")
    click.echo(tr(f"  booted without network: {booted}", f"  断网启动：{booted}") if booted else f"  {not_booted}")
    print_summary(built.egress)
    if not built.egress.watched and manifest.services:
        click.echo(tr("    connections were not watched", "    未监视连接"))
    click.echo(tr(f"  manifest sha256 {built.manifest_sha256}", f"  清单 sha256 {built.manifest_sha256}"))
    for keyid in keyids:
        click.echo(tr(f"  signed by {keyid}", f"  签名密钥 {keyid}"))
    if len(keyids) < needed:
        missing = needed - len(keyids)
        click.echo(
            tr(
                f"  {missing} more of the release role must sign: ferry sign {built.path}",
                f"  发布角色还须 {missing} 人签名：ferry sign {built.path}",
            )
        )
