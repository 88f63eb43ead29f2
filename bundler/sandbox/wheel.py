"""A wheel from an sdist, made by the payload's own Python with nothing but locked parts."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from bundler.errors import IntegrityError, ResolveError, StepError
from bundler.sandbox.namespace import INSIDE, run_in_root
from bundler.tree import unpack_tar, write_tree_file

_TIMEOUT_S = 600


def build_wheel(sdist: Path, name: str, *, root: Path, python: str) -> Path:
    """Build the wheel of the sdist called `name` in the tree at `root`; return its path.

    The tree holds Python `python` (a minor version) and the installed build requirements; it is written to. The same
    sdist and tree give the same bytes.

    Raises:
        ResolveError: it cannot be built without network and compiler.
    """
    (root / INSIDE).mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="sdist-", dir=root / INSIDE))
    (work / "out").mkdir()
    source = _unpack(sdist, name, work / "source")
    spec = {"source": f"/{source.relative_to(root)}", "out": f"/{(work / 'out').relative_to(root)}"}
    try:
        answer = run_in_root(root, f"/usr/bin/python{python}", "inside_wheel.py", spec, timeout_s=_TIMEOUT_S)
    except StepError as error:
        raise ResolveError(
            f"no wheel can be built: {error.message}",
            place=name,
            hint="name what it is built with under `build` in the recipe, or a release that publishes wheels",
        ) from error
    wheel = work / "out" / Path(str(answer["wheel"])).name
    if not wheel.name.endswith("-any.whl"):
        raise ResolveError(
            f'expected a wheel for any platform, got "{wheel.name}"',
            place=name,
            hint="name a release that publishes wheels",
        )
    return wheel


def _unpack(sdist: Path, name: str, work: Path) -> Path:
    work.mkdir()
    if name.endswith(".zip"):
        _unpack_zip(sdist, name, work)
    else:
        with gzip.open(sdist, "rb") as stream:
            unpack_tar(stream, work, packed_bytes=sdist.stat().st_size, replace=True)
    directories = [path for path in work.iterdir() if path.is_dir()]
    if len(directories) != 1:
        raise ResolveError(f"expected one directory in the sdist, got {len(directories)}", place=name)
    return directories[0]


def _unpack_zip(sdist: Path, name: str, work: Path) -> None:
    try:
        with ZipFile(sdist) as archive:
            for member in archive.infolist():
                if not member.is_dir():
                    with archive.open(member) as stream:
                        write_tree_file(work, member.filename, stream, executable=False)  # type: ignore[arg-type]
    except (BadZipFile, RuntimeError) as error:
        raise IntegrityError(f"expected a zip: {error}", place=name) from error
