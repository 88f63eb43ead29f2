"""The options of `ferry build` that make a differential, and what is told about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from bundler.cli.messages import tr
from bundler.delta.deflate import fingerprint
from bundler.errors import TrustError
from bundler.since import Ground, Since, read_since
from keystore.errors import KeystoreError
from keystore.public import read_public

_NAME_IT = "name a file in PEM, or the fingerprint that ferry host receipt shows"

SINCE = click.option(
    "--since",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="RECEIPT|BUNDLE",
    help=tr(
        "Leave out what the host has: a bundle that it installed, a receipt of `ferry host receipt`, or lacking.json. "
        "Given several times, what all of them say. Changed blobs go as patches of blobs of a bundle that is given.",
        "省略主机已有的内容：已安装的数据包、`ferry host receipt` 的回执或 lacking.json。多次给出时取交集。"
        "变更的数据以补丁形式携带，补丁基于所给数据包中的数据。",
    ),
)
RECEIPT_KEY = click.option(
    "--receipt-key",
    multiple=True,
    metavar="PEM|FINGERPRINT",
    help=tr(
        "Take receipts of this host only: its public key, or the fingerprint that it shows.",
        "只接受该主机的回执：其公钥文件，或主机显示的指纹。",
    ),
)


def read_all_since(paths: Sequence[Path], receipt_keys: Sequence[str]) -> tuple[Since, ...]:
    """Read what the host has, and warn of a receipt of which nobody said whose it is.

    Raises:
        RecipeError, IntegrityError, TrustError: one of them is refused.
    """
    keys = [_key(text) for text in receipt_keys]
    found = tuple(read_since(path, keys) for path in paths)
    for path, one in zip(paths, found, strict=True):
        if one.key is not None and not keys:
            shown = one.key.fingerprint()
            warning = tr(
                f"warning: {path} is signed by a host that you did not name ({shown}); a wrong receipt makes a "
                "differential that lacks blobs. To name it: --receipt-key",
                f"警告：{path} 由未指定的主机签名（{shown}）；错误的回执会使差分包缺少数据。请用 --receipt-key 指定",
            )
            click.echo(warning, err=True)
    if not Ground(documents=found).deflates_as(fingerprint()):
        note = tr(
            "note: changed blobs are sent whole: the zlib of this builder makes other bytes than that of the host",
            "提示：变更的数据将整体携带：本机 zlib 生成的字节与主机不同",
        )
        click.echo(note, err=True)
    elif found and all(one.bundle is None for one in found):
        note = tr(
            "note: changed blobs are sent whole; give the bundle that the host has as well (--since) to send patches",
            "提示：变更的数据将整体携带；同时以 --since 给出主机上的数据包即可改为携带补丁",
        )
        click.echo(note, err=True)
    return found


def _key(text: str) -> str:
    """Return a keyid, or a fingerprint without its spaces."""
    digits = re.sub("[ :]", "", text.lower())
    if re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", digits):
        return digits
    try:
        return read_public(Path(text).read_bytes()).keyid
    except OSError as error:
        raise TrustError(f"the key cannot be read: {error.strerror}", place=text, hint=_NAME_IT) from error
    except KeystoreError as error:
        raise TrustError(f"expected a public key in PEM: {error}", place=text, hint=_NAME_IT) from error
