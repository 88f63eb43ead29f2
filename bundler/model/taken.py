"""Images that a recipe takes as they are: of registries, and of the builder itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bundler.errors import RecipeError
from bundler.model.document import LINE, LINE_WORDS, Fields
from bundler.model.path import any_path
from bundler.model.platform import Platform, take_platforms
from bundler.model.reference import Reference, parse_reference

DIGEST = "sha256:[0-9a-f]{64}"
# Where an image of the builder itself may be; each is the field of a recipe that names the place.
KINDS = ("daemon", "layout", "archive")
_IN_DAEMON = rf"(?!.*\.\.)[0-9A-Za-z][0-9A-Za-z._/:-]*(:[0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}}|@{DIGEST})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where on the builder an image is.

    `kind` is one of KINDS, `place` a name that the daemon knows or a path, `select` the image that is meant where
    several are. In a lock, `sha256` is that of the archive, or of the layout's `index.json`; "" for a daemon.
    """

    kind: str
    place: str
    select: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenImage:
    """An image that a recipe takes as it is, and further names under which it is listed.

    It comes from the registry of `reference`, or from `origin`, and then `reference` is but its name. `platforms` are
    those for which it is wanted, none for all of the recipe's; with `is_whole` its index is kept, with every platform.
    `why` says who needs it, where that is not the recipe itself.
    """

    reference: Reference
    aliases: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    is_whole: bool = False
    origin: Origin | None = None
    why: tuple[str, ...] = ()

    def wanted(self, platforms: Sequence[Platform]) -> tuple[Platform | None, ...]:
        """Return the platforms of a lock's entries for this image, of those of the recipe; None for a whole index."""
        return (None,) if self.is_whole else tuple(one for one in platforms if one in (self.platforms or platforms))


def taken_image(fields: Fields) -> TakenImage:
    """Take one image of a registry or of the builder from a recipe."""
    kinds = [kind for kind in ("reference", *KINDS) if fields.has(kind)]
    if len(kinds) > 1:
        raise fields.refuse(kinds[1], f'expected one of reference, {", ".join(KINDS)}, "{kinds[0]}" is there too')
    reference, origin = whence(fields)
    platforms = take_platforms(fields) if fields.has("platforms") else ()
    image = TakenImage(
        reference=reference,
        aliases=take_aliases(fields),
        platforms=platforms,
        is_whole=fields.flag("index", False),
        origin=origin,
    )
    if image.is_whole and platforms:
        raise fields.refuse("platforms", "expected no platforms beside `index: true`, an index is kept whole")
    return image


def whence(fields: Fields) -> tuple[Reference, Origin | None]:
    """Take where an image comes from: a reference alone, or a place of the builder and the name."""
    kind = next((kind for kind in KINDS if fields.has(kind)), None)
    if kind is None:
        return parse_reference(fields.text("reference"), place=fields.place("reference")), None
    if kind == "daemon":
        what = "a name as the daemon has it, NAME:TAG or NAME@sha256:HEX"
        origin = Origin(kind=kind, place=fields.text(kind, match=_IN_DAEMON, what=what))
    else:
        origin = Origin(
            kind=kind, place=any_path(fields, kind), select=fields.text("select", "", match=LINE, what=LINE_WORDS)
        )
    return parse_name(fields.text("name"), place=fields.place("name")), origin


def take_aliases(fields: Fields) -> tuple[str, ...]:
    """Take the further names of an image."""
    place = fields.place("aliases")
    aliases = enumerate(fields.texts("aliases", []))
    return tuple(str(parse_name(text, place=f"{place}[{index}]")) for index, text in aliases)


def parse_name(text: str, *, place: str) -> Reference:
    """Parse a reference by tag and not by digest.

    Raises:
        RecipeError: any other text.
    """
    name = parse_reference(text, place=place)
    if name.sha256:
        raise RecipeError("expected a name with a tag, got one with a digest", place=place)
    return name
