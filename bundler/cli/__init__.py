"""The command `ferry`: reading arguments, printing, exit codes; nothing else."""

from __future__ import annotations

import errno
import importlib
import json
import sys
from collections.abc import Mapping

import click

from bundler.cli.messages import tr
from bundler.errors import FerryError, HostError
from keystore.errors import KeystoreError

# Each command is loaded when it is called: the isolated host lacks what the connected one resolves with.
_COMMANDS: Mapping[str, tuple[str, str]] = {
    "target": ("bundler.cli.target", "target_group"),
    "drivers": ("bundler.cli.drivers", "drivers_command"),
    "lock": ("bundler.cli.lock", "lock_group"),
    "build": ("bundler.cli.make", "build_command"),
    "scan": ("bundler.cli.scan", "scan_group"),
    "why": ("bundler.cli.why", "why_command"),
    "export": ("bundler.cli.export", "export_group"),
    "cache": ("bundler.cli.cache", "cache_group"),
    "verify": ("bundler.cli.check", "verify_command"),
    "sign": ("bundler.cli.sign", "sign_command"),
    "inspect": ("bundler.cli.check", "inspect_command"),
    "diff": ("bundler.cli.difference", "diff_command"),
    "split": ("bundler.cli.split", "split_command"),
    "heal": ("bundler.cli.heal", "heal_command"),
    "serve": ("bundler.cli.serve", "serve_command"),
    "push": ("bundler.cli.push", "push_command"),
    "pull": ("bundler.cli.push", "pull_command"),
    "host": ("bundler.cli.host", "host_group"),
    "audit": ("bundler.cli.audit", "audit_group"),
    "keystore": ("bundler.cli.keystore_serve", "keystore_group"),
    "autoscaler": ("bundler.cli.autoscaler", "autoscaler_group"),
    "trust": ("bundler.cli.trust", "trust_group"),
}


class _Lazy(click.Group):
    """A group that imports a command's module only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        try:
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in ("bundler", "keystore"):
                raise
            return _elsewhere(cmd_name)


def _elsewhere(name: str) -> click.Command:
    """Return a command that says that this host lacks what it needs."""

    @click.command(name, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("words", nargs=-1)
    def refuse(words: tuple[str, ...]) -> None:
        raise click.UsageError(
            tr(f"`ferry {name}` works on the connected host only", f"`ferry {name}` 只能在联网主机上使用")
        )

    refuse.short_help = tr("(on the connected host only)", "（仅限联网主机）")
    return refuse


@click.group(
    cls=_Lazy,
    help=tr(
        "Carry an AI agent platform across an air gap in one signed bundle.",
        "用一个签名的数据包，把 AI 智能体平台摆渡过网闸。",
    ),
    epilog=tr(
        "Start with: ferry build recipes/hello --yes -o hello.tar",
        "从这里开始：ferry build recipes/hello --yes -o hello.tar",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ferry-airgap", prog_name="ferry")
def ferry() -> None:
    """Hold the commands."""


def main() -> None:
    """Run `ferry`; errors that Ferry knows become one message and their exit code."""
    try:
        status = ferry.main(standalone_mode=False)
    except (FerryError, KeystoreError) as error:
        sys.exit(report(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(tr("stopped", "已中止"), err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        sys.exit(report(_of_this_host(error)))
    # A command that ends early with a status has it returned here.
    sys.exit(status)


def _of_this_host(error: OSError) -> HostError:
    """Return what the operating system refused, such as a full disk or a directory that may not be written."""
    hint = (
        tr("free some space and run the command again", "请释放空间后重新运行") if error.errno == errno.ENOSPC else None
    )
    return HostError((error.strerror or str(error)).lower(), place=str(error.filename or "") or None, hint=hint)


def report(error: FerryError | KeystoreError) -> int:
    """Print an error with its hint; return its exit code."""
    if "--json" in sys.argv:
        document = {
            "error": error.message,
            "place": error.place,
            "hint": error.hint,
            "exit_code": error.exit_code,
            **getattr(error, "details", {}),
        }
        click.echo(json.dumps(document, ensure_ascii=False), err=True)
        return error.exit_code
    click.echo(tr("error: ", "错误：") + str(error), err=True)
    if error.hint:
        click.echo(tr("hint: ", "提示：") + error.hint, err=True)
    return error.exit_code
