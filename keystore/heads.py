"""Check an audit log against the heads that its key signed, in the log and outside of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keystore import audit, document
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey

_SHAPE = {"seq": int, "hash": str, "keyid": str, "signature": str}
_HINT = "restore the log from a copy, keep this one as evidence, and find out who changed it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was found: lines, signed heads, and the line of the last of them."""

    lines: int
    heads: int
    last: int


def verify(log: Path, key: VerifyingKey | None, anchors: Path | None) -> Checked:
    """Check the chain of a log, and every signed head against it; without a key the chain alone.

    Raises: KeystoreError that says what differs and where.
    """
    head = audit.verify(log)
    if key is None:
        return Checked(lines=head.count, heads=0, last=0)
    hashes = _hashes(log)
    heads = [(f"{log}: line {at}", found) for at, found in _inside(log)]
    if anchors is not None:
        heads += _outside(anchors)
    signed = {_check(found, place, key, hashes) for place, found in heads}
    return Checked(lines=head.count, heads=len(signed), last=max(signed, default=0))


def _hashes(log: Path) -> list[str]:
    with log.open("rb") as file:
        return [document.parse(line, "line")["hash"] for line in file]


def _inside(log: Path) -> list[tuple[int, Mapping[str, Any]]]:
    with log.open("rb") as file:
        events = [
            (at, document.parse(line, "line")["event"]) for at, line in enumerate(file, 1) if b'"kind":"head"' in line
        ]
    return [(at, event) for at, event in events if event.get("kind") == "head"]


def _outside(anchors: Path) -> list[tuple[str, Mapping[str, Any]]]:
    with anchors.open("rb") as file:
        return [
            (f"{anchors}: line {at}", document.parse(line, f"{anchors}: line {at}")) for at, line in enumerate(file, 1)
        ]


def _check(found: Mapping[str, Any], place: str, key: VerifyingKey, hashes: list[str]) -> int:
    one = document.fields(found, place, _SHAPE, exact=False)
    signature = document.decode_base64(one["signature"], f"{place}.signature")
    try:
        key.verify(signature, document.canonical({"seq": one["seq"], "hash": one["hash"]}))
    except SignatureError as error:
        raise KeystoreError("expected a head that the key signed, got another", place=place, hint=_HINT) from error
    if one["seq"] > len(hashes):
        raise KeystoreError(
            f"expected {one['seq']} lines or more, as the signed head says, got {len(hashes)}", place=place, hint=_HINT
        )
    if hashes[one["seq"] - 1] != one["hash"]:
        raise KeystoreError(f"expected the line {one['seq']} that was signed, got another", place=place, hint=_HINT)
    return int(one["seq"])
