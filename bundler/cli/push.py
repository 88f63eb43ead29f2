"""`ferry push` and `ferry pull`: bundles and their images to and from registries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options
from bundler.cli.progress import Shown
from bundler.cli.signers import print_signers, signers_document
from bundler.errors import RecipeError
from bundler.model.reference import parse_reference
from bundler.pull.bundle import Pulled, pull_bundle
from bundler.push.bundle import Pushed, Tally, push_bundle
from bundler.push.images import PushedImage, parse_place, push_images

_AS_JSON = click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
_REFERENCE = "REFERENCE"


@click.command(
    "push",
    short_help=tr("Send a bundle, or its images, to a registry.", "将数据包或其镜像推送到镜像仓库。"),
    help=tr(
        "Verify BUNDLE and send it to a registry straight from its file, as an OCI artifact from which `ferry pull` "
        "makes the same file again. What the registry has is not sent. Signature and SBOM are referrers of it.\n\n"
        "With --images, send the images that it carries instead, under their own names: TO is REGISTRY or "
        "REGISTRY/PREFIX, and docker.io/library/redis:7 becomes REGISTRY/PREFIX/library/redis:7.\n\n"
        "Logins are those of docker and podman; plain http is for loopback and FERRY_INSECURE_REGISTRIES.",
        "校验 BUNDLE，并直接从文件推送到镜像仓库，成为 OCI 制品；`ferry pull` 可还原出完全相同的文件。"
        "仓库中已有的内容不再发送。签名和物料清单作为其 referrers。\n\n"
        "使用 --images 时，改为以镜像自身名称推送其中的镜像：TO 为 REGISTRY 或 REGISTRY/PREFIX，"
        "docker.io/library/redis:7 变为 REGISTRY/PREFIX/library/redis:7。\n\n"
        "登录信息取自 docker 和 podman；明文 http 仅用于本机和 FERRY_INSECURE_REGISTRIES。",
    ),
    epilog=tr(
        "Examples:  ferry push agentscope.tar registry.bank.local/platform/agentscope:1.0.20  |  "
        "ferry push --images agentscope.tar registry.bank.local/mirror --json",
        "示例：ferry push agentscope.tar registry.bank.local/platform/agentscope:1.0.20  |  "
        "ferry push --images agentscope.tar registry.bank.local/mirror --json",
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("to", metavar="TO")
@click.option(
    "--images",
    is_flag=True,
    help=tr("Send the images and charts, under their own names.", "以自身名称推送镜像和 chart。"),
)
@click.option(
    "--keep-hosts",
    is_flag=True,
    help=tr(
        "With --images: keep the host of a name as a part of its path.", "与 --images 同用：将原主机名保留在路径中。"
    ),
)
@click.option(
    "--mount-from",
    default="",
    metavar="REPOSITORY",
    help=tr(
        "Let the registry take blobs from this repository of its own where it can.",
        "让镜像仓库尽可能从其自身的该仓库中取用数据。",
    ),
)
@policy_options
@_AS_JSON
def push_command(
    bundle: Path, to: str, images: bool, keep_hosts: bool, mount_from: str, as_json: bool, **choices: Any
) -> None:
    """Send a bundle or its images."""
    if keep_hosts and not images:
        raise click.UsageError(tr("--keep-hosts goes with --images", "--keep-hosts 须与 --images 同用"))
    policy = make_policy(**choices)
    now = datetime.now(UTC)
    if images:
        place = parse_place(to)
        with Shown() as progress:
            found, tally = push_images(
                bundle, place, policy, now=now, progress=progress, keep_hosts=keep_hosts, mount_from=mount_from
            )
        _print_images(found, tally, as_json=as_json)
        return
    reference = parse_reference(to, place=_REFERENCE)
    if not reference.tag or reference.sha256:
        raise RecipeError(
            f'expected REGISTRY/REPOSITORY:TAG without a digest, got "{reference}"',
            place=_REFERENCE,
            hint="the digest follows from the bundle",
        )
    with Shown() as progress:
        pushed = push_bundle(bundle, reference, policy, now=now, progress=progress, mount_from=mount_from)
    _print_pushed(pushed, as_json=as_json)


def _counts(tally: Tally) -> dict[str, int]:
    return {
        "sent": tally.sent,
        "sent_bytes": tally.sent_bytes,
        "there": tally.there,
        "there_bytes": tally.there_bytes,
    }


def _told(tally: Tally) -> str:
    sent, there = f"{tally.sent_bytes:,}", f"{tally.there_bytes:,}"
    return tr(
        f"  sent {tally.sent} blobs ({sent} bytes); {tally.there} were there ({there} bytes)",
        f"  已发送 {tally.sent} 个数据块（{sent} 字节）；已有 {tally.there} 个（{there} 字节）",
    )


def _print_pushed(pushed: Pushed, *, as_json: bool) -> None:
    manifest = pushed.manifest
    if as_json:
        document = {
            "reference": str(pushed.reference),
            "digest": f"sha256:{pushed.reference.sha256}",
            "name": manifest.name,
            "version": manifest.version,
            "parts": pushed.parts,
            **_counts(pushed.tally),
            "referrers": [
                {"artifact_type": one.artifact_type, "digest": f"sha256:{one.sha256}"} for one in pushed.referrers
            ],
            "referrers_tag": pushed.listed,
        }
        click.echo(json.dumps(document))
        return
    what = f"{manifest.name} {manifest.version} ({manifest.platform})"
    click.echo(tr(f"pushed {what}: {pushed.reference}", f"已推送 {what}：{pushed.reference}"))
    click.echo(_told(pushed.tally))


def _print_images(images: tuple[PushedImage, ...], tally: Tally, *, as_json: bool) -> None:
    if as_json:
        mapping = [
            {"name": str(one.name), "pushed": str(one.pushed), "digest": f"sha256:{one.sha256}"} for one in images
        ]
        click.echo(json.dumps({"images": mapping, **_counts(tally)}))
        return
    for one in images:
        click.echo(f"{one.name} -> {one.pushed}")
    click.echo(_told(tally))


@click.command(
    "pull",
    short_help=tr("Bring a bundle from a registry.", "从镜像仓库取回数据包。"),
    help=tr(
        "Bring the bundle REFERENCE (REGISTRY/REPOSITORY:TAG, or with @sha256:HEX) into a file, the same bytes as were "
        "pushed. Its signature is checked before any blob is asked for, every byte while it comes. What has come stays "
        "in OUTPUT.part when a pull is interrupted, and the next one goes on from there.\n\n"
        "Exit code 5 means that the registry could not be reached, 6 that bytes are wrong, 7 that key or signature is "
        "refused.",
        "将数据包 REFERENCE（REGISTRY/REPOSITORY:TAG，可带 @sha256:HEX）取回为文件，与推送时逐字节相同。"
        "先验证签名，再取数据，边收边校验。中断时已收到的内容保留在 OUTPUT.part，下次从该处继续。\n\n"
        "退出码 5 表示无法访问镜像仓库；6 表示字节有误；7 表示密钥或签名被拒绝。",
    ),
    epilog=tr(
        "Example:  ferry pull registry.bank.local/platform/agentscope:1.0.20 -o agentscope.tar --trust release.pem",
        "示例：ferry pull registry.bank.local/platform/agentscope:1.0.20 -o agentscope.tar --trust release.pem",
    ),
)
@click.argument("reference", metavar="REFERENCE")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help=tr("The bundle to write.", "输出文件。"),
)
@policy_options
@_AS_JSON
def pull_command(reference: str, output: Path, as_json: bool, **choices: Any) -> None:
    """Bring a bundle."""
    parsed = parse_reference(reference, place=_REFERENCE)
    policy = make_policy(**choices)
    with Shown() as progress:
        pulled = pull_bundle(parsed, output, policy, now=datetime.now(UTC), progress=progress)
    _print_pulled(pulled, as_json=as_json)


def _print_pulled(pulled: Pulled, *, as_json: bool) -> None:
    manifest = pulled.manifest
    if as_json:
        document = {
            "path": str(pulled.path),
            "size": pulled.size,
            "kept_bytes": pulled.kept_bytes,
            "reference": str(pulled.reference),
            "name": manifest.name,
            "version": manifest.version,
            **signers_document(pulled.attested),
        }
        click.echo(json.dumps(document))
        return
    what = f"{manifest.name} {manifest.version} ({manifest.platform})"
    click.echo(tr(f"pulled {what}: {pulled.path}", f"已取回 {what}：{pulled.path}"))
    print_signers(pulled.attested)
    kept = pulled.kept_bytes
    was_there = tr(f", {kept:,} of them from an earlier pull", f"，其中 {kept:,} 字节来自上次") if kept else ""
    click.echo(tr(f"  {pulled.size:,} bytes", f"  {pulled.size:,} 字节") + was_there)
