"""Images that Ferry composes, in a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.model.document import Fields
from bundler.model.service import take_environment

_REFERENCE = "[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+:[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposedImage:
    """A container image that Ferry composes from the locked parts: runtime, wheels, files."""

    reference: str
    service: str
    environment: tuple[tuple[str, str], ...] = ()


def composed_image(fields: Fields) -> ComposedImage:
    """Take one image that Ferry composes from a recipe."""
    return ComposedImage(
        reference=fields.text("compose", match=_REFERENCE, what="a reference HOST/NAME:TAG"),
        service=fields.text("service"),
        environment=take_environment(fields),
    )
