"""uv as the resolver of Python packages, with the indexes that the user's own configuration names."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.pylock import Pylock, PylockValidationError

from bundler.errors import ResolveError, StepError
from bundler.indexes import Index, environment, has_pip_more, only, redact
from bundler.run import run

ROOT = "ferry-recipe"
_TIMEOUT_S = 600
# The oldest Python that Ferry itself runs on: uv wants its interpreter to fit the project.
_OLDEST_PYTHON = "3.11"
_LINUX = "sys_platform == 'linux' and platform_python_implementation == 'CPython'"
# The newest C library that uv has a name for.
_NEWEST_GLIBC = (2, 40)


_HINT = "check the requirement, the date, and the package index of your pip or uv configuration"
_PIP = (
    "; pip's further indexes are not asked, since pip prefers none: name one in UV_INDEX, which is asked first, or as "
    "FERRY_INDEX_NAME for single packages"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What uv is to resolve: for CPython `python`, as of a day, for every machine at once (none: for any).

    `indexes` says where single packages come from; each of those is among the requirements too. Of `dateless` ones
    the day does not matter.
    """

    requirements: tuple[str, ...]
    python: str
    as_of: str
    machines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    indexes: tuple[tuple[str, Index], ...] = ()
    dateless: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What uv resolved: the files, as PEP 751 describes them, and its own lock, which says what pulls what."""

    files: Pylock
    graph: dict[str, Any]


def lock(question: Question, *, work: Path) -> Answer:
    """Resolve a question as of the end of its day.

    `work` is an empty directory for uv's files.

    Raises:
        ResolveError: nothing satisfies the requirements; the message is uv's.
    """
    (work / "pyproject.toml").write_text(_project(question))
    logins = {name: value for _, index in question.indexes for name, value in index.environment.items()}
    settings = environment(os.environ) | logins
    words = ["lock", "--quiet", "--exclude-newer", _end_of(question.as_of), "--no-python-downloads"]
    words += [word for name in question.dateless for word in ("--exclude-newer-package", f"{name}=false")]
    _uv([*words, "--python", sys.executable], work, settings)
    words = ["export", "--quiet", "--frozen", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml"]
    _uv(words, work, settings)
    return Answer(files=_read(work / "pylock.toml"), graph=_parse(work / "uv.lock"))


def locate(pins: Sequence[str], *, python: str, work: Path, index: Index | None = None) -> Pylock:
    """Ask the configured indexes, or only `index`, where the files of exact `pins` (`name==version`) are now.

    Raises:
        ResolveError: no index has a pin.
    """
    (work / "pins.txt").write_text("\n".join(pins) + "\n")
    words = ["pip", "compile", "--quiet", "--no-deps", "--universal", "--python-version", python]
    words += ["--no-python-downloads", "--format", "pylock.toml", "-o", "pylock.toml", "pins.txt"]
    _uv(words, work, _settings(index))
    return _read(work / "pylock.toml")


def version_with_wheel(
    requirement: str, *, lowest: bool, tag: str, python: str, as_of: str, work: Path, index: Index | None = None
) -> str | None:
    """Return the highest version (the lowest if so asked) that has a wheel for `tag`, such as x86_64-manylinux_2_36."""
    (work / "wanted.txt").write_text(requirement + "\n")
    words = ["pip", "compile", "--quiet", "--no-deps", "--no-header", "--no-annotate", "--only-binary", ":all:"]
    words += ["--python-platform", tag, "--python-version", python, "--no-python-downloads"]
    words += ["--exclude-newer", _end_of(as_of), "--resolution", "lowest" if lowest else "highest", "wanted.txt"]
    try:
        answer = _run(words, work, _settings(index))
    except StepError:
        return None
    match = re.search(r"^[^=#]+==([^ ;\s]+)", answer, re.MULTILINE)
    return match[1] if match else None


def platform_tag(machine: str, glibc: tuple[int, int]) -> str:
    """Return uv's name for a machine with a C library."""
    major, minor = min(glibc, _NEWEST_GLIBC)
    return f"{machine}-manylinux_{major}_{minor}"


def _end_of(day: str) -> str:
    """The day is meant to its end, so that "as of the release date" includes the release."""
    return f"{day}T23:59:59Z"


def _settings(index: Index | None) -> dict[str, str]:
    return only(index, os.environ) if index else environment(os.environ)


def _project(question: Question) -> str:
    """Return a project that wants the requirements on each machine, whatever Python runs here."""
    lines = ["[project]", f'name = "{ROOT}"', 'version = "0"', f'requires-python = ">={_OLDEST_PYTHON}"']
    lines += [*_list("dependencies", question.requirements), "", "[tool.uv]"]
    lines += _list("environments", _environments(question))
    lines += _list("constraint-dependencies", question.constraints)
    for index in dict(question.indexes).values():
        lines += ["", "[[tool.uv.index]]", f'name = "{index.name}"', f"url = {_quoted(index.url)}", "explicit = true"]
    lines += ["", "[tool.uv.sources]"]
    lines += [f'{_quoted(name)} = {{ index = "{index.name}" }}' for name, index in question.indexes]
    return "\n".join(lines) + "\n"


def _environments(question: Question) -> list[str]:
    major, minor = question.python.split(".")
    base = f"python_full_version >= '{question.python}' and python_full_version < '{major}.{int(minor) + 1}' and "
    machines = [f" and platform_machine == '{name}'" for name in question.machines]
    return [f"{base}{_LINUX}{machine}" for machine in machines or [""]]


def _list(name: str, values: Sequence[str]) -> list[str]:
    return [f"{name} = [", *(f"  {_quoted(value)}," for value in values), "]"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _uv(words: Sequence[str], work: Path, settings: Mapping[str, str]) -> None:
    try:
        _run(words, work, settings)
    except StepError as error:
        # What uv says, without how it was called.
        says = error.message.partition("\n")[2].removeprefix("error: ") or error.message
        raise ResolveError(
            f"uv found no answer: {says}", hint=_HINT + (_PIP if has_pip_more(os.environ) else "")
        ) from error


def _run(words: Sequence[str], work: Path, settings: Mapping[str, str]) -> str:
    try:
        return run([_program(), *words], timeout_s=_TIMEOUT_S, cwd=work, environment=settings).stdout
    except StepError as error:
        # Not chained: what uv says may hold the login of an index.
        raise StepError(redact(error.message)) from None


def _program() -> str:
    from uv import find_uv_bin

    return str(find_uv_bin())


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ResolveError(f"expected a lock file from uv: {error}") from error


def _read(path: Path) -> Pylock:
    try:
        return Pylock.from_dict(_parse(path))
    except PylockValidationError as error:
        raise ResolveError(f"expected a lock file of PEP 751 from uv: {error}") from error
