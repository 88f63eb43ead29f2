"""Log in by user name and password.

Source: "Userpass auth method" of the Vault HTTP API documentation. Passwords are kept as PBKDF2-HMAC-SM3 with a MAC
under a key of the store over the result, so that a stolen file alone does not let anyone guess.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from keystore.access import field, settings
from keystore.access.login import Attempt, Check, Login, described
from keystore.access.settings import TokenSettings
from keystore.engines.offer import Offer, offer
from keystore.engines.request import Answer, Operation, Records, RequestError
from keystore.errors import KeystoreError

USERS = "user/"
ROUNDS, ROUNDS_MOST = 100_000, 20_000_000
_SALT_BYTES, _HASH_BYTES = 16, 32
_PASSWORD_BYTES = 1024
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.@-]{0,126}[a-z0-9_])?")


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A user: salt, rounds and hash of his password, and his tokens' settings."""

    salt: bytes
    rounds: int
    hash: bytes
    tokens: TokenSettings

    def encode(self) -> bytes:
        """Return the record of the user."""
        secret = {"salt": self.salt.hex(), "rounds": self.rounds, "hash": self.hash.hex()}
        return json.dumps({**secret, "tokens": self.tokens.document()}).encode()

    @classmethod
    def parse(cls, data: bytes) -> User:
        """Return the user of a record.

        Raises: KeystoreError for fewer rounds than were ever written.
        """
        found = json.loads(data)
        if not ROUNDS <= found["rounds"] <= ROUNDS_MOST:
            raise KeystoreError(f"expected {ROUNDS} to {ROUNDS_MOST} rounds, got {found['rounds']}", place="user")
        tokens = settings.of_document(found["tokens"])
        salt, hashed = bytes.fromhex(found["salt"]), bytes.fromhex(found["hash"])
        return cls(salt=salt, rounds=found["rounds"], hash=hashed, tokens=tokens)


class Userpass:
    """Answer for one mount."""

    def is_open(self, path: str) -> bool:
        """Tell whether a path needs no token."""
        return path.startswith("login/")

    def offers(self) -> Sequence[Offer]:
        """Return every path and what may be asked of it."""
        return (
            offer("login/{username}", Operation.UPDATE),
            offer("users", Operation.LIST),
            offer("users/{username}", Operation.READ, Operation.CREATE, Operation.UPDATE, Operation.DELETE),
            offer("users/{username}/password", Operation.UPDATE),
            offer("users/{username}/policies", Operation.UPDATE),
        )

    def exists(self, path: str, records: Records) -> bool:
        """Tell whether a user exists."""
        words = path.lower().split("/")
        return len(words) != 2 or words[0] != "users" or records.get(USERS + words[1]) is not None

    def alias(self, attempt: Attempt) -> str:
        """Return whom a login's failures count against."""
        return attempt.request.path.removeprefix("login/").lower()

    def handle(self, attempt: Attempt, records: Records) -> Answer | Login | Check:
        """Answer a request.

        Raises: RequestError.
        """
        request = attempt.request
        word, _, rest = request.path.partition("/")
        name, _, part = rest.lower().partition("/")
        writes = request.operation in (Operation.CREATE, Operation.UPDATE)
        if word == "users" and not rest and request.operation is Operation.LIST:
            return _names(records)
        if word == "login" and writes and not part:
            return _log_in(attempt, records, name)
        if word != "users" or not _NAME.fullmatch(name) or part not in ("", "password", "policies"):
            raise RequestError("unsupported path", status=404)
        if writes:
            return _write(attempt, records, name, part)
        if part or request.operation not in (Operation.READ, Operation.DELETE):
            raise RequestError("unsupported operation", status=405)
        if request.operation is Operation.DELETE:
            records.delete(USERS + name)
            return Answer()
        return Answer(data=described(_user(records, name).tokens))


def _names(records: Records) -> Answer:
    found = records.names(USERS)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def _user(records: Records, name: str) -> User:
    found = records.get(USERS + name)
    if found is None:
        raise RequestError("", status=404)
    return User.parse(found)


def _write(attempt: Attempt, records: Records, name: str, part: str) -> Answer:
    data = attempt.request.data
    before = records.get(USERS + name)
    old = User.parse(before) if before is not None else None
    if old is None and part:
        raise RequestError("username does not exist")
    password = field.text(data, "password")
    if not password and (old is None or part == "password"):
        raise RequestError("missing password")
    tokens = old.tokens if old and part == "password" else settings.parse(data, old.tokens if old else None)
    if password:
        made = attempt.request.beside("password", lambda: _hashed(attempt.mac, password, tokens))
    else:
        assert old is not None
        made = User(salt=old.salt, rounds=old.rounds, hash=old.hash, tokens=tokens)
    records.put(USERS + name, made.encode())
    return Answer()


def _hashed(mac: Callable[[str, bytes], bytes], password: str, tokens: TokenSettings) -> User:
    salt = secrets.token_bytes(_SALT_BYTES)
    return User(salt=salt, rounds=ROUNDS, hash=_derive(mac, password, salt, ROUNDS), tokens=tokens)


def _derive(mac: Callable[[str, bytes], bytes], password: str, salt: bytes, rounds: int) -> bytes:
    data = password.encode("utf-8")
    if len(data) > _PASSWORD_BYTES:
        raise RequestError(f"password: expected at most {_PASSWORD_BYTES} bytes, got {len(data)}")
    kdf = PBKDF2HMAC(algorithm=hashes.SM3(), length=_HASH_BYTES, salt=salt, iterations=rounds)
    return mac("userpass", kdf.derive(data))


def _log_in(attempt: Attempt, records: Records, name: str) -> Check:
    password = field.needed(attempt.request.data, "password")
    if len(password.encode("utf-8")) > _PASSWORD_BYTES:
        raise RequestError("invalid username or password")
    data = records.get(USERS + name) if _NAME.fullmatch(name) else None
    user = User.parse(data) if data is not None else None
    # A name that nobody has costs as much time as one with another password.
    salt, rounds, expected = (user.salt, user.rounds, user.hash) if user else (bytes(_SALT_BYTES), ROUNDS, b"")

    def work() -> bool:
        return hmac.compare_digest(_derive(attempt.mac, password, salt, rounds), expected)

    return Check(work, lambda: _passed(attempt, user, name))


def _passed(attempt: Attempt, user: User | None, name: str) -> Login:
    assert user is not None
    if not field.among(attempt.remote, user.tokens.token_bound_cidrs):
        raise RequestError("login request originated from invalid CIDR", status=403)
    metadata: dict[str, Any] = {"username": name}
    return Login(alias=name, display_name=f"userpass-{name}", settings=user.tokens, metadata=metadata)
