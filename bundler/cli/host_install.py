"""`ferry host plan`, `install` and `upgrade`: a bundle comes to this host."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.installing import (
    LAYOUT,
    Bars,
    agreement,
    ask_for_volumes,
    bundle_options,
    make_options,
    show_healed,
    stop_gently,
    warn_of_this_clock,
)
from bundler.cli.messages import tr
from bundler.cli.outcome import show_outcome
from bundler.cli.password import password_from
from bundler.installer.install import install
from bundler.installer.systemd import HostSystemd
from bundler.medium import Medium


def _dry_run(command: Any) -> Any:
    help_text = tr("Verify and plan; change nothing.", "只校验和规划，不做改动。")
    return click.option("--dry-run", is_flag=True, help=help_text)(command)


def _yes(command: Any) -> Any:
    return click.option("--yes", is_flag=True, help=tr("Do not ask.", "不询问。"))(command)


@click.command("install", help=tr("Verify a bundle and install it.", "校验并安装数据包。"))
@bundle_options
@_dry_run
@_yes
def install_command(**choices: Any) -> None:
    """Install a bundle."""
    _install(only_upgrade=False, **choices)


@click.command(
    "upgrade",
    short_help=tr("Verify a bundle and bring this host to it.", "校验数据包并升级本机。"),
    help=tr(
        "Verify a full or differential bundle and bring the release that runs here to it. When it does not become "
        "healthy, the release before runs again. Refused where nothing is installed.",
        "校验完整或差分数据包，并将本机运行的版本升级到该版本。新版本未就绪时自动恢复原版本。未安装任何版本时拒绝执行。",
    ),
    epilog=tr(
        "Examples:  ferry host upgrade /mnt/stick/hello-2.tar  |  ferry host upgrade hello-2.tar --yes --json",
        "示例：ferry host upgrade /mnt/stick/hello-2.tar  |  ferry host upgrade hello-2.tar --yes --json",
    ),
)
@bundle_options
@_dry_run
@_yes
def upgrade_command(**choices: Any) -> None:
    """Upgrade to a bundle."""
    _install(only_upgrade=True, **choices)


@click.command(
    "plan", help=tr("Show what an install or upgrade would do, and why.", "显示安装或升级将执行的步骤及原因。")
)
@bundle_options
def plan_command(**choices: Any) -> None:
    """Plan an install."""
    _install(only_upgrade=False, dry_run=True, yes=False, **choices)


def _install(
    *,
    only_upgrade: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    bundle: Path,
    password_file: Path | None,
    **choices: Any,
) -> None:
    stop_gently()
    bars = Bars()
    if not as_json:
        warn_of_this_clock()
    options = replace(make_options(dry_run=dry_run, **choices), only_upgrade=only_upgrade)
    medium = Medium(bundle, ask_for_volumes(bars) if sys.stdin.isatty() else None, password_from(password_file))
    try:
        outcome = install(
            medium,
            options,
            layout=LAYOUT,
            systemd=HostSystemd(),
            now=datetime.now(UTC),
            progress=bars,
            agree=agreement(bars, dry_run=dry_run, yes=yes, as_json=as_json),
        )
    finally:
        bars.close()
    if outcome is None:
        raise click.Abort
    show_outcome(outcome, bars.began, dry_run=dry_run, as_json=as_json)
    show_healed(medium)
