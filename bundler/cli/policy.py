"""What every command asks that believes a bundle: which keys, which digests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bundler.checks import Reading
from bundler.cli.keystore import keystore_dir
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.errors import TrustError
from bundler.installer.facts import read_anchors
from bundler.installer.layout import Layout
from bundler.verify import PROFILES, Policy, read_trust
from keystore.file import FileKeystore, exists
from keystore.sm2 import PublicKey


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that make its policy."""
    file = click.Path(path_type=Path)
    for decorate in (
        click.option(
            "--accept-expired-bundle",
            is_flag=True,
            help=tr("Accept a bundle that is past its end.", "接受已过期的数据包。"),
        ),
        click.option(
            "--profile",
            type=click.Choice(sorted(PROFILES)),
            default="gm",
            show_default=True,
            help=tr(
                "Digest that proves the bytes: gm is SM3, standard is SHA-256.",
                "校验摘要：gm 为 SM3，standard 为 SHA-256。",
            ),
        ),
        click.option(
            "--trust",
            multiple=True,
            type=file,
            help=tr(
                "Public key (PEM) that you trust; may be given several times. Default: the keys that this host trusts, "
                "else those of your own keystore.",
                "可信公钥（PEM），可多次给出。默认：本机信任的公钥，其次是您自己密钥库中的公钥。",
            ),
        ),
    ):
        command = decorate(command)
    return command


def make_policy(*, trust: tuple[Path, ...], profile: str, accept_expired_bundle: bool) -> Policy:
    """Return the policy that the options ask for.

    Raises:
        TrustError: no key is named, and none is known here.
    """
    keys = tuple(map(read_trust, trust)) or read_anchors(Layout().trust) or _own_keys()
    if not keys:
        raise TrustError(
            "expected a key to trust, none is given and none is known here", hint="name one with --trust release.pem"
        )
    return Policy(trusted=keys, algorithm=PROFILES[profile], accept_expired=accept_expired_bundle)


def _own_keys() -> tuple[PublicKey, ...]:
    """Return the public keys of this user's keystore, if there is one; what it signed is trusted here."""
    directory = keystore_dir(None)
    if not exists(directory):
        return ()
    keystore = FileKeystore.open(directory)
    return tuple(key for key in map(keystore.public, keystore.names()) if isinstance(key, PublicKey))


def shown(progress: Shown) -> Reading:
    """Let a check report to bars of its own."""
    return Reading(
        started=lambda manifest: progress.start("verify", sum(entry.size for entry in manifest.entries)),
        advance=progress.advance,
    )
