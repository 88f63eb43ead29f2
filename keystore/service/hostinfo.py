"""What the kernel tells of this host, in the fields that Vault's 'sys/host-info' has.

Source: proc(5). The functions of one part raise OSError, ValueError or
IndexError where the kernel tells less than it usually does; `gather` turns that into a warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_CPU = {
    "vendor_id": "vendorId",
    "cpu family": "family",
    "model": "model",
    "physical id": "physicalId",
    "core id": "coreId",
    "model name": "modelName",
    "microcode": "microcode",
}
_TIMES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guestNice")
_MEMORY = {
    "MemTotal": "total",
    "MemAvailable": "available",
    "MemFree": "free",
    "Active": "active",
    "Inactive": "inactive",
    "Buffers": "buffers",
    "Cached": "cached",
    "Dirty": "dirty",
    "Shmem": "shared",
    "Slab": "slab",
    "SwapTotal": "swaptotal",
    "SwapFree": "swapfree",
}


def gather(directory: Path, proc: Path = _PROC) -> tuple[dict[str, Any], list[str]]:
    """Return every part, null where it cannot be read, and warnings that say why."""
    parts: Mapping[str, Callable[[], Any]] = {
        "cpu": lambda: processors(proc),
        "cpu_times": lambda: processor_times(proc),
        "disk": lambda: disks(directory),
        "host": lambda: host(proc),
        "memory": lambda: memory(proc),
    }
    found: dict[str, Any] = {}
    warnings = []
    for name, read in parts.items():
        try:
            found[name] = read()
        except (OSError, ValueError, IndexError) as error:
            found[name] = None
            warnings.append(f"{name}: {error}")
    return found, warnings


def processors(proc: Path) -> list[dict[str, Any]]:
    """Return each processor."""
    blocks = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")
    found = (dict(_pairs(block)) for block in blocks)
    return [_processor(one) for one in found if "processor" in one]


def _processor(fields: dict[str, str]) -> dict[str, Any]:
    named = {ours: fields[theirs] for theirs, ours in _CPU.items() if theirs in fields}
    mhz = {"mhz": float(fields["cpu MHz"])} if "cpu MHz" in fields else {}
    return {"cpu": int(fields["processor"]), **named, **mhz, "flags": fields.get("flags", "").split()}


def _pairs(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def processor_times(proc: Path) -> list[dict[str, Any]]:
    """Return what each processor did since the start of the host, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [line.split() for line in (proc / "stat").read_text(encoding="ascii").splitlines()]
    return [
        {"cpu": words[0], **{name: int(count) / ticks for name, count in zip(_TIMES, words[1:], strict=False)}}
        for words in lines
        if words and words[0].startswith("cpu") and words[0] != "cpu"
    ]


def memory(proc: Path) -> dict[str, Any]:
    """Return the memory in bytes."""
    fields = dict(_pairs((proc / "meminfo").read_text(encoding="ascii")))
    found: dict[str, Any] = {
        ours: int(fields[theirs].split()[0]) * 1024 for theirs, ours in _MEMORY.items() if theirs in fields
    }
    if not {"total", "available"} <= found.keys():
        raise ValueError("expected MemTotal and MemAvailable, got less")
    used = found["total"] - found["available"]
    return {**found, "used": used, "usedPercent": _percent(used, found["total"])}


def host(proc: Path) -> dict[str, Any]:
    """Return name, uptime and kernel of the host."""
    uptime = int(float((proc / "uptime").read_text(encoding="ascii").split()[0]))
    booted = [line for line in (proc / "stat").read_text(encoding="ascii").splitlines() if line.startswith("btime ")]
    kernel = os.uname()
    return {
        "hostname": kernel.nodename,
        "uptime": uptime,
        "bootTime": int(booted[0].split()[1]),
        "procs": sum(1 for one in proc.iterdir() if one.name.isdigit()),
        "os": kernel.sysname.lower(),
        "kernelVersion": kernel.release,
        "kernelArch": kernel.machine,
        **_distribution(),
    }


def _distribution() -> dict[str, str]:
    text = Path("/etc/os-release").read_text(encoding="utf-8")
    fields = {name: value.strip('"') for name, _, value in (line.partition("=") for line in text.splitlines())}
    return {"platform": fields.get("ID", ""), "platformVersion": fields.get("VERSION_ID", "")}


def disks(directory: Path) -> list[dict[str, Any]]:
    """Return the file systems of the root and of a directory."""
    places = {Path("/"), _mount_of(directory.resolve())}
    return [_disk(place) for place in sorted(places)]


def _mount_of(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if os.path.ismount(one))


def _disk(place: Path) -> dict[str, Any]:
    told = os.statvfs(place)
    total, free = told.f_blocks * told.f_frsize, told.f_bavail * told.f_frsize
    used = (told.f_blocks - told.f_bfree) * told.f_frsize
    return {
        "path": str(place),
        "fstype": _kind(place),
        "total": total,
        "free": free,
        "used": used,
        "usedPercent": _percent(used, used + free),
        "inodesTotal": told.f_files,
        "inodesUsed": told.f_files - told.f_ffree,
        "inodesFree": told.f_ffree,
        "inodesUsedPercent": _percent(told.f_files - told.f_ffree, told.f_files),
    }


def _kind(place: Path) -> str:
    lines = (line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines())
    kinds = {words[1]: words[2] for words in lines}
    return kinds.get(str(place), "")


def _percent(part: int, whole: int) -> float:
    return part / whole * 100 if whole else 0.0
