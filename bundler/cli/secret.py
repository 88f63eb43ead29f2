"""`ferry host secret`: the secrets of the installed release, as its keystore keeps them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from bundler.cli.messages import tr
from bundler.errors import HostError
from bundler.installer.escort.change import change_secret, list_secrets, show_secret
from bundler.installer.layout import Layout
from bundler.installer.systemd import HostSystemd

_LAYOUT = Layout()
_MOST_BYTES = 65_536


@click.group(
    "secret",
    help=tr("Tokens, certificate and secrets of the services, from the keystore.", "网关令牌、证书及服务密钥。"),
    epilog=tr(
        "Examples:  ferry host secret list  |  ferry host secret show gateway/tokens/app  |  "
        "ferry host secret set gateway/tls.pem host.pem  |  ferry host secret rotate gateway/tokens/app",
        "示例：ferry host secret list  |  ferry host secret show gateway/tokens/app  |  "
        "ferry host secret set gateway/tls.pem host.pem  |  ferry host secret rotate gateway/tokens/app",
    ),
)
def secret_group() -> None:
    """Hold the commands of secrets."""


@secret_group.command("list", help=tr("List them, without their values.", "列出名称，不显示内容。"))
def list_command() -> None:
    """List secrets."""
    for one in list_secrets(_LAYOUT, HostSystemd()):
        made = one.made_of or tr("not given yet: ferry host secret set", "尚未设置：ferry host secret set")
        click.echo(f"  {one.path:<40} {made}  {one.description}".rstrip())


@secret_group.command("show", help=tr("Print one; goes on record.", "显示一项，并记入审计日志。"))
@click.argument("path")
def show_command(path: str) -> None:
    """Show a secret."""
    click.echo(show_secret(_LAYOUT, HostSystemd(), path, now=datetime.now(UTC)))


@secret_group.command(
    "set",
    help=tr(
        "Put another in its place, from a file or standard input, and start its service anew.",
        "从文件或标准输入替换一项，并重启其服务。",
    ),
)
@click.argument("path")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
def set_command(path: str, file: Path | None) -> None:
    """Set a secret."""
    _tell(change_secret(_LAYOUT, HostSystemd(), path, _read(file), now=datetime.now(UTC)))


@secret_group.command(
    "rotate", help=tr("Make another at random, and start its service anew.", "随机生成新值，并重启其服务。")
)
@click.argument("path")
def rotate_command(path: str) -> None:
    """Rotate a secret."""
    _tell(change_secret(_LAYOUT, HostSystemd(), path, None, now=datetime.now(UTC)))


def _read(file: Path | None) -> str:
    """Return what a file or standard input holds, without the end of its last line."""
    try:
        data = file.read_bytes() if file else sys.stdin.buffer.read(_MOST_BYTES + 1)
        text = data.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise HostError(f"it cannot be read: {error.strerror}", place=str(file)) from error
    except UnicodeDecodeError as error:
        raise HostError("expected UTF-8 text, got something else", place=str(file or "-")) from error
    if not text or len(data) > _MOST_BYTES:
        raise HostError(f"expected a secret of 1 to {_MOST_BYTES} bytes, got {len(data)}", place=str(file or "-"))
    return text


def _tell(unit: str) -> None:
    if unit:
        click.echo(tr(f"changed; {unit} started anew", f"已更改；{unit} 已重启"))
    else:
        click.echo(tr("changed", "已更改"))
