"""Whether this host runs programs of another processor, by an emulator that its kernel starts.

Source: Linux kernel documentation, binfmt_misc; the ELF specification, e_machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bundler.model.platform import Platform

_REGISTERED = Path("/proc/sys/fs/binfmt_misc")
_ELF = b"\x7fELF"
_MACHINE_AT = 18
_MACHINES = {"amd64": 62, "arm64": 183}


def emulates(platform: Platform, registered: Path = _REGISTERED) -> bool:
    """Say whether the kernel has an emulator for programs of `platform`, also behind another root directory."""
    wanted = _MACHINES[platform.architecture]
    return any(_machine(text) == wanted for text in _texts(registered) if _is_usable(text))


def _texts(registered: Path) -> Iterator[str]:
    try:
        paths = sorted(registered.iterdir())
    except OSError:
        return
    for path in paths:
        try:
            yield path.read_text("utf-8", "replace")
        except OSError:
            # `register` can only be written.
            continue


def _is_usable(text: str) -> bool:
    """Say whether it is switched on, and its emulator is opened when it is registered (F), not when it is used."""
    flags = re.search(r"^flags: (\w*)$", text, re.MULTILINE)
    return text.startswith("enabled\n") and flags is not None and "F" in flags[1]


def _machine(text: str) -> int | None:
    """Return the processor whose ELF programs it takes, None for what is no ELF."""
    magic = re.search(r"^magic ([0-9a-f]+)$", text, re.MULTILINE)
    data = bytes.fromhex(magic[1]) if magic and len(magic[1]) % 2 == 0 else b""
    if "\noffset 0\n" not in text or not data.startswith(_ELF) or len(data) < _MACHINE_AT + 2:
        return None
    return int.from_bytes(data[_MACHINE_AT : _MACHINE_AT + 2], "little")
