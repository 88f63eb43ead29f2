"""`ferry keystore` for keys of a served keystore: log in, mount, use policies, proposals, approvals.

What only some commands need is imported by them: the daemon starts through this module too, and should stay small.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.keystore import keystore_dir, keystore_group, read_passphrase
from bundler.cli.messages import tr
from bundler.cli.password import read_secret
from bundler.cli.service import (
    MOUNT,
    address_option,
    is_served,
    open_client,
    parse_reference,
    token_path,
    use_fields,
    use_options,
    use_policy,
)
from bundler.errors import HostError
from keystore import disk, document
from keystore.errors import KeystoreError
from keystore.file import FileKeystore

if TYPE_CHECKING:
    from keystore.client import Client

__all__ = ["keystore_group"]

_FILE = click.Path(dir_okay=False, path_type=Path)
_DOCUMENT_BYTES = 16 * 1024 * 1024
_YES = click.option("--yes", is_flag=True, help=tr("Ask nothing.", "不再询问。"))
_DIGEST = click.option("--sha256", metavar="HEX", help=tr("Of a document that was proposed.", "已提交文件的 SHA-256。"))


@keystore_group.command("login")
@click.argument("user", required=False)
@click.option("--mount", metavar="PATH", help="Where the way to log in is mounted; default: userpass, or cert.")
@click.option("--role", metavar="NAME", help="Role of a login by certificate; default: the first that fits.")
@click.option("--password-file", type=_FILE, metavar="FILE", help="One line; default: it is asked for.")
@address_option
def login(
    user: str | None, mount: str | None, role: str | None, password_file: Path | None, vault_address: str | None
) -> None:
    """Log in at a served keystore: as USER with a password, or without USER by $VAULT_CLIENT_CERT, $VAULT_CLIENT_KEY.

    The token is kept in $VAULT_TOKEN_FILE or ~/.vault-token, mode 0600.

    \b
    Examples:
      ferry keystore login alice
      VAULT_CLIENT_CERT=alice.crt VAULT_CLIENT_KEY=alice.key ferry keystore login
    """  # noqa: D301
    client = open_client(vault_address, with_token=False)
    if user is not None:
        password = read_secret(password_file, tr("Password", "密码"), "--password-file FILE")
        token = client.log_in(f"auth/{mount or 'userpass'}/login/{user}", password=password)
    elif client.certificate:
        token = client.log_in(f"auth/{mount or 'cert'}/login", **({"name": role} if role else {}))
    else:
        raise click.UsageError(
            tr("expected USER or VAULT_CLIENT_CERT, got neither", "须给出 USER 或 VAULT_CLIENT_CERT")
        )
    disk.write(token_path(), token.encode("ascii", "replace") + b"\n")
    _say(tr(f"Logged in; the token is in {token_path()}", f"已登录；令牌保存在 {token_path()}"))


@keystore_group.command("mount")
@click.argument("engine", default=MOUNT)
@click.option("--path", metavar="PATH", help="Default: the engine's name.")
@address_option
def mount_engine(engine: str, path: str | None, vault_address: str | None) -> None:
    """Mount an engine of a served keystore: signing, kv-v2, transit or pki.

    \b
    Example:
      ferry keystore mount signing
    """  # noqa: D301
    open_client(vault_address).write(f"sys/mounts/{path or engine}", type=engine)
    _say(tr(f"Mounted: {engine} at {path or engine}/", f"已挂载：{engine} 于 {path or engine}/"))


@keystore_group.command("policy")
@click.argument("key")
@use_options
@address_option
@click.option("--keystore", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--passphrase-file", type=_FILE, metavar="FILE", help="Of a keystore in files.")
def policy(
    key: str, vault_address: str | None, directory: Path | None, passphrase_file: Path | None, **use: Any
) -> None:
    """Show the use policy of KEY; with any option set it, whole.

    A key in files knows no operators: its policy has products, kinds and an end, and guards against mistakes, as who
    has the passphrase can do without it. For a key of a served keystore, vault:NAME, the service enforces it. Where
    the policy before it asks for approvals, operators must approve the new one: it is proposed, and the same command
    puts it in force once they did.

    \b
    Examples:
      ferry keystore policy vault:release
      ferry keystore policy vault:release --product agentscope --until 2028-12-31T00:00:00Z
    """  # noqa: D301
    if not is_served(key):
        _policy_here(keystore_dir(directory), key, passphrase_file, use)
        return
    client, (mount, name) = open_client(vault_address), parse_reference(key)
    path = f"{mount}/keys/{name}"
    if not any(use.values()):
        _print_use(client.read(path))
        return
    fields = use_fields(**use)
    proposed = client.write(f"{path}/use/propose", **fields)
    try:
        _print_use(client.write(f"{path}/use", **fields))
    except KeystoreError as error:
        error.hint = f"each of them: ferry keystore approve {key} --sha256 {proposed['sha256']}; then run this again"
        raise


@keystore_group.command("approve")
@click.argument("key")
@click.argument("file", type=_FILE, required=False)
@_DIGEST
@_YES
@address_option
def approve(key: str, file: Path | None, sha256: str | None, yes: bool, vault_address: str | None) -> None:
    """Approve that KEY signs a document: one in FILE, or one that was proposed.

    Of a bundle it is the manifest, and the list of revoked keys where it carries one. The bundle itself is not
    verified: run `ferry verify` first. Your token must be that of your own login.

    \b
    Examples:
      ferry keystore approve vault:release agentscope.tar
      ferry keystore approve vault:release --sha256 6f0c...
    """  # noqa: D301
    if (file is None) == (sha256 is None):
        raise click.UsageError(tr("expected FILE or --sha256, one of them", "FILE 与 --sha256 须且只能给出一个"))
    client, (mount, name) = open_client(vault_address), parse_reference(key)
    digests = [sha256] if file is None else [_propose(client, mount, name, data) for data in _documents_in(file)]
    for digest in digests:
        _print_proposal(client.read(f"{mount}/proposals/{name}/{digest}"))
        if not yes and not _agreed(tr("Approve that?", "批准？")):
            raise click.Abort
        _print_standing(client.write(f"{mount}/approvals/{name}/{digest}"))


def _propose(client: Client, mount: str, name: str, data: bytes) -> str:
    from keystore.subject import read_document

    digest = read_document(data).sha256
    client.write(f"{mount}/proposals/{name}/{digest}", document=document.encode_base64(data))
    return digest


@keystore_group.command("withdraw")
@click.argument("key")
@click.option("--sha256", metavar="HEX", required=True)
@address_option
def withdraw(key: str, sha256: str, vault_address: str | None) -> None:
    """Take your approval back; what is signed already stays signed.

    \b
    Example:
      ferry keystore withdraw vault:release --sha256 6f0c...
    """  # noqa: D301
    mount, name = parse_reference(key)
    open_client(vault_address).delete(f"{mount}/approvals/{name}/{sha256}")
    _say(tr("Withdrawn", "已撤回"))


@keystore_group.command("pending")
@click.argument("key", required=False)
@click.option("--mount", default=MOUNT, show_default=True, help="Of which mount, where no KEY is named.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@address_option
def pending(key: str | None, mount: str, as_json: bool, vault_address: str | None) -> None:
    """Show what waits for approvals, and of whom: for KEY, or for all keys of a mount.

    \b
    Examples:
      ferry keystore pending
      ferry keystore pending vault:release --json
    """  # noqa: D301
    name = ""
    if key is not None:
        mount, name = parse_reference(key)
    found = open_client(vault_address).read(f"{mount}/pending/{name}".rstrip("/"))["pending"]
    if as_json:
        click.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    for one in found:
        _print_proposal(one)
        _print_standing(one)


def _policy_here(directory: Path, key: str, passphrase_file: Path | None, use: Mapping[str, Any]) -> None:
    """Show or set the use policy of a key in files."""
    store = FileKeystore.open(directory)
    before, public = store.use(key), store.public(key)
    if any(use.values()):
        made = use_policy(public.keyid, before.number + 1 if before else 1, **use)
        store.limit(key, read_passphrase(directory, passphrase_file), made)
        before = made
    told = {"name": key, "fingerprint": public.fingerprint(), "keyid": public.keyid}
    if before is None:
        click.echo(f"{key}  {told['fingerprint']}  {public.keyid}")
        click.echo(tr("  no policy: the key signs everything", "  无策略：该密钥可签任何内容"))
    else:
        _print_use({**told, "use": before.told()})


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise KeystoreError("expected a person at a terminal, got none", hint="pass --yes once you have read it")
    return click.confirm(question, err=True)


def _documents_in(path: Path) -> list[bytes]:
    """Return what is signed of a bundle, or the document in a file, out of its envelope where it has one."""
    from bundler.archive import read_head
    from bundler.model.trust import parse_trust
    from keystore.envelope import parse_envelope
    from keystore.subject import NO_REVOCATIONS, read_document

    try:
        with path.open("rb") as stream:
            if stream.read(1) == b"{":
                stream.seek(0)
                return [_unwrapped(stream.read(_DOCUMENT_BYTES))]
            stream.seek(0)
            head = read_head(stream)
    except OSError as error:
        raise HostError(f"the file cannot be read: {error.strerror}", place=str(path)) from error
    listed = parse_envelope(parse_trust(head.trust).revocations).payload
    return [head.manifest, *([listed] if read_document(listed).kind != NO_REVOCATIONS else [])]


def _unwrapped(data: bytes) -> bytes:
    from keystore.envelope import parse_envelope

    return parse_envelope(data).payload if "payloadType" in document.parse(data, "document") else data


def _print_use(found: Mapping[str, Any]) -> None:
    use = found["use"]
    until = use["until"] or tr("no end", "无期限")
    click.echo(f"{found['name']}  {found['fingerprint']}  {found['keyid']}")
    products, kinds = ", ".join(use["products"]) or "-", ", ".join(use["kinds"])
    click.echo(
        tr(
            f"  policy {use['number']}: products {products}; kinds {kinds}; until {until}",
            f"  第 {use['number']} 版策略：产品 {products}；种类 {kinds}；截止 {until}",
        )
    )
    if use["approvals"]:
        names = ", ".join(use["operators"])
        click.echo(
            tr(
                f"  {use['approvals']} approvals of {names}, each for {use['approval_ttl']} s",
                f"  须 {use['approvals']} 人批准：{names}，每次批准 {use['approval_ttl']} 秒内有效",
            )
        )


def _print_proposal(found: Mapping[str, Any]) -> None:
    """Show what would be signed; what the service says of it was read from the document."""
    from keystore.subject import Document

    names = Document.__dataclass_fields__
    click.echo(f"{found['key']}  {Document(**{name: found[name] for name in names}).told()}")
    click.echo(f"  sha256 {found['sha256']}")
    click.echo(f"  sm3    {found['sm3']}")
    who, when = found["proposed_by"], found["proposed_at"]
    click.echo(tr(f"  proposed by {who} at {when}", f"  提交：{who}，{when}"))
    if found["text"]:
        click.echo(f"  {found['text']}")


def _print_standing(found: Mapping[str, Any]) -> None:
    names = ", ".join(one["operator"] for one in found["approvals"]) or "-"
    others = ", ".join(found["operators"]) or "-"
    click.echo(tr(f"  approved by {names}", f"  已批准：{names}"))
    if found["missing"]:
        click.echo(tr(f"  missing {found['missing']} of {others}", f"  还须 {found['missing']} 人，可为：{others}"))
    else:
        click.echo(tr("  ready to be signed", "  可以签名"))


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
