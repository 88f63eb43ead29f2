"""The Debian packages that a recipe wants on the isolated host, taken from its document."""

from __future__ import annotations

from bundler.model.document import Fields
from bundler.model.recipe import DebSource

SUITE = "[a-z]+"
SUITE_WORDS = "the suite of a Debian release"
# Debian Policy 5.6.1; what starts with a hyphen would be an option of apt.
DEB = "[a-z0-9][a-z0-9+.-]+"
DEB_WORDS = "the name of a Debian package"


def deb_sources(fields: Fields) -> tuple[DebSource, ...]:
    """Take `debs` of a recipe.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    sources = fields.each("debs", _deb_source, [])
    seen: dict[str, bool] = {}
    for index, source in enumerate(sources):
        if seen.setdefault(source.suite, source.needed) != source.needed:
            place = f"debs[{index}].needed"
            raise fields.refuse(place, f"expected the same for all packages of {source.suite}, got both true and false")
    return sources


def _deb_source(fields: Fields) -> DebSource:
    source = DebSource(
        suite=fields.text("suite", match=SUITE, what=SUITE_WORDS),
        packages=fields.texts("packages", match=DEB, what=DEB_WORDS),
        needed=fields.flag("needed", True),
    )
    if not source.packages:
        raise fields.refuse("packages", "expected at least one package, got none")
    return source
