"""What the operator wrote: the pools and their bounds, as TOML, which Python reads by itself."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bundler.autoscaler.act.pool import Options, Slot
from bundler.autoscaler.model import Limits
from bundler.autoscaler.size import Profile, seeds
from bundler.errors import RecipeError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_TYPES = {
    "accelerator": str,
    "minimum": int,
    "maximum": int,
    "cold_start_s": float,
    "caution": float,
    "unit": str,
    "address": str,
    "first_port": int,
    "metrics": str,
    "ready": str,
    "haproxy_socket": str,
    "backend": str,
    "most_asleep": int,
    "drain_s": float,
    "at_once": int,
    "freeze": list,
    "prometheus": str,
    "label": str,
    "cluster": bool,
    "select": dict,
    "profile": dict,
}
_NEEDED = ("accelerator", "maximum", "unit", "first_port", "haproxy_socket", "backend")
# In a cluster its own scaler acts, and Prometheus knows its replicas.
_NEEDED_IN_CLUSTER = ("accelerator", "maximum", "prometheus")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MOST_REPLICAS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A time of the day, in the host's own zone, in which nothing is changed; it may pass midnight."""

    begin: time
    end: time

    def holds(self, moment: datetime) -> bool:
        """Say whether a moment is in it."""
        now = moment.time()
        if self.begin <= self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """One pool as the operator wants it; `prometheus` is empty where replicas are asked themselves.

    One without slots is of a cluster: its replicas have the labels `select`.
    """

    name: str
    profile: Profile
    limits: Limits
    slots: tuple[Slot, ...]
    haproxy: Path
    backend: str
    options: Options
    freeze: tuple[Window, ...] = ()
    prometheus: str = ""
    label: str = "instance"
    select: Mapping[str, str] = field(default_factory=dict)

    def is_frozen(self, moment: datetime) -> bool:
        """Say whether the operator wants nothing to change at a moment."""
        return any(window.holds(moment) for window in self.freeze)


def read_config(path: Path) -> tuple[PoolConfig, ...]:
    """Read the pools.

    Raises:
        RecipeError: the file cannot be read, or says something else.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"it cannot be read: {error.strerror}", place=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"expected TOML: {error}", place=str(path)) from error
    pools = document.get("pool")
    others = sorted(set(document) - {"pool"})
    if others:
        raise RecipeError(f'expected tables [pool.NAME] only, got "{others[0]}"', place=str(path))
    if not isinstance(pools, dict) or not pools:
        raise RecipeError("expected at least one table [pool.NAME]", place=str(path))
    return tuple(_pool(name, table, f"{path}: pool.{name}") for name, table in pools.items())


def _pool(name: str, table: Any, place: str) -> PoolConfig:
    row = _checked(name, table, place)
    most = int(_within(row, "maximum", 1, 1, _MOST_REPLICAS, place))
    limits = Limits(
        minimum=int(_within(row, "minimum", 1, 0, most, place)),
        maximum=most,
        caution=_within(row, "caution", 0.25, 0.0, 5.0, place),
        cold_s=_within(row, "cold_start_s", 120.0, 1.0, 7200.0, place),
    )
    return PoolConfig(
        name=name,
        profile=_profile(row, place),
        limits=limits,
        slots=() if row.get("cluster") else _slots(row, limits.maximum, place),
        haproxy=Path(row.get("haproxy_socket", "")),
        backend=row.get("backend", ""),
        options=Options(
            ready=row.get("ready", "/health"),
            metrics=row.get("metrics", "/metrics"),
            most_asleep=int(_within(row, "most_asleep", 0, 0, _MOST_REPLICAS, place)),
            drain_s=_within(row, "drain_s", 600.0, 0.0, 86_400.0, place),
            at_once=int(_within(row, "at_once", 0, 0, 100_000, place)),
        ),
        freeze=tuple(_window(text, f"{place}.freeze") for text in row.get("freeze", [])),
        prometheus=_url(row.get("prometheus", ""), f"{place}.prometheus"),
        label=_labelled(row.get("label", "instance"), f"{place}.label"),
        select={_labelled(name, f"{place}.select"): str(value) for name, value in row.get("select", {}).items()},
    )


def _labelled(name: str, place: str) -> str:
    if not _LABEL.fullmatch(name):
        raise RecipeError(f'expected the name of a label of Prometheus, got "{name}"', place=place)
    return name


def _checked(name: str, table: Any, place: str) -> Mapping[str, Any]:
    if not _NAME.fullmatch(name):
        raise RecipeError("expected small letters, digits and - in a pool's name", place=place)
    if not isinstance(table, dict):
        raise RecipeError("expected a table", place=place)
    for key in _NEEDED_IN_CLUSTER if table.get("cluster") is True else _NEEDED:
        if key not in table:
            raise RecipeError(f'expected "{key}"', place=place)
    for key, value in table.items():
        kind = _TYPES.get(key)
        if kind is None:
            raise RecipeError(f'expected one of {", ".join(_TYPES)}, got "{key}"', place=place)
        allowed = (int, float) if kind is float else (kind,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
            raise RecipeError(f"expected {_WORDS[kind]}, got {value!r}", place=f"{place}.{key}")
    return table


_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}


def _within(row: Mapping[str, Any], key: str, otherwise: float, least: float, most: float, place: str) -> float:
    value = float(row.get(key, otherwise))
    if not least <= value <= most:
        raise RecipeError(f"expected {least:g} to {most:g}, got {value:g}", place=f"{place}.{key}")
    return value


def _profile(row: Mapping[str, Any], place: str) -> Profile:
    """Return the shipped profile of the accelerator, or the operator's own numbers."""
    own = row.get("profile")
    name = row["accelerator"]
    if own is None:
        known = seeds()
        if name not in known:
            raise RecipeError(
                f'expected one of {", ".join(known)}, got "{name}"',
                place=f"{place}.accelerator",
                hint="of another card say [pool.NAME.profile] prefill_tok_s and decode_tok_s; both are corrected later",
            )
        return known[name]
    if set(own) != {"prefill_tok_s", "decode_tok_s"} or not all(isinstance(one, int | float) for one in own.values()):
        raise RecipeError("expected prefill_tok_s and decode_tok_s as numbers", place=f"{place}.profile")
    return Profile(name=name, prefill_tok_s=float(own["prefill_tok_s"]), decode_tok_s=float(own["decode_tok_s"]))


def _slots(row: Mapping[str, Any], count: int, place: str) -> tuple[Slot, ...]:
    unit, first = row["unit"], row["first_port"]
    if unit.count("{n}") != 1 or not unit.endswith(".service"):
        raise RecipeError(
            f'expected a unit with one {{n}} for its number, such as "model@{{n}}.service", got "{unit}"',
            place=f"{place}.unit",
        )
    if not 1 <= first <= 65_536 - count:
        raise RecipeError(f"expected a port from 1 to {65_536 - count}, got {first}", place=f"{place}.first_port")
    return tuple(
        Slot(
            unit=unit.replace("{n}", str(number)),
            server=f"r{number}",
            address=row.get("address", "127.0.0.1"),
            port=first + number - 1,
        )
        for number in range(1, count + 1)
    )


def _window(text: Any, place: str) -> Window:
    match = _WINDOW.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise RecipeError(f'expected times such as "22:00-06:00", got {text!r}', place=place)
    hours = [int(one) for one in match.groups()]
    return Window(begin=time(hours[0], hours[1]), end=time(hours[2], hours[3]))


def _url(text: str, place: str) -> str:
    if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
        raise RecipeError(f'expected an http or https URL, got "{text}"', place=place)
    return text
