"""Custody by an HSM or a smart card that speaks PKCS#11: an AES key that never leaves it seals the root key.

Source: OASIS PKCS #11 v2.40, current mechanisms, clause 2.12 (AES-GCM).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keystore import disk, document
from keystore.errors import KeystoreError, UnsealError

KIND = "pkcs11"
MECHANISM = "aes-gcm"
_KEY_BITS, _TAG_BITS, _NONCE_BYTES = 256, 128, 12
_SHAPE = {"mechanism": str, "token": str, "key": str, "nonce": str, "ciphertext": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pkcs11Custodian:
    """Seal under the key `label` of the token `token`, by the vendor's library `module`.

    The library is named by the operator alone, never by what lies on the disk: loading it runs its code.
    """

    module: Path
    token: str
    label: str
    pin: str = field(repr=False)

    @property
    def kind(self) -> str:
        """The name of the means."""
        return KIND

    def seal(self, root_key: bytes, bound: bytes) -> dict[str, object]:
        """Return the sealed form; the key is made on the token where it is not there yet.

        Raises: KeystoreError.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        with self._session(write=True) as session:
            ciphertext = _key(session, self.label, make=True).encrypt(root_key, **_mechanism(nonce, bound))
        return {
            "mechanism": MECHANISM,
            "token": self.token,
            "key": self.label,
            "nonce": document.encode_base64(nonce),
            "ciphertext": document.encode_base64(bytes(ciphertext)),
        }

    def unseal(self, form: object, bound: bytes, place: str) -> bytes:
        """Return the root key.

        Raises: UnsealError, KeystoreError.
        """
        found = document.fields(form, place, _SHAPE)
        document.expect(found["mechanism"], MECHANISM, f"{place}.mechanism")
        for name, expected in (("token", self.token), ("key", self.label)):
            document.expect(found[name], expected, f"{place}.{name}")
        nonce, ciphertext = (document.decode_base64(found[name], f"{place}.{name}") for name in ("nonce", "ciphertext"))
        document.expect(len(nonce), _NONCE_BYTES, f"{place}.nonce: length")
        with self._session(write=False) as session:
            key = _key(session, self.label, make=False)
            return bytes(key.decrypt(ciphertext, **_mechanism(nonce, bound)))

    @contextlib.contextmanager
    def _session(self, *, write: bool) -> Iterator[Any]:
        """Open the token with the PIN; every refusal of the device becomes an error that names it."""
        pkcs11 = _library()
        if not disk.exists(self.module):
            raise UnsealError("expected the library of a PKCS#11 device, got no such file", place=str(self.module))
        try:
            found = pkcs11.lib(str(self.module)).get_token(token_label=self.token)
            with found.open(rw=write, user_pin=self.pin) as session:
                yield session
        except pkcs11.exceptions.PKCS11Error as error:
            raise UnsealError(
                f"expected the token to do that, got '{_told(error)}'",
                place=f"{self.module}: token {self.token!r}, key {self.label!r}",
                hint="is the device plugged in, and the PIN right? Most lock themselves after a few wrong ones",
            ) from error


def _library() -> Any:
    try:
        import pkcs11
        import pkcs11.exceptions
    except ImportError as error:
        raise KeystoreError(
            "expected the library python-pkcs11, got none", hint="install it: pip install 'ferry-airgap[pkcs11]'"
        ) from error
    return pkcs11


def _mechanism(nonce: bytes, bound: bytes) -> dict[str, Any]:
    pkcs11 = _library()
    parameters = pkcs11.GCMParams(nonce, bound, _TAG_BITS)
    return {"mechanism": pkcs11.Mechanism.AES_GCM, "mechanism_param": parameters}


def _key(session: Any, label: str, *, make: bool) -> Any:
    """Return the key of a label; where it may be made and is not there, a new one that cannot be taken out."""
    pkcs11 = _library()
    try:
        return session.get_key(label=label, object_class=pkcs11.ObjectClass.SECRET_KEY)
    except pkcs11.exceptions.NoSuchKey:
        if not make:
            raise
    template = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.PRIVATE: True}
    return session.generate_key(pkcs11.KeyType.AES, _KEY_BITS, label=label, store=True, template=template)


def _told(error: Exception) -> str:
    """Return the class of a PKCS#11 error in words, and what it says."""
    name = type(error).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return ": ".join(filter(None, ("" if name == "PKCS11Error" else words, str(error))))
