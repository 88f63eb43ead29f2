"""The catalogue: for each vendor one JSON file of facts, each with its source, read strictly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bundler.accelerators.parsers import PARSERS
from bundler.errors import IntegrityError
from bundler.model.document import LINE, Fields
from bundler.model.driver import DEVICE, TOOL, VENDORS, VERSION, command, statuses


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Where a fact is from, and whether the vendor's own documents say so."""

    source: str
    verified: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A card by its device number on PCI; `family` is how names of packages call its kind, empty for no matter."""

    device: str
    name: str
    family: str
    fact: Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageForm:
    """A form in which a vendor gives its driver: `pattern` takes the name of its file apart.

    The named groups are `name`, `version`, and where they stand in it `machine`, `family` and `system`. An empty
    `install` means that nobody knows how it is installed without questions.
    """

    name: str
    pattern: re.Pattern[str]
    install: tuple[str, ...]
    upgrade: tuple[str, ...]
    uninstall: tuple[str, ...]
    tools: tuple[str, ...]
    conflicts: tuple[str, ...]
    reboot: bool
    statuses: tuple[str, ...]
    fact: Fact
    undo_verified: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """A file of the vendor that is no driver, and what to do with it."""

    name: str
    pattern: re.Pattern[str]
    hint: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A way to read the installed version: a file, or a program's output; `library` is a path that it needs."""

    parser: str
    file: str
    run: tuple[str, ...]
    library: str
    fact: Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The oldest driver for what a payload was built for; `compatible` is one that works with a loss, or empty."""

    what: str
    version: str
    driver: str
    compatible: str
    fact: Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Implied:
    """What one exact version of something needs of something else in the table."""

    what: str
    version: str
    needs: str
    of: str
    fact: Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """An archive in which the vendor gives its driver, by its digest."""

    name: str
    sha256: str
    fact: Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """All facts of one vendor; `places` are the directories of its tools, beside the usual ones."""

    name: str
    title: str
    pci: str
    cards: tuple[Card, ...]
    packages: tuple[PackageForm, ...]
    others: tuple[Other, ...]
    places: tuple[str, ...]
    reads: tuple[Read, ...]
    rows: tuple[Row, ...]
    implied: tuple[Implied, ...]
    archives: tuple[Archive, ...]

    def card_name(self, device: str) -> str:
        """Return how a card is called, its number where nobody knows."""
        return next((card.name for card in self.cards if card.device == device), f"{self.pci}:{device}")


@cache
def vendor(name: str) -> Vendor:
    """Return the facts of a vendor, by its name in `model.driver.VENDORS`."""
    return parse_vendor((files(__package__) / f"{name}.json").read_bytes(), place=f"{name}.json")


def vendors() -> tuple[Vendor, ...]:
    """Return the facts of every vendor."""
    return tuple(vendor(name) for name in VENDORS)


def parse_vendor(data: bytes, *, place: str) -> Vendor:
    """Take a vendor's file.

    Raises:
        IntegrityError: a field is missing, unknown or wrong, or a source is not in the list of sources.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=place) from error
    fields = Fields(document, place=place, error=IntegrityError)
    sources = dict(fields.pairs("sources"))
    name = fields.text("name", match="|".join(VENDORS), what="a vendor's name")

    def fact(one: Fields) -> Fact:
        source = one.text("source")
        if source not in sources:
            raise one.refuse("source", f'expected one of the sources, got "{source}"')
        return Fact(source=sources[source], verified=one.flag("verified"))

    found = Vendor(
        name=name,
        title=fields.text("title"),
        pci=fields.text("pci", match=re.escape(VENDORS[name][0]), what=VENDORS[name][0]),
        cards=fields.each("cards", lambda one: _card(one, fact(one))),
        packages=fields.each("packages", lambda one: _package(one, fact(one))),
        others=fields.each("others", _other),
        places=fields.texts("places", match="/[!-~]+", what="an absolute path"),
        reads=fields.each("reads", lambda one: _read(one, fact(one))),
        rows=fields.each("needs", lambda one: _row(one, name, fact(one))),
        implied=fields.each("implies", lambda one: _implied(one, name, fact(one))),
        archives=fields.each("archives", lambda one: _archive(one, fact(one))),
    )
    fields.close()
    return found


def _card(fields: Fields, fact: Fact) -> Card:
    return Card(
        device=fields.text("device", match=DEVICE),
        name=fields.text("name", match=LINE),
        family=fields.text("family", match="[a-z0-9]*"),
        fact=fact,
    )


def _package(fields: Fields, fact: Fact) -> PackageForm:
    return PackageForm(
        name=fields.text("name"),
        pattern=_pattern(fields, groups=("name", "version")),
        install=command(fields, "install", []),
        upgrade=command(fields, "upgrade", []),
        uninstall=command(fields, "uninstall", []),
        tools=fields.texts("tools", match=TOOL),
        conflicts=fields.texts("conflicts"),
        reboot=fields.flag("reboot"),
        statuses=statuses(fields),
        fact=fact,
        undo_verified=fields.flag("undo_verified"),
    )


def _other(fields: Fields) -> Other:
    return Other(name=fields.text("name"), pattern=_pattern(fields), hint=fields.text("hint"))


def _pattern(fields: Fields, groups: tuple[str, ...] = ()) -> re.Pattern[str]:
    text = fields.text("pattern")
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise fields.refuse("pattern", f"expected a regular expression: {error}") from error
    for group in groups:
        if group not in pattern.groupindex:
            raise fields.refuse("pattern", f'expected the group "{group}" in it')
    return pattern


def _read(fields: Fields, fact: Fact) -> Read:
    parser = fields.text("parser", match="|".join(PARSERS), what="the name of a parser")
    file, argv = fields.text("file", "", match="/[!-~]+"), fields.texts("run", [])
    if bool(file) == bool(argv):
        raise fields.refuse("file", "expected one of file and run")
    return Read(parser=parser, file=file, run=argv, library=fields.text("library", "", match="/[!-~]+"), fact=fact)


def _row(fields: Fields, name: str, fact: Fact) -> Row:
    return Row(
        what=_what(fields, "what", name),
        version=fields.text("version", match=VERSION),
        driver=fields.text("driver", match=VERSION),
        compatible=fields.text("compatible", "", match=VERSION),
        fact=fact,
    )


def _implied(fields: Fields, name: str, fact: Fact) -> Implied:
    return Implied(
        what=_what(fields, "what", name),
        version=fields.text("version", match=VERSION),
        needs=_what(fields, "needs", name),
        of=fields.text("of", match=VERSION),
        fact=fact,
    )


def _what(fields: Fields, key: str, name: str) -> str:
    return fields.text(key, match="|".join(VENDORS[name][1]), what=f"one of {', '.join(VENDORS[name][1])}")


def _archive(fields: Fields, fact: Fact) -> Archive:
    return Archive(name=fields.text("name"), sha256=fields.hex("sha256"), fact=fact)
