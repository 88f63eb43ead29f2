"""How a plan and what came of it are shown."""

from __future__ import annotations

import json
import time

import click

from bundler.cli.messages import tr
from bundler.installer.install import Outcome
from bundler.installer.plan import Plan
from keystore import moment


def show_outcome(outcome: Outcome, began: float, *, dry_run: bool, as_json: bool) -> None:
    """Show what was done since `began`, by the monotonic clock."""
    seconds = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(document(outcome, seconds, dry_run=dry_run), ensure_ascii=False))
    elif outcome.done:
        show_done(outcome, seconds)


def show_plan(plan: Plan, stopped_at: str | None) -> None:
    """Show what is due, and why."""
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


def show_done(outcome: Outcome, seconds: float) -> None:
    """Show how long each step took."""
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


def document(outcome: Outcome, seconds: float, *, dry_run: bool) -> dict[str, object]:
    """Return plan and outcome for JSON."""
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
