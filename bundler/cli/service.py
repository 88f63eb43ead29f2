"""How commands reach a served keystore: its address, the caller's token, and references to its keys."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.cli.messages import tr
from keystore import disk
from keystore.errors import KeystoreError
from keystore.use import KINDS, Use

if TYPE_CHECKING:
    from keystore.client import Client
    from keystore.public import VerifyingKey
    from keystore.remote import ServiceSigner

SCHEME, MOUNT = "vault:", "signing"
DEFAULT_ADDRESS = "https://127.0.0.1:8200"
TOKEN_FILE = ".vault-token"  # noqa: S105 (a file's name)
_REFERENCE = re.compile(
    r"(?:(?P<mount>[A-Za-z0-9_][A-Za-z0-9._~-]*(?:/[A-Za-z0-9_][A-Za-z0-9._~-]*)*)/)?(?P<name>[a-z0-9][a-z0-9._-]{0,63})"
)


def address_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that names a served keystore."""
    return click.option(
        "--vault-address",
        metavar="URL",
        help=tr(
            "The served keystore, for keys named vault:NAME; default: $VAULT_ADDR. The token is $VAULT_TOKEN, or the "
            "line in $VAULT_TOKEN_FILE or ~/.vault-token.",
            "密钥服务地址，用于 vault:NAME 形式的密钥；默认 $VAULT_ADDR。令牌取自 $VAULT_TOKEN，或 $VAULT_TOKEN_FILE、"
            "~/.vault-token 中的一行。",
        ),
    )(command)


def use_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a key's use policy."""
    for decorate in (
        click.option(
            "--approval-ttl",
            metavar="TIME",
            help=tr("How long an approval counts, as 72h; default: 7 days.", "批准的有效时长，如 72h；默认 7 天。"),
        ),
        click.option(
            "--operator",
            "operators",
            multiple=True,
            metavar="LOGIN",
            help=tr(
                "Who may approve, as userpass/alice: mount and name of a login; repeat it.",
                "可批准的操作员，如 userpass/alice（登录挂载点与名称），可多次给出。",
            ),
        ),
        click.option(
            "--approvals",
            type=click.IntRange(0, 64),
            default=0,
            help=tr(
                "How many operators must approve a document before the key signs it.", "签名前须批准的操作员人数。"
            ),
        ),
        click.option(
            "--until",
            metavar="TIME",
            help=tr("The key signs nothing from this time on: 2027-12-31T00:00:00Z.", "到期时间，此后不再签名。"),
        ),
        click.option(
            "--kind",
            "kinds",
            multiple=True,
            type=click.Choice(KINDS),
            help=tr("What it signs; default: bundle and revocations.", "可签的文件种类；默认 bundle 与 revocations。"),
        ),
        click.option(
            "--product",
            "products",
            multiple=True,
            metavar="NAME",
            help=tr(
                "A product whose bundles the key signs, '*' for any; repeat it.",
                "该密钥可签的产品名，'*' 表示任意，可多次给出。",
            ),
        ),
    ):
        command = decorate(command)
    return command


def use_fields(
    products: tuple[str, ...],
    kinds: tuple[str, ...],
    until: str | None,
    approvals: int,
    operators: tuple[str, ...],
    approval_ttl: str | None,
) -> dict[str, object]:
    """Return the fields of a use policy as the service takes them."""
    found: dict[str, object] = {
        "products": list(products),
        "approvals": approvals,
        "operators": list(operators),
        "until": until or "",
    }
    return found | ({"kinds": list(kinds)} if kinds else {}) | ({"approval_ttl": approval_ttl} if approval_ttl else {})


def use_policy(keyid: str, number: int, **use: Any) -> Use:
    """Return the use policy of a key in files.

    Raises: KeystoreError.
    """
    from keystore.engines.body import Body
    from keystore.engines.signing.keys import use_of

    return use_of(Body(fields=use_fields(**use)), keyid, number)


def is_served(key: str) -> bool:
    """Tell whether a key is named as one of a served keystore."""
    return key.startswith(SCHEME)


def parse_reference(key: str) -> tuple[str, str]:
    """Return mount and name of `vault:NAME` or `vault:MOUNT/NAME`.

    Raises: KeystoreError.
    """
    found = _REFERENCE.fullmatch(key.removeprefix(SCHEME)) if is_served(key) else None
    if found is None:
        raise KeystoreError(
            tr(
                f"expected vault:NAME or vault:MOUNT/NAME, got {key!r}", f"应为 vault:NAME 或 vault:MOUNT/NAME：{key!r}"
            ),
            hint=tr("the key of a served keystore: vault:release", "密钥服务中的密钥，例如 vault:release"),
        )
    return found["mount"] or MOUNT, found["name"]


def open_client(address: str | None, *, with_token: bool = True) -> Client:
    """Return a client of the service that the option or VAULT_ADDR names.

    Raises: KeystoreError when there is no token.
    """
    from keystore.client import Client

    return Client(
        address=address or os.environ.get("VAULT_ADDR") or DEFAULT_ADDRESS,
        token=_token() if with_token else "",
        authority=os.environ.get("VAULT_CACERT", ""),
        certificate=os.environ.get("VAULT_CLIENT_CERT", ""),
        key=os.environ.get("VAULT_CLIENT_KEY", ""),
    )


def open_served(key: str, address: str | None) -> ServiceSigner:
    """Return what signs with a key of a served keystore.

    Raises: KeystoreError.
    """
    from keystore.remote import ServiceSigner

    return ServiceSigner(open_client(address), *parse_reference(key))


def make_served(
    key: str, address: str | None, algorithm: str, private_key: bytes | None, use: Mapping[str, object]
) -> VerifyingKey:
    """Make a key of a served keystore with its use policy, or take one over.

    Raises: KeystoreError.
    """
    from keystore.remote import ServiceSigner

    mount, name = parse_reference(key)
    fields = {**use, "algorithm": algorithm}
    if private_key is not None:
        fields["private_key"] = private_key.decode("ascii", "replace")
    client = open_client(address)
    client.write(f"{mount}/keys/{name}", **fields)
    return ServiceSigner(client, mount, name).public


def served_keys(mount: str, address: str | None) -> list[tuple[str, VerifyingKey]]:
    """Return the keys of a mount by name.

    Raises: KeystoreError.
    """
    from keystore.remote import ServiceSigner

    client = open_client(address)
    return [(name, ServiceSigner(client, mount, name).public) for name in client.names(f"{mount}/keys")]


def token_path() -> Path:
    """Return where a login keeps its token."""
    named = os.environ.get("VAULT_TOKEN_FILE")
    return Path(named) if named else Path.home() / TOKEN_FILE


def _token() -> str:
    found = os.environ.get("VAULT_TOKEN", "")
    path = token_path()
    if not found and disk.exists(path):
        disk.check_private_file(path)
        found = disk.read(path).decode("ascii", "replace").strip()
    if not found or not found.isascii() or not found.isprintable():
        raise KeystoreError(
            tr("expected a token for the served keystore, got none", "没有访问密钥服务的令牌"),
            hint=tr(
                "log in: ferry keystore login NAME, or set VAULT_TOKEN",
                "请运行 ferry keystore login NAME，或设置 VAULT_TOKEN",
            ),
        )
    return found
