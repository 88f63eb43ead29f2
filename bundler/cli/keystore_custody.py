"""`ferry keystore custody` and `ferry keystore operator`: who keeps the root key of a served store, and its seal."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.cli.keystore_release import keystore_group
from bundler.cli.messages import tr
from bundler.cli.password import read_secret
from bundler.cli.service import address_option, open_client
from keystore import disk, moment
from keystore.barrier import sealing
from keystore.barrier.database import FILE, Database
from keystore.barrier.sealing import Seal
from keystore.custody import keeping, keyfile
from keystore.custody.custodian import Custodian
from keystore.custody.kinds import KINDS, Means, custodian_of
from keystore.errors import KeystoreError
from keystore.service.system.sealing import share_of

__all__ = ["keystore_group", "means_of", "means_options"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help=tr("Where the store lies.", "存储所在目录。"),
)
_CREDENTIAL = "ferry-keystore"
_CREDS_S = 60.0


def means_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that name the means of custody."""
    for decorate in (
        click.option(
            "--pin-file", type=_FILE, metavar="FILE", help="PIN of the token, in a file of mode 0600; default: asked."
        ),
        click.option("--key-label", default="ferry-root", show_default=True, help="Key on the token; made if absent."),
        click.option("--token", default="", metavar="LABEL", help="Label of the PKCS#11 token."),
        click.option("--pkcs11-module", type=_FILE, metavar="FILE", help="The vendor's PKCS#11 library."),
        click.option("--key-file", type=_FILE, metavar="FILE", help="Key file of mode 0600: a stick, or a credential."),
        click.option("--passphrase-file", type=_FILE, metavar="FILE", help="One line; default: it is asked for."),
    ):
        command = decorate(command)
    return command


def means_of(
    profile: str,
    *,
    passphrase_file: Path | None,
    key_file: Path | None,
    pkcs11_module: Path | None,
    token: str,
    key_label: str,
    pin_file: Path | None,
    twice: bool = False,
) -> Means:
    """Return what the options name."""
    return Means(
        profile=profile,
        passphrase=lambda: read_secret(
            passphrase_file, tr("Passphrase of the custody", "托管口令"), "--passphrase-file FILE", twice=twice
        ),
        key_file=key_file,
        module=pkcs11_module,
        token=token,
        label=key_label,
        pin=lambda: read_secret(pin_file, tr("PIN of the token", "令牌 PIN"), "--pin-file FILE"),
    )


@keystore_group.group("custody")
def custody_group() -> None:
    """Let a passphrase, a key file or an HSM keep the root key of a served store, beside its shares."""


@custody_group.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True)
@_DATA
@click.option(
    "--unseal-from",
    "shares",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="Shares of the unseal key, in a file of mode 0600; default: they are asked for.",
)
@click.option("--open-with", metavar="NAME", help="Open the root key by this custody instead of shares.")
@click.option("--open-from", type=_FILE, metavar="FILE", help="Its passphrase or key file; default: it is asked for.")
@click.option(
    "--systemd-creds",
    "credential",
    type=_FILE,
    metavar="FILE",
    help=f"Give a new key file to systemd-creds alone, which writes it here encrypted, as {_CREDENTIAL}.",
)
@means_options
def add(
    name: str,
    kind: str,
    data: Path,
    shares: tuple[Path, ...],
    open_with: str | None,
    open_from: Path | None,
    credential: Path | None,
    **means: Any,
) -> None:
    """Add a custody; enough shares of the unseal key must agree, or a custody that is there by passphrase or key file.

    The daemon may run meanwhile. To change a passphrase, add the new one and remove the old one.

    \b
    Kinds:
      passphrase  one operator unseals: ferry keystore operator unseal --passphrase
      keyfile     unattended: a stick, or with --systemd-creds a credential of this host (TPM2 where it has one)
      pkcs11      unattended or with a PIN that is typed: an HSM or a smart card

    \b
    Examples:
      ferry keystore custody add operator --kind passphrase --data /var/lib/ferry/vault
      ferry keystore custody add operator-2 --kind passphrase --data /var/lib/ferry/vault --open-with operator
      ferry keystore custody add stick --kind keyfile --key-file /media/ferry/vault.key --data /var/lib/ferry/vault
      ferry keystore custody add host --kind keyfile --data /var/lib/ferry/vault \\
        --systemd-creds /etc/credstore.encrypted/ferry-keystore
      ferry keystore custody add hsm --kind pkcs11 --data /var/lib/ferry/vault --token ferry \\
        --pkcs11-module /usr/lib/softhsm/libsofthsm2.so --pin-file /etc/ferry/hsm.pin
    """  # noqa: D301
    seal = _seal_in(data)
    keeping.expect_none(data, name)
    if open_with is not None:
        root_key = _opened(data, seal, open_with, open_from)
    else:
        root_key = seal.open_root(sealing.join(_shares(shares, seal.threshold)))
    custodian = _credential_custodian(seal, kind, credential) if credential else _custodian(seal, kind, means)
    made = keeping.add(data, name, custodian, seal, root_key, datetime.now(UTC))
    _say(tr(f"Custody '{made.name}' ({made.kind}) keeps the root key too", f"托管“{made.name}”（{made.kind}）已添加"))


@custody_group.command("list")
@_DATA
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_custodies(data: Path, as_json: bool) -> None:
    """List who keeps the root key.

    \b
    Example:
      ferry keystore custody list --data /var/lib/ferry/vault
    """  # noqa: D301
    found = [keeping.read(data, name) for name in keeping.names(data)]
    rows = [{"name": one.name, "kind": one.kind, "created": moment.stamp(one.created)} for one in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2, sort_keys=True))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['kind']}  {row['created']}")


@custody_group.command("remove")
@click.argument("name")
@_DATA
def remove(name: str, data: Path) -> None:
    """Take the root key from a custody. An older copy of the store's directory still has it.

    \b
    Example:
      ferry keystore custody remove stick --data /var/lib/ferry/vault
    """  # noqa: D301
    keeping.remove(data, name)
    _say(tr(f"Custody '{name}' removed", f"托管“{name}”已移除"))


@keystore_group.group("operator")
def operator_group() -> None:
    """Initialise, unseal and seal a served keystore."""


@operator_group.command("init")
@click.option("--shares", default=5, show_default=True, type=click.IntRange(1, 255), help="Into how many parts.")
@click.option("--threshold", default=3, show_default=True, type=click.IntRange(1, 255), help="How many unseal.")
@click.option("--shares-to", type=_FILE, metavar="FILE", help="Write the shares here, mode 0600, one a line.")
@click.option("--token-to", type=_FILE, metavar="FILE", help="Write the root token here, mode 0600.")
@address_option
def init(shares: int, threshold: int, shares_to: Path | None, token_to: Path | None, vault_address: str | None) -> None:
    """Initialise the store: shows shares of its unseal key and its first token, once and never again.

    \b
    Examples:
      ferry keystore operator init
      ferry keystore operator init --shares 1 --threshold 1 --shares-to /media/stick/share --token-to root.token
    """  # noqa: D301
    client = open_client(vault_address, with_token=False)
    made = client.write("sys/init", secret_shares=shares, secret_threshold=threshold)
    _give("".join(f"{one}\n" for one in made["keys"]), shares_to, tr("Share", "分片"))
    _give(f"{made['root_token']}\n", token_to, tr("Root token", "根令牌"))


@operator_group.command("unseal")
@click.option("--unseal-from", "files", type=_FILE, multiple=True, metavar="FILE", help="Shares in a file, mode 0600.")
@click.option("--passphrase", is_flag=True, help="Unseal by the passphrase of a custody instead of shares.")
@click.option("--passphrase-file", type=_FILE, metavar="FILE", help="One line; default: it is asked for.")
@address_option
def unseal(files: tuple[Path, ...], passphrase: bool, passphrase_file: Path | None, vault_address: str | None) -> None:
    """Unseal with a share (enter one, or those in files), or with the passphrase of a custody.

    \b
    Examples:
      ferry keystore operator unseal
      ferry keystore operator unseal --passphrase
    """  # noqa: D301
    client = open_client(vault_address, with_token=False)
    if passphrase or passphrase_file:
        question = tr("Passphrase of the custody", "托管口令")
        found = client.write("sys/unseal", passphrase=read_secret(passphrase_file, question, "--passphrase-file FILE"))
    else:
        for share in _shares(files, 1):
            found = client.write("sys/unseal", key=share.hex())
            if not found["sealed"]:
                break
    if found["sealed"]:
        _say(tr(f"Sealed: {found['progress']} of {found['t']} shares", f"已封存：{found['progress']}/{found['t']} 份"))
    else:
        _say(tr("Unsealed", "已解封"))


@operator_group.command("seal")
@address_option
def seal_service(vault_address: str | None) -> None:
    """Seal: the service forgets every key.

    \b
    Example:
      ferry keystore operator seal
    """  # noqa: D301
    open_client(vault_address).write("sys/seal")
    _say(tr("Sealed", "已封存"))


def _seal_in(directory: Path) -> Seal:
    """Return the seal of a store that may be served meanwhile."""
    path = directory / FILE
    if not disk.exists(path):
        raise KeystoreError("expected a served store, got none", place=str(directory), hint="see: ferry keystore serve")
    database = Database(path)
    try:
        data = database.document(sealing.DOCUMENT)
    finally:
        database.close()
    if data is None:
        raise KeystoreError(
            "expected a store that was initialised, got another",
            place=str(directory),
            hint="initialise it: ferry keystore operator init",
        )
    return Seal.parse(data)


def _opened(data: Path, seal: Seal, name: str, source: Path | None) -> bytearray:
    """Return the root key that a custody by passphrase or key file keeps."""
    found = keeping.read(data, name)
    question = tr(f"Passphrase of the custody '{name}'", f"托管“{name}”的口令")
    means = Means(
        profile=seal.profile,
        passphrase=lambda: read_secret(source, question, "--open-from FILE"),
        key_file=source,
    )
    root_key = keeping.open_root(found, custodian_of(found.kind, means), seal)
    # A root key that does not open the keyring is another store's.
    seal.open_keyring(root_key)
    return root_key


def _custodian(seal: Seal, kind: str, means: dict[str, Any]) -> Custodian:
    """Return the custodian of a kind; a key file that is not there is made."""
    path = means["key_file"]
    if kind == keyfile.KIND and path is not None and not disk.exists(path):
        disk.write(path, keyfile.new_key())
    return custodian_of(kind, means_of(seal.profile, twice=True, **means))


def _credential_custodian(seal: Seal, kind: str, credential: Path) -> Custodian:
    """Return the custodian of a new key that systemd-creds alone keeps, encrypted by this host or its TPM2."""
    if kind != keyfile.KIND:
        raise click.UsageError(tr("--systemd-creds goes with --kind keyfile", "--systemd-creds 仅用于 --kind keyfile"))
    from bundler.run import run

    line = keyfile.new_key()
    run(
        ["systemd-creds", "encrypt", f"--name={_CREDENTIAL}", "-", credential],
        timeout_s=_CREDS_S,
        stdin=line.decode("ascii"),
    )
    return keyfile.KeyFileCustodian(profile=seal.profile, key=keyfile.parse_key(line, "key"))


def _shares(files: Sequence[Path], count: int) -> list[bytes]:
    """Return the shares in files, or `count` that are asked for."""
    if not files:
        question = tr("Share of the unseal key", "解封密钥分片")
        return [share_of(read_secret(None, question, "--unseal-from FILE")) for _ in range(count)]
    for path in files:
        disk.check_private_file(path)
    return [share_of(line) for path in files for line in disk.read(path).decode("ascii", "replace").split()]


def _give(lines: str, path: Path | None, what: str) -> None:
    if path is not None:
        disk.write(path, lines.encode("ascii"))
        return
    for line in lines.splitlines():
        click.echo(f"{what}: {line}")


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
