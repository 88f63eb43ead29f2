"""What became of bundles on sticks, by the SHA-256 of their manifests: nothing is ever written to a stick."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from bundler.errors import HostError, IntegrityError
from bundler.installer.layout import Layout
from bundler.model.document import Fields, parse_json
from bundler.store import write_file
from keystore import moment
from keystore.errors import KeystoreError

DONE, REFUSED, INTERRUPTED = "done", "refused", "interrupted"
FORMAT = "ferry/handled/v1"
# The oldest ones are forgotten: a stick of theirs is tried once more then.
_MOST = 500
_MOST_CHARACTERS = 1000
# A medium that fails again and again is read once a day from then on.
_MOST_TRIES = 3
_PAUSE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What became of one bundle: `path` is where it was, `tries` how often in a row its medium failed."""

    manifest_sha256: str
    outcome: str
    at: str
    path: str
    product: str = ""
    release: int = 0
    error: str = ""
    hint: str = ""
    exit_code: int = 0
    tries: int = 0

    def is_due(self, now: datetime, *, again: bool) -> bool:
        """Say whether the bundle is to be tried once more; `again` is what the operator says of refused ones."""
        if self.outcome == INTERRUPTED:
            since = abs(now - moment.parse(self.at, "at"))
            return again or self.tries < _MOST_TRIES or since >= _PAUSE
        return again and self.outcome == REFUSED


def read_remembered(layout: Layout) -> dict[str, Remembered]:
    """Return what is remembered, by manifest, the oldest first.

    Raises:
        IntegrityError: the file is damaged.
        HostError: it cannot be read.
    """
    place = _place(layout)
    try:
        data = place.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise HostError(f"it cannot be read: {error.strerror}", place=str(place)) from error
    try:
        return _parse(data, place)
    except IntegrityError as error:
        error.hint = "remove the file: bundles on sticks that are in are tried once more then"
        raise


def _parse(data: bytes, place: Path) -> dict[str, Remembered]:
    document = parse_json(data, place=str(place), error=IntegrityError)
    fields = Fields(document, place=str(place), error=IntegrityError)
    if (form := fields.text("format")) != FORMAT:
        raise fields.refuse("format", f'expected "{FORMAT}", got "{form}"')
    found = {one.manifest_sha256: one for one in fields.each("bundles", _entry)}
    fields.close()
    return found


def _entry(fields: Fields) -> Remembered:
    outcomes = (DONE, REFUSED, INTERRUPTED)
    one = Remembered(
        manifest_sha256=fields.hex("manifest_sha256"),
        outcome=fields.text("outcome", match="|".join(outcomes), what=" or ".join(outcomes)),
        at=fields.text("at"),
        path=fields.text("path"),
        product=fields.text("product"),
        release=fields.integer("release"),
        error=fields.text("error"),
        hint=fields.text("hint"),
        exit_code=fields.integer("exit_code"),
        tries=fields.integer("tries"),
    )
    try:
        moment.parse(one.at, fields.place("at"))
    except KeystoreError as error:
        raise IntegrityError(error.message, place=error.place) from error
    return one


def remember(layout: Layout, one: Remembered) -> None:
    """Write down what became of a bundle, in place of what was known of it.

    Raises:
        IntegrityError: what is there is damaged.
        HostError: it cannot be written.
    """
    known = read_remembered(layout)
    known.pop(one.manifest_sha256, None)
    kept = [*known.values(), one][-_MOST:]
    document = {"format": FORMAT, "bundles": [asdict(entry, dict_factory=_short) for entry in kept]}
    data = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    try:
        write_file(_place(layout), f"{data}\n".encode(), 0o600)
    except OSError as error:
        raise HostError(f"it cannot be written: {error.strerror}", place=str(_place(layout))) from error


def _short(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Shorten what errors say, and what has no UTF-8."""
    return {name: _printable(value) if isinstance(value, str) else value for name, value in pairs}


def _printable(text: str) -> str:
    return text[:_MOST_CHARACTERS].replace("\0", "").encode("utf-8", "backslashreplace").decode()


def _place(layout: Layout) -> Path:
    return layout.inbox / "handled.json"
