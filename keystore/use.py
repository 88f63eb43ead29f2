"""What a signing key may be used for: which products, until when, and how many operators must approve before."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from keystore import document, moment
from keystore.errors import KeystoreError, UseError
from keystore.subject import BUNDLE, NO_REVOCATIONS, REVOCATIONS, ROOT, USE_FORMAT, Document

KINDS = (BUNDLE, REVOCATIONS, ROOT)
DEFAULT_KINDS = (BUNDLE, REVOCATIONS)
ANY = "*"
APPROVAL_S = 7 * 86400
APPROVALS_MOST = 64
_NAME = re.compile(r"[^\x00-\x20\x7f]{1,255}")
_SHAPE = {
    "format": str,
    "keyid": str,
    "number": int,
    "products": list,
    "kinds": list,
    "until": str,
    "approvals": int,
    "operators": list,
    "approval_s": int,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """The use policy of one key; `number` counts its changes, `products` may be `*` alone for any.

    `operators` are names of logins such as 'userpass/alice', of whom `approvals` must approve a document before the
    key signs it; an approval counts for `approval_s` seconds. `until` None has no end.
    """

    keyid: str
    number: int = 1
    products: tuple[str, ...] = ()
    kinds: tuple[str, ...] = DEFAULT_KINDS
    until: datetime | None = None
    approvals: int = 0
    operators: tuple[str, ...] = ()
    approval_s: int = APPROVAL_S

    def __post_init__(self) -> None:
        _check_names(self.products, "products")
        _check_names(self.operators, "operators")
        if ANY in self.products and len(self.products) > 1:
            raise UseError("expected names of products, or '*' alone, got both", place="products")
        if not self.kinds or self.kinds != tuple(kind for kind in KINDS if kind in self.kinds):
            raise UseError(f"expected some of {_list(KINDS)}, in this order, got others", place="kinds")
        if not 0 <= self.approvals <= min(len(self.operators), APPROVALS_MOST):
            raise UseError(
                f"expected 0 to {min(len(self.operators), APPROVALS_MOST)}, the number of operators,"
                f" got {self.approvals}",
                place="approvals",
            )
        if self.operators and not self.approvals:
            raise UseError("expected the number of operators that must approve, got none", place="approvals")
        if self.number < 1 or self.approval_s < 1:
            raise UseError("expected 1 or more, got less", place="approval_ttl" if self.number > 0 else "number")

    def encode(self) -> bytes:
        """Return the policy in canonical JSON, whose digest operators approve."""
        return document.canonical(
            {
                "format": USE_FORMAT,
                "keyid": self.keyid,
                "number": self.number,
                "products": list(self.products),
                "kinds": list(self.kinds),
                "until": moment.stamp(self.until) if self.until else "",
                "approvals": self.approvals,
                "operators": list(self.operators),
                "approval_s": self.approval_s,
            }
        )

    def told(self) -> dict[str, object]:
        """Return the policy as the API and the commands tell it."""
        return {
            "number": self.number,
            "products": list(self.products),
            "kinds": list(self.kinds),
            "until": moment.stamp(self.until) if self.until else "",
            "approvals": self.approvals,
            "operators": list(self.operators),
            "approval_ttl": self.approval_s,
        }

    @classmethod
    def parse(cls, data: bytes, place: str = "use") -> Use:
        """Return the policy of a document that `encode` has written.

        Raises: KeystoreError.
        """
        found = document.fields(document.parse(data, place), place, _SHAPE)
        document.expect(found["format"], USE_FORMAT, f"{place}.format")
        for name in ("products", "kinds", "operators"):
            if not all(isinstance(one, str) for one in found[name]):
                raise KeystoreError("expected an array of strings, got another", place=f"{place}.{name}")
        made = cls(
            keyid=found["keyid"],
            number=found["number"],
            products=tuple(found["products"]),
            kinds=tuple(found["kinds"]),
            until=moment.parse(found["until"], f"{place}.until") if found["until"] else None,
            approvals=found["approvals"],
            operators=tuple(found["operators"]),
            approval_s=found["approval_s"],
        )
        if made.encode() != data:
            raise KeystoreError("expected canonical JSON, got another form", place=place)
        return made

    def check(self, wanted: Document, now: datetime) -> None:
        """Refuse a document that the key may not sign now, whoever approves it.

        Raises: UseError.
        """
        if self.until is not None and now >= self.until:
            raise UseError(
                f"expected a use before {moment.stamp(self.until)}, got one at {moment.stamp(now)}",
                hint="take another key, or let its policy be changed",
            )
        kind = BUNDLE if wanted.kind == NO_REVOCATIONS else wanted.kind
        if kind not in self.kinds:
            raise UseError(f"expected a document of the kinds {_list(self.kinds)}, got '{wanted.kind}'")
        if wanted.kind == BUNDLE and self.products != (ANY,) and wanted.product not in self.products:
            known = _list(self.products) or "none at all"
            raise UseError(f"expected a product of this key, {known}, got {wanted.product!r}")

    def demands(self, wanted: Document) -> int:
        """Return how many operators must have approved a document."""
        return 0 if wanted.kind == NO_REVOCATIONS else self.approvals


def _check_names(names: tuple[str, ...], place: str) -> None:
    if list(names) != sorted(set(names)) or not all(_NAME.fullmatch(name) for name in names):
        raise UseError("expected different names without blanks, in order, got others", place=place)


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
