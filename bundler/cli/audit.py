"""`ferry audit`: check the log of what was done to this host, and show it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from bundler.cli.messages import tr
from bundler.errors import HostError, TrustError
from bundler.installer.layout import Layout
from bundler.installer.memory import recall
from bundler.installer.release import read_releases
from keystore import audit
from keystore.chain import Line

_LAYOUT = Layout()
_DIGEST = re.compile("[0-9a-f]{64}")
# What stands at the head of a line that is shown.
_HEAD = ("kind", "outcome", "user", "uid")
_LOG = click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help=tr("Another log, such as a copy. Default: this host's.", "其他日志，例如副本。默认：本机日志。"),
)
_JSON = click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))


@click.group(
    "audit",
    short_help=tr("Check and show the audit log of this host.", "校验并显示本机审计日志。"),
    help=tr(
        "Check and show the audit log of this host: who installed what, and against which rule.",
        "校验并显示本机审计日志：何人安装了什么，越过了哪条规则。",
    ),
    epilog=tr("Examples:", "示例：")
    + "\n\n\b\n  ferry audit verify\n  ferry audit verify --expect-head HASH\n  ferry audit show --last 20",
)
def audit_group() -> None:
    """Hold the commands."""


@audit_group.command(
    "verify",
    help=tr(
        "Check every line of the log, and that it goes with this host's marks and releases. Keep the head that is "
        "printed elsewhere: with it, a later check finds lines that were cut off the end.",
        "校验日志的每一行，并与本机标记和版本记录核对。请将输出的末行摘要另行保存：以后可据此发现末尾被截断的行。",
    ),
    epilog=tr("Example:", "示例：") + "  ferry audit verify --expect-head HASH",
)
@_LOG
@click.option(
    "--expect-head",
    metavar="HASH",
    help=tr("A head kept from earlier: the log must still have its line.", "以前保存的末行摘要：日志中须仍有该行。"),
)
@_JSON
def verify_command(log: Path | None, expect_head: str | None, as_json: bool) -> None:
    """Check a log."""
    if expect_head is not None and not re.fullmatch("[0-9a-f]{64}", expect_head):
        raise click.UsageError(
            tr(
                f"--expect-head: expected 64 hexadecimal digits, got {expect_head!r}",
                f"--expect-head：应为 64 位十六进制数字：{expect_head!r}",
            )
        )
    path = _path(log)
    found = _check(audit.read(path), expect_head)
    if expect_head is not None and not found["expected_at"]:
        raise TrustError(
            f"expected a line with the hash {expect_head}, there is none: lines were cut off, or all was written anew",
            place=str(path),
            hint="restore the log from a copy, keep this one as evidence, and find out who changed it",
        )
    if log is None:
        recall(_LAYOUT, read_releases(_LAYOUT.records))
    if as_json:
        click.echo(json.dumps({"verified": True, "log": str(path), **found}))
    else:
        _print_checked(found)


def _check(lines: Iterable[Line], expect_head: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"lines": 0, "head": audit.START, "first": "", "last": "", "expected_at": 0}
    for line in lines:
        found |= {"lines": line.seq, "head": line.hash, "first": found["first"] or line.time, "last": line.time}
        if line.hash == expect_head:
            found["expected_at"] = line.seq
    return found


def _print_checked(found: dict[str, Any]) -> None:
    lines, first, last = found["lines"], found["first"], found["last"]
    click.echo(
        tr(
            f"verified: {lines} {'line' if lines == 1 else 'lines'} from {first} to {last}, none changed",
            f"校验通过：共 {lines} 行，{first} 至 {last}，均未改动",
        )
    )
    if found["expected_at"]:
        click.echo(
            tr(f"  the expected head is line {found['expected_at']}", f"  所给摘要为第 {found['expected_at']} 行")
        )
    click.echo(tr("  head, to be kept elsewhere: ", "  末行摘要（请另行保存）：") + found["head"])


@audit_group.command(
    "show",
    help=tr("Show the log line by line, each checked before.", "逐行显示日志，每行先校验。"),
    epilog=tr("Example:", "示例：") + "  ferry audit show --last 20",
)
@_LOG
@click.option("--last", type=click.IntRange(min=1), metavar="N", help=tr("The last N lines.", "最后 N 行。"))
@_JSON
def show_command(log: Path | None, last: int | None, as_json: bool) -> None:
    """Show a log."""
    path = _path(log)
    lines: Iterator[Line] | list[Line] = audit.read(path)
    if last is not None or as_json:
        lines = list(lines)[-(last or 0) :]
    if as_json:
        shown = [{"seq": one.seq, "time": one.time, "hash": one.hash, "event": dict(one.event)} for one in lines]
        click.echo(json.dumps(shown, ensure_ascii=False))
        return
    for one in lines:
        click.echo(_shown(one))


def _shown(line: Line) -> str:
    event = {_printable(name): _printable(str(value)) for name, value in line.event.items()}
    kind, outcome, user, uid = (event.pop(name, "-") for name in _HEAD)
    rest = "  ".join(f'{name}="{_DIGEST.sub(_short, value)}"' for name, value in event.items())
    return f"{line.seq:>5}  {line.time}  {user}({uid})  {kind} {outcome}  {rest}"


def _short(digest: re.Match[str]) -> str:
    """Return the start of a digest; JSON has the whole of it."""
    return digest[0][:16]


def _printable(text: str) -> str:
    """Escape what a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _path(log: Path | None) -> Path:
    """Return the log to read.

    Raises:
        HostError: there is none.
    """
    path = _LAYOUT.audit if log is None else log
    if not audit.exists(path):
        raise HostError(
            "expected an audit log, there is none", place=str(path), hint="it begins with the first install"
        )
    return path
