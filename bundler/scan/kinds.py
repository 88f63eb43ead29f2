"""Which file is what: how it is written, and who runs it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from bundler.scan.rules import CODE, SETTING, SHELL

JSON = "json"
_SHELL = frozenset({".sh", ".bash", ".ash", ".service", ".timer", ".cron"})
_CODE = frozenset(
    {".py", ".js", ".mjs", ".cjs", ".ts", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".rb", ".pl"}
)
_SETTINGS = frozenset({"pip.conf", ".npmrc", "npmrc", ".yarnrc", ".yarnrc.yml", "uv.toml", ".condarc", ".env"})
_COMMANDS = frozenset({"procfile", "crontab", "entrypoint", "supervisord.conf", "makefile", "justfile"})
_SHEBANG = re.compile(rb"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+)*)?(?:\S*/)?(\w+)")
_SHELLS = frozenset({b"sh", b"bash", b"dash", b"ash", b"zsh", b"ksh"})
_SCRIPTED = (b"python", b"node", b"perl", b"ruby")
# What an operating system or a package manager put there, not the author of an image.
_SYSTEM = re.compile(
    r"(usr/(bin|sbin|lib|lib64|libexec|share|include|src)|bin|sbin|lib|lib64|var|boot"
    r"|etc/(init\.d|cron[^/]*|kernel|apt|dhcp|network|profile\.d|bash[^/]*|ssl|X11|ppp|alternatives|update-motd\.d))/"
    r"|(.*/)?(site-packages|dist-packages|node_modules|__pycache__|\.git)/"
    r"|(usr/local|opt/[^/]+)/lib/|(.*/)?(conda|miniconda3|miniforge3)/(pkgs|lib)/|root/\.(cache|npm|local|cargo|rustup)/"
)
_ASIDE = re.compile(r"(?i)(.*/)?(tests?|testing|examples?|docs?|doc|man|licenses?|[^/]+\.dist-info)/")
_PACKAGE = re.compile(r"(?:.*/)?(?:site|dist)-packages/([A-Za-z0-9_.]+)/__init__\.py")


def is_read(path: str) -> bool:
    """Say whether a file is worth reading; one without suffix may begin with the name of its interpreter."""
    name = PurePosixPath(path)
    known = name.suffix in _SHELL | _CODE or name.suffix in (".json", "") or name.name in _SETTINGS
    return known or name.name.lower() in _COMMANDS


def form_of(path: str, data: bytes) -> str | None:
    """Return how a file is written, None when no rule reads it."""
    name = PurePosixPath(path)
    if name.name in _SETTINGS:
        return SETTING
    if name.suffix in _SHELL or name.name.lower() in _COMMANDS or name.match("*supervisor*/*.conf"):
        return SHELL
    if name.suffix == ".json":
        return JSON
    if name.suffix in _CODE:
        return CODE
    shebang = _SHEBANG.match(data[:200])
    if shebang is None:
        return None
    if shebang[1] in _SHELLS:
        return SHELL
    return CODE if shebang[1].startswith(_SCRIPTED) else None


def is_system(path: str) -> bool:
    """Say whether a file of an image came with its operating system or a package, not from the image's author."""
    return _SYSTEM.match(path) is not None


def is_aside(path: str) -> bool:
    """Say whether a file is a test, an example or a document."""
    return _ASIDE.match(path) is not None


def package_at(path: str) -> str | None:
    """Return the name of the Python package whose first file this is, as its index writes it."""
    found = _PACKAGE.fullmatch(path)
    return found[1].replace("_", "-").lower() if found else None
