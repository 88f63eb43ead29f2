"""`ferry lock` and `ferry build`: the commands of the connected host."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from bundler.build import Built, build, read_inputs
from bundler.cache import in_use
from bundler.cli.keystore import DEFAULT_KEY, keystore_dir, open_signer
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.cli.target import print_findings
from bundler.errors import RecipeError
from bundler.load import format_lock, lock_path, read_lock, read_recipe
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS, parse_platform
from bundler.model.recipe import Recipe
from bundler.model.target import Target
from bundler.resolve import resolve
from bundler.resolve.digests import Digests
from bundler.store import Store, write_file
from bundler.target.find import find_target
from bundler.target.fit import Finding, check_lock, check_recipe, lock_target

_RECIPE = click.argument("recipe", type=click.Path(exists=True, path_type=Path))


def store_directory() -> Path:
    """Return where the content store is: FERRY_STORE, or below the user's cache directory."""
    if chosen := os.environ.get("FERRY_STORE"):
        return Path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path("~/.cache").expanduser()) / "ferry" / "store"


def _now() -> datetime:
    """Return the time, or the one that SOURCE_DATE_EPOCH fixes."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)


@click.command(
    "lock",
    short_help=tr("Write what exactly answers a recipe.", "写出配方的锁定文件。"),
    help=tr(
        "Resolve RECIPE (a directory or recipe.yaml) and write recipe.lock.yaml beside it.\n\n"
        "Every file is named with its digest; nothing of the payload is fetched. Review and commit the lock.",
        "解析 RECIPE（目录或 recipe.yaml），在旁边写出 recipe.lock.yaml。\n\n"
        "每个文件都带摘要；此时不下载任何内容。请审查并提交锁定文件。",
    ),
    epilog=tr(
        "Examples:  ferry lock recipes/hello  |  ferry lock --check recipes/hello  |  "
        "ferry lock recipes/hello --target debian-12/amd64 --target host.yaml",
        "示例：ferry lock recipes/hello  |  ferry lock --check recipes/hello  |  "
        "ferry lock recipes/hello --target debian-12/amd64 --target host.yaml",
    ),
)
@_RECIPE
@click.option(
    "--check",
    is_flag=True,
    help=tr("Only say whether the lock is of this recipe; offline.", "只检查锁定文件是否匹配配方；不联网。"),
)
@click.option(
    "--target",
    "names",
    multiple=True,
    metavar="TARGET",
    help=tr(
        "An isolated host that it must fit (file, short form or stock name, see `ferry target`); may be repeated.",
        "必须适配的隔离主机（文件、短格式或内置名称，见 `ferry target`），可重复。",
    ),
)
def lock_command(recipe: Path, check: bool, names: tuple[str, ...]) -> None:
    """Write or check a lock."""
    path = lock_path(recipe)
    targets = [find_target(name) for name in names]
    if check:
        with Shown() as progress:
            inputs = read_inputs(recipe, Digests(store_directory(), progress))
        _check_targets(*inputs, targets, where=recipe)
        click.echo(tr(f"{path} is the lock of this recipe", f"{path} 与配方一致"))
        return
    before = None
    if path.exists():
        try:
            before = read_lock(recipe)
        except RecipeError as error:
            click.echo(tr(f"the old lock is replaced: {error}", f"替换旧的锁定文件：{error}"), err=True)
    directory = recipe if recipe.is_dir() else recipe.parent
    wanted = read_recipe(recipe)
    findings = [check_recipe(wanted, target) for target in targets]
    recorded = tuple(map(lock_target, targets))
    with Shown() as progress:
        digests = Digests(store_directory(), progress)
        lock = resolve(
            wanted,
            directory,
            now=_now(),
            before=before,
            targets=recorded,
            hosts=tuple(targets),
            digests=digests,
        )
    _print_targets(lock, targets, findings)
    if before and before.targets and not targets:
        dropped = ", ".join(target.name for target in before.targets)
        click.echo(
            tr(f"no longer checked against {dropped}: see --target", f"不再按 {dropped} 检查：见 --target"), err=True
        )
    text = format_lock(lock).encode()
    if path.exists() and path.read_bytes() == text:
        click.echo(tr(f"{path} is up to date", f"{path} 已是最新"))
        return
    write_file(path, text)
    counts = f"{len(lock.wheels)} wheels, {len(lock.debs)} debs, {len(lock.files)} files"
    counts += f", {len(lock.images)} images" if lock.images else ""
    counts += f", {len(lock.os_debs)} debs for the host" if lock.os_debs else ""
    click.echo(tr(f"wrote {path}: {counts}", f"已写出 {path}：{counts}"))


def _print_targets(lock: Lock, targets: Sequence[Target], findings: Sequence[list[Finding]]) -> None:
    """Check what a lock chose against each target, and print all that was checked."""
    for target, found in zip(targets, findings, strict=True):
        chosen = check_lock(lock, target)
        click.echo(tr(f"fits {target.name}:", f"适配 {target.name}："))
        print_findings([*found, *chosen])


def _check_targets(recipe: Recipe, lock: Lock, targets: Sequence[Target], *, where: Path) -> None:
    for target in targets:
        if lock_target(target) not in lock.targets:
            raise RecipeError(
                f"the lock was not made for {target.name}",
                place="targets",
                hint=f"run: ferry lock {where} --target ...",
            )
    _print_targets(lock, targets, [check_recipe(recipe, target) for target in targets])


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
        "ferry build recipes/agentscope --platform linux/arm64 -o agentscope-arm64.tar",
        "示例：ferry build recipes/hello --yes -o hello.tar",
    ),
)
@_RECIPE
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
@click.option("--key", default=DEFAULT_KEY, show_default=True, help=tr("Name of the signing key.", "签名密钥名称。"))
@click.option(
    "--keystore",
    type=click.Path(file_okay=False, path_type=Path),
    help=tr("Directory of the keystore.", "密钥库目录。"),
)
@click.option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("File that holds its passphrase.", "口令文件。"),
)
@click.option("--yes", is_flag=True, help=tr("Make a keystore if there is none.", "没有密钥库时自动创建。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def build_command(
    recipe: Path,
    output: Path,
    platform: str | None,
    key: str,
    keystore: Path | None,
    passphrase_file: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Build a bundle."""
    signer = open_signer(keystore_dir(keystore), key, passphrase_file, yes=yes)
    chosen = parse_platform(platform) if platform else None
    with Shown() as progress, in_use(store_directory()):
        built = build(recipe, output, store=Store(store_directory()), signer=signer, platform=chosen, progress=progress)
    _print_built(built, signer.keyid, as_json)


def _print_built(built: Built, keyid: str, as_json: bool) -> None:
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
            "keyid": keyid,
            "booted": {name: float(seconds) for name, seconds in built.booted.items()},
        }
        click.echo(json.dumps(document))
        return
    booted = ", ".join(f"{name} {seconds} s" for name, seconds in sorted(built.booted.items()))
    not_booted = tr("not booted: another platform than this host's", "未启动测试：平台与本机不同")
    click.echo(f"{built.path}: {manifest.name} {manifest.version} {manifest.platform}")
    click.echo(
        tr(
            f"  {built.size:,} bytes, {len(manifest.items)} items",
            f"  {built.size:,} 字节，{len(manifest.items)} 项",
        )
    )
    click.echo(tr(f"  booted without network: {booted}", f"  断网启动：{booted}") if booted else f"  {not_booted}")
    click.echo(tr(f"  manifest sha256 {built.manifest_sha256}", f"  清单 sha256 {built.manifest_sha256}"))
    click.echo(tr(f"  signed by {keyid}", f"  签名密钥 {keyid}"))
