"""`ferry host`: install on this host, see how it is doing, remove it again."""

from __future__ import annotations

import json
import sys
from contextlib import suppress

import click

from bundler.cli.host_back import resume_command, rollback_command
from bundler.cli.host_inbox import inbox_group
from bundler.cli.host_install import install_command, plan_command, upgrade_command
from bundler.cli.host_report import report_command
from bundler.cli.installing import LAYOUT, warn_of_this_clock
from bundler.cli.messages import tr
from bundler.cli.preflight import preflight_command
from bundler.cli.receipt import receipt_command
from bundler.cli.secret import secret_group
from bundler.cli.support import support_command
from bundler.errors import HostError
from bundler.installer.drivers import staying_drivers
from bundler.installer.status import Remembered, Status, read_status
from bundler.installer.systemd import HostSystemd
from bundler.installer.uninstall import uninstall as uninstall_all
from keystore import audit, moment
from keystore.chain import Head
from keystore.errors import KeystoreError


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


for _command in (
    *(preflight_command, plan_command, install_command, upgrade_command, resume_command, rollback_command),
    *(inbox_group, receipt_command, report_command, secret_group, support_command),
):
    host_group.add_command(_command)


@host_group.command("status", help=tr("Say how the installed release is doing.", "显示已安装版本的运行状况。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Exit with 0 only when healthy."""
    found = read_status(LAYOUT, HostSystemd())
    if as_json:
        click.echo(json.dumps(_status_document(found), ensure_ascii=False))
    else:
        warn_of_this_clock()
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
            tr(
                f"The last run was cut off at step {step}: ferry host resume, or ferry host rollback.",
                f"上次运行在步骤 {step} 中断：请执行 ferry host resume 或 ferry host rollback。",
            )
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
    staying = staying_drivers(LAYOUT, keep=keep_drivers)
    units = uninstall_all(LAYOUT, HostSystemd(), keep_data=keep_data, keep_drivers=keep_drivers)
    listed = ", ".join(units) or "-"
    click.echo(tr(f"Removed, with its services: {listed}", f"已卸载，包括服务：{listed}"))
    if head is not None:
        _show_log(head, kept=keep_data)
    for driver in staying:
        click.echo(tr(f"The driver stays: {driver}", f"驱动保留：{driver}"))


def _audit_head() -> Head | None:
    """Return where the audit log ends, None where there is none that can be read."""
    with suppress(KeystoreError):
        return audit.last(LAYOUT.audit) if audit.exists(LAYOUT.audit) else None
    return None


def _show_log(before: Head, *, kept: bool) -> None:
    """Say where the audit log stands, or where it ended before it was removed."""
    if kept:
        click.echo(tr(f"The audit log stays: {LAYOUT.audit}", f"审计日志保留：{LAYOUT.audit}"))
        return
    lines, head = before.count, before.hash
    click.echo(
        tr(
            f"The audit log went too; it had {lines} lines, head {head}.",
            f"审计日志已一并移除；此前共 {lines} 行，末行摘要 {head}。",
        )
    )
