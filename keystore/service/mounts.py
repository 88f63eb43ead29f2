"""Where engines and ways to log in are mounted: two tables, each one record."""

from __future__ import annotations

import functools
import re
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from keystore import document
from keystore.access import field as fields
from keystore.barrier.overlay import View
from keystore.engines.request import RequestError

SECRET, AUTH = "core/mounts", "core/auth"
SYSTEM_TTL_S = 768 * 3600
_PATH = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*")
_PROTECTED = {SECRET: ("sys", "cubbyhole", "identity", "auth"), AUTH: ("token",)}
_TOKEN_TYPES = ("", "default", "default-service", "default-batch", "service", "batch")
_LISTS = (
    "audit_non_hmac_request_keys",
    "audit_non_hmac_response_keys",
    "passthrough_request_headers",
    "allowed_response_headers",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """One engine at one path (with its last '/'); a time of 0 is the system's."""

    path: str
    type: str
    uuid: str
    accessor: str
    description: str = ""
    default_lease_ttl: int = 0
    max_lease_ttl: int = 0
    options: Mapping[str, str] | None = None
    local: bool = False
    seal_wrap: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    login: bool = False

    @property
    def prefix(self) -> str:
        """Where the records of the mount are."""
        return f"mount/{self.uuid}/"

    @property
    def route(self) -> str:
        """The path of the mount as requests name it."""
        return f"auth/{self.path}" if self.login else self.path

    @property
    def kind(self) -> str:
        """The name of the engine behind it."""
        if self.type == "kv":
            return "kv2" if (self.options or {}).get("version") == "2" else "kv1"
        return self.type

    @property
    def token_type(self) -> str:
        """Which kind of token a login gives, '' where that is the role's to say."""
        return str(self.config.get("token_type", ""))

    @property
    def ttl_s(self) -> int:
        """How long a lease lives that says nothing itself."""
        return self.default_lease_ttl or SYSTEM_TTL_S

    @property
    def max_ttl_s(self) -> int:
        """How long a lease may live at most."""
        return self.max_lease_ttl or max(SYSTEM_TTL_S, self.default_lease_ttl)

    def tuned(self) -> dict[str, Any]:
        """Return what tuning shows and sets."""
        return {"default_lease_ttl": self.default_lease_ttl, "max_lease_ttl": self.max_lease_ttl} | {
            "force_no_cache": False,
            **self.config,
        }

    def described(self) -> dict[str, Any]:
        """Return the entry of a list of mounts."""
        return {
            "type": self.type,
            "description": self.description,
            "accessor": self.accessor,
            "uuid": self.uuid,
            "config": self.tuned(),
            "options": dict(self.options) if self.options else None,
            "local": self.local,
            "seal_wrap": self.seal_wrap,
            "external_entropy_access": False,
            "plugin_version": "",
            "running_plugin_version": "",
            "running_sha256": "",
            "deprecation_status": "supported",
        }


Table = Mapping[str, Mount]


@functools.lru_cache(maxsize=16)
def _parsed(data: bytes) -> Table:
    return {path: Mount(**entry) for path, entry in document.parse(data, "mounts").items()}


def read(view: View, table: str) -> Table:
    """Return the mounts of a table by path."""
    data = view.get(table)
    return {} if data is None else _parsed(data)


def write(view: View, table: str, mounts: Table) -> None:
    """Keep a table."""
    view.put(table, document.canonical({path: asdict(mount) for path, mount in sorted(mounts.items())}))


def find(view: View, path: str) -> Mount | None:
    """Return the mount that a request's path falls under: the one of the longest path."""
    login = path.startswith("auth/")
    rest = path.removeprefix("auth/") if login else path
    table = read(view, AUTH if login else SECRET)
    end = len(rest)
    while (end := rest.rfind("/", 0, end)) >= 0:
        if (found := table.get(rest[: end + 1])) is not None:
            return found
    return table.get(rest + "/")


def make(path: str, data: Mapping[str, Any], *, login: bool) -> Mount:
    """Return a new mount of a request.

    Raises: RequestError.
    """
    kind = fields.needed(data, "type")
    options = {key: fields.text(fields.table(data, "options"), key) for key in fields.table(data, "options")}
    if kind == "kv-v2":
        kind, options = "kv", {**options, "version": "2"}
    if kind == "kv" and options.get("version", "1") not in ("1", "2"):
        raise RequestError(f"options.version: expected '1' or '2', got {options['version']!r}")
    blank = Mount(
        path=path,
        type=kind,
        uuid=str(uuid.uuid4()),
        accessor=f"{'auth_' if login else ''}{kind}_{secrets.token_hex(4)}",
        description=fields.text(data, "description"),
        options=options or None,
        local=fields.flag(data, "local"),
        seal_wrap=fields.flag(data, "seal_wrap"),
        login=login,
    )
    return tuned(blank, fields.table(data, "config"))


def tuned(mount: Mount, data: Mapping[str, Any]) -> Mount:
    """Return a mount with the settings that a request names changed.

    Raises: RequestError.
    """
    default = _ttl(data, "default_lease_ttl", mount.default_lease_ttl)
    longest = _ttl(data, "max_lease_ttl", mount.max_lease_ttl)
    if default > (longest or max(SYSTEM_TTL_S, default if not longest else 0)):
        raise RequestError(f"backend max lease TTL of {longest} would be less than backend default of {default}")
    config = dict(mount.config)
    for name in _LISTS:
        if name in data:
            config[name] = list(fields.strings(data, name))
    for name in ("listing_visibility", "token_type"):
        if name in data:
            config[name] = fields.text(data, name)
    if config.get("token_type", "") not in _TOKEN_TYPES:
        raise RequestError(f"invalid value for 'token_type': {config['token_type']!r}")
    if config.get("listing_visibility", "") not in ("", "unauth", "hidden"):
        raise RequestError("listing_visibility: expected 'unauth', 'hidden' or ''")
    options = mount.options
    if data.get("options") is not None:
        options = _retuned_options(mount, fields.texts(data, "options"))
    return replace(
        mount,
        default_lease_ttl=default,
        max_lease_ttl=longest,
        config=config,
        options=options,
        description=fields.text(data, "description", mount.description),
    )


def _retuned_options(mount: Mount, wanted: Mapping[str, str]) -> Mapping[str, str] | None:
    """A KV of version 1 cannot become one of version 2 here: its records would have to be rewritten."""
    options = {**(mount.options or {}), **wanted}
    if mount.type == "kv" and options.get("version", "1") != (mount.options or {}).get("version", "1"):
        raise RequestError("options.version: the version of a mounted KV cannot be changed: mount another beside it")
    return options or None


def _ttl(data: Mapping[str, Any], name: str, before: int) -> int:
    return 0 if data.get(name) == "system" else fields.seconds(data, name, before)


def checked_path(path: str, table: str, view: View, *, but: str = "") -> str:
    """Return a path for a new mount, with its last '/'.

    Raises: RequestError when it is malformed, protected, or in use.
    """
    path = path.strip("/")
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise RequestError(f"expected a path of letters, digits and '._~-', got {path!r}")
    if path.split("/")[0] in _PROTECTED[table]:
        raise RequestError(f"cannot mount {path + '/'!r}: the path is protected")
    made = path + "/"
    for taken in read(view, table):
        if taken != but and (made.startswith(taken) or taken.startswith(made)):
            raise RequestError(f"path is already in use at {taken}")
    return made


def first_tables() -> tuple[Table, Table]:
    """Return the tables of a new store: sys/, cubbyhole/ and identity-free logins by token."""
    fixed = {
        "sys/": ("system", "paths of the service itself"),
        "cubbyhole/": ("cubbyhole", "per-token private secrets"),
    }
    mounts = {
        path: replace(make(path, {"type": kind, "description": text}, login=False), local=kind == "cubbyhole")
        for path, (kind, text) in fixed.items()
    }
    token = make("token/", {"type": "token", "description": "logins by token"}, login=True)
    return mounts, {"token/": token}
