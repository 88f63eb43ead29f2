"""What the operator chose for the inbox: when, from which sticks, and how many bundles stay that are done."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from bundler.errors import HostError, IntegrityError
from bundler.installer.inbox.window import Window, parse_window
from bundler.installer.layout import Layout
from bundler.model.document import Fields
from bundler.store import write_file

KEEP = 3
MOST_KEPT = 1000
# As it can stand in a unit of systemd without quotes: no space, wildcard, specifier or escape.
_DIRECTORY = re.compile(r"""(/[^/\s\x00-\x1f\x7f\ud800-\udfff%"'\\*?\[\]{}$;#~]+)+""")
# An install writes there, or the sandbox of the service hides it; a medium belongs elsewhere.
_TAKEN = frozenset(
    ("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "opt", "proc", "root", "run", "sbin")
) | {"sys", "tmp", "usr", "var"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The operator's choice: `window` is None for any time, `sticks` are directories of the host, `keep` a number."""

    window: Window | None = None
    sticks: tuple[str, ...] = ()
    keep: int = KEEP


def parse_stick(text: str, *, place: str) -> str:
    """Return a directory where media are mounted, in its one form.

    Raises:
        HostError: it is none, or one in which an install writes or which the sandbox hides.
    """
    path = text.rstrip("/")
    parts = PurePosixPath(path).parts[1:]
    fits = _DIRECTORY.fullmatch(path) and not {".", ".."} & {*path.split("/")}
    if not fits or (parts[0] in _TAKEN and parts[:2] != ("run", "media")):
        raise HostError(
            f'expected a directory for media such as "/media/ferry", got "{text}"',
            place=place,
            hint="mount the stick below /media, /mnt or /run/media, under a name without spaces; the inbox sees no "
            "home directories and no /tmp",
        )
    return path


def write_chosen(layout: Layout, chosen: Chosen) -> None:
    """Write down what was chosen.

    Raises:
        OSError: the disk does not take it.
    """
    window = str(chosen.window) if chosen.window else ""
    document = {"window": window, "sticks": list(chosen.sticks), "keep": chosen.keep}
    layout.settings.mkdir(parents=True, exist_ok=True)
    write_file(layout.inbox_settings, (json.dumps(document, ensure_ascii=False) + "\n").encode())


def read_chosen(layout: Layout) -> Chosen:
    """Return what was chosen; an older Ferry wrote down the window alone.

    Raises:
        IntegrityError: the file of settings is no JSON, or holds something else.
        HostError: it holds no window, or no directory for media.
    """
    place = str(layout.inbox_settings)
    try:
        document = json.loads(layout.inbox_settings.read_bytes())
    except FileNotFoundError:
        return Chosen()
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected the settings of the inbox in JSON", place=place) from error
    fields = Fields(document, place=place, error=IntegrityError)
    return Chosen(
        window=parse_window(fields.text("window", ""), place=place),
        sticks=tuple(parse_stick(text, place=place) for text in fields.texts("sticks", [])),
        keep=fields.integer("keep", KEEP, most=MOST_KEPT),
    )
