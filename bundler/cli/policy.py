"""What every command asks that believes a bundle: whom to trust, which signatures, which digests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from bundler.anchors import Anchor, read_anchors, read_trust
from bundler.checks import Reading
from bundler.cli.keystore import keystore_dir
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.errors import HostError, TrustError
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from bundler.verify import PROFILES, Policy
from keystore.file import FileKeystore, exists
from keystore.public import SCHEMES

ANY_SCHEME = "any"


def signature_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say whose signatures are asked for."""
    for decorate in (
        click.option(
            "--accept-older-revocations",
            is_flag=True,
            help=tr(
                "Accept a list of revoked keys that is older than one this host has had.",
                "接受比本机已见过的更旧的吊销列表。",
            ),
        ),
        click.option(
            "--demand",
            "demands",
            multiple=True,
            type=click.Choice([*SCHEMES, ANY_SCHEME]),
            help=tr(
                "Scheme that must be among the signatures, enough of it; may be given several times. Default in the gm "
                "profile: sm2-sm3, where a root document has such keys.",
                "签名中必须包含（且数目足够）的算法，可多次给出。gm 模式默认：根文件含有 SM2 密钥时须有 sm2-sm3。",
            ),
        ),
        click.option(
            "--trust",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=tr(
                "What you trust: a public key (PEM), an SM2 root certificate (PEM) or a root document; may be given "
                "several times. Default: what this host trusts, else the keys of your own keystore.",
                "信任依据：公钥（PEM）、SM2 根证书（PEM）或根文件，可多次给出。"
                "默认：本机信任的内容，其次是您自己的密钥库。",
            ),
        ),
    ):
        command = decorate(command)
    return command


def chosen_demands(demands: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the schemes that are demanded: none for `any`, None where the profile decides."""
    if not demands:
        return None
    return tuple(scheme for scheme in dict.fromkeys(demands) if scheme != ANY_SCHEME)


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that make its policy."""
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
        signature_options,
    ):
        command = decorate(command)
    return command


def make_policy(
    *,
    trust: tuple[Path, ...],
    demands: tuple[str, ...],
    profile: str,
    accept_expired_bundle: bool,
    accept_older_revocations: bool,
) -> Policy:
    """Return the policy that the options ask for.

    Raises:
        TrustError: no key is named, and none is known here.
    """
    keys = tuple(map(read_trust, trust)) or read_anchors(Layout().trust) or _own_keys()
    if not keys:
        raise TrustError(
            "expected a key to trust, none is given and none is known here", hint="name one with --trust release.pem"
        )
    return Policy(
        trusted=keys,
        algorithm=PROFILES[profile],
        accept_expired=accept_expired_bundle,
        demands=chosen_demands(demands),
        oldest_revocations=_remembered(),
        accept_older_revocations=accept_older_revocations,
    )


def _remembered() -> Mapping[str, int]:
    """Return the versions of revocations that this host has seen; none where its marks are not for this user."""
    try:
        return read_marks(Layout()).revocations
    except HostError:
        return {}


def _own_keys() -> tuple[Anchor, ...]:
    """Return the public keys of this user's keystore, if there is one; what it signed is trusted here."""
    directory = keystore_dir(None)
    if not exists(directory):
        return ()
    keystore = FileKeystore.open(directory)
    return tuple(map(keystore.public, keystore.names()))


def shown(progress: Shown) -> Reading:
    """Let a check report to bars of its own."""
    return Reading(
        started=lambda manifest: progress.start("verify", sum(entry.size for entry in manifest.entries)),
        advance=progress.advance,
    )
