"""uv as the resolver of Python packages, with the index that the user's own configuration names."""

from __future__ import annotations

import configparser
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.pylock import Pylock, PylockValidationError

from bundler.errors import ResolveError, StepError
from bundler.run import run

_TIMEOUT_S = 600
# The oldest Python that Ferry itself runs on: uv wants its interpreter to fit the project.
_OLDEST_PYTHON = "3.11"
_LINUX = "sys_platform == 'linux' and platform_python_implementation == 'CPython'"


def lock(
    requirements: Sequence[str],
    *,
    python: str,
    as_of: str,
    machines: Sequence[str],
    constraints: Sequence[str] = (),
    work: Path,
) -> Pylock:
    """Resolve `requirements` as of the end of a day for every machine at once, as PEP 751 describes.

    `work` is an empty directory for uv's files.

    Raises:
        ResolveError: nothing satisfies the requirements; the message is uv's.
    """
    (work / "pyproject.toml").write_text(_project(requirements, python, machines, constraints))
    # The day is meant to its end, so that "as of the release date" includes the release.
    words = ["lock", "--quiet", "--exclude-newer", f"{as_of}T23:59:59Z", "--no-python-downloads"]
    _uv([*words, "--python", sys.executable], work)
    _uv(
        [
            "export",
            "--quiet",
            "--frozen",
            "--no-emit-project",
            "--format",
            "pylock.toml",
            "-o",
            "pylock.toml",
        ],
        work,
    )
    return _read(work / "pylock.toml")


def locate(pins: Sequence[str], *, python: str, work: Path) -> Pylock:
    """Ask the configured index where the files of exact `pins` (`name==version`) are now.

    Raises:
        ResolveError: the index does not have a pin.
    """
    (work / "pins.txt").write_text("\n".join(pins) + "\n")
    words = ["pip", "compile", "--quiet", "--no-deps", "--universal", "--python-version", python]
    _uv([*words, "--no-python-downloads", "--format", "pylock.toml", "-o", "pylock.toml", "pins.txt"], work)
    return _read(work / "pylock.toml")


def _project(requirements: Sequence[str], python: str, machines: Sequence[str], constraints: Sequence[str]) -> str:
    """Return a project that wants `requirements` on CPython `python` of each machine, whatever Python runs here."""
    wanted, held = (",\n".join(f"  {_quoted(one)}" for one in ones) for ones in (requirements, constraints))
    major, minor = python.split(".")
    versions = f"python_full_version >= '{python}' and python_full_version < '{major}.{int(minor) + 1}'"
    environments = ",\n".join(f"  \"{versions} and {_LINUX} and platform_machine == '{name}'\"" for name in machines)
    return (
        f'[project]\nname = "ferry-recipe"\nversion = "0"\nrequires-python = ">={_OLDEST_PYTHON}"\n'
        f"dependencies = [\n{wanted}\n]\n\n[tool.uv]\nenvironments = [\n{environments}\n]\n"
        f"constraint-dependencies = [\n{held}\n]\n"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _uv(words: Sequence[str], work: Path) -> None:
    try:
        run([_program(), *words], timeout_s=_TIMEOUT_S, cwd=work, environment=_environment(os.environ))
    except StepError as error:
        raise ResolveError(
            f"uv found no answer: {error.message}",
            hint="check the requirement, the date, and the package index of your pip or uv configuration",
        ) from error


def _program() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


def _read(path: Path) -> Pylock:
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text())
        return Pylock.from_dict(document)
    except (OSError, tomllib.TOMLDecodeError, PylockValidationError) as error:
        raise ResolveError(f"expected a lock file of PEP 751 from uv: {error}") from error


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Pass uv's own settings on; where it has no index, take the one that pip is configured for."""
    passed = {name: value for name, value in ours.items() if name.startswith("UV_")}
    passed["UV_NO_PROGRESS"] = "1"
    if not any(name in passed for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        index = ours.get("PIP_INDEX_URL") or _pip_index(ours)
        if index:
            passed["UV_DEFAULT_INDEX"] = index
    return passed


def _pip_index(ours: Mapping[str, str]) -> str | None:
    home = Path(ours.get("HOME", "/nonexistent"))
    config = Path(ours.get("XDG_CONFIG_HOME") or home / ".config")
    places: list[str | Path] = [
        "/etc/pip.conf",
        home / ".pip/pip.conf",
        config / "pip/pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]
    parser = configparser.RawConfigParser()
    try:
        parser.read([*places, ours.get("PIP_CONFIG_FILE", "")], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ResolveError(f"pip's configuration cannot be read: {error}") from error
    return parser.get("global", "index-url", fallback=None)
