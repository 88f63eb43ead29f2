"""With what a bundle is signed: keys of the keystore, and the documents that lead verifiers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from bundler.cli.keystore import DEFAULT_KEY, open_signer, read_passphrase
from bundler.cli.messages import tr
from bundler.cli.service import address_option, is_served, open_served
from bundler.cli.trust import placed
from bundler.errors import TrustError
from bundler.model.trust import TrustDocument
from keystore import disk
from keystore.file import FileKeystore
from keystore.remote import ServiceSigner
from keystore.revocation import parse_revocations
from keystore.signer import Signer
from keystore.trust import check_root, walk

_FILE = click.Path(dir_okay=False, path_type=Path)


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name keys of the keystore."""
    for decorate in (
        address_option,
        click.option("--passphrase-file", type=_FILE, help=tr("File that holds its passphrase.", "口令文件。")),
        click.option(
            "--keystore",
            type=click.Path(file_okay=False, path_type=Path),
            help=tr("Directory of the keystore.", "密钥库目录。"),
        ),
        click.option(
            "--key",
            "keys",
            metavar="NAME",
            multiple=True,
            default=(DEFAULT_KEY,),
            show_default=True,
            help=tr(
                "Name of a signing key, vault:NAME for one of a served keystore; may be given several times.",
                "签名密钥名称，密钥服务中的密钥写作 vault:NAME；可多次给出。",
            ),
        ),
    ):
        command = decorate(command)
    return command


def carried_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name what a bundle carries for its verifiers."""
    for decorate in (
        click.option(
            "--revocations",
            type=_FILE,
            metavar="FILE",
            help=tr(
                "The list of revoked keys, signed by the root role (ferry trust revoke).",
                "根角色签名的吊销列表（ferry trust revoke）。",
            ),
        ),
        click.option(
            "--root",
            "roots",
            type=_FILE,
            metavar="FILE",
            multiple=True,
            help=tr(
                "A root document, each version from the first on (ferry trust new, rotate); repeat it.",
                "根文件，从第 1 版起逐版给出（ferry trust new、rotate），可多次给出。",
            ),
        ),
    ):
        command = decorate(command)
    return command


def open_signers(
    directory: Path, keys: Sequence[str], passphrase_file: Path | None, *, yes: bool, address: str | None = None
) -> tuple[Signer, ...]:
    """Return what signs with the keys: `vault:NAME` at the served keystore, others unsealed here under one passphrase.

    The passphrase is asked for once; a single key here may be made with its keystore.
    Raises: KeystoreError.
    """
    names = tuple(dict.fromkeys(keys))
    served = {name: open_served(name, address) for name in names if is_served(name)}
    here = [name for name in names if name not in served]
    opened = served | dict(zip(here, _open_here(directory, here, passphrase_file, yes=yes), strict=True))
    return tuple(opened[name] for name in names)


def _open_here(directory: Path, names: Sequence[str], passphrase_file: Path | None, *, yes: bool) -> tuple[Signer, ...]:
    if not names:
        return ()
    if len(names) == 1:
        return (open_signer(directory, names[0], passphrase_file, yes=yes),)
    store = FileKeystore.open(directory)
    for name in names:
        store.public(name)
    passphrase = read_passphrase(directory, passphrase_file)
    return tuple(store.signer(name, passphrase) for name in names)


def held_certificates(directory: Path, keys: Sequence[str], signers: Sequence[Signer] = ()) -> tuple[bytes, ...]:
    """Return the certificates of the first key that has some; those of served keys come with their signers."""
    here = [name for name in keys if not is_served(name)]
    store = FileKeystore.open(directory) if here else None
    found = (store.certificates(name) for name in here) if store else iter(())
    served = (one.certificates for one in signers if isinstance(one, ServiceSigner))
    return next(filter(None, (*found, *served)), ())


def read_carried(
    roots: Sequence[Path], revocations: Path | None, certificates: tuple[bytes, ...]
) -> TrustDocument | None:
    """Read what a bundle carries; None where there is nothing but its keys.

    Raises:
        TrustError: root documents come without revocations, or the other way round.
        KeystoreError: a file cannot be read, is no such document, is over, or does not follow the one before it.
    """
    if bool(roots) != (revocations is not None):
        raise TrustError(
            tr("expected --root and --revocations together, got one of them", "--root 与 --revocations 须同时给出"),
            hint=tr(
                "the root role signs both; a list without keys: ferry trust revoke -o 1.revocations.json",
                "两者均由根角色签名；空列表：ferry trust revoke -o 1.revocations.json",
            ),
        )
    if not roots and not certificates:
        return None
    chain = tuple(disk.read(path) for path in roots)
    for path, envelope in zip(roots, chain, strict=True):
        placed(path, partial(check_root, envelope))
    if chain:
        placed(roots[-1], lambda: walk(check_root(chain[0]), chain, now=datetime.now(UTC)))
    return TrustDocument(roots=chain, revocations=_revocations(revocations), certificates=certificates)


def _revocations(path: Path | None) -> bytes:
    if path is None:
        return b""
    envelope = disk.read(path)
    placed(path, lambda: parse_revocations(envelope))
    return envelope
