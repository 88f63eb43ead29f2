"""`ferry keystore audit`: check the audit log of the service, and export it for other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from bundler.cli.messages import tr
from keystore.errors import KeystoreError

if TYPE_CHECKING:
    from keystore.heads import Checked
    from keystore.public import VerifyingKey

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("audit")
def audit_group() -> None:
    """Check and export the audit log of the service."""


def _log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    anchors = click.option(
        "--anchors", type=_FILE, metavar="FILE", help="Heads kept outside of the log; default: LOG.anchors."
    )
    key = click.option(
        "--key",
        "keys",
        type=_FILE,
        multiple=True,
        metavar="FILE",
        help="The public key of the audit device, to check the signed heads; give it once per device that wrote LOG.",
    )
    return click.argument("log", type=_FILE)(key(anchors(command)))


@audit_group.command("verify")
@_log_options
def audit_verify(log: Path, keys: tuple[Path, ...], anchors: Path | None) -> None:
    """Find any line or file that was changed, cut out, cut off, moved or replaced; it says which.

    LOG.1, LOG.2 and so on, which rotation moved aside, are read with it.

    \b
    Example:
      ferry keystore audit verify /var/log/ferry/audit.log --key audit.pub
    """  # noqa: D301
    from keystore import heads

    found = heads.verify(log, _keys(keys), _outside(log, anchors))
    click.echo(_told(found, signed=bool(keys)))


def _told(found: Checked, *, signed: bool) -> str:
    files = "file" if found.files == 1 else "files"
    lines = tr(f"{found.lines} lines in {found.files} {files}", f"{found.files} 个文件，共 {found.lines} 行")
    if found.first > 1:
        lines += tr(f", the first is line {found.first}", f"，首行为第 {found.first} 行")
    if not signed:
        return lines + tr("; no key, so no head was checked", "；未指定公钥，未校验签名")
    word = "head" if found.heads == 1 else "heads"
    return lines + tr(
        f", {found.heads} signed {word}, the last of line {found.signed}",
        f"，{found.heads} 个签名锚点，最后一个位于第 {found.signed} 行",
    )


@audit_group.command("export")
@_log_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "json", "syslog"]),
    default="jsonl",
    show_default=True,
    help="One object a line, one array, or lines of RFC 5424.",
)
@click.option("--since", metavar="TIME", default="", help="From this time on, such as 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", default="", help="Before this time.")
@click.option("--path", "prefix", metavar="PREFIX", default="", help="Requests below this path alone.")
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Write here instead of standard output.")
def audit_export(
    log: Path,
    keys: tuple[Path, ...],
    anchors: Path | None,
    form: str,
    since: str,
    until: str,
    prefix: str,
    output: Path | None,
) -> None:
    """Write the lines of the log for other programs, each after it was checked.

    A line that was changed ends the export, with an error that says which; FILE appears only when all is checked.

    \b
    Examples:
      ferry keystore audit export /var/log/ferry/audit.log --key audit.pub -o audit.jsonl
      ferry keystore audit export /var/log/ferry/audit.log --since 2026-01-31T00:00:00Z --format syslog
    """  # noqa: D301
    from keystore import heads
    from keystore.auditexport import Choice, writer

    choice = Choice.parse(since=since, until=until, prefix=prefix)
    with _opened(output) as stream:
        made = writer(form, stream.write)
        found = heads.verify(log, _keys(keys), _outside(log, anchors), lambda line: made.take(line, choice))
        made.end()
    click.echo(
        tr(f"{made.count} lines exported; checked: ", f"已导出 {made.count} 行；校验：")
        + _told(found, signed=bool(keys)),
        err=True,
    )


def _keys(paths: tuple[Path, ...]) -> list[VerifyingKey]:
    from keystore import disk
    from keystore.public import read_public

    return [read_public(disk.read(path)) for path in paths]


def _outside(log: Path, anchors: Path | None) -> Path | None:
    found = anchors or log.with_name(f"{log.name}.anchors")
    return found if anchors or found.exists() else None


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("w", encoding="utf-8") as stream:
            yield stream
        part.rename(output)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(
            tr(f"expected a file to write, got '{reason}'", f"无法写入文件：{reason}"), place=str(output)
        ) from error
    finally:
        part.unlink(missing_ok=True)
