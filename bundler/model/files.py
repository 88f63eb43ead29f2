"""Files in a recipe and in a lock: how each field is read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from packageurl import PackageURL

from bundler.model.document import Fields, describe
from bundler.model.path import absolute_path, any_path, relative_path

# Places of the runtime and of the system, which a file of the payload must not replace.
_TAKEN = frozenset({".ferry", "bin", "dev", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr"})
_KINDS = ("path", "url", "weights")
_PURL = "pkg:huggingface/OWNER/NAME@REVISION"
_SECRET = re.compile("(?i).*(token|secret|passw|signature|credential|api_?key).*|sig|auth|key")
# What recipes share stands beside their directories.
SHARED = "shared"


def source_root(directory: Path, *, shared: bool) -> Path:
    """Return the directory that relative paths of a recipe start from; `directory` is the recipe's."""
    return directory / ".." / SHARED if shared else directory


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """Files from one place, and where they stand below the root of the installation.

    Either `path` (a file, directory or glob beside the recipe; absolute with `outside`; in what recipes share with
    `shared`; with `weights` a directory of a model, checked to be whole) or `url`. `image` says whether composed images
    hold them; None leaves it to the size. `pickles` says what happens to weights that run code when they are loaded:
    refuse, skip or carry.
    """

    to: str
    path: str = ""
    outside: bool = False
    shared: bool = False
    weights: bool = False
    url: str = ""
    sha256: str = ""
    size: int | None = None
    executable: bool = False
    purl: str = ""
    image: bool | None = None
    pickles: str = "refuse"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPath:
    """One regular file, and its place below the root of the installation.

    It comes from `url`, or from `path`: beside the recipe, in what recipes share or, if absolute, anywhere on the
    builder. `image` says whether composed images hold it.
    """

    path: str
    to: str
    size: int
    sha256: str
    executable: bool
    url: str = ""
    image: bool = True
    purl: str = ""
    shared: bool = False

    @property
    def name(self) -> str:
        """What it is called outside the builder: an absolute path is the business of that host alone."""
        if self.url or self.path.startswith("/"):
            return self.to
        return f"{SHARED}/{self.path}" if self.shared else self.path

    def below(self, directory: Path) -> Path:
        """Return where it stands on the builder; `directory` is the recipe's."""
        return source_root(directory, shared=self.shared) / self.path


def file_source(fields: Fields) -> FileSource:
    """Take one source of files from a recipe."""
    kinds = [kind for kind in _KINDS if fields.has(kind)]
    if len(kinds) > 1:
        raise fields.refuse(kinds[1], f'expected one of path, url, weights, "{kinds[0]}" is there too')
    to = relative_path(fields, "to")
    if to.split("/")[0] in _TAKEN:
        raise fields.refuse("to", f'expected a place of the payload\'s own, such as "srv/NAME", got "{to}"')
    kind = kinds[0] if kinds else "path"
    purl = _purl(fields)
    image = fields.flag("image") if fields.has("image") else None
    if kind == "url":
        return FileSource(
            url=public_url(fields),
            to=to,
            sha256=fields.hex("sha256"),
            size=fields.integer("size") if fields.has("size") else None,
            executable=fields.flag("executable", False),
            purl=purl,
            image=image,
        )
    if kind == "weights":
        pickles = fields.text("pickles", "refuse", match="refuse|skip|carry", what="refuse, skip or carry")
        path = any_path(fields, "weights")
        return FileSource(path=path, to=to, weights=True, purl=purl, image=image, pickles=pickles)
    outside, shared = fields.flag("outside", False), fields.flag("shared", False)
    if outside and shared:
        raise fields.refuse("shared", 'expected one of outside, shared, "outside" is there too')
    path = source_path(fields, outside=outside)
    return FileSource(path=path, to=to, outside=outside, shared=shared, purl=purl, image=image)


def source_path(fields: Fields, *, outside: bool) -> str:
    """Take `path`: relative to the recipe, or absolute with `outside`."""
    starts = fields.text_ahead("path")
    if not outside and starts.startswith("/"):
        hint = 'say "outside: true" beside it to take what does not stand beside the recipe'
        raise fields.refuse("path", f"expected a relative path, got {describe(starts)}", hint=hint)
    path = absolute_path(fields, "path") if outside else relative_path(fields, "path")
    if any("**" in part and part != "**" for part in path.split("/")):
        raise fields.refuse("path", f'expected "**" as a whole directory, got {describe(path)}')
    return path


def public_url(fields: Fields) -> str:
    """Take a URL without user, password or token: it stands in the lock and in the bundle, for all to read."""
    text = fields.text("url")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise fields.refuse("url", f"expected a URL of printable ASCII, got {describe(text)}")
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError as error:
        raise fields.refuse("url", f"expected a URL, got {describe(text)}") from error
    plain = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    if not plain and not (parts.scheme in ("http", "https") and host and parts.path.strip("/")):
        raise fields.refuse("url", "expected a URL https://HOST/PATH, http://HOST/PATH or file:///PATH")
    hint = "give the login where the builder keeps it, such as a mirror or proxy of its own"
    if "@" in parts.netloc:
        raise fields.refuse("url", "expected a URL without user and password", hint)
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if _SECRET.fullmatch(name):
            raise fields.refuse("url", f"expected a URL without credentials, {describe(name)} is one", hint)
    if "#" in text:
        raise fields.refuse("url", "expected a URL without a fragment")
    return text


def _purl(fields: Fields) -> str:
    if not fields.has("purl"):
        return ""
    text = fields.text("purl")
    try:
        purl = PackageURL.from_string(text)
    except ValueError as error:
        raise fields.refuse("purl", f"expected a purl such as {_PURL}, got {describe(text)}") from error
    if not purl.version:
        raise fields.refuse("purl", f"expected a purl with its version, such as {_PURL}, got {describe(text)}")
    return purl.to_string()


def locked_path(fields: Fields) -> LockedPath:
    """Take one file from a lock."""
    if fields.has("url") and fields.has("path"):
        raise fields.refuse("url", 'expected one of path, url, "path" is there too')
    is_url = fields.has("url")
    return LockedPath(
        path="" if is_url else any_path(fields, "path"),
        url=public_url(fields) if is_url else "",
        to=relative_path(fields, "to"),
        size=fields.integer("size"),
        sha256=fields.hex("sha256"),
        executable=fields.flag("executable", False),
        image=fields.flag("image", True),
        purl=_purl(fields),
        shared=fields.flag("shared", False),
    )


def locked_path_document(file: LockedPath) -> dict[str, Any]:
    """Return a file as it stands in a lock: what is as usual is left out."""
    source: dict[str, Any] = {"url": file.url} if file.url else {"path": file.path}
    source |= {"shared": True} if file.shared else {}
    document = {**source, "to": file.to, "size": file.size, "sha256": file.sha256}
    document |= {"executable": True} if file.executable else {}
    document |= {} if file.image else {"image": False}
    return document | ({"purl": file.purl} if file.purl else {})
