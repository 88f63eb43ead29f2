"""`ferry host`: install on this host, see how it is doing, remove it again."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.clock import warn_of_clock
from bundler.cli.host_report import report_command
from bundler.cli.messages import tr
from bundler.cli.password import password_from, password_option
from bundler.cli.policy import chosen_demands, signature_options
from bundler.cli.preflight import preflight_command
from bundler.cli.progress import Shown
from bundler.cli.receipt import receipt_command
from bundler.cli.secret import secret_group
from bundler.cli.support import support_command
from bundler.errors import FerryError, HostError
from bundler.installer.drivers import staying_drivers
from bundler.installer.install import Options, Outcome
from bundler.installer.install import install as install_bundle
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from bundler.installer.plan import Plan
from bundler.installer.status import Remembered, Status, read_status
from bundler.installer.systemd import HostSystemd
from bundler.installer.uninstall import uninstall as uninstall_all
from bundler.medium import Ask, Medium
from bundler.parity import listed
from bundler.verify import PROFILES
from keystore import audit, moment
from keystore.chain import Head
from keystore.errors import KeystoreError

_LAYOUT = Layout()


@click.group(
    "host",
    help=tr("Install a bundle on this host and operate it.", "在本机安装并运维数据包。"),
    epilog=tr(
        "Examples:  ferry host plan /mnt/stick/hello.tar  |  ferry host install /mnt/stick/hello.tar "
        "--trust /mnt/stick/release.pem --set agentscope.MODEL_NAME=qwen3  |  ferry host status --json",
        "示例：ferry host plan /mnt/stick/hello.tar  |  ferry host install /mnt/stick/hello.tar "
        "--trust /mnt/stick/release.pem  |  ferry host status --json",
    ),
)
def host_group() -> None:
    """Hold the commands of the isolated host."""


for _command in (preflight_command, receipt_command, report_command, secret_group, support_command):
    host_group.add_command(_command)


def _bundle_options(command: Callable[..., Any]) -> Callable[..., Any]:
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


@host_group.command("install", help=tr("Verify a bundle and install it.", "校验并安装数据包。"))
@_bundle_options
@click.option("--dry-run", is_flag=True, help=tr("Verify and plan; change nothing.", "只校验和规划，不做改动。"))
@click.option("--yes", is_flag=True, help=tr("Do not ask.", "不询问。"))
def install(dry_run: bool, yes: bool, as_json: bool, bundle: Path, password_file: Path | None, **choices: Any) -> None:
    """Install a bundle."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    began = time.monotonic()

    bars = _Bars()

    def agree(plan: Plan, stopped_at: str | None) -> bool:
        bars.close()
        if not as_json:
            _show_plan(plan, stopped_at)
        ask = plan.actions and not (dry_run or yes or as_json) and sys.stdin.isatty()
        return not ask or click.confirm(tr("Go on?", "继续？"), default=True)

    if not as_json:
        _warn_of_clock()
    options = _options(dry_run=dry_run, **choices)
    ask = _ask_for_volumes(bars) if sys.stdin.isatty() else None
    medium = Medium(bundle, ask, password_from(password_file))
    outcome = _install(medium, options, agree, bars)
    if outcome is None:
        raise click.Abort
    if as_json:
        click.echo(json.dumps(_document(outcome, time.monotonic() - began, dry_run=dry_run), ensure_ascii=False))
    elif outcome.done:
        _show_done(outcome, time.monotonic() - began)
    if medium.healed:
        healed = medium.healed
        click.echo(
            tr(f"healed by parity: volumes {healed}; carry them again", f"已由校验卷修复：第 {healed} 卷；请重新制作"),
            err=True,
        )


def _warn_of_clock() -> None:
    # What is wrong with the marks is told by the install itself.
    with suppress(FerryError):
        warn_of_clock(read_marks(_LAYOUT), datetime.now(UTC))


@host_group.command("plan", help=tr("Show what an install would do, and why.", "显示安装将执行的步骤及原因。"))
@_bundle_options
@click.pass_context
def plan_command(context: click.Context, /, **choices: Any) -> None:
    """Plan an install."""
    context.invoke(install, dry_run=True, yes=False, **choices)


def _options(
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


class _Bars:
    """Progress bars that come with the first stage and go before anything is printed or asked."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._shown: Shown | None = None

    def start(self, stage: str, total: int) -> None:
        if self._shown is None:
            self._shown = self._stack.enter_context(Shown())
        self._shown.start(stage, total)

    def advance(self, count: int) -> None:
        if self._shown is not None:
            self._shown.advance(count)

    def item(self, name: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(self.advance) if self._shown is None else self._shown.item(name, size)

    def close(self) -> None:
        self._stack.close()
        self._shown = None


def _install(
    medium: Medium, options: Options, agree: Callable[[Plan, str | None], bool], bars: _Bars
) -> Outcome | None:
    try:
        return install_bundle(
            medium,
            options,
            layout=_LAYOUT,
            systemd=HostSystemd(),
            now=datetime.now(UTC),
            progress=bars,
            agree=agree,
        )
    finally:
        bars.close()


def _ask_for_volumes(bars: _Bars) -> Ask:
    """Return what asks a person for the next disc; an empty answer looks in the same place again."""

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        bars.close()
        missing = listed(numbers, count)
        question = tr(
            f"Insert the medium with volume {missing} of {count}; its directory, or q to stop",
            f"请插入第 {missing} 卷（共 {count} 卷）的介质；输入目录，q 停止",
        )
        answer = click.prompt(question, default=str(place), err=True)
        return None if answer == "q" else Path(answer)

    return ask


def _show_plan(plan: Plan, stopped_at: str | None) -> None:
    wanted = plan.wanted
    product = f"{wanted.manifest.name} {wanted.manifest.version}"
    sequence, key = wanted.manifest.sequence, wanted.key.keyid[:16]
    click.echo(
        tr(
            f"{product} (sequence {sequence}), signed by {key}, as release {wanted.number}",
            f"{product}（序号 {sequence}），由 {key} 签名，版次 {wanted.number}",
        )
    )
    if stopped_at is not None:
        step = stopped_at or "-"
        click.echo(
            tr(f"The last run was cut off at step {step}; this one goes on.", f"上次运行在步骤 {step} 中断，现继续。")
        )
    if plan.left_out:
        suites = ", ".join(plan.left_out)
        click.echo(
            tr(
                f"The bundle has Debian packages for {suites}, which this host is not: it goes without them.",
                f"数据包中的 Debian 软件包适用于 {suites}，与本机不符：不安装这些软件包。",
            )
        )
    if plan.idle_images:
        count = plan.idle_images
        click.echo(
            tr(
                f"{count} {'image stays' if count == 1 else 'images stay'} in the store: "
                "no container runtime (podman, docker, containerd) is here.",
                f"{count} 个镜像仅保留在内容库中：本机没有容器运行时（podman、docker、containerd）。",
            )
        )
    if not plan.actions:
        click.echo(tr("Nothing to do: this host is as it should be.", "无需操作：本机已处于目标状态。"))
        return
    for action in plan.actions:
        click.echo(f"  {action.step:<9} {action.reason}")
    if plan.reboot:
        click.echo(
            tr(
                "Then this host must reboot, and the same command goes on with the rest.",
                "随后须重启本机，再执行同一命令以完成其余步骤。",
            )
        )
    store, tree = plan.store_bytes / 1e6, plan.tree_bytes / 1e6
    if store or tree:
        click.echo(
            tr(
                f"Needs {store:.0f} MB in /var/lib/ferry and about {tree:.0f} MB in /opt/ferry.",
                f"需要 /var/lib/ferry {store:.0f} MB、/opt/ferry 约 {tree:.0f} MB。",
            )
        )
    if plan.packages_bytes:
        packages = plan.packages_bytes / 1e6
        click.echo(tr(f"Its packages take about {packages:.0f} MB in /usr.", f"软件包在 /usr 约占 {packages:.0f} MB。"))


def _show_done(outcome: Outcome, seconds: float) -> None:
    for done in outcome.done:
        click.echo(f"{done.seconds:8.2f} s  {done.action.step}")
    click.echo(f"{seconds:8.2f} s  " + tr("in all", "合计"))
    if outcome.plan.reboot:
        click.echo(
            tr("Reboot this host now, then run the same command again.", "请立即重启本机，然后再次执行同一命令。")
        )
        return
    names = ", ".join(service.name for service in outcome.plan.wanted.services)
    click.echo(tr(f"Installed and ready: {names}", f"已安装并就绪：{names}"))


def _document(outcome: Outcome, seconds: float, *, dry_run: bool) -> dict[str, object]:
    plan = outcome.plan
    took = {done.action.step: round(done.seconds, 3) for done in outcome.done}
    return {
        "release": plan.wanted.number,
        "dry_run": dry_run,
        "planned": len(plan.actions),
        "steps": [
            {
                "step": action.step,
                "reason": action.reason,
                "detail": list(action.detail),
                "seconds": took.get(action.step),
            }
            for action in plan.actions
        ],
        "packages_left_out": list(plan.left_out),
        "reboot": plan.reboot,
        "store_bytes": plan.store_bytes,
        "tree_bytes": plan.tree_bytes,
        "packages_bytes": plan.packages_bytes,
        "idle_images": plan.idle_images,
        "judged_at": moment.stamp(outcome.judged_at),
        "seconds": round(seconds, 3),
    }


@host_group.command("status", help=tr("Say how the installed release is doing.", "显示已安装版本的运行状况。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Exit with 0 only when healthy."""
    found = read_status(_LAYOUT, HostSystemd())
    if as_json:
        click.echo(json.dumps(_status_document(found), ensure_ascii=False))
    else:
        _warn_of_clock()
        _show_status(found)
    context.exit(0 if found.is_healthy else HostError.exit_code)


def _status_document(found: Status) -> dict[str, object]:
    release = found.release
    return {
        "health": "healthy" if found.is_healthy else "degraded",
        "name": release.name,
        "version": release.version,
        "release": release.number,
        "sequence": release.sequence,
        "installed": release.installed,
        "unfinished": found.unfinished,
        "services": [
            {
                "name": service.name,
                "unit": service.unit,
                "active": service.active,
                "since": service.since,
                "port": service.port,
                "ready": service.not_ready is None,
                "why": service.not_ready,
            }
            for service in found.services
        ],
        "alerts": [{"name": one.name, "severity": one.severity, "summary": one.summary} for one in found.alerts],
        "images": {
            "count": found.images,
            "runtime": found.runtime or None,
            "missing_names": list(found.missing_names),
        },
        "remembered": _remembered_document(found.remembered) if found.remembered else None,
    }


def _remembered_document(found: Remembered) -> dict[str, object]:
    marks = found.marks
    return {
        "problem": found.problem or None,
        "counter": marks.counter,
        "last_seen": moment.stamp(marks.last_seen) if marks.last_seen else None,
        "products": {
            name: {"sequence": mark.sequence, "version": mark.version, "manifest_sha256": mark.manifest_sha256}
            for name, mark in sorted(marks.products.items())
        },
        "revocations": dict(sorted(marks.revocations.items())),
        "audit": {"lines": found.audit.count, "head": found.audit.hash},
    }


def _show_status(found: Status) -> None:
    release = found.release
    health = tr("healthy", "正常") if found.is_healthy else tr("degraded", "异常")
    where = tr(
        f"release {release.number}, sequence {release.sequence}", f"版次 {release.number}，序号 {release.sequence}"
    )
    click.echo(f"{release.name} {release.version} ({where}): {health}")
    for service in found.services:
        ready = tr("ready", "就绪") if service.not_ready is None else service.not_ready
        where = f"127.0.0.1:{service.port}" if service.port else "-"
        click.echo(f"  {service.unit:<32} {service.active:<10} {where:<16} {ready}  {service.since}")
    for alert in found.alerts:
        click.echo(f"  {alert.severity:<8} {alert.name}: {tr(alert.summary, alert.summary_zh)}")
    if found.images:
        click.echo("  " + _images_line(found))
    if found.remembered is not None:
        _show_remembered(found.remembered)
    if found.unfinished is not None:
        step = found.unfinished or "-"
        click.echo(
            tr(f"The last run was cut off at step {step}: install again.", f"上次运行在步骤 {step} 中断：请重新安装。")
        )


def _show_remembered(found: Remembered) -> None:
    if found.problem:
        click.echo(tr("  not to be believed: ", "  不可信：") + found.problem)
        return
    marks, seen = found.marks, moment.stamp(found.marks.last_seen) if found.marks.last_seen else "-"
    listed = ", ".join(f"{name} {mark.sequence} ({mark.version})" for name, mark in sorted(marks.products.items()))
    click.echo(tr(f"  highest sequence: {listed}; latest time seen: {seen}", f"  最高序号：{listed}；最晚时间：{seen}"))
    lines, head = found.audit.count, found.audit.hash
    click.echo(tr(f"  audit log: {lines} lines, head {head}", f"  审计日志：{lines} 行，末行摘要 {head}"))


def _images_line(found: Status) -> str:
    count = found.images
    named = f"{count} {'image' if count == 1 else 'images'}"
    if not found.runtime:
        return tr(f"{named} in the store, no container runtime", f"{count} 个镜像在内容库中，无容器运行时")
    if found.missing_names:
        lacks = ", ".join(found.missing_names)
        return tr(f"{found.runtime} lacks images: {lacks}", f"{found.runtime} 缺少镜像：{lacks}")
    return tr(f"{named} in {found.runtime}", f"{found.runtime} 中有 {count} 个镜像")


@host_group.command("uninstall", help=tr("Remove everything that was installed.", "卸载全部内容。"))
@click.option("--yes", is_flag=True, help=tr("Do not ask.", "不询问。"))
@click.option(
    "--keep-data",
    is_flag=True,
    help=tr(
        "Keep the services' state, the settings, the audit log and which releases were here.",
        "保留服务数据、设置、审计日志和本机标记。",
    ),
)
@click.option(
    "--keep-drivers", is_flag=True, help=tr("Keep the drivers that Ferry brought.", "保留 Ferry 安装的驱动。")
)
def uninstall(yes: bool, keep_data: bool, keep_drivers: bool) -> None:
    """Remove units, programs, store, settings and data."""
    question = tr("Remove Ferry, its services and their data?", "确定卸载 Ferry、其服务及数据？")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(tr("expected --yes where nobody can be asked", "无法询问时需要 --yes"))
        click.confirm(question, abort=True)
    head = _audit_head()
    staying = staying_drivers(_LAYOUT, keep=keep_drivers)
    units = uninstall_all(_LAYOUT, HostSystemd(), keep_data=keep_data, keep_drivers=keep_drivers)
    listed = ", ".join(units) or "-"
    click.echo(tr(f"Removed, with its services: {listed}", f"已卸载，包括服务：{listed}"))
    if head is not None:
        _show_log(head, kept=keep_data)
    for driver in staying:
        click.echo(tr(f"The driver stays: {driver}", f"驱动保留：{driver}"))


def _audit_head() -> Head | None:
    """Return where the audit log ends, None where there is none that can be read."""
    with suppress(KeystoreError):
        return audit.last(_LAYOUT.audit) if audit.exists(_LAYOUT.audit) else None
    return None


def _show_log(before: Head, *, kept: bool) -> None:
    """Say where the audit log stands, or where it ended before it was removed."""
    if kept:
        click.echo(tr(f"The audit log stays: {_LAYOUT.audit}", f"审计日志保留：{_LAYOUT.audit}"))
        return
    lines, head = before.count, before.hash
    click.echo(
        tr(
            f"The audit log went too; it had {lines} lines, head {head}.",
            f"审计日志已一并移除；此前共 {lines} 行，末行摘要 {head}。",
        )
    )
