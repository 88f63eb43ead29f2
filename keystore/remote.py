"""A signer whose key lives in a served keystore: what it signs, and for whom, the service decides."""

from __future__ import annotations

from typing import Any

from keystore import document
from keystore.client import Client
from keystore.errors import ServiceError
from keystore.public import VerifyingKey, read_public
from keystore.subject import NO_REVOCATIONS, read_document, read_message


class ServiceSigner:
    """Sign with a key of a signing mount; `introduce` proposes a document, so that operators can approve it."""

    __slots__ = ("_certificates", "_client", "_mount", "_name", "_public")

    def __init__(self, client: Client, mount: str, name: str) -> None:
        found = client.read(f"{mount}/keys/{name}")
        self._client, self._mount, self._name = client, mount, name
        place = f"{client.address}: {mount}/keys/{name}"
        shape = {"public_key": str, "keyid": str, "certificates": list}
        told = document.fields(found, place, shape, exact=False)
        self._public = read_public(told["public_key"])
        document.expect(told["keyid"], self._public.keyid, f"{place}: keyid")
        self._certificates = tuple(str(one).encode("ascii", "replace") for one in told["certificates"])

    def __repr__(self) -> str:
        return f"ServiceSigner(keyid={self.keyid!r})"

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        return self._public.keyid

    @property
    def public(self) -> VerifyingKey:
        """The key that verifies what this signs."""
        return self._public

    @property
    def certificates(self) -> tuple[bytes, ...]:
        """The certificates that are kept with the key, in PEM, the signer's first."""
        return self._certificates

    def introduce(self, document_bytes: bytes) -> None:
        """Propose a document to the key.

        Raises: KeystoreError where its policy can never allow it.
        """
        found = read_document(document_bytes)
        if found.kind == NO_REVOCATIONS:
            return
        fields = {"document": document.encode_base64(document_bytes)}
        self._client.write(f"{self._mount}/proposals/{self._name}/{found.sha256}", **fields)

    def sign(self, message: bytes) -> bytes:
        """Return the service's signature, once it was verified here.

        Raises: KeystoreError, with who is missing where operators must approve first.
        """
        digest = read_message(message).sha256
        path = f"{self._mount}/sign/{self._name}/{digest}"
        found = self._written(path, digest, document.encode_base64(message))
        told = document.fields(found, path, {"signature": str}, exact=False)
        signature = document.decode_base64(told["signature"], f"{path}: signature")
        self._public.verify(signature, message)
        return signature

    def _written(self, path: str, digest: str, text: str) -> dict[str, Any]:
        try:
            return self._client.write(path, input=text)
        except ServiceError as error:
            if "expected approvals of " in error.message:
                error.hint = (
                    f"each of them: ferry keystore approve vault:{self._mount}/{self._name} --sha256 {digest}; "
                    "then run this again: the same lock gives the same manifest"
                )
            raise
