"""The Python runtime that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.model.deb import DEB, DEB_WORDS, SUITE, SUITE_WORDS
from bundler.model.document import Fields

MINOR = r"3\.[0-9]{1,2}"
MINOR_WORDS = 'a minor version in quotes, "3.11"'


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonSource:
    """Where the Python runtime comes from: a suite of Debian and the packages that make it up.

    `version` is the minor version (`3.11`) that wheels are chosen for.
    """

    version: str
    suite: str
    packages: tuple[str, ...]


def python_source(fields: Fields) -> PythonSource:
    """Take `python` of a recipe."""
    source = PythonSource(
        version=fields.text("version", match=MINOR, what=MINOR_WORDS),
        suite=fields.text("debian", match=SUITE, what=SUITE_WORDS),
        packages=fields.texts("packages", match=DEB, what=DEB_WORDS),
    )
    fields.close()
    if not source.packages:
        raise fields.refuse("packages", "expected at least one package, got none")
    return source
