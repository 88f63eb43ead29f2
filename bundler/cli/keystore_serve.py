"""`ferry keystore serve`: the keystore as a service that speaks Vault's HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bundler.cli.keystore_audit import audit_group
from bundler.cli.keystore_custody import keystore_group, means_of, means_options
from bundler.cli.messages import tr
from keystore.errors import KeystoreError

_FILE = click.Path(dir_okay=False, path_type=Path)
DEFAULT_ADDRESS = "127.0.0.1:8200"


@keystore_group.command("serve")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where the sealed store lies; an empty one starts uninitialised.",
)
@click.option(
    "--listen",
    "listen",
    multiple=True,
    metavar="HOST:PORT",
    help=f"Listen there, with TLS; default: {DEFAULT_ADDRESS}, unless there is --socket.",
)
@click.option("--socket", type=_FILE, metavar="FILE", help="Listen on a unix socket of mode 0600.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate chain in PEM.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its private key in PEM.")
@click.option("--tls-client-ca", type=_FILE, metavar="FILE", help="Take client certificates of this CA.")
@click.option("--no-tls", is_flag=True, help="Speak plain HTTP, on the loopback alone.")
@click.option(
    "--profile",
    type=click.Choice(["gm", "standard"]),
    default="gm",
    show_default=True,
    help="How a new store is sealed: SM4-GCM, or AES-256-GCM.",
)
@click.option(
    "--unseal-from",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="Unseal at the start with the shares in this file of mode 0600; give it once per file.",
)
@click.option("--unseal-with", metavar="NAME", help="Unseal at the start by this custody (ferry keystore custody add).")
@means_options
def serve(
    data: Path,
    listen: tuple[str, ...],
    socket: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    no_tls: bool,
    profile: str,
    unseal_from: tuple[Path, ...],
    unseal_with: str | None,
    **means: Any,
) -> None:
    """Serve secrets over Vault's HTTP API, until SIGTERM; SIGHUP begins new audit files.

    \b
    Examples:
      ferry keystore serve --data /var/lib/ferry/vault --listen 127.0.0.1:8200 --no-tls
      ferry keystore serve --data /var/lib/ferry/vault --tls-cert host.crt --tls-key host.key
      ferry keystore serve --data /var/lib/ferry/vault --socket /run/ferry/vault.sock
      ferry keystore serve --data /var/lib/ferry/vault --socket /run/ferry/vault.sock \\
        --unseal-with stick --key-file /media/ferry/vault.key
    """  # noqa: D301
    from keystore.server.daemon import Options
    from keystore.server.daemon import serve as run
    from keystore.server.listener import Address, Tls

    wanted = listen or (() if socket else (DEFAULT_ADDRESS,))
    tls = None
    if wanted and not no_tls:
        if tls_cert is None or tls_key is None:
            raise KeystoreError(
                tr("expected a certificate and its key, got none", "需要证书及其私钥"),
                place="--tls-cert",
                hint=tr(
                    "name both: --tls-cert FILE --tls-key FILE; or, on the loopback alone, --no-tls",
                    "请同时指定 --tls-cert FILE 与 --tls-key FILE；若仅监听回环地址，可用 --no-tls",
                ),
            )
        tls = Tls(certificate=tls_cert, key=tls_key, client_ca=tls_client_ca)
    run(
        Options(
            data=data,
            addresses=[Address.parse(one) for one in wanted],
            socket=socket,
            tls=tls,
            profile=profile,
            unseal_from=unseal_from,
            custody=unseal_with or "",
            means=means_of(profile, **means),
        ),
        _say,
    )


def _say(line: str) -> None:
    click.echo(line, err=True)


keystore_group.add_command(audit_group)
