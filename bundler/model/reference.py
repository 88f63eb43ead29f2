"""A reference to an image in a registry: where it is, and by which tag or digest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bundler.errors import RecipeError
from bundler.model.document import describe

HUB = "docker.io"
_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = rf"({_LABEL}(\.{_LABEL})*|\[[0-9a-f:]+\])(:[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_FORM = re.compile(
    rf"(?P<host>{_HOST})/(?P<repository>{_COMPONENT}(/{_COMPONENT})*)"
    r"(:(?P<tag>[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}))?(@sha256:(?P<sha256>[0-9a-f]{64}))?"
)
_LONGEST = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """An image: the host that names its registry, the repository there, a tag, a SHA-256 in hex, or both.

    The digest decides where both stand. It may be that of an index or of an image manifest.
    """

    host: str
    repository: str
    tag: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.repository}{tag}" + (f"@sha256:{self.sha256}" if self.sha256 else "")

    @property
    def what(self) -> str:
        """What a registry is asked for: the digest, or else the tag."""
        return f"sha256:{self.sha256}" if self.sha256 else self.tag

    def name_of(self, sha256: str) -> str:
        """Return the name under which the image manifest `sha256` is listed: by tag, or by its own digest."""
        return f"{self.host}/{self.repository}" + (f":{self.tag}" if self.tag else f"@sha256:{sha256}")


def parse_reference(text: str, *, place: str) -> Reference:
    """Parse `HOST/NAME:TAG`, `HOST/NAME@sha256:HEX` or both; neither host nor tag is guessed.

    The one thing completed is what Docker Hub's own names leave out: `docker.io/redis` is `docker.io/library/redis`.

    Raises:
        RecipeError: any other text.
    """
    match = _FORM.fullmatch(text)
    if match is None or not (match["tag"] or match["sha256"]) or len(match["repository"]) > _LONGEST:
        raise RecipeError(
            f"expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got {describe(text)}",
            place=place,
            hint=f"write it in full, such as {HUB}/library/redis:7.2",
        )
    host, repository = match["host"], match["repository"]
    if not re.search("[.:]", host) and host != "localhost":
        hint = f"an image of Docker Hub is written {HUB}/{text}"
        raise RecipeError(f'expected the host of a registry first, got "{host}"', place=place, hint=hint)
    if host in (HUB, f"index.{HUB}"):
        host, repository = HUB, repository if "/" in repository else f"library/{repository}"
    return Reference(host=host, repository=repository, tag=match["tag"] or "", sha256=match["sha256"] or "")


def familiar_reference(text: str, *, place: str) -> Reference:
    """Parse a reference as container engines complete it: Docker Hub's host and the tag `latest` may be left out.

    Raises:
        RecipeError: any other text.
    """
    first, slash, _ = text.partition("/")
    has_host = bool(slash) and (bool(re.search("[.:]", first)) or first == "localhost")
    full = text if has_host else f"{HUB}/{text}"
    if ":" not in full.rpartition("/")[2]:
        full += ":latest"
    return parse_reference(full, place=place)
