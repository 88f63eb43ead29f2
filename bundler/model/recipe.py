"""A recipe: what its author wants to carry across."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bundler.errors import RecipeError
from bundler.model.chart import CHARTS, ChartSource, chart_source
from bundler.model.composed import ComposedImage, composed_image
from bundler.model.deb import DebSource, deb_sources
from bundler.model.document import LINE, LINE_WORDS, Fields
from bundler.model.driver_source import DriverSource, StatedNeed, driver_source, stated_needs
from bundler.model.egress import Allowed, egress_allowed
from bundler.model.escort import NO_ESCORT, Escort, take_escort
from bundler.model.files import FileSource, file_source
from bundler.model.path import relative_paths
from bundler.model.platform import Platform, take_platforms
from bundler.model.python import PythonSource, python_source
from bundler.model.rpm import RpmSource, rpm_sources
from bundler.model.service import Service, check_services, recipe_service
from bundler.model.taken import TakenImage, taken_image
from bundler.model.wheel import index_names

FORMAT = "ferry/recipe/v1"
NAME = "[a-z0-9]([a-z0-9.-]{0,48}[a-z0-9])?"
NAME_WORDS = "a name of lower-case letters, digits, dots and hyphens, at most 50 characters"
VERSION = r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}"
DATE = "%Y-%m-%d"
_MOST_DAYS = 36500


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What one bundle is made from.

    `as_of` is a date: nothing that was published later is taken. `valid_days` is how long after its lock was
    made a bundle is accepted, 0 for no end. `sequence` grows with every release of the product. `requirements` and
    `constraints` are files beside the recipe, `indexes` the names of those that single packages are taken from;
    `build` is what sdists are built with besides setuptools and wheel. With `images_needed` it is for hosts with a
    container runtime only. The `escort` is what hosts run beside the services.
    """

    name: str
    version: str
    description: str
    sequence: int
    as_of: str
    valid_days: int
    platforms: tuple[Platform, ...]
    python: PythonSource
    wheels: tuple[str, ...]
    files: tuple[FileSource, ...]
    images: tuple[ComposedImage | TakenImage, ...]
    services: tuple[Service, ...]
    sha256: str
    debs: tuple[DebSource, ...] = ()
    egress: tuple[Allowed, ...] = ()
    charts: tuple[ChartSource, ...] = ()
    rpms: tuple[RpmSource, ...] = ()
    drivers: tuple[DriverSource, ...] = ()
    accelerators: tuple[StatedNeed, ...] = ()
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: tuple[tuple[str, str], ...] = ()
    build: tuple[str, ...] = ()
    images_needed: bool = False
    escort: Escort = NO_ESCORT

    @property
    def image_names(self) -> tuple[str, ...]:
        """Every name that the recipe itself gives an image."""
        return tuple(name for image in self.images for name, _ in _names(image))


def parse_recipe(fields: Fields, *, sha256: str) -> Recipe:
    """Take a recipe from its document; `sha256` is that of its file.

    Raises:
        the error of `fields`, RecipeError: the field that is wrong.
    """
    fields.text("format", match=re.escape(FORMAT), what=f'"{FORMAT}"')
    recipe = Recipe(
        name=fields.text("name", match=NAME, what=NAME_WORDS),
        version=fields.text("version", match=VERSION, what="a version in quotes"),
        description=fields.text("description", "", match=LINE, what=LINE_WORDS),
        sequence=fields.integer("sequence", least=1),
        as_of=fields.moment("as_of", form=DATE, what='a date in quotes, "YYYY-MM-DD"'),
        valid_days=fields.integer("valid_days", 0, most=_MOST_DAYS),
        platforms=take_platforms(fields),
        python=python_source(fields.mapping("python")),
        wheels=fields.texts("wheels", []),
        requirements=relative_paths(fields, "requirements"),
        constraints=relative_paths(fields, "constraints"),
        indexes=index_names(fields),
        build=fields.texts("build", []),
        debs=deb_sources(fields),
        charts=fields.each("charts", chart_source, []),
        rpms=rpm_sources(fields),
        drivers=fields.each("drivers", driver_source, []),
        accelerators=stated_needs(fields),
        files=fields.each("files", file_source, []),
        images=fields.each("images", _image, []),
        images_needed=fields.flag("images_needed", False),
        services=fields.each("services", recipe_service, []),
        egress=egress_allowed(fields),
        sha256=sha256,
    )
    recipe = replace(recipe, escort=take_escort(fields, recipe.services))
    fields.close()
    if recipe.debs and recipe.rpms:
        raise fields.refuse("rpms", "expected debs or rpms, got both", "make a recipe for each distribution")
    check_services(recipe.services)
    _check_images(recipe)
    _check_charts(recipe)
    return recipe


def _image(fields: Fields) -> ComposedImage | TakenImage:
    return composed_image(fields) if fields.has("compose") else taken_image(fields)


def _check_images(recipe: Recipe) -> None:
    if recipe.images_needed and not recipe.images:
        raise RecipeError("expected images beside it, there are none", place="images_needed")
    services = [service.name for service in recipe.services]
    seen: set[str] = set()
    for index, image in enumerate(recipe.images):
        place = f"images[{index}]"
        for name, field in _names(image):
            if name in seen:
                raise RecipeError(f'the reference "{name}" stands twice', place=f"{place}.{field}")
            seen.add(name)
        if isinstance(image, TakenImage) and not set(image.platforms) <= set(recipe.platforms):
            known = ", ".join(map(str, recipe.platforms))
            raise RecipeError(f"expected platforms of the recipe, {known}", place=f"{place}.platforms")
        if isinstance(image, ComposedImage) and image.service not in services:
            raise RecipeError(f'expected the name of a service, got "{image.service}"', place=f"{place}.service")


def _names(image: ComposedImage | TakenImage) -> list[tuple[str, str]]:
    """Return the names of an image, each with the field that gives it."""
    if isinstance(image, ComposedImage):
        return [(image.reference, "compose")]
    aliases = [(alias, f"aliases[{i}]") for i, alias in enumerate(image.aliases)]
    return [(image.reference.name_of(image.reference.sha256), "name" if image.origin else "reference"), *aliases]


def _check_charts(recipe: Recipe) -> None:
    for index, file in enumerate(recipe.files if recipe.charts else ()):
        if file.to.split("/")[0] == CHARTS:
            raise RecipeError(f'expected a place outside "{CHARTS}", which the charts have', place=f"files[{index}].to")
