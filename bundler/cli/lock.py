"""`ferry lock`: what exactly answers a recipe, and how two such answers differ."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from bundler.accelerators.decide import told_need
from bundler.build import read_inputs
from bundler.cache import in_use
from bundler.cli.changes import print_comparison, print_sums
from bundler.cli.charts import print_not_carried
from bundler.cli.make import RECIPE, store_directory
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.cli.target import print_findings
from bundler.cli.wheels import print_wheels
from bundler.errors import RecipeError
from bundler.load import format_lock, lock_path, read_lock, read_recipe
from bundler.local.take import Local
from bundler.model.descriptor import OCTETS
from bundler.model.inventory import compare
from bundler.model.lock import Lock
from bundler.model.progress import Progress
from bundler.model.recipe import Recipe
from bundler.model.taken import TakenImage
from bundler.model.target import Target
from bundler.resolve import resolve
from bundler.resolve.digests import Digests
from bundler.resolve.update import Update
from bundler.store import Store, write_file
from bundler.target.find import find_target
from bundler.target.finding import Finding
from bundler.target.fit import check_lock, check_recipe, lock_target


def _now() -> datetime:
    """Return the time, or the one that SOURCE_DATE_EPOCH fixes."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(fixed), UTC) if fixed.isdigit() else datetime.now(UTC)


class _LockGroup(click.Group):
    """`ferry lock RECIPE`, unless the first word is that of another command below it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args[:1] == ["diff"] else ["recipe", *args])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        # The word that nobody typed stands in no usage line.
        return ("" if name == "recipe" else name), command, rest


class _Short(click.Context):
    """The context of a command of which nobody types the name."""

    @property
    def command_path(self) -> str:
        return " ".join(super().command_path.split())


class _Unnamed(click.Command):
    """The command of which nobody types the name."""

    context_class = _Short


@click.group("lock", cls=_LockGroup, short_help=tr("Write what exactly answers a recipe.", "写出配方的锁定文件。"))
def lock_group() -> None:
    """Hold the commands about locks."""


@lock_group.command(
    "recipe",
    cls=_Unnamed,
    help=tr(
        "Resolve RECIPE (a directory or recipe.yaml) and write recipe.lock.yaml beside it.\n\n"
        "Every file is named with its digest; nothing of the payload is fetched. Review and commit the lock. "
        "`ferry lock diff OLD NEW` says in words how two locks differ.",
        "解析 RECIPE（目录或 recipe.yaml），在旁边写出 recipe.lock.yaml。\n\n"
        "每个文件都带摘要；此时不下载任何内容。请审查并提交锁定文件。"
        "`ferry lock diff OLD NEW` 用文字说明两个锁定文件的差异。",
    ),
    epilog=tr(
        "Examples:  ferry lock recipes/hello  |  ferry lock --check recipes/hello  |  "
        "ferry lock recipes/hello --update click  |  "
        "ferry lock recipes/hello --target debian-12/amd64 --target host.yaml",
        "示例：ferry lock recipes/hello  |  ferry lock --check recipes/hello  |  "
        "ferry lock recipes/hello --update click  |  "
        "ferry lock recipes/hello --target debian-12/amd64 --target host.yaml",
    ),
)
@RECIPE
@click.option(
    "--check",
    is_flag=True,
    help=tr("Only say whether the lock is of this recipe; offline.", "只检查锁定文件是否匹配配方；不联网。"),
)
@click.option(
    "--update",
    "moving",
    multiple=True,
    metavar="NAME",
    help=tr(
        "Move this distribution, package or image only, and leave the rest as the lock has it; may be repeated.",
        "只更新此 Python 包、系统包或镜像，其余保持锁定文件中的版本，可重复。",
    ),
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
@click.option(
    "--allow-packages-that-nobody-signed",
    "unsigned",
    multiple=True,
    metavar="REPOSITORY",
    help=tr(
        "Take RPM packages of a repository that is configured with gpgcheck=0; the lock says so. May be repeated.",
        "接受配置为 gpgcheck=0 的仓库中未签名的 RPM 软件包，并记录在锁定文件中；可重复。",
    ),
)
def lock_command(
    recipe: Path, check: bool, moving: tuple[str, ...], names: tuple[str, ...], unsigned: tuple[str, ...]
) -> None:
    """Write or check a lock."""
    targets = [find_target(name) for name in names]
    if check and moving:
        raise click.UsageError(tr("expected one of --check, --update, got both", "--check 与 --update 不能同时使用"))
    if check:
        _check(recipe, targets)
        return
    before = _before(recipe, strict=bool(moving))
    lock = _resolve(recipe, targets, before, moving, unsigned)
    for name in lock.unsigned_repositories:
        click.echo(
            tr(f"warning: nobody signed the packages of {name}", f"警告：仓库 {name} 的软件包没有签名"), err=True
        )
    for need in () if targets else lock.accelerators:
        least = f"{need.vendor} >= {need.minimum}: {told_need(need)}"
        click.echo(tr(f"needs driver {least}", f"需要驱动 {least}"))
    if before and before.targets and not targets:
        dropped = ", ".join(target.name for target in before.targets)
        click.echo(
            tr(f"no longer checked against {dropped}: see --target", f"不再按 {dropped} 检查：见 --target"), err=True
        )
    _write(lock_path(recipe), lock, before)


def _check(recipe: Path, targets: Sequence[Target]) -> None:
    path = lock_path(recipe)
    with Shown() as progress:
        inputs = read_inputs(recipe, Digests(store_directory(), progress))
    _check_targets(*inputs, targets, where=recipe)
    click.echo(tr(f"{path} is the lock of this recipe", f"{path} 与配方一致"))


def _before(recipe: Path, *, strict: bool) -> Lock | None:
    """Return the lock that is there; one that cannot be read is replaced, unless it is to be kept in parts."""
    if not strict and not lock_path(recipe).exists():
        return None
    try:
        return read_lock(recipe)
    except RecipeError as error:
        if strict:
            raise
        click.echo(tr(f"the old lock is replaced: {error}", f"替换旧的锁定文件：{error}"), err=True)
        return None


def _resolve(
    recipe: Path,
    targets: Sequence[Target],
    before: Lock | None,
    moving: tuple[str, ...],
    unsigned: tuple[str, ...],
) -> Lock:
    wanted = read_recipe(recipe)
    findings = [check_recipe(wanted, target) for target in targets]
    with Shown() as progress, in_use(store_directory()):
        lock = resolve(
            wanted,
            recipe if recipe.is_dir() else recipe.parent,
            now=_now(),
            before=before,
            targets=tuple(map(lock_target, targets)),
            hosts=tuple(targets),
            digests=Digests(store_directory(), progress),
            keep=lambda data: Store(store_directory()).put(data, OCTETS),
            unsigned=unsigned,
            local=_local(wanted, recipe if recipe.is_dir() else recipe.parent, progress),
            update=Update(before=before, names=frozenset(moving)) if before and moving else None,
        )
    _print_targets(lock, targets, findings)
    print_not_carried(lock)
    return lock


def _local(recipe: Recipe, directory: Path, progress: Progress) -> Local | None:
    """Return what takes images of this host, None when the recipe names none: only they need a store."""
    if not any(isinstance(image, TakenImage) and image.origin for image in recipe.images):
        return None
    return Local(directory=directory, store=Store(store_directory()), progress=progress)


def _write(path: Path, lock: Lock, before: Lock | None) -> None:
    text = format_lock(lock).encode()
    if path.exists() and path.read_bytes() == text:
        click.echo(tr(f"{path} is up to date", f"{path} 已是最新"))
        return
    write_file(path, text)
    counts = f"{len(lock.wheels)} wheels, {len(lock.debs)} debs, {len(lock.files)} files"
    counts += f", {len(lock.images)} images" if lock.images else ""
    counts += f", {len(lock.charts)} charts" if lock.charts else ""
    counts += f", {len(lock.os_debs)} debs for the host" if lock.os_debs else ""
    counts += f", {len(lock.rpms)} rpms for the host" if lock.rpms else ""
    counts += f", {len(lock.drivers)} drivers" if lock.drivers else ""
    click.echo(tr(f"wrote {path}: {counts}", f"已写出 {path}：{counts}"))
    print_wheels(lock)
    if before is not None:
        print_sums(compare(before, lock))


@lock_group.command(
    "diff",
    short_help=tr("Say in words how two locks differ.", "用文字说明两个锁定文件的差异。"),
    help=tr(
        "Say in words how the lock NEW differs from OLD: what enters the zone, and what no longer does.\n\n"
        "Each is a lock, or the directory of a recipe. The exit code is 0 also where they differ.",
        "用文字说明锁定文件 NEW 与 OLD 的差异：哪些内容进入隔离区，哪些不再进入。\n\n"
        "可给出锁定文件，或配方目录。有差异时退出码也是 0。",
    ),
    epilog=tr(
        "Examples:  git show HEAD:recipes/hello/recipe.lock.yaml > old.lock.yaml; "
        "ferry lock diff old.lock.yaml recipes/hello",
        "示例：git show HEAD:recipes/hello/recipe.lock.yaml > old.lock.yaml; "
        "ferry lock diff old.lock.yaml recipes/hello",
    ),
)
@click.argument("old", type=click.Path(exists=True, path_type=Path))
@click.argument("new", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def diff_command(old: Path, new: Path, as_json: bool) -> None:
    """Compare two locks."""
    comparison = compare(read_lock(old), read_lock(new))
    if as_json:
        click.echo(json.dumps(asdict(comparison), ensure_ascii=False))
        return
    print_comparison(comparison)


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
