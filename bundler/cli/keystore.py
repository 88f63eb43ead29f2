"""`ferry keystore`: make a keystore, make keys, show the public ones; and how other commands get a signer."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bundler.cli.messages import tr
from bundler.cli.service import (
    address_option,
    is_served,
    make_served,
    open_served,
    served_keys,
    use_fields,
    use_options,
    use_policy,
)
from keystore import disk, seal
from keystore.algorithm import ALGORITHMS
from keystore.errors import KeystoreError, PassphraseError
from keystore.file import FileKeystore, exists
from keystore.public import VerifyingKey
from keystore.record import check_name
from keystore.signer import Signer

DEFAULT_KEY = "release"
PASSPHRASE_FILE = "passphrase"  # noqa: S105 (a file's name)
_FILE = click.Path(dir_okay=False, path_type=Path)


def keystore_dir(option: Path | None) -> Path:
    """Return the keystore's directory: the option, FERRY_KEYSTORE, or the user's default."""
    if option is not None:
        return option
    if chosen := os.environ.get("FERRY_KEYSTORE"):
        return Path(chosen)
    data_home = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data_home.is_absolute():
        data_home = Path("~/.local/share").expanduser()
    return data_home / "ferry" / "keystore"


def open_signer(directory: Path, key: str, passphrase_file: Path | None, *, yes: bool) -> Signer:
    """Unseal a signing key; where there is no keystore yet, make one when `yes`, or when a person agrees.

    Raises: KeystoreError.
    """
    if not exists(directory):
        passphrase = _offer_keystore(directory, key, passphrase_file, yes=yes)
        return FileKeystore.open(directory).signer(key, passphrase)
    store = FileKeystore.open(directory)
    # A key that is missing is told before a passphrase is asked for.
    store.public(key)
    return store.signer(key, read_passphrase(directory, passphrase_file))


def read_passphrase(directory: Path, passphrase_file: Path | None, *, twice: bool = False) -> str:
    """Return the passphrase from the file named, FERRY_PASSPHRASE_FILE, the keystore's own file, or a prompt.

    Raises: PassphraseError when there is none of them.
    """
    named = passphrase_file or _path_from_environment()
    if named is not None:
        return _passphrase_in(named)
    kept = directory / PASSPHRASE_FILE
    if disk.exists(kept):
        return _passphrase_in(kept)
    if sys.stdin.isatty():
        prompt = tr("Passphrase of the keystore", "密钥库口令")
        again = tr("The same again", "再次输入")
        found: str = click.prompt(prompt, hide_input=True, confirmation_prompt=again if twice else False, err=True)
        return found
    raise PassphraseError(
        tr("expected a passphrase, got neither a file nor a terminal", "需要口令，但既没有口令文件也没有终端"),
        hint=tr(
            "name a file: --passphrase-file FILE or FERRY_PASSPHRASE_FILE=FILE",
            "请指定口令文件：--passphrase-file FILE 或 FERRY_PASSPHRASE_FILE=FILE",
        ),
    )


def _path_from_environment() -> Path | None:
    named = os.environ.get("FERRY_PASSPHRASE_FILE")
    return Path(named) if named else None


def _passphrase_in(path: Path) -> str:
    try:
        lines = disk.read(path).decode("utf-8").splitlines()
    except UnicodeDecodeError:
        lines = []
    if len(lines) != 1 or not lines[0]:
        raise PassphraseError(
            tr("expected one line of UTF-8 text, got something else", "口令文件应为一行 UTF-8 文本"),
            place=str(path),
        )
    return lines[0]


def _offer_keystore(directory: Path, key: str, passphrase_file: Path | None, *, yes: bool) -> str:
    question = tr(
        f"There is no keystore in {directory}. Make one with the signing key '{key}'?",
        f"{directory} 中没有密钥库。是否新建并生成签名密钥“{key}”？",
    )
    if not yes and not (sys.stdin.isatty() and click.confirm(question, err=True)):
        raise KeystoreError(
            tr("expected a keystore, got none", "没有密钥库"),
            place=str(directory),
            hint=tr("make one: ferry keystore init, or pass --yes", "请运行 ferry keystore init，或加 --yes"),
        )
    return _init(directory, key, passphrase_file, "gm", yes=yes)


def _init(directory: Path, key: str, passphrase_file: Path | None, profile: str, *, yes: bool) -> str:
    """Make keystore and key, tell about them, and return the passphrase."""
    check_name(key)
    if exists(directory):
        raise KeystoreError(
            tr("expected no keystore, got one", "密钥库已存在"),
            place=str(directory),
            hint=tr("add a key: ferry keystore generate NAME", "添加密钥：ferry keystore generate NAME"),
        )
    if yes and passphrase_file is None and _path_from_environment() is None:
        _keep_random_passphrase(directory)
    passphrase = read_passphrase(directory, passphrase_file, twice=True)
    store = FileKeystore.create(directory, passphrase, profile)
    public = store.generate(key, passphrase)
    _say(tr(f"Keystore: {directory} (profile {profile})", f"密钥库：{directory}（{profile} 模式）"))
    _say(tr(f"Key '{key}': {public.keyid}", f"密钥“{key}”：{public.keyid}"))
    _say(tr(f"Fingerprint, for paper: {public.fingerprint()}", f"指纹（抄录到纸上）：{public.fingerprint()}"))
    return passphrase


def _keep_random_passphrase(directory: Path) -> None:
    disk.make_directory(directory)
    path = directory / PASSPHRASE_FILE
    if not disk.exists(path):
        disk.write(path, secrets.token_urlsafe(32).encode("ascii") + b"\n")
    _say(
        tr(
            f"warning: a random passphrase lies beside the keys in {path}: it protects them only as well as"
            " the file system does. Move it elsewhere and name it with --passphrase-file.",
            f"警告：随机口令与密钥同在 {path}，其安全性仅取决于文件系统。请将其移至别处，并用 --passphrase-file 指定。",
        )
    )


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)


def _directory_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--keystore",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Default: $FERRY_KEYSTORE, then ferry/keystore under $XDG_DATA_HOME or ~/.local/share.",
    )(command)


def _passphrase_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--passphrase-file",
        type=_FILE,
        metavar="FILE",
        help="One line; default: $FERRY_PASSPHRASE_FILE, then the keystore's own file, then a prompt.",
    )(command)


_algorithm_option = click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="sm2",
    show_default=True,
    help="What the key signs with.",
)


@click.group("keystore")
def keystore_group() -> None:
    """Make and show signing keys.

    \b
    Examples:
      ferry keystore init
      ferry keystore public --fingerprint
      ferry keystore public -o release.pub
    """  # noqa: D301


@keystore_group.command("init")
@_directory_option
@click.option("--profile", type=click.Choice(sorted(seal.PROFILES)), default="gm", show_default=True)
@click.option("--key", metavar="NAME", default=DEFAULT_KEY, show_default=True, help="The first signing key.")
@_passphrase_option
@click.option("--yes", is_flag=True, help="Ask nothing: make a random passphrase and keep it beside the keys.")
def init(directory: Path | None, profile: str, key: str, passphrase_file: Path | None, yes: bool) -> None:
    """Make a keystore and its first signing key.

    \b
    Profiles, how private keys are sealed:
      gm        PBKDF2-HMAC-SM3 and SM4-GCM
      standard  Argon2id and AES-256-GCM

    \b
    Examples:
      ferry keystore init
      ferry keystore init --profile standard --passphrase-file /run/secrets/ferry
    """  # noqa: D301
    _init(keystore_dir(directory), key, passphrase_file, profile, yes=yes)


@keystore_group.command("generate")
@click.argument("name")
@_algorithm_option
@_directory_option
@_passphrase_option
@click.option("--private-key", type=_FILE, metavar="FILE", help="Take over this key, PKCS#8 in PEM, unencrypted.")
@use_options
@address_option
def generate(
    name: str,
    algorithm: str,
    directory: Path | None,
    passphrase_file: Path | None,
    private_key: Path | None,
    vault_address: str | None,
    **use: Any,
) -> None:
    """Make one more signing key, of SM2 or, for sites without it, of Ed25519 or ECDSA P-256.

    A key of a served keystore, vault:NAME, has a use policy from the start: without --product it signs no bundle.

    \b
    Examples:
      ferry keystore generate release-2027
      ferry keystore generate release-2027-ed --algorithm ed25519
      ferry keystore generate vault:release --product agentscope --until 2027-12-31T00:00:00Z \\
        --approvals 2 --operator userpass/alice --operator userpass/bob --operator userpass/carol
    """  # noqa: D301
    if private_key is not None:
        disk.check_private_file(private_key)
    pem = None if private_key is None else disk.read(private_key)
    if is_served(name):
        public = make_served(name, vault_address, algorithm, pem, use_fields(**use))
    else:
        path = keystore_dir(directory)
        store = FileKeystore.open(path)
        passphrase = read_passphrase(path, passphrase_file)
        if pem is None:
            public = store.generate(name, passphrase, algorithm)
        else:
            public = store.import_pem(name, passphrase, pem)
        if any(use.values()):
            store.limit(name, passphrase, use_policy(public.keyid, 1, **use))
    _say(tr(f"Key '{name}': {public.keyid}", f"密钥“{name}”：{public.keyid}"))


@keystore_group.command("certify")
@click.argument("name")
@click.argument("chain", type=_FILE)
@_directory_option
def certify(name: str, chain: Path, directory: Path | None) -> None:
    """Keep the certificates of a key beside it: PEM, the signer's first, each issued by the next.

    They are SM2 certificates alone. No passphrase is needed.

    \b
    Example:
      ferry keystore certify release chain.pem
    """  # noqa: D301
    store = FileKeystore.open(keystore_dir(directory))
    store.certify(name, disk.read(chain))
    count = len(store.certificates(name))
    _say(tr(f"Key '{name}': {count} certificates kept", f"密钥“{name}”：已保存 {count} 份证书"))


@keystore_group.command("public")
@click.option("--key", metavar="NAME", default=DEFAULT_KEY, show_default=True)
@_directory_option
@click.option("--fingerprint", is_flag=True, help="Show the short form to carry on paper instead.")
@click.option("-o", "--output", type=_FILE, metavar="FILE", help="Write here instead of standard output.")
@address_option
def public(key: str, directory: Path | None, fingerprint: bool, output: Path | None, vault_address: str | None) -> None:
    """Show a public key in PEM; no passphrase is needed.

    \b
    Examples:
      ferry keystore public -o release.pub
      ferry keystore public --key release-2027 --fingerprint
    """  # noqa: D301
    if is_served(key):
        found: VerifyingKey = open_served(key, vault_address).public
    else:
        found = FileKeystore.open(keystore_dir(directory)).public(key)
    text = f"{found.fingerprint()}\n" if fingerprint else found.pem()
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)


@keystore_group.command("list")
@_directory_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--mount", metavar="PATH", help="List the keys of a served keystore that are mounted there: signing.")
@address_option
def list_keys(directory: Path | None, as_json: bool, mount: str | None, vault_address: str | None) -> None:
    """List the keys; no passphrase is needed.

    \b
    Examples:
      ferry keystore list --json
      ferry keystore list --mount signing
    """  # noqa: D301
    if mount is not None:
        rows = [_row(name, public) for name, public in served_keys(mount, vault_address)]
    else:
        store = FileKeystore.open(keystore_dir(directory))
        rows = [_row(name, store.public(name)) for name in store.names()]
    if as_json:
        click.echo(json.dumps(rows, indent=2, sort_keys=True))
        return
    for row in rows:
        click.echo(f"{row['name']}  {row['fingerprint']}  {row['keyid']}")


def _row(name: str, public_key: VerifyingKey) -> dict[str, str]:
    return {"name": name, "keyid": public_key.keyid, "fingerprint": public_key.fingerprint()}


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(
            tr(f"expected a file to write, got '{reason}'", f"无法写入文件：{reason}"), place=str(path)
        ) from error
