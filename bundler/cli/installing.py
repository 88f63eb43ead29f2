"""What the commands that install have in common: their options, their progress, how they show plan and outcome."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.clock import warn_of_clock
from bundler.cli.messages import tr
from bundler.cli.outcome import show_plan
from bundler.cli.password import password_option
from bundler.cli.policy import chosen_demands, signature_options
from bundler.cli.progress import Shown
from bundler.errors import FerryError
from bundler.installer.audit import HostLog
from bundler.installer.install import Session
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from bundler.installer.options import Options
from bundler.installer.plan import Plan
from bundler.installer.systemd import HostSystemd
from bundler.medium import Ask, Medium
from bundler.parity import listed
from bundler.verify import PROFILES

LAYOUT = Layout()


def bundle_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument BUNDLE, and what is asked of it."""
    file = click.Path(dir_okay=False, path_type=Path)
    for decorate in reversed(
        (
            click.argument("bundle", type=file),
            signature_options,
            click.option(
                "--set",
                "changes",
                multiple=True,
                metavar="SERVICE.NAME=VALUE",
                help=tr("Change a setting; may be repeated.", "修改一项设置，可重复。"),
            ),
            click.option(
                "--profile",
                type=click.Choice(sorted(PROFILES)),
                default="gm",
                show_default=True,
                help=tr("Which digests prove the bytes: SM3 or SHA-256.", "用哪种摘要校验：SM3 或 SHA-256。"),
            ),
            password_option,
            click.option(
                "--accept-expired-bundle",
                is_flag=True,
                help=tr("Take a bundle that is past its end; goes on record.", "接受已过期的数据包，并记入审计日志。"),
            ),
            click.option(
                "--allow-older-sequence",
                is_flag=True,
                help=tr(
                    "Take a bundle below what was here; goes on record.",
                    "接受低于本机曾有序号的数据包，并记入审计日志。",
                ),
            ),
            click.option(
                "--accept-lost-marks",
                is_flag=True,
                help=tr(
                    "Make this host's marks anew from its releases where they are lost or altered; goes on record.",
                    "标记丢失或被改动时，按版本记录重建，并记入审计日志。",
                ),
            ),
            click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。")),
        )
    ):
        command = decorate(command)
    return command


def make_options(
    *,
    dry_run: bool,
    trust: tuple[Path, ...],
    demands: tuple[str, ...],
    changes: tuple[str, ...],
    profile: str,
    accept_expired_bundle: bool,
    accept_older_revocations: bool,
    allow_older_sequence: bool,
    accept_lost_marks: bool,
) -> Options:
    """Return what the options of `bundle_options` say."""
    return Options(
        trust=trust,
        algorithm=PROFILES[profile],
        changes=changes,
        dry_run=dry_run,
        accept_expired=accept_expired_bundle,
        allow_older=allow_older_sequence,
        accept_lost=accept_lost_marks,
        demands=chosen_demands(demands),
        accept_older_revocations=accept_older_revocations,
        python=sys.executable,
    )


class Bars:
    """Progress bars that come with the first stage and go before anything is printed or asked.

    `began` is when the work began, by the monotonic clock, later by what a person took to answer.
    """

    def __init__(self) -> None:
        self.began = time.monotonic()
        self._stack = ExitStack()
        self._shown: Shown | None = None

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""
        if self._shown is None:
            self._shown = self._stack.enter_context(Shown())
        self._shown.start(stage, total)

    def advance(self, count: int) -> None:
        """Count bytes of it."""
        if self._shown is not None:
            self._shown.advance(count)

    def item(self, name: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show one thing of it by itself."""
        return nullcontext(self.advance) if self._shown is None else self._shown.item(name, size)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take the bars away while a person is asked, whose time is not the installer's."""
        self.close()
        asked = time.monotonic()
        try:
            yield
        finally:
            self.began += time.monotonic() - asked

    def close(self) -> None:
        """Take the bars away."""
        self._stack.close()
        self._shown = None


def make_session(kind: str, options: Options, bars: Bars, agree: Callable[[Plan, str | None], bool]) -> Session:
    """Return this operator's command on this host."""
    log = HostLog(layout=LAYOUT, now=datetime.now(UTC), operator=options.operator)
    return Session(
        kind=kind, options=options, layout=LAYOUT, systemd=HostSystemd(), log=log, progress=bars, agree=agree
    )


def stop_gently() -> None:
    """Let whoever ends this command have it put the host back first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)


def agreement(bars: Bars, *, dry_run: bool, yes: bool, as_json: bool) -> Callable[[Plan, str | None], bool]:
    """Return what shows a plan and asks whether to go on, where somebody can be asked."""

    def agree(plan: Plan, stopped_at: str | None) -> bool:
        bars.close()
        if not as_json:
            show_plan(plan, stopped_at)
        ask = plan.actions and not (dry_run or yes or as_json) and sys.stdin.isatty()
        with bars.asking():
            return not ask or click.confirm(tr("Go on?", "继续？"), default=True)

    return agree


def show_healed(medium: Medium) -> None:
    """Say which volumes were computed from parity."""
    if medium.healed:
        healed = medium.healed
        click.echo(
            tr(f"healed by parity: volumes {healed}; carry them again", f"已由校验卷修复：第 {healed} 卷；请重新制作"),
            err=True,
        )


def ask_for_volumes(bars: Bars) -> Ask:
    """Return what asks a person for the next disc; an empty answer looks in the same place again."""

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        missing = listed(numbers, count)
        question = tr(
            f"Insert the medium with volume {missing} of {count}; its directory, or q to stop",
            f"请插入第 {missing} 卷（共 {count} 卷）的介质；输入目录，q 停止",
        )
        with bars.asking():
            answer = click.prompt(question, default=str(place), err=True)
        return None if answer == "q" else Path(answer)

    return ask


def warn_of_this_clock() -> None:
    """Say that the clock stands before what this host has seen, if it does."""
    # What is wrong with the marks is told by the install itself.
    with suppress(FerryError):
        warn_of_clock(read_marks(LAYOUT), datetime.now(UTC))
