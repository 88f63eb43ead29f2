"""Processes, control groups and files of the host that isolated machines run on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "TMPDIR")
CGROUPS = Path("/sys/fs/cgroup")
# Joins the cgroups named before `--`, then becomes the program after it.
JOIN_AND_EXEC = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 126; shift; done; shift; exec "$@"'


class MachineError(Exception):
    """A machine, or a program in it, did not do what was asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A process of this host, told from a later one with the same number by its start and the host's boot."""

    pid: int
    started: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the living process with this number, None where there is none or only its zombie."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        return cls(pid=pid, started=int(fields[19]), boot_id=host_boot_id())

    @property
    def is_alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def as_dict(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "boot_id": self.boot_id}


def call(argv: Sequence[str], *, timeout_s: float) -> None:
    """Run a program of this host to its end; its output is only for the error."""
    environment = ENVIRONMENT | {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    files: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
    }
    process = subprocess.Popen(argv, env=environment, start_new_session=True, **files)
    out, _ = finish(process, argv, timeout_s, None)
    if process.returncode != 0:
        raise MachineError(failure(argv, process.returncode, text(out)))


def finish(
    process: subprocess.Popen[bytes], argv: Sequence[str], timeout_s: float, data: bytes | None
) -> tuple[bytes, bytes]:
    """Wait for a process that leads its group; end the group when time is up or we are interrupted."""
    try:
        return process.communicate(data, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        end_group(process)
        raise MachineError(f"{' '.join(argv)}: not done after {timeout_s:g} s\n{tail(text(error.output))}") from None
    except BaseException:
        end_group(process)
        raise


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process group, first politely, and close our ends even if a stray child keeps the others open."""
    for number, patience_s in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    for file in (process.stdin, process.stdout, process.stderr):
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


def joining(cgroups: Sequence[Path], argv: Sequence[str]) -> list[str]:
    """Return an argv that joins cgroups and then becomes `argv`."""
    return [
        "/bin/sh",
        "-c",
        JOIN_AND_EXEC,
        "sh",
        *(str(path / "cgroup.procs") for path in cgroups),
        "--",
        *argv,
    ]


def cgroups_of(pid: int) -> list[Path]:
    """Return a process's places in the hierarchies that systemd keeps its units in."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == "name=systemd":
            found.append(CGROUPS / "systemd" / path.lstrip("/"))
        elif number == "0":
            unified = CGROUPS / "unified"
            found.append((unified if unified.is_dir() else CGROUPS) / path.lstrip("/"))
    return [path for path in found if (path / "cgroup.procs").exists()]


def inits_below(parent: int) -> Iterator[Process]:
    """Yield the children of a process that are process 1 of a namespace and have become systemd."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, StopIteration):
            status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
            numbers = status["NSpid"].split()
            is_init = int(status["PPid"]) == parent and len(numbers) > 1 and numbers[-1] == "1"
            process = Process.of(int(directory.name)) if is_init and status["Name"].strip() == "systemd" else None
            if process:
                yield process


def removed(top: Path) -> bool:
    """Try to remove a cgroup and those in it, which works once no process is left."""
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(top, topdown=False):
            Path(directory).rmdir()
    return not top.exists()


def mounts_below(root: Path) -> list[str]:
    """Return the mount points of this host at or below a directory, innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [point.encode().decode("unicode_escape").encode("latin-1").decode() for point in points]
    return [point for point in reversed(plain) if Path(point).is_relative_to(root)]


def gone(*processes: Process | None) -> bool:
    return not any(process is not None and process.is_alive for process in processes)


def wait(is_done: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    with path.open("w") as file:
        if not wait(lambda: try_lock(file), timeout_s):
            raise MachineError(f"'{path}': locked by another process for {timeout_s:g} s")
        yield


def try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def host_has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def host_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def os_release(name: str) -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == name:
            return value.strip('"')
    return ""


def escape(path: str | Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = beside(path, f".{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def stdin(data: str | None) -> int:
    return subprocess.DEVNULL if data is None else subprocess.PIPE


def text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def tail(text: str, lines: int = 25) -> str:
    return "\n".join(text.splitlines()[-lines:])


def failure(argv: Sequence[str], status: int, output: str) -> str:
    return f"{' '.join(argv)}: ended with status {status}\n{tail(output)}"
