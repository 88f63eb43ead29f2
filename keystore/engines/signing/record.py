"""A signing key of a mount: its secret, its certificates and its use policy, in the one record that it is kept in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from keystore import algorithm, document, moment
from keystore.algorithm import Algorithm
from keystore.engines.request import Records, RequestError
from keystore.engines.routes import Call
from keystore.signer import Signer
from keystore.use import Use

FORMAT = "ferry/signing-key/v1"
FOLDER = "keys/"
_SHAPE = {
    "format": str,
    "name": str,
    "algorithm": str,
    "created": str,
    "secret": str,
    "use": str,
    "certificates": list,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningKey:
    """A key; its secret never leaves the service."""

    name: str
    algorithm: Algorithm
    created: datetime
    secret: bytes = field(repr=False)
    use: Use
    certificates: tuple[str, ...] = ()

    @property
    def signer(self) -> Signer:
        """What signs with it."""
        return self.algorithm.signer(self.secret)

    def encode(self) -> bytes:
        """Return the record."""
        return document.canonical(
            {
                "format": FORMAT,
                "name": self.name,
                "algorithm": self.algorithm.name,
                "created": moment.stamp(self.created),
                "secret": document.encode_base64(self.secret),
                "use": self.use.encode().decode("ascii"),
                "certificates": list(self.certificates),
            }
        )


def parse(data: bytes, place: str) -> SigningKey:
    """Return the key of a record.

    Raises: KeystoreError for every form that `encode` could not have written.
    """
    found = document.fields(document.parse(data, place), place, _SHAPE)
    document.expect(found["format"], FORMAT, f"{place}.format")
    return SigningKey(
        name=found["name"],
        algorithm=algorithm.named(found["algorithm"]),
        created=moment.parse(found["created"], f"{place}.created"),
        secret=document.decode_base64(found["secret"], f"{place}.secret"),
        use=Use.parse(found["use"].encode("ascii", "replace"), f"{place}.use"),
        certificates=tuple(map(str, found["certificates"])),
    )


def names(records: Records) -> list[str]:
    """Return the names of all keys, sorted."""
    return [name for name in records.names(FOLDER) if not name.endswith("/")]


def require(call: Call) -> SigningKey:
    """Return the key that the path names.

    Raises: RequestError of status 404.
    """
    return of_name(call.records, call.parts["name"])


def of_name(records: Records, name: str) -> SigningKey:
    """Return a key.

    Raises: RequestError of status 404.
    """
    data = records.get(FOLDER + name)
    if data is None:
        known = ", ".join(map(repr, names(records))) or "no key at all"
        raise RequestError(f"expected the key {name!r}, got {known}", status=404)
    return parse(data, f"signing key '{name}'")


def save(records: Records, key: SigningKey) -> None:
    """Keep a key in place of what was there."""
    records.put(FOLDER + key.name, key.encode())
