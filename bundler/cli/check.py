"""`ferry verify` and `ferry inspect`: the commands that read a bundle."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from bundler.accelerators.decide import told_need
from bundler.archive import read_head
from bundler.cli.clock import judged_now
from bundler.cli.differential import differential_facts, differential_rows
from bundler.cli.messages import tr
from bundler.cli.password import password_from, password_option
from bundler.cli.policy import make_policy, policy_options, shown
from bundler.cli.progress import Shown
from bundler.cli.signers import print_signers, signers_document
from bundler.errors import FerryError, IntegrityError, TrustError
from bundler.medium import Medium
from bundler.model.manifest import Manifest, parse_manifest
from bundler.parity import listed, remedy
from bundler.sevenzip.archive import is_sevenzip
from bundler.verify import Policy, VerifiedBundle, verify_source
from bundler.volumes import VerifiedVolume, is_volume, verify_volume

_BUNDLE = click.argument("bundle", type=click.Path(path_type=Path))


@click.command(
    "verify",
    short_help=tr("Check a bundle against a trusted key.", "用可信公钥校验数据包。"),
    help=tr(
        "Check BUNDLE: its signature by the trusted key, then every byte of it. Nothing is unpacked. "
        "Volumes are checked each by itself; what is damaged or not among them is listed.\n\n"
        "Exit code 0 means that all of it is right; 6 that bytes are wrong, 7 that the key or signature is refused.",
        "校验 BUNDLE：先验证可信公钥的签名，再校验每个字节，不解包任何内容。分卷逐个校验，并列出损坏或缺少的分卷。\n\n"
        "退出码 0 表示全部正确；6 表示字节有误；7 表示密钥或签名被拒绝。",
    ),
    epilog=tr(
        "Examples:  ferry verify agentscope.tar --trust release.pem  |  ferry verify /mnt/dvd/*.tar",
        "示例：ferry verify agentscope.tar --trust release.pem  |  ferry verify /mnt/dvd/*.tar",
    ),
)
@click.argument("bundles", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="BUNDLE...")
@password_option
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def verify_command(bundles: tuple[Path, ...], password_file: Path | None, as_json: bool, **choices: Any) -> None:
    """Check a whole bundle, or some of its volumes."""
    policy = make_policy(**choices)
    if any(not is_sevenzip(bundle) and is_volume(bundle) for bundle in bundles):
        _verify_volumes(bundles, policy, as_json=as_json)
        return
    now = judged_now()
    for bundle in bundles:
        medium = Medium(bundle, password=password_from(password_file))
        with Shown() as progress, medium.open() as source:
            verified = verify_source(source, policy, now=now, reading=shown(progress))
        _print_verified(verified, as_json)


def _verify_volumes(paths: tuple[Path, ...], policy: Policy, *, as_json: bool) -> None:
    """Check every volume that is given, then say what must be carried again and what was not among them."""
    right: dict[int, VerifiedVolume] = {}
    wrong: dict[Path, FerryError] = {}
    now = judged_now()
    untrusted: TrustError | None = None
    for path in paths:
        try:
            with Shown() as progress:
                volume = verify_volume(path, policy, now=now, reading=shown(progress))
        except IntegrityError as error:
            wrong[path] = error
            continue
        except TrustError as error:
            # Damage in a head looks like a signature of nobody; where others are right, it is damage.
            wrong[path], untrusted = error, untrusted or error
            continue
        if any(one.label.cut != volume.label.cut for one in right.values()):
            same = all(one.label.manifest_sha256 == volume.label.manifest_sha256 for one in right.values())
            what = "cut" if same else "bundle"
            wrong[path] = IntegrityError(f"expected volumes of one {what}, this is of another", place=str(path))
        else:
            right[volume.label.number] = volume
    if untrusted is not None and not right:
        raise untrusted
    _print_volumes(right, wrong, as_json=as_json)


def _print_volumes(right: dict[int, VerifiedVolume], wrong: dict[Path, FerryError], *, as_json: bool) -> None:
    label = next((volume.label for volume in right.values()), None)
    count, parity = (label.count, label.parity) if label else (0, 0)
    lost = [number for number in range(1, count + 1) if number not in right]
    have = sum(number > count for number in right)
    if as_json:
        document = {
            "verified": not wrong,
            "right": sorted(right),
            "count": count,
            "parity": parity,
            "missing": lost,
            "damaged": {str(path): str(error) for path, error in wrong.items()},
            "heals": bool(lost) and have >= len(lost),
        }
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        _tell_volumes(right, count, parity)
        if not wrong and 0 < len(lost) <= have:
            click.echo(_healable())
    if wrong:
        reasons = "".join(f"\n  {path}: {error}" for path, error in wrong.items())
        raise IntegrityError(f"{len(wrong)} volumes are damaged:{reasons}", hint=_hint(lost, count, have, parity))


def _tell_volumes(right: dict[int, VerifiedVolume], count: int, parity: int) -> None:
    for number, volume in sorted(right.items()):
        product = f"{volume.manifest.name} {volume.manifest.version} ({volume.manifest.platform})"
        if volume.label.is_parity:
            number -= count
            which = tr(f"parity volume {number} of {parity}", f"第 {number} 校验卷，共 {parity} 卷")
            click.echo(tr(f"undamaged: {which}, {product}", f"未损坏：{which}，{product}"))
            continue
        which = tr(f"volume {number} of {count}", f"第 {number} 卷，共 {count} 卷")
        click.echo(tr(f"verified: {which}, {product}", f"校验通过：{which}，{product}"))
    absent = [number for number in range(1, count + parity + 1) if number not in right]
    if absent:
        numbers = listed(absent, count)
        click.echo(tr(f"not among them: volumes {numbers} of {count}", f"缺少：第 {numbers} 卷，共 {count} 卷"))


def _healable() -> str:
    return tr(
        "parity heals them: an install does, or `ferry heal` writes them anew",
        "校验卷可修复：安装时自动修复，或用 `ferry heal` 重写",
    )


def _hint(lost: list[int], count: int, have: int, parity: int) -> str:
    if not parity:
        return "carry these volumes again"
    if len(lost) <= have:
        return _healable()
    return f"carry again: volumes {listed(lost, count)} of {count}{remedy(len(lost), have, parity)}"


def _print_verified(verified: VerifiedBundle, as_json: bool) -> None:
    manifest = verified.manifest
    if as_json:
        document = {
            "verified": True,
            "name": manifest.name,
            "version": manifest.version,
            "sequence": manifest.sequence,
            **signers_document(verified.attested),
            "algorithm": verified.algorithm,
            "entries": len(manifest.entries),
        }
        if manifest.differential is not None:
            document["differential"] = differential_facts(manifest.differential)
        click.echo(json.dumps(document))
        return
    click.echo(tr("verified: ", "校验通过：") + f"{manifest.name} {manifest.version} ({manifest.platform})")
    print_signers(verified.attested)
    click.echo(
        tr(
            f"  {len(manifest.entries)} entries, {verified.algorithm} of each is right",
            f"  {len(manifest.entries)} 个条目，{verified.algorithm} 全部正确",
        )
    )
    if manifest.differential is not None:
        for row in differential_rows(manifest, manifest.differential):
            click.echo(f"  {row}")


@click.command(
    "inspect",
    short_help=tr("Show what a bundle says it holds.", "显示数据包声明的内容。"),
    help=tr(
        "Show the manifest of BUNDLE. Only the head of the file is read, and no signature is checked: "
        "what you see is a claim until `ferry verify` confirms it.",
        "显示 BUNDLE 的清单。只读取文件头，不检查签名：在 `ferry verify` 确认之前只是声明。",
    ),
    epilog=tr(
        "Examples:  ferry inspect hello.tar  |  ferry inspect hello.tar --json | less",
        "示例：ferry inspect hello.tar  |  ferry inspect hello.tar --json | less",
    ),
)
@_BUNDLE
@click.option("--json", "as_json", is_flag=True, help=tr("Print the manifest itself.", "输出清单原文。"))
@click.option("--items", is_flag=True, help=tr("List every item.", "列出每一项。"))
def inspect_command(bundle: Path, as_json: bool, items: bool) -> None:
    """Show a manifest."""
    try:
        with bundle.open("rb") as stream:
            head = read_head(stream)
    except OSError as error:
        raise IntegrityError(f"the bundle cannot be read: {error.strerror}", place=str(bundle)) from error
    manifest = parse_manifest(head.manifest)
    if as_json:
        click.echo(head.manifest.decode(), nl=False)
        return
    _print_manifest(manifest, items)


def _print_manifest(manifest: Manifest, items: bool) -> None:
    kinds = Counter(item.kind for item in manifest.items)
    rows = [
        (
            tr("product", "产品"),
            f"{manifest.name} {manifest.version} ({tr('sequence', '序号')} {manifest.sequence})",
        ),
        (tr("platform", "平台"), str(manifest.platform)),
        (tr("created", "创建时间"), manifest.created),
        (tr("expires", "过期时间"), manifest.expires or tr("never", "永不")),
        (tr("size", "大小"), f"{sum(entry.size for entry in manifest.entries):,} {tr('bytes', '字节')}"),
        (tr("items", "内容"), ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))),
        (tr("services", "服务"), ", ".join(f"{one.name} :{one.port}" for one in manifest.services) or "-"),
        (tr("made by", "生成工具"), f"ferry {manifest.ferry_version}"),
    ]
    if manifest.differential is not None:
        rows += [("", row) for row in differential_rows(manifest, manifest.differential)]
    for need in manifest.accelerators:
        rows.append((tr("driver", "驱动"), f"{need.vendor} >= {need.minimum}: {told_need(need)}"))
    for name, value in rows:
        click.echo(f"{name:<10}{value}")
    if items:
        for item in manifest.items:
            click.echo(f"{item.kind:<10}{item.descriptor.size:>12,}  {item.purl}")
    click.echo(tr("not verified: run ferry verify", "尚未校验：请运行 ferry verify"))
