"""The means of custody that there are, and what each needs of the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keystore.custody import keyfile, passphrase, pkcs11
from keystore.custody.custodian import Custodian
from keystore.errors import KeystoreError


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What the operator has named; each kind of custodian takes what it needs of it."""

    profile: str
    passphrase: Callable[[], str] | None = None
    key_file: Path | None = None
    module: Path | None = None
    token: str = ""
    label: str = "ferry-root"
    pin: Callable[[], str] | None = None


def _passphrase(means: Means) -> Custodian:
    if means.passphrase is None:
        raise KeystoreError("expected a passphrase, got none", hint="name a file: --passphrase-file FILE")
    return passphrase.PassphraseCustodian(profile=means.profile, passphrase=means.passphrase())


def _key_file(means: Means) -> Custodian:
    if means.key_file is None:
        raise KeystoreError("expected a key file, got none", hint="name it: --key-file FILE")
    return keyfile.KeyFileCustodian(profile=means.profile, key=keyfile.read_key(means.key_file))


def _pkcs11(means: Means) -> Custodian:
    if means.module is None or means.pin is None or not means.token:
        raise KeystoreError(
            "expected a PKCS#11 library, a token and a PIN, got less",
            hint="name all: --pkcs11-module FILE --token LABEL --pin-file FILE",
        )
    return pkcs11.Pkcs11Custodian(module=means.module, token=means.token, label=means.label, pin=means.pin())


KINDS: Mapping[str, Callable[[Means], Custodian]] = {
    passphrase.KIND: _passphrase,
    keyfile.KIND: _key_file,
    pkcs11.KIND: _pkcs11,
}


def custodian_of(kind: str, means: Means) -> Custodian:
    """Return the custodian of a kind.

    Raises: KeystoreError for an unknown kind, or where the operator has not named what it needs.
    """
    if kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise KeystoreError(f"expected a kind of custody, {known}, got {kind!r}")
    return KINDS[kind](means)
