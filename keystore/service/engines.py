"""The engines and ways to log in that can be mounted, each loaded when it is first used."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

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


@functools.cache
def load(kind: str, *, login: bool) -> Any:
    """Return the engine, or the way to log in, of this name."""
    module, _, name = (LOGINS if login else ENGINES)[kind].partition(":")
    return getattr(importlib.import_module(module), name)()
