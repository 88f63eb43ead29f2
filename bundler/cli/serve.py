"""`ferry serve`: a bundle for the hosts nearby."""

from __future__ import annotations

import ipaddress
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from bundler.cli.clock import judged_now
from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options, shown
from bundler.cli.progress import Shown
from bundler.errors import HostError
from bundler.serve.resource import OpenBundle
from bundler.serve.routes import make_routes
from bundler.serve.server import Listening, Server
from bundler.verify import VerifiedBundle, verify

_MOST_TOKEN = 4096
_LEAST_TOKEN = 16


@click.command(
    "serve",
    short_help=tr("Serve a bundle to hosts nearby.", "向附近主机提供数据包内容。"),
    help=tr(
        "Verify BUNDLE, then serve it read-only and without unpacking it: images as a registry, wheels as a package "
        "index, Debian and RPM packages as repositories, files, and the bundle itself. The page / lists it all.\n\n"
        "Other hosts than this one are answered over TLS only.",
        "先校验 BUNDLE，然后只读地提供其内容，不解包：镜像（镜像仓库）、wheel（Python 索引）、"
        "Debian 包和 RPM 包（软件源）、文件，以及数据包本身。页面 / 列出全部内容。\n\n"
        "仅通过 TLS 回应其他主机。",
    ),
    epilog=tr(
        "Examples:  ferry serve agentscope.tar --trust release.pem  |  ferry serve agentscope.tar "
        "--listen 10.0.0.5:8780 --tls-cert host.pem --tls-key host.key --token-file token",
        "示例：ferry serve agentscope.tar --trust release.pem  |  ferry serve agentscope.tar "
        "--listen 10.0.0.5:8780 --tls-cert host.pem --tls-key host.key --token-file token",
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@policy_options
@click.option(
    "--listen",
    default="127.0.0.1:8780",
    show_default=True,
    metavar="HOST:PORT",
    help=tr("Where to listen; port 0 takes a free one.", "监听地址；端口 0 表示任选空闲端口。"),
)
@click.option(
    "--tls-cert",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("Certificate of this host, with its chain, in PEM.", "本机证书及证书链（PEM）。"),
)
@click.option(
    "--tls-key", type=click.Path(dir_okay=False, path_type=Path), help=tr("Its private key in PEM.", "私钥（PEM）。")
)
@click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr(
        "File with what clients must show, as bearer token or as password of any user.",
        "口令文件：客户端须以 bearer token 或任意用户的密码出示。",
    ),
)
@click.option(
    "--serve-others-over-plain-http",
    "plain",
    is_flag=True,
    help=tr("Answer other hosts without TLS: anybody between can change it.", "不用 TLS 回应其他主机：途中可被篡改。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("Print where it listens as JSON.", "以 JSON 输出监听地址。"))
def serve_command(
    bundle: Path,
    listen: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    plain: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Serve a bundle until a signal comes."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    listening = _listening(listen, tls_cert, tls_key, token_file, plain=plain)
    policy = make_policy(**choices)
    with Shown() as progress:
        verified = verify(bundle, policy, now=judged_now(), reading=shown(progress))
    held = OpenBundle(verified)
    try:
        _serve(Server(held, make_routes(held), listening), verified, as_json=as_json)
    finally:
        held.close()


def _listening(
    listen: str, certificate: Path | None, key: Path | None, token_file: Path | None, *, plain: bool
) -> Listening:
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(
            tr(f'--listen: expected HOST:PORT, got "{listen}"', f"--listen：应为 HOST:PORT：{listen}")
        )
    if (certificate is None) != (key is None):
        raise click.UsageError(tr("--tls-cert and --tls-key go together", "--tls-cert 与 --tls-key 必须同时给出"))
    if certificate is None and not _is_loopback(host):
        if not plain:
            raise HostError(
                f"expected TLS for other hosts, {listen} would answer them over plain http",
                place="--listen",
                hint="give --tls-cert and --tls-key, or listen on 127.0.0.1",
            )
        logging.getLogger(__name__).warning("warning: other hosts are answered over plain http")
    token = _token(token_file) if token_file else ""
    return Listening(host=host, port=int(port), certificate=certificate, key=key, token=token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            token = stream.read(_MOST_TOKEN).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise HostError("expected a token of printable ASCII, the file cannot be read", place=str(path)) from error
    if not token.isprintable() or len(token) < _LEAST_TOKEN or " " in token:
        raise HostError(
            f"expected a token of {_LEAST_TOKEN} or more printable characters without spaces",
            place=str(path),
            hint="make one with: openssl rand -hex 24 > FILE",
        )
    return token


def _serve(server: Server, verified: VerifiedBundle, *, as_json: bool) -> None:
    """Answer until SIGINT or SIGTERM."""

    def stop(number: int, frame: object) -> None:
        # `shutdown` waits for the loop that this handler interrupts.
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    manifest = verified.manifest
    if as_json:
        click.echo(json.dumps({"url": server.url, "name": manifest.name, "version": manifest.version}))
    else:
        what = f"{manifest.name} {manifest.version} ({manifest.platform})"
        click.echo(tr(f"serving {what} at {server.url}/", f"正在提供 {what}：{server.url}/"))
    sys.stdout.flush()
    with server:
        server.serve_forever(poll_interval=0.2)
