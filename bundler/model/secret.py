"""Secrets of a recipe: the keystore keeps them, systemd hands them to a service as credentials."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.model.document import LINE, LINE_WORDS, Fields

_NAME = "[A-Za-z][A-Za-z0-9_-]{0,63}"
_NAME_WORDS = "a name of letters, digits, underscores and hyphens"
KEYSTORE_PORT = 8200
_LEAST_PORT, _MOST_PORT = 1024, 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class Keystore:
    """The keystore as a service of the host: `port` is that of Vault's API on the loopback."""

    port: int = KEYSTORE_PORT


@dataclass(frozen=True, kw_only=True, slots=True)
class Secret:
    """One secret of a service: it reads it from the file `name` in its directory of credentials.

    With `made`, the host makes a random one where there is none; otherwise the operator must give it before an install.
    """

    service: str
    name: str
    description: str = ""
    made: bool = False

    @property
    def path(self) -> str:
        """Where the keystore keeps it, below the mount."""
        return f"{self.service}/{self.name}"


def keystore_section(fields: Fields) -> Keystore:
    """Take the section `keystore`."""
    keystore = Keystore(port=own_port(fields, "port", KEYSTORE_PORT))
    fields.close()
    return keystore


def own_port(fields: Fields, key: str, default: int) -> int:
    """Take a port that needs no privilege."""
    return fields.integer(key, default, least=_LEAST_PORT, most=_MOST_PORT)


def secret_entry(fields: Fields) -> Secret:
    """Take one of `secrets`."""
    return Secret(
        service=fields.text("service"),
        name=fields.text("name", match=_NAME, what=_NAME_WORDS),
        description=fields.text("description", "", match=LINE, what=LINE_WORDS),
        made=fields.flag("made", False),
    )
