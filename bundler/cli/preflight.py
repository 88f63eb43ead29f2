"""`ferry host preflight`: whether this host can take a bundle, and what to do where it cannot."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options
from bundler.errors import HostError
from bundler.installer.layout import Layout
from bundler.installer.preflight.check import Finding, Level, State, Text
from bundler.installer.preflight.host import preflight, preflight_for
from bundler.installer.preflight.table import GROUPS
from bundler.installer.systemd import HostSystemd

_NAME_WIDTH = 20


@click.command(
    "preflight",
    short_help=tr("Check whether this host can be installed.", "检查本机能否安装。"),
    help=tr(
        "Look at this host, alone or for BUNDLE, and tell what must and what should be mended before an install. "
        "Nothing is changed. Ends with 8 where something must be mended.",
        "检查本机（或针对 BUNDLE），列出安装前必须和建议处理的事项。不做任何改动。有必须处理的事项时以 8 退出。",
    ),
    epilog=tr(
        "Examples:  ferry host preflight  |  ferry host preflight /mnt/stick/hello.tar --trust release.pem --json",
        "示例：ferry host preflight  |  ferry host preflight /mnt/stick/hello.tar --trust release.pem --json",
    ),
)
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path), required=False)
@policy_options
@click.option("--failed-only", is_flag=True, help=tr("Leave out what holds.", "只显示未通过的检查。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
@click.pass_context
def preflight_command(
    context: click.Context, /, bundle: Path | None, failed_only: bool, as_json: bool, **choices: Any
) -> None:
    """Exit with 0 only when an install can go on."""
    now = datetime.now(UTC)
    if bundle is None:
        findings = preflight(Layout(), HostSystemd(), now=now)
    else:
        findings = preflight_for(bundle, make_policy(**choices), Layout(), HostSystemd(), now=now)
    shown = [one for one in findings if one.verdict.state is State.FAILED or not failed_only]
    refused = any(one.refuses for one in findings)
    if as_json:
        click.echo(json.dumps({"ok": not refused, "checks": [_document(one) for one in shown]}, ensure_ascii=False))
    else:
        _show(shown)
        click.echo(_summary(findings))
    context.exit(HostError.exit_code if refused else 0)


def _told(text: Text) -> str:
    return tr(text.english, text.chinese)


def _document(finding: Finding) -> dict[str, object]:
    check, verdict = finding.check, finding.verdict
    return {
        "name": check.name,
        "group": check.group,
        "level": check.level.value,
        "title": _told(check.title),
        "state": verdict.state.value,
        "told": _told(verdict.told),
        "remedy": _told(verdict.remedy) if verdict.remedy else None,
    }


def _show(findings: list[Finding]) -> None:
    for group, members in groupby(findings, key=lambda one: one.check.group):
        click.secho(_told(GROUPS[group]), bold=True)
        for finding in members:
            _show_one(finding)


def _show_one(finding: Finding) -> None:
    word, colour = _mark(finding)
    click.echo(f"  {click.style(word, fg=colour)}  {finding.check.name:<{_NAME_WIDTH}} {_told(finding.verdict.told)}")
    if finding.verdict.remedy is not None:
        click.echo(f"        {'':<{_NAME_WIDTH}} -> {_told(finding.verdict.remedy)}")


def _mark(finding: Finding) -> tuple[str, str | None]:
    state = finding.verdict.state
    if state is State.FAILED:
        return ("MUST", "red") if finding.check.level is Level.MUST else ("warn", "yellow")
    return ("ok  ", "green") if state is State.PASSED else ("-   ", None)


def _summary(findings: tuple[Finding, ...]) -> str:
    count = Counter(finding.verdict.state for finding in findings)
    must = sum(finding.refuses for finding in findings)
    should = count[State.FAILED] - must
    rest = count[State.UNKNOWN] + count[State.SKIPPED]
    return tr(
        f"{len(findings)} checks: {count[State.PASSED]} hold, {must} must and {should} should be mended, "
        f"{rest} do not apply or cannot be told",
        f"共 {len(findings)} 项：{count[State.PASSED]} 项通过，{must} 项必须处理，{should} 项建议处理，"
        f"{rest} 项不适用或无法判断",
    )
