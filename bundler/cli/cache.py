"""`ferry cache`: what the content store of the connected host holds, and what of it may go."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from bundler.cache import Amount, Choice, Removal, Survey, in_use, plan_prune, prune, survey, total
from bundler.cli.make import store_directory
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.load import read_lock
from bundler.model.named import named_digests

_KINDS = {
    "zip": ("wheels and other zip files", "wheel 及其他 zip 文件"),
    "deb": ("Debian packages", "Debian 软件包"),
    "rpm": ("RPM packages", "RPM 软件包"),
    "archive": ("layers, source archives", "镜像层、源码包"),
    "json": ("manifests, documents", "清单、文档"),
    "other": ("other files", "其他文件"),
}
_REASONS = {
    "unused": ("not kept", "不再保留"),
    "damaged": ("damaged", "已损坏"),
    "unfinished": ("unfinished downloads", "未完成的下载"),
    "leftover": ("leftovers of killed builds", "被中止的构建的残留"),
    "orphan": ("records of blobs that are gone", "已删除数据的记录"),
}


@click.group(
    "cache",
    short_help=tr("Show and prune what was fetched and made.", "查看和清理已下载、已生成的内容。"),
    help=tr(
        "Show and prune the content store of this host: FERRY_STORE, or ferry/store in your cache directory.",
        "查看和清理本机的内容仓库：FERRY_STORE，或缓存目录下的 ferry/store。",
    ),
)
def cache_group() -> None:
    """Hold the commands of the cache."""


@cache_group.command(
    "show",
    short_help=tr("Show what the store holds.", "显示仓库内容。"),
    help=tr("Show what the content store holds.", "显示内容仓库中有什么。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print it as JSON.", "以 JSON 输出。"))
def show_command(as_json: bool) -> None:
    """Show the store."""
    root = store_directory()
    found = survey(root)
    if as_json:
        click.echo(json.dumps(_survey_document(root, found)))
        return
    click.echo(str(root))
    for kind, amount in found.kinds:
        if amount.count:
            _row(tr(*_KINDS[kind]), amount)
    _row(tr("all blobs", "全部数据"), found.blobs)
    used = tr(f"{found.in_use} being written", f"{found.in_use} 个正在写入") if found.in_use else ""
    _row(tr(*_REASONS["unfinished"]), found.unfinished, used)
    _row(tr(*_REASONS["leftover"]), found.leftovers)
    _row(tr("results of earlier work", "以往工作的结果"), found.results)
    click.echo(tr(f"  {_bytes(found.free_bytes)} free on this disk", f"  磁盘剩余 {_bytes(found.free_bytes)}"))


def _row(name: str, amount: Amount, note: str = "") -> None:
    click.echo(f"  {amount.count:>7,}  {_bytes(amount.size):>10}  {name}" + (f" ({note})" if note else ""))


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count} B"


def _survey_document(root: Path, found: Survey) -> dict[str, object]:
    return {
        "path": str(root),
        "blobs": {kind: _amount_document(amount) for kind, amount in found.kinds},
        "unfinished": _amount_document(found.unfinished) | {"in_use": found.in_use},
        "leftovers": _amount_document(found.leftovers),
        "results": _amount_document(found.results),
        "free_bytes": found.free_bytes,
    }


def _amount_document(amount: Amount) -> dict[str, int]:
    return {"count": amount.count, "bytes": amount.size}


@cache_group.command(
    "prune",
    short_help=tr("Remove what is not needed.", "删除不需要的内容。"),
    help=tr(
        "Remove rubbish: unfinished downloads, leftovers of killed builds, records of blobs that are gone. "
        "Nothing that is whole goes, unless one of these options says what is to stay:\n\n"
        "--keep RECIPE keeps what its lock names, --older-than DAYS what was fetched, made or used by a build since; "
        "together they keep both. What is made from kept blobs (layers, built wheels) is made again without network. "
        "--all keeps nothing.",
        "清理垃圾：未完成的下载、被中止的构建的残留、已删除数据的记录。"
        "完整的内容不会删除，除非用下列选项说明保留什么：\n\n"
        "--keep RECIPE 保留其锁定文件所列内容，--older-than DAYS 保留该天数内下载、生成或使用过的内容，"
        "同时使用则都保留。"
        "由保留内容生成的镜像层等可离线重新生成。--all 不保留任何内容。",
    ),
    epilog=tr(
        "Examples:  ferry cache prune  |  ferry cache prune --older-than 30 --keep recipes/agentscope --dry-run",
        "示例：ferry cache prune  |  ferry cache prune --older-than 30 --keep recipes/agentscope --dry-run",
    ),
)
@click.option(
    "--keep",
    "recipes",
    multiple=True,
    metavar="RECIPE",
    type=click.Path(exists=True, path_type=Path),
    help=tr("Keep what the lock of this recipe names; may be repeated.", "保留此配方锁定文件所列内容，可重复。"),
)
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help=tr("Keep what was used since.", "保留该天数内使用过的内容。"),
)
@click.option("--all", "everything", is_flag=True, help=tr("Keep nothing.", "不保留任何内容。"))
@click.option(
    "--check",
    is_flag=True,
    help=tr("Hash every blob that stays, and remove damaged ones.", "重新校验保留的数据，删除已损坏的。"),
)
@click.option("--dry-run", is_flag=True, help=tr("Only say what would go.", "只显示将删除什么。"))
@click.option("--yes", is_flag=True, help=tr("Do not ask.", "不询问。"))
@click.option(
    "--json", "as_json", is_flag=True, help=tr("Print the result as JSON; asks nothing.", "以 JSON 输出结果，不询问。")
)
def prune_command(
    recipes: tuple[Path, ...],
    days: float | None,
    everything: bool,
    check: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Prune the store."""
    if everything and (recipes or days is not None):
        raise click.UsageError(
            tr("--all keeps nothing: leave --keep and --older-than out", "--all 不能与 --keep、--older-than 同时使用")
        )
    keep = frozenset[str]().union(*(named_digests(read_lock(recipe)) for recipe in recipes)) if recipes else None
    choice = Choice(keep=keep, days=days, everything=everything, check=check)
    root = store_directory()
    with in_use(root, alone=True):
        with Shown() as progress:
            removals = plan_prune(root, choice, now=time.time(), progress=progress)
        asked = not dry_run and choice.takes_blobs and any(removal.why == "unused" for removal in removals)
        if not as_json:
            _print_plan(removals, dry_run=dry_run or asked)
        if asked and not yes:
            _ask(as_json)
        if not dry_run:
            prune(removals)
    if as_json:
        click.echo(json.dumps(_removal_document(root, removals, dry_run=dry_run)))
    elif asked:
        click.echo(tr("removed", "已删除"))


def _ask(as_json: bool) -> None:
    """Go on only when a person agrees.

    Raises:
        UsageError: nobody can be asked.
    """
    if as_json or not sys.stdin.isatty():
        raise click.UsageError(
            tr(
                "this removes whole blobs: pass --yes, or --dry-run to see them",
                "将删除完整数据：请加 --yes，或用 --dry-run 查看",
            )
        )
    click.confirm(tr("Remove it?", "是否删除？"), abort=True)


def _print_plan(removals: Sequence[Removal], *, dry_run: bool) -> None:
    amounts = total(removals)
    if not amounts:
        click.echo(tr("nothing to remove", "没有可删除的内容"))
    for why, names in _REASONS.items():
        if why in amounts:
            _row(tr(*names), amounts[why])
        for removal in removals:
            if removal.why == why == "damaged":
                click.echo(f"    {removal.path.name}")
    size = _bytes(sum(removal.size for removal in removals))
    if amounts:
        click.echo(tr(f"{size} would go", f"将删除 {size}") if dry_run else tr(f"{size} removed", f"已删除 {size}"))


def _removal_document(root: Path, removals: Sequence[Removal], *, dry_run: bool) -> dict[str, object]:
    return {
        "path": str(root),
        "dry_run": dry_run,
        "removed": {why: _amount_document(amount) for why, amount in sorted(total(removals).items())},
        "damaged": [removal.path.name for removal in removals if removal.why == "damaged"],
    }
