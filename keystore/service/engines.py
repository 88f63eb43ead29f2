"""The engines and ways to log in that can be mounted, each loaded when it is first used."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from keystore.service.mounts import Mount

ENGINES: Mapping[str, str] = {
    "kv1": "keystore.engines.kv1:Kv1",
    "kv2": "keystore.engines.kv2:Kv2",
    "cubbyhole": "keystore.engines.cubbyhole:Cubbyhole",
    "transit": "keystore.engines.transit:Transit",
    "pki": "keystore.engines.pki:Pki",
    "signing": "keystore.engines.signing:Signing",
}
LOGINS: Mapping[str, str] = {
    "token": "keystore.service.tokenlogin:TokenLogin",
    "approle": "keystore.access.approle:AppRole",
    "userpass": "keystore.access.userpass:Userpass",
    "cert": "keystore.access.certlogin:CertLogin",
}


def known(kind: str, *, login: bool) -> bool:
    """Tell whether there is an engine, or a way to log in, of this name."""
    found = (LOGINS if login else ENGINES).get(kind)
    return found is not None and importlib.util.find_spec(found.partition(":")[0]) is not None


DEFAULT_KEY = "default_key_type"
"""The option of a mount that says which type its keys have whose maker names none."""
_DEFAULT_KEYS: Mapping[str, Mapping[str, str]] = {
    "gm": {"transit": "sm4-gcm", "pki": "sm2"},
    "standard": {"transit": "aes256-gcm96", "pki": "rsa"},
}


def of_mount(mount: Mount, profile: str = "standard") -> Any:
    """Return the engine, or the way to log in, behind a mount; the profile counts where it may make a key.

    Raises: RequestError when the mount's options are wrong.
    """
    default = _DEFAULT_KEYS[profile].get(mount.kind, "")
    chosen = (mount.options or {}).get(DEFAULT_KEY, "") if default else ""
    return _loaded(mount.kind, mount.login, chosen or default)


@functools.lru_cache(maxsize=64)
def _loaded(kind: str, login: bool, default_key: str) -> Any:
    module, _, name = (LOGINS if login else ENGINES)[kind].partition(":")
    made = getattr(importlib.import_module(module), name)
    if kind == "transit":
        return made(default_key)
    return made(default_kind=default_key) if kind == "pki" else made()
