"""`ferry trust`: root documents and revocations, made, signed and shown; the keys stay in the keystore."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from bundler.cli.keystore import DEFAULT_KEY, keystore_dir, open_signer
from bundler.cli.messages import tr
from bundler.cli.service import address_option, is_served, open_served
from keystore import disk, moment
from keystore.envelope import add_signature, parse_envelope, signed_by, unsigned_envelope
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey, read_public
from keystore.revocation import REVOCATIONS_TYPE, Revocations, open_revocations, parse_revocations
from keystore.signer import Signer, introduce
from keystore.trust import ROOT_TYPE, Revocation, Role, Root, check_root, parse_root, walk

_FILE = click.Path(dir_okay=False, path_type=Path)
_T = TypeVar("_T")
_KEYID = re.compile(r"[0-9a-f]{64}")
# These documents hold no secret and are for everybody.
_PUBLIC = 0o644


def _command(name: str, english: str, chinese: str, examples: str) -> Callable[[Callable[..., None]], click.Command]:
    """Return what makes a command with its help in both languages and its examples."""
    epilog = tr("Examples:", "示例：") + "\n\n\b\n" + examples
    return trust_group.command(name, help=tr(english, chinese), short_help=tr(english, chinese), epilog=epilog)


def _output(required: str = "FILE") -> Callable[..., Any]:
    return click.option(
        "-o", "--output", type=_FILE, metavar=required, required=True, help=tr("Write here.", "输出文件。")
    )


def _key_options(needed: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that say whose keys count, and for how long."""
    kept = "" if needed else tr(" Default: as before.", " 默认：沿用原值。")

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name, english, chinese in (
            ("release", "A public key (PEM) that signs bundles; repeat it.", "为数据包签名的公钥（PEM），可多次给出。"),
            (
                "root",
                "A public key (PEM) that signs root documents; repeat it.",
                "为根文件签名的公钥（PEM），可多次给出。",
            ),
        ):
            shown = tr(f"How many {name} keys must sign.", "必须签名的密钥数。")
            default = 1 if needed else None
            command = click.option(
                f"--{name}-threshold", type=click.IntRange(min=1), default=default, help=shown + kept
            )(command)
            command = click.option(
                f"--{name}",
                f"{name}_keys",
                type=_FILE,
                multiple=True,
                required=needed,
                help=tr(english, chinese) + kept,
            )(command)
        days = tr("Days until the document is over; 0: never.", "有效天数；0 表示不过期。")
        return click.option("--valid-days", type=click.IntRange(0, 36500), default=365, show_default=True, help=days)(
            command
        )

    return decorate


@click.group(
    "trust",
    short_help=tr("Say whose signatures count.", "规定谁的签名有效。"),
    help=tr(
        "Say whose signatures count: root documents name the keys of each role and how many must sign; "
        "revocations name the keys that are lost.",
        "规定谁的签名有效：根文件写明各角色的密钥及须签名的数目；吊销列表写明已失效的密钥。",
    ),
    epilog=tr("Start with:", "从这里开始：")
    + "\n\n\b\n  ferry trust new --root alice.pub --root bob.pub --root-threshold 2 --release release.pub"
    + " -o 1.root.json"
    + "\n  ferry trust sign 1.root.json --key alice\n  ferry trust show 1.root.json",
)
def trust_group() -> None:
    """Hold the commands."""


@_command(
    "new",
    "Write the first root document, still unsigned.",
    "生成第一版根文件（尚未签名）。",
    "  ferry trust new --root alice.pub --root bob.pub --root-threshold 2 --release release.pub -o 1.root.json",
)
@_key_options(needed=True)
@_output()
def new(
    root_keys: tuple[Path, ...],
    root_threshold: int,
    release_keys: tuple[Path, ...],
    release_threshold: int,
    valid_days: int,
    output: Path,
) -> None:
    """Write version 1."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = Root(
        version=1,
        created=now,
        expires=_end(now, valid_days),
        root=Role.of("root", _read_keys(root_keys), root_threshold),
        release=Role.of("release", _read_keys(release_keys), release_threshold),
    )
    _write_root(output, made, None)


@_command(
    "rotate",
    "Write the root document that follows OLD, still unsigned: the root keys of both must sign it.",
    "生成 OLD 的下一版根文件（尚未签名）：新旧两版的根密钥都须签名。",
    "  ferry trust rotate 1.root.json --release release-2027.pub -o 2.root.json\n"
    "  ferry trust rotate 1.root.json --root alice.pub --root carol.pub --root-threshold 2 -o 2.root.json",
)
@click.argument("old", type=_FILE)
@_key_options(needed=False)
@_output()
def rotate(
    old: Path,
    root_keys: tuple[Path, ...],
    root_threshold: int | None,
    release_keys: tuple[Path, ...],
    release_threshold: int | None,
    valid_days: int,
    output: Path,
) -> None:
    """Write the next version."""
    before = placed(old, lambda: check_root(disk.read(old)))
    now = datetime.now(UTC).replace(microsecond=0)
    made = Root(
        version=before.version + 1,
        created=now,
        expires=_end(now, valid_days),
        root=_changed(before.root, root_keys, root_threshold),
        release=_changed(before.release, release_keys, release_threshold),
    )
    _write_root(output, made, before)


@_command(
    "revoke",
    "Write a list of revoked keys, still unsigned: those of --previous and KEYID. Every bundle with a root document "
    "carries one: without KEYID it says that no key is lost.",
    "生成吊销列表（尚未签名）：包含 --previous 中的密钥和 KEYID。"
    "带根文件的数据包都须携带；不给出 KEYID 表示没有失效的密钥。",
    "  ferry trust revoke -o 1.revocations.json\n"
    "  ferry trust revoke KEYID --reason 'laptop stolen' --previous 1.revocations.json -o 2.revocations.json",
)
@click.argument("keyids", nargs=-1, metavar="[KEYID]...")
@click.option("--reason", default="", help=tr("Why, in a few words.", "简述原因。"))
@click.option(
    "--previous",
    type=_FILE,
    help=tr("The list before this one; none makes version 1.", "上一版列表；不给出则为第 1 版。"),
)
@_output()
def revoke(keyids: tuple[str, ...], reason: str, previous: Path | None, output: Path) -> None:
    """Write the next version of the list."""
    if keyids and not reason:
        raise click.UsageError(tr("expected --reason with a KEYID", "给出 KEYID 时须有 --reason"))
    now = datetime.now(UTC).replace(microsecond=0)
    version, entries = 1, dict[str, Revocation]()
    if previous is not None:
        before = placed(previous, lambda: parse_revocations(disk.read(previous)))
        version, entries = before.version + 1, {entry.keyid: entry for entry in before.revoked}
    for keyid in keyids:
        if not _KEYID.fullmatch(keyid):
            raise KeystoreError(
                tr(
                    f"expected a keyid of 64 hexadecimal digits, got {keyid!r}",
                    f"密钥 ID 应为 64 位十六进制数字：{keyid!r}",
                ),
                hint=tr("see: ferry trust show FILE --json", "查看：ferry trust show FILE --json"),
            )
        entries.setdefault(keyid, Revocation(keyid=keyid, since=now, reason=reason))
    revoked = tuple(entries[keyid] for keyid in sorted(entries))
    made = Revocations(version=version, created=now, revoked=revoked)
    envelope = unsigned_envelope(REVOCATIONS_TYPE, made.encode())
    parse_revocations(envelope)
    _write_new(output, envelope)
    _say(
        tr(
            f"Revocations version {version}: {output}, {len(revoked)} keys",
            f"吊销列表第 {version} 版：{output}，{len(revoked)} 个密钥",
        )
    )
    _say(
        tr("Next, each holder of a root key: ferry trust sign ", "下一步，由各根密钥持有人执行：ferry trust sign ")
        + str(output)
    )


@_command(
    "sign",
    "Add your signature to a root document or a list of revoked keys.",
    "为根文件或吊销列表添加您的签名。",
    "  ferry trust sign 1.root.json --key alice",
)
@click.argument("file", type=_FILE)
@click.option("--key", metavar="NAME", default=DEFAULT_KEY, show_default=True)
@click.option("--keystore", "directory", type=click.Path(file_okay=False, path_type=Path), metavar="DIR")
@click.option("--passphrase-file", type=_FILE, metavar="FILE")
@address_option
def sign(file: Path, key: str, directory: Path | None, passphrase_file: Path | None, vault_address: str | None) -> None:
    """Sign in place; what is signed is parsed first."""
    envelope = disk.read(file)
    found = placed(file, lambda: _parse(envelope))
    if is_served(key):
        signer: Signer = open_served(key, vault_address)
    else:
        signer = open_signer(keystore_dir(directory), key, passphrase_file, yes=False)
    introduce([signer], parse_envelope(envelope).payload)
    if isinstance(found, Root) and signer.keyid not in {member.keyid for member in found.root.keys}:
        _say(
            tr(
                "note: this key is not in the document's root role; it counts only if the version before names it",
                "注意：该密钥不在本文件的根角色中；仅当上一版根文件包含它时才有效",
            )
        )
    signed = placed(file, lambda: add_signature(envelope, signer))
    disk.write(file, signed, mode=_PUBLIC)
    count = len(parse_envelope(signed).signatures)
    _say(
        tr(
            f"Signed by {signer.public.fingerprint()}, {count} signatures now",
            f"已用 {signer.public.fingerprint()} 签名，现有 {count} 个签名",
        )
    )


@_command(
    "show",
    "Show a root document or a list of revoked keys, and who has signed it.",
    "显示根文件或吊销列表，以及已有的签名。",
    "  ferry trust show 2.root.json --previous 1.root.json\n"
    "  ferry trust show 1.revocations.json --previous 2.root.json --json",
)
@click.argument("file", type=_FILE)
@click.option(
    "--previous",
    type=_FILE,
    help=tr("The root document that is trusted: its keys must have signed.", "可信的根文件：其密钥须已签名。"),
)
@click.option("--json", "as_json", is_flag=True, help=tr("For programs.", "供程序使用。"))
def show(file: Path, previous: Path | None, as_json: bool) -> None:
    """Tell what the document says, and whether enough have signed."""
    envelope = disk.read(file)
    found = placed(file, lambda: _parse(envelope))
    trusted = None if previous is None else placed(previous, lambda: check_root(disk.read(previous)))
    told = _told_root(found) if isinstance(found, Root) else _told_revocations(found)
    told["signatures"] = _signatures(envelope, found, trusted)
    told["problem"] = _problem(envelope, found, trusted)
    if as_json:
        click.echo(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        _print(told)


def _parse(envelope: bytes) -> Root | Revocations:
    if parse_envelope(envelope).payload_type == REVOCATIONS_TYPE:
        return parse_revocations(envelope)
    return parse_root(envelope)


def _told_root(root: Root) -> dict[str, Any]:
    return {
        "kind": "root",
        "version": root.version,
        "created": moment.stamp(root.created),
        "expires": moment.stamp(root.expires) if root.expires else "",
        "roles": {
            role.name: {
                "threshold": role.threshold,
                "keys": [
                    {"keyid": key.keyid, "scheme": key.scheme, "fingerprint": key.fingerprint()} for key in role.keys
                ],
            }
            for role in (root.root, root.release)
        },
    }


def _told_revocations(found: Revocations) -> dict[str, Any]:
    return {
        "kind": "revocations",
        "version": found.version,
        "created": moment.stamp(found.created),
        "revoked": [
            {"keyid": entry.keyid, "since": moment.stamp(entry.since), "reason": entry.reason}
            for entry in found.revoked
        ],
    }


def _signatures(envelope: bytes, found: Root | Revocations, trusted: Root | None) -> list[dict[str, Any]]:
    """Return, for each root role that must sign, how many of its keys have."""
    roles = [("previous", trusted.root)] if trusted else []
    if isinstance(found, Root):
        roles.append(("root", found.root))
    kind = ROOT_TYPE if isinstance(found, Root) else REVOCATIONS_TYPE
    rows = []
    for whose, role in roles:
        try:
            _, signers = signed_by(envelope, role.keys, payload_type=kind)
        except SignatureError:
            signers = ()
        rows.append({"whose": whose, "present": [key.keyid for key in signers], "needed": role.threshold})
    return rows


def _problem(envelope: bytes, found: Root | Revocations, trusted: Root | None) -> str:
    """Return why a host would refuse the document, or nothing."""
    try:
        if isinstance(found, Revocations):
            if trusted is not None:
                open_revocations(envelope, trusted.root)
            return ""
        anchor = check_root(envelope) if trusted is None else trusted
        walk(anchor, [envelope], now=datetime.now(UTC))
    except SignatureError as error:
        return str(error)
    return ""


def _print(told: dict[str, Any]) -> None:
    kind = tr("root document", "根文件") if told["kind"] == "root" else tr("revocations", "吊销列表")
    click.echo(
        tr(
            f"{kind} version {told['version']}, made {told['created']}",
            f"{kind}第 {told['version']} 版，创建于 {told['created']}",
        )
    )
    if told["kind"] == "root":
        click.echo(tr("  over at ", "  有效期至 ") + (told["expires"] or tr("no time", "永久")))
    for name, role in told.get("roles", {}).items():
        click.echo(
            tr(
                f"  {name}: {role['threshold']} of {len(role['keys'])} keys",
                f"  {name}：{len(role['keys'])} 个密钥中须 {role['threshold']} 个",
            )
        )
        for key in role["keys"]:
            click.echo(f"    {key['fingerprint']}  {key['scheme']}  {key['keyid']}")
    for entry in told.get("revoked", []):
        click.echo(f"    {entry['keyid']}  {entry['since']}  {entry['reason']}")
    for row in told["signatures"]:
        whose = (
            tr("by the root keys before it", "上一版根密钥签名")
            if row["whose"] == "previous"
            else tr("by its own root keys", "本版根密钥签名")
        )
        click.echo(
            tr(
                f"  signatures {whose}: {len(row['present'])} of {row['needed']}",
                f"  {whose}：{len(row['present'])} / {row['needed']}",
            )
        )
    if told["problem"]:
        click.echo(tr("  not yet accepted: ", "  尚不会被接受：") + told["problem"])


def _read_keys(paths: Sequence[Path]) -> tuple[VerifyingKey, ...]:
    return tuple(map(_read_key, paths))


def _read_key(path: Path) -> VerifyingKey:
    return placed(path, lambda: read_public(disk.read(path)))


def _changed(role: Role, paths: Sequence[Path], threshold: int | None) -> Role:
    keys = _read_keys(paths) if paths else role.keys
    return Role.of(role.name, keys, role.threshold if threshold is None else threshold)


def _end(now: datetime, valid_days: int) -> datetime | None:
    return now + timedelta(days=valid_days) if valid_days else None


def _write_root(output: Path, made: Root, before: Root | None) -> None:
    _write_new(output, unsigned_envelope(ROOT_TYPE, made.encode()))
    needed = made.root.threshold
    _say(tr(f"Root document version {made.version}: {output}", f"根文件第 {made.version} 版：{output}"))
    whose = (
        ""
        if before is None
        else tr(
            f", and {before.root.threshold} of the keys before it", f"，以及上一版的 {before.root.threshold} 个密钥"
        )
    )
    _say(
        tr(
            f"Next, {needed} of its root keys{whose}: ferry trust sign {output}",
            f"下一步，由 {needed} 个根密钥{whose}执行：ferry trust sign {output}",
        )
    )


def _write_new(path: Path, data: bytes) -> None:
    if disk.exists(path):
        raise KeystoreError(
            tr("expected no file, got one", "文件已存在"),
            place=str(path),
            hint=tr("name another with -o", "请用 -o 指定其他文件"),
        )
    disk.write(path, data, mode=_PUBLIC)


def placed(path: Path, act: Callable[[], _T]) -> _T:
    """Return what `act` returns; its refusal names the file."""
    try:
        return act()
    except KeystoreError as error:
        raise type(error)(str(error), place=str(path), hint=error.hint) from error


def _say(sentence: str) -> None:
    click.echo(sentence, err=True)
