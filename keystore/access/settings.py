"""What a role says of the tokens that a login under it gets: the fields `token_*` of every way to log in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from keystore.access import field
from keystore.access.field import Data
from keystore.engines.request import RequestError

_KINDS = ("default", "service", "batch", "default-service", "default-batch")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSettings:
    """Times in seconds, 0 for the mount's own; `num_uses` 0 for any number."""

    token_ttl: int = 0
    token_max_ttl: int = 0
    token_explicit_max_ttl: int = 0
    token_period: int = 0
    token_num_uses: int = 0
    token_policies: tuple[str, ...] = ()
    token_bound_cidrs: tuple[str, ...] = ()
    token_no_default_policy: bool = False
    token_type: str = "default"  # noqa: S105 (a kind)

    def document(self) -> dict[str, Any]:
        """Return the fields as a role shows and keeps them."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def parse(data: Data, before: TokenSettings | None = None) -> TokenSettings:
    """Return the settings of a request; what it does not name stays as it was. Older names without `token_` count too.

    Raises: RequestError.
    """
    old = before or TokenSettings()
    data = _with_new_names(data)
    kind = field.text(data, "token_type", old.token_type) or "default"
    if kind not in _KINDS:
        raise RequestError(f"invalid 'token_type' value {kind!r}")
    found = TokenSettings(
        token_ttl=field.seconds(data, "token_ttl", old.token_ttl),
        token_max_ttl=field.seconds(data, "token_max_ttl", old.token_max_ttl),
        token_explicit_max_ttl=field.seconds(data, "token_explicit_max_ttl", old.token_explicit_max_ttl),
        token_period=field.seconds(data, "token_period", old.token_period),
        token_num_uses=field.whole(data, "token_num_uses", old.token_num_uses),
        token_policies=policies(data, "token_policies", old.token_policies),
        token_bound_cidrs=field.networks(data, "token_bound_cidrs", old.token_bound_cidrs),
        token_no_default_policy=field.flag(data, "token_no_default_policy", default=old.token_no_default_policy),
        token_type=kind,
    )
    if kind in ("batch", "default-batch"):
        _check_batch(found)
    if found.token_max_ttl and found.token_ttl > found.token_max_ttl:
        raise RequestError("token_ttl should not be greater than token_max_ttl")
    return found


def _check_batch(found: TokenSettings) -> None:
    refused = {"periodic tokens": found.token_period, "tokens with limited use count": found.token_num_uses}
    for name, value in refused.items():
        if value:
            raise RequestError(f"'token_type' cannot be 'batch' or 'default_batch' when set to generate {name}")


def of_document(found: Mapping[str, Any]) -> TokenSettings:
    """Return the settings that a role keeps."""
    kept: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in found.items()}
    return TokenSettings(**kept)


def policies(data: Data, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return names of policies: in lower case, sorted, each once; nobody gets `root` by a role.

    Raises: RequestError.
    """
    found = tuple(sorted({one.lower() for one in field.strings(data, name, default)}))
    if "root" in found:
        raise RequestError(f"{name}: the policy 'root' cannot be given by a role")
    return found


def _with_new_names(data: Data) -> Data:
    older = {"policies": "token_policies", "ttl": "token_ttl", "max_ttl": "token_max_ttl", "period": "token_period"}
    renamed = {new: data[old] for old, new in older.items() if old in data and new not in data}
    return {**data, **renamed}
