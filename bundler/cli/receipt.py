"""`ferry host receipt`: what this host holds, for the builder of a differential."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.errors import IntegrityError
from bundler.installer.layout import Layout
from bundler.installer.preflight.required import check_owner
from bundler.installer.receipt import SignedReceipt, make_receipt
from bundler.store import write_file

_LAYOUT = Layout()


@click.command(
    "receipt",
    short_help=tr("Write what this host holds, for a differential.", "写出本机已有内容的回执，用于差分包。"),
    help=tr(
        "Read every blob of this host's store and write a receipt of what is right, signed with a key of this host: "
        "`ferry build --since RECEIPT` then leaves all of it out. What is damaged is not listed, told, and brought "
        "again by the next bundle; the exit code is 6 then, and the receipt is right all the same.\n\n"
        "The fingerprint is that of the host's key: tell it to the builder, for `--receipt-key`.",
        "读取本机内容库的每个数据块，将正确的内容写入由本机密钥签名的回执："
        "`ferry build --since 回执` 会省略这些内容。"
        "损坏的数据不列入回执，会予以提示并由下一个数据包补齐；此时退出码为 6，回执仍然正确。\n\n"
        "显示的指纹属于本机密钥：请告知构建方，用于 `--receipt-key`。",
    ),
    epilog=tr(
        "Example:  ferry host receipt --out /mnt/stick/receipt.json",
        "示例：ferry host receipt --out /mnt/stick/receipt.json",
    ),
)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("The file to write; without it the receipt goes to standard output.", "输出文件；默认写到标准输出。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("Say in JSON what it holds.", "以 JSON 说明回执内容。"))
def receipt_command(out: Path | None, as_json: bool) -> None:
    """Write a receipt."""
    if as_json and out is None:
        raise click.UsageError(tr("--json goes with --out", "--json 须与 --out 同用"))
    check_owner(_LAYOUT)
    with Shown() as progress:
        signed = make_receipt(_LAYOUT, now=datetime.now(UTC), progress=progress)
    if out is None:
        click.echo(signed.envelope, nl=False)
    else:
        write_file(out, signed.envelope)
    if as_json:
        click.echo(json.dumps(_document(signed, out), ensure_ascii=False))
    else:
        _show(signed, out)
    if signed.damaged:
        raise IntegrityError(
            f"{len(signed.damaged)} blobs of the store are damaged: {', '.join(signed.damaged)}",
            place=str(_LAYOUT.store),
            hint="they are not in the receipt; the next bundle brings them again; check this host's disk",
        )


def _document(signed: SignedReceipt, out: Path | None) -> dict[str, object]:
    receipt = signed.receipt
    return {
        "path": str(out),
        "keyid": signed.keyid,
        "fingerprint": signed.fingerprint,
        "platform": str(receipt.platform),
        "releases": [
            {"name": one.name, "version": one.version, "sequence": one.sequence, "current": one.current}
            for one in receipt.releases
        ],
        "marks": dict(receipt.marks),
        "blobs": len(receipt.held.prefixes),
        "bytes": signed.held_bytes,
        "damaged": list(signed.damaged),
    }


def _show(signed: SignedReceipt, out: Path | None) -> None:
    receipt = signed.receipt
    count, size = len(receipt.held.prefixes), f"{signed.held_bytes:,}"
    lines = [tr(f"{count} blobs ({size} bytes) are here and right", f"{count} 个数据块（{size} 字节）完好")]
    for one in receipt.releases:
        runs = tr(", which runs", "，正在运行") if one.current else ""
        what = f"{one.name} {one.version}"
        lines.append(tr(f"  of {what} (sequence {one.sequence}){runs}", f"  {what}（序号 {one.sequence}）{runs}"))
    lines.append(tr(f"signed by this host's key {signed.fingerprint}", f"本机密钥指纹 {signed.fingerprint}"))
    if out is not None:
        lines.append(tr(f"written to {out}", f"已写入 {out}"))
    for line in lines:
        click.echo(line, err=out is None)
