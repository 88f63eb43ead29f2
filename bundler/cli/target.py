"""`ferry target`: describe an isolated host, and read such descriptions."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from pathlib import Path

import click
from rich.cells import cell_len

from bundler.cli.messages import tr
from bundler.load import format_target
from bundler.model.target import VENDORS, Accelerator, Target, Versioned, target_document
from bundler.store import write_file
from bundler.target.find import find_target
from bundler.target.finding import Finding
from bundler.target.probe import probe_script
from bundler.target.short import format_short
from bundler.target.stock import stock_names

_GIGABYTE = 10**9
# A short form without quotes holds words that start with a hyphen.
_PLAIN = {"ignore_unknown_options": True}
_WORDS = click.argument("words", nargs=-1, required=True, metavar="TARGET")


@click.group(
    "target",
    short_help=tr("Describe the isolated host.", "描述隔离主机。"),
    help=tr(
        "Describe the isolated host, so that a lock can be checked against it.\n\n"
        "TARGET is a file that the probe wrote, its short form, or the name of a stock target.",
        "描述隔离主机，以便锁定时按它检查。\n\nTARGET 是探测脚本写出的文件、它的短格式，或内置目标的名称。",
    ),
    epilog=tr(
        "Examples:  ferry target probe > probe.sh  |  ferry target read target.yaml  |  "
        "ferry target show target.yaml --qr",
        "示例：ferry target probe > probe.sh  |  ferry target read target.yaml  |  ferry target show target.yaml --qr",
    ),
)
def target_group() -> None:
    """Hold the commands about targets."""


@target_group.command(
    "probe",
    short_help=tr("Print the script to run on the isolated host.", "输出在隔离主机上运行的脚本。"),
    help=tr(
        "Print a POSIX sh script. On the isolated host `sh probe.sh > target.yaml` writes the whole description, "
        "`sh probe.sh --short` one line to type or photograph. It needs no root, changes nothing, opens no connection.",
        "输出 POSIX sh 脚本。在隔离主机上运行 `sh probe.sh > target.yaml` 得到完整描述，"
        "`sh probe.sh --short` 得到一行短文本。无需 root，不做任何修改，不建立任何连接。",
    ),
)
def probe_command() -> None:
    """Print the probe."""
    click.echo(probe_script(), nl=False)


@target_group.command(
    "read",
    context_settings=_PLAIN,
    short_help=tr("Check a description and say what it says.", "检查描述并用文字说明。"),
    help=tr(
        "Check TARGET and print it in words; a short form may be typed without quotes.",
        "检查 TARGET 并用文字输出；短格式可不加引号直接输入。",
    ),
)
@_WORDS
@click.option("--json", "as_json", is_flag=True, help=tr("Print it as JSON.", "以 JSON 输出。"))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("Write it as target.yaml too.", "另存为 target.yaml。"),
)
def read_command(words: tuple[str, ...], as_json: bool, output: Path | None) -> None:
    """Read a target."""
    target = find_target(" ".join(words))
    if output is not None:
        write_file(output, format_target(target).encode())
    if as_json:
        click.echo(json.dumps({"name": target.name, "sha256": target.sha256, **target_document(target)}))
        return
    _print(target)


@target_group.command(
    "show",
    context_settings=_PLAIN,
    short_help=tr("Print the short form of a description.", "输出描述的短格式。"),
    help=tr("Print the short form of TARGET, as text or as a QR code.", "以文本或二维码输出 TARGET 的短格式。"),
)
@_WORDS
@click.option("--qr", is_flag=True, help=tr("As a QR code on this terminal.", "在终端显示二维码。"))
def show_command(words: tuple[str, ...], qr: bool) -> None:
    """Show the short form."""
    short = format_short(find_target(" ".join(words)))
    click.echo((_qr_code(short) if qr else "") + short)


@target_group.command("list", short_help=tr("Print the names of the stock targets.", "列出内置目标的名称。"))
def list_command() -> None:
    """Print the stock targets, one a line."""
    click.echo("\n".join(stock_names()))


def print_findings(findings: list[Finding]) -> None:
    """Print what a recipe or its lock was checked for, one line each."""
    unknown = tr("unknown, not checked", "未知，未检查")
    width = max((cell_len(finding.has or unknown) for finding in findings), default=0)
    for finding in findings:
        loss = "" if finding.is_enough else tr("; works with a loss", "；可用但有功能缺失")
        has = finding.has or unknown
        needs = tr(f"needs {finding.needs}", f"需要 {finding.needs}")
        click.echo(f"  {_wide(_SUBJECTS.get(finding.subject, finding.subject), 10)} {_wide(has, width)}  {needs}{loss}")


_SUBJECTS = {
    "platform": tr("platform", "平台"),
    "kernel": tr("kernel", "内核"),
    "init": tr("init", "初始化"),
    "glibc": tr("glibc", "glibc"),
    "driver": tr("driver", "驱动"),
}


def _qr_code(text: str) -> str:
    """Return a QR code in half blocks, light on dark as terminals are."""
    import segno

    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, compact=True)
    return out.getvalue()


def _print(target: Target) -> None:
    unknown = tr("unknown", "未知")
    rows = [
        (tr("name", "名称"), target.name),
        (tr("system", "系统"), _system(target)),
        (tr("machine", "机器"), f"{target.machine or unknown} ({target.platform or tr('not carried', '不支持')})"),
        (tr("kernel", "内核"), target.kernel),
        ("glibc", target.glibc),
        (tr("init", "初始化"), " ".join(filter(None, (target.init.name, target.init.version)))),
        (tr("runtimes", "容器"), _joined(None if target.runtimes is None else map(_versioned, target.runtimes))),
        (tr("free", "可用空间"), ", ".join(f"{one.path} {_size(one.free_bytes)}" for one in target.file_systems)),
        (tr("memory", "内存"), _size(target.memory_bytes)),
        (tr("processors", "处理器"), _processors(target)),
        (tr("packages", "软件包"), _packages(target)),
        (tr("cards", "加速卡"), _cards(target)),
        (tr("security", "安全"), _security(target)),
        ("python", target.python and (target.python if target.python != "none" else tr("none", "无"))),
        ("sha256", target.sha256),
    ]
    for name, value in rows:
        click.echo(f"{_wide(name, 12)}{value or unknown}")


def _wide(text: str, width: int) -> str:
    """Pad by the columns that a text takes: a Chinese character takes two."""
    return text + " " * (width - cell_len(text))


def _system(target: Target) -> str:
    words = " ".join(filter(None, (target.os.id, target.os.version, target.os.codename)))
    return f"{target.os.name} ({words})" if target.os.name else words


def _joined(words: Iterable[str] | None) -> str | None:
    return None if words is None else ", ".join(words) or tr("none", "无")


def _versioned(program: Versioned) -> str:
    return f"{program.name} {program.version or tr('(version unknown)', '（版本未知）')}"


def _size(size: int | None) -> str:
    return tr("unknown", "未知") if size is None else f"{size / _GIGABYTE:.1f} GB"


def _processors(target: Target) -> str | None:
    if target.cpus is None:
        return None
    return f"{target.cpus} ({' '.join(target.cpu_flags)})" if target.cpu_flags else str(target.cpus)


def _packages(target: Target) -> str:
    manager = target.package_manager or tr("unknown manager", "包管理器未知")
    if target.packages is None:
        return tr(f"unknown: the minimal system counts ({manager})", f"未知：按最小系统计（{manager}）")
    return f"{len(target.packages)} ({manager})"


def _cards(target: Target) -> str | None:
    def card(one: Accelerator) -> str:
        vendor = VENDORS.get(one.vendor, one.vendor)
        driver = target.driver_version(one.vendor) or tr("none answers", "无应答")
        return f"{one.count} x {vendor} {one.vendor}:{one.device}, {tr('driver', '驱动')} {driver}"

    return _joined(None if target.accelerators is None else map(card, target.accelerators))


def _security(target: Target) -> str:
    states = {
        tr("secure boot", "安全启动"): target.security.secure_boot,
        "SELinux": target.security.selinux,
        "AppArmor": target.security.apparmor,
    }
    return ", ".join(f"{name} {state or tr('unknown', '未知')}" for name, state in states.items())
