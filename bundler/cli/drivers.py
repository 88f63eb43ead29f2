"""`ferry drivers`: print what the catalogue of accelerators knows, and from where."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from bundler.accelerators.catalogue import Fact, Vendor, vendor
from bundler.cli.messages import tr
from bundler.model.driver import VENDORS


@click.command(
    "drivers",
    short_help=tr("Print the catalogue of accelerators and drivers.", "输出加速卡与驱动目录。"),
    help=tr(
        "Print what Ferry knows of each VENDOR: which driver a payload needs, the packages that it can install and "
        'how, the cards, and the source of every fact. "?" marks what the vendor\'s documents do not confirm.',
        "输出 Ferry 对各 VENDOR 的了解：负载需要的驱动、可安装的软件包及方法、加速卡，以及每条事实的来源。"
        '"?" 表示厂商文档未证实。',
    ),
    epilog=tr("Example:  ferry drivers nvidia", "示例：ferry drivers nvidia"),
)
@click.argument("names", nargs=-1, metavar="[VENDOR]...", type=click.Choice(list(VENDORS)))
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
def drivers_command(names: tuple[str, ...], as_json: bool) -> None:
    """Print the catalogue."""
    found = [vendor(name) for name in names or VENDORS]
    if as_json:
        click.echo(json.dumps([_plain(asdict(one)) for one in found], ensure_ascii=False))
        return
    for one in found:
        _print(one)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, re.Pattern):
        return value.pattern
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _print(one: Vendor) -> None:
    sources: list[str] = []
    click.echo(f"{one.title} ({one.name}, PCI {one.pci})")
    for row in one.rows:
        least = tr(f", with a loss {row.compatible}", f"，有损时 {row.compatible}") if row.compatible else ""
        needs = tr("needs driver", "需要驱动")
        click.echo(f"  {row.what} {row.version:<8} {needs} {row.driver}{least} {_mark(row.fact, sources)}")
    for implied in one.implied:
        needs = tr("needs", "需要")
        of = f"{implied.needs} {implied.of}"
        click.echo(f"  {implied.what} {implied.version:<14} {needs} {of} {_mark(implied.fact, sources)}")
    for form in one.packages:
        how = " ".join(form.install) or tr("no way without questions is known", "未知静默安装方法")
        click.echo(f"  {form.name}: {how} {_mark(form.fact, sources)}")
        undo = " ".join(form.uninstall) or tr("no way to remove it is known", "未知卸载方法")
        doubt = "" if form.undo_verified or not form.uninstall else " ?"
        click.echo(f"    {tr('undo', '撤销')}: {undo}{doubt}")
    for card in one.cards:
        click.echo(f"  {one.pci}:{card.device} {card.name} {_mark(card.fact, sources)}")
    for archive in one.archives:
        click.echo(f"  {archive.name} {archive.sha256} {_mark(archive.fact, sources)}")
    _print_sources(sources)


def _mark(fact: Fact, sources: list[str]) -> str:
    """Return the number of a fact's source, and a question mark where it is not confirmed."""
    if fact.source not in sources:
        sources.append(fact.source)
    return f"[{sources.index(fact.source) + 1}]" + ("" if fact.verified else " ?")


def _print_sources(sources: Sequence[str]) -> None:
    for number, source in enumerate(sources, 1):
        click.echo(f"  [{number}] {source}")
