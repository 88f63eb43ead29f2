"""`ferry sign`: one more signature for a bundle that another host has built."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.keystore import keystore_dir
from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options
from bundler.cli.signing import held_certificates, key_options, open_signers
from bundler.cosign import Cosigned, cosign


@click.command(
    "sign",
    short_help=tr("Add your signature to a bundle.", "为数据包追加签名。"),
    help=tr(
        "Add the signature of your key to BUNDLE, in place: other bytes stay where they are. The head must be signed "
        "already by one whom --trust names; of the rest nothing is read, so run `ferry verify` first. All volumes of a "
        "bundle are signed in one go. A run that was cut off is finished by the next one.",
        "用您的密钥就地为 BUNDLE 追加签名，其他字节不动。文件头须已有 --trust 所信任的签名；其余内容不读取，"
        "请先运行 `ferry verify`。各分卷可一次全部签名。中断后再次运行即可完成。",
    ),
    epilog=tr(
        "Examples:  ferry sign agentscope.tar --key bob --trust 1.root.json  |  ferry sign a.vol*.tar --key bob",
        "示例：ferry sign agentscope.tar --key bob --trust 1.root.json",
    ),
)
@click.argument("bundles", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="BUNDLE...")
@key_options
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def sign_command(
    bundles: tuple[Path, ...],
    keys: tuple[str, ...],
    keystore: Path | None,
    passphrase_file: Path | None,
    vault_address: str | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Sign bundles that are there."""
    policy = make_policy(**choices)
    directory = keystore_dir(keystore)
    signers = open_signers(directory, keys, passphrase_file, yes=False, address=vault_address)
    certificates = held_certificates(directory, keys, signers)
    for bundle in bundles:
        for signer in signers:
            signed = cosign(bundle, signer, policy, certificates=certificates, now=datetime.now(UTC))
        _print_signed(bundle, signed, as_json=as_json)


def _print_signed(bundle: Path, signed: Cosigned, *, as_json: bool) -> None:
    if as_json:
        document = {
            "path": str(bundle),
            "name": signed.manifest.name,
            "version": signed.manifest.version,
            "keyids": list(signed.keyids),
            "missing": signed.missing,
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    count = len(signed.keyids)
    product = f"{signed.manifest.name} {signed.manifest.version} ({signed.manifest.platform})"
    click.echo(tr(f"signed: {product}, {count} signatures now", f"已签名：{product}，现有 {count} 个签名"))
    if signed.missing:
        click.echo(tr("  not yet accepted: ", "  尚不会被接受：") + signed.missing)
