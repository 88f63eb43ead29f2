"""Which TCP ports are taken on this host, and by whom."""

from __future__ import annotations

import re
from pathlib import Path

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def listeners(proc: Path) -> dict[int, str]:
    """Return who listens on each port: the unit's name, else the program's; "" when that is not to be seen.

    Source: proc(5), /proc/net/tcp.
    """
    inodes = {inode: port for name in ("tcp", "tcp6") for port, inode in _table(proc / "net" / name)}
    found = dict.fromkeys(inodes.values(), "")
    if found:
        for process in proc.glob("[0-9]*"):
            for inode in _sockets(process / "fd"):
                if inode in inodes:
                    found[inodes[inode]] = _owner(process)
    return found


def _table(path: Path) -> list[tuple[int, str]]:
    try:
        rows = [line.split() for line in path.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [(int(row[1].rpartition(":")[2], 16), row[9]) for row in rows if len(row) > 9 and row[3] == _LISTEN]


def _sockets(directory: Path) -> list[str]:
    found = []
    try:
        for path in directory.iterdir():
            if match := _SOCKET.fullmatch(str(path.readlink())):
                found.append(match[1])
    except OSError:
        # The process ended meanwhile, or is another user's.
        return found
    return found


def _owner(process: Path) -> str:
    try:
        groups = (process / "cgroup").read_text()
        name = (process / "comm").read_text().strip()
    except OSError:
        return ""
    units = re.findall(r"/([^/\n]+\.service)(?:/|\n|$)", groups)
    return units[-1] if units else f"{name} (process {process.name})"
