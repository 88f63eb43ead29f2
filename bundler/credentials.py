"""Who we are at a registry: what `docker login`, `podman login` or a credential helper left for us."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from oras.defaults import registry as hub

from bundler.errors import HostError, StepError
from bundler.model.document import Fields
from bundler.model.reference import HUB
from bundler.run import run

_HUB_NAMES = (HUB, hub.index_hostname, hub.default_v2_registry["host"])
# The user name by which a helper says that its secret is an OAuth2 refresh token.
_IDENTITY = "<token>"
_HELPER_TIMEOUT_S = 60
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """A user and a password; without a user, the secret is an OAuth2 refresh token."""

    user: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of `Authorization` by RFC 7617."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


def find_credential(host: str) -> Credential | None:
    """Return what the user's configuration has for a registry, from the first file that has something.

    Files: REGISTRY_AUTH_FILE, then `config.json` in DOCKER_CONFIG or ~/.docker. In each: the helper of this host,
    the entry of this host, the helper of all hosts.

    Raises:
        HostError: a file cannot be read.
        StepError: a helper is missing or failed.
    """
    for path in _files(os.environ):
        if path.is_file() and (found := _of_file(path, host)):
            return found
    return None


def _files(environment: Mapping[str, str]) -> list[Path]:
    named = environment.get("REGISTRY_AUTH_FILE")
    directory = environment.get("DOCKER_CONFIG")
    docker = Path(directory) if directory else Path("~/.docker").expanduser()
    return [*([Path(named)] if named else []), docker / "config.json"]


def _of_file(path: Path, host: str) -> Credential | None:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise HostError("expected the JSON that docker login writes", place=str(path)) from error
    fields = Fields(document, place=str(path), error=HostError)
    names = _HUB_NAMES if host == HUB else (host,)
    helpers = dict(fields.pairs("credHelpers", {}))
    for name in names:
        if helper := helpers.get(name):
            return _ask(helper, host)
    fields.mapping("auths", {})
    for key, value in document.get("auths", {}).items():
        if _host_of(key) in names and (found := _of_entry(Fields(value, place=f"{path}: {key}", error=HostError))):
            return found
    helper = fields.text("credsStore", "")
    return _ask(helper, host) if helper else None


def _host_of(key: str) -> str:
    """Return the host of a key such as `https://HOST/v1/`; podman's `HOST/NAMESPACE` is not one of a whole host."""
    bare = re.sub("^https?://", "", key)
    return bare if bare == key else bare.partition("/")[0]


def _of_entry(fields: Fields) -> Credential | None:
    if token := fields.text("identitytoken", ""):
        return Credential(user="", secret=token)
    encoded = fields.text("auth", "")
    if not encoded:
        return None
    try:
        user, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise fields.refuse("auth", "expected USER:PASSWORD in base64")
    # Docker pads old entries with NUL.
    return Credential(user=user, secret=secret.strip("\0"))


def _ask(helper: str, host: str) -> Credential | None:
    if not re.fullmatch("[0-9A-Za-z][0-9A-Za-z._-]*", helper):
        raise HostError(f'expected the name of a credential helper, got "{helper}"')
    program = f"docker-credential-{helper}"
    server = hub.index_server if host == HUB else host
    # The helper is the user's own program and opens the user's own key ring: it needs the user's environment.
    done = run([program, "get"], timeout_s=_HELPER_TIMEOUT_S, environment=os.environ, stdin=server, accept=(0, 1))
    if done.returncode:
        if _NOT_FOUND in done.stdout + done.stderr:
            return None
        raise StepError(f"`{program} get` failed for {host}", hint=f"try it: echo {server} | {program} get")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StepError(f"expected Username and Secret from `{program} get`, got something else") from error
    return Credential(user="" if user == _IDENTITY else user, secret=secret)
