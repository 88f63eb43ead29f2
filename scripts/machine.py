#!/usr/bin/env python3
"""Run throw-away isolated machines: a bare Debian with systemd, no Python, no OpenSSL, no network.

A machine is a directory (its disk) that systemd-nspawn boots with a network namespace of its own. What
is known of it stands in `ROOT.machine.json` beside the directory, so that a later process finds it again;
its console is written to `ROOT.console.log`. Everything here needs root.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

BASE_PACKAGES = ("systemd", "systemd-sysv", "dbus")
PROGRAMS = ("systemd-nspawn", "mmdebstrap", "nsenter", "setpriv", "cp")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
PASSED_ON = ("http_proxy", "https_proxy", "no_proxy", "TMPDIR")
BUILD_TIMEOUT_S = 900.0
COPY_TIMEOUT_S = 300.0
CGROUPS = Path("/sys/fs/cgroup")
SIGNAL_POWEROFF = signal.SIGRTMIN + 4  # What systemd as process 1 takes for `systemctl poweroff`.

# Options for `boot` that let the machine's systemd enforce IPAddressDeny= of its units.
IP_FILTER = ("--system-call-filter=bpf", "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN")

# Joins the cgroups named before `--`, then becomes the program after it.
JOIN_AND_EXEC = 'while [ "$1" != -- ]; do echo $$ >"$1" || exit 126; shift; done; shift; exec "$@"'


class MachineError(Exception):
    """A machine, or a program in it, did not do what was asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An HTTP reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
        return cls(pid=pid, started=int(fields[19]), boot_id=_host_boot_id())

    @property
    def is_alive(self) -> bool:
        return Process.of(self.pid) == self

    def signal(self, number: int) -> None:
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def as_dict(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "boot_id": self.boot_id}


class Machine:
    """An isolated machine on the disk `root`; as a context manager it is destroyed at the end."""

    def __init__(self, root: Path | str) -> None:
        """Find the machine that was created on this root, whichever process did so.

        Raises:
            MachineError: No machine was created there.
        """
        self.root = Path(root).resolve()
        self.state_file = _beside(self.root, ".machine.json")
        self.console = _beside(self.root, ".console.log")
        self.name = "ferry-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        self._popen: subprocess.Popen[bytes] | None = None
        if not self.state_file.is_file():
            raise MachineError(f"'{self.root}': no machine was created here")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    @staticmethod
    def reason_unavailable() -> str | None:
        """Say why machines cannot run on this host, None where they can."""
        if os.geteuid() != 0:
            return "isolated machines need root"
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            return f"isolated machines need {', '.join(missing)}"
        if not CGROUPS.is_dir() or not any(CGROUPS.iterdir()):
            return f"isolated machines need control groups in {CGROUPS}"
        return None

    @classmethod
    def create(cls, suite: str, root: Path | str, *, include: Sequence[str] = ()) -> Machine:
        """Make a machine's disk from the cached system of `suite`, which is built when it is not there yet.

        A machine left on the same root by an earlier run is destroyed first.

        Raises:
            MachineError: `root` holds something that is no machine, or the system cannot be built.
        """
        if reason := cls.reason_unavailable():
            raise MachineError(reason)
        root = Path(root).resolve()
        if _beside(root, ".machine.json").is_file():
            cls(root).destroy()
        if root.exists() and any(root.iterdir()):
            raise MachineError(f"'{root}': expected no or an empty directory for the machine's disk")
        system = cached_system(suite, include)
        root.mkdir(parents=True, exist_ok=True)
        _write_json(_beside(root, ".machine.json"), {"suite": suite})
        machine = cls(root)
        with machine._undone_on_failure(machine.destroy):
            _call(["cp", "-a", "--reflink=auto", f"{system}/.", str(root)], timeout_s=COPY_TIMEOUT_S)
        return machine

    @property
    def suite(self) -> str:
        return str(self._state()["suite"])

    @property
    def is_running(self) -> bool:
        leader = self._process("leader")
        return leader is not None and leader.is_alive

    @property
    def leader_pid(self) -> int:
        """Return the number that the machine's process 1 has on this host."""
        leader = self._process("leader")
        if leader is None or not leader.is_alive:
            raise MachineError(f"'{self.root}': the machine is not running\n{self._console_tail()}")
        return leader.pid

    def boot(
        self,
        *,
        binds_ro: Mapping[str | Path, str] | None = None,
        binds: Mapping[str | Path, str] | None = None,
        options: Sequence[str] = (),
        timeout_s: float = 60.0,
        outlive: bool = False,
    ) -> float:
        """Start the machine, wait until its start is finished, and return how many seconds that took.

        A start with failed units counts as finished. `binds_ro` and `binds` map paths of this host to paths
        in the machine; `options` goes to systemd-nspawn as it is. Unless `outlive` is set, the machine shuts
        down when the thread that called this ends, however it ends.

        Raises:
            MachineError: It runs already, or was not up in time (its console is in the message).
        """
        if self.is_running:
            raise MachineError(f"'{self.root}': the machine is running already")
        self.kill()
        started = time.monotonic()
        argv = self._nspawn_argv(binds_ro or {}, binds or {}, options)
        with self._undone_on_failure(self.kill):
            self._launch(argv if outlive else ["setpriv", "--pdeathsig", "TERM", *argv])
            deadline = started + timeout_s
            self._await("start its process 1", deadline, self._found_leader)
            self._await("finish its start", deadline, self._is_up)
        return time.monotonic() - started

    def start(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **files: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program in the machine and return at once; `files` are stdin, stdout and stderr for Popen.

        The program is in all of the machine's namespaces and in the cgroup of its process 1, has a clean
        environment plus `env`, and leads a process group. What must be a unit is started by systemd-run.
        """
        pid = self.leader_pid
        enter = ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        argv = _joining(_cgroups_of(pid), [*enter, "--root", "--wd", "--", *argv])
        return subprocess.Popen(argv, env={**ENVIRONMENT, **(env or {})}, start_new_session=True, **files)

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        input: str | None = None,  # noqa: A002  It is the word of subprocess.run.
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the machine to its end and return its status and output.

        Raises:
            MachineError: It was not done in time, or failed while `check` is set.
        """
        process = self.start(argv, env=env, stdin=_stdin(input), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = _finish(process, argv, timeout_s, (input or "").encode() or None)
        done = subprocess.CompletedProcess(list(argv), process.returncode, _text(out), _text(err))
        if check and done.returncode != 0:
            raise MachineError(_failure(done.args, done.returncode, done.stdout + done.stderr))
        return done

    def http(
        self,
        port: int,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Reply:
        """Send a request to a loopback port of the machine and return the reply, streamed ones once they end.

        Only the network namespace is entered: the client is this host's Python.

        Raises:
            MachineError: Nothing listens there, or the reply was not complete in time.
        """
        request = {
            "port": port,
            "method": method,
            "path": path,
            "headers": dict(headers or {}),
            "timeout_s": timeout_s,
        }
        argv = [
            "nsenter",
            f"--target={self.leader_pid}",
            "--net",
            "--",
            sys.executable,
            "-I",
            __file__,
            "_http",
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(argv, env=ENVIRONMENT, start_new_session=True, **pipes)
        what = [method, f"port {port}", path]
        out, err = _finish(process, what, timeout_s, json.dumps(request).encode() + b"\n" + (body or b""))
        if process.returncode != 0:
            raise MachineError(_failure(what, process.returncode, _text(err)))
        head, _, content = out.partition(b"\n")
        return Reply(**json.loads(head), body=content)

    def poweroff(self, *, timeout_s: float = 60.0) -> None:
        """Shut the machine down cleanly; nothing happens where it is off.

        Raises:
            MachineError: It was not off in time; its power is then cut.
        """
        leader, supervisor = self._process("leader"), self._process("supervisor")
        if leader is not None and leader.is_alive:
            with self._undone_on_failure(self.kill):
                leader.signal(SIGNAL_POWEROFF)
                self._await("shut down", time.monotonic() + timeout_s, lambda: _gone(leader, supervisor))
        self.kill()

    def kill(self) -> None:
        """Cut the machine's power: all its processes die at once; nothing happens where it is off.

        What they wrote but did not sync is still there at the next start, because this host keeps running.
        """
        leader, supervisor = self._process("leader"), self._process("supervisor")
        for process in (leader, supervisor):
            if process is not None:
                process.signal(signal.SIGKILL)
                # The supervisor gets a moment, because it tidies up on this host once its machine is dead.
                _wait(lambda: _gone(leader, supervisor), 1.0)
        if not _wait(lambda: _gone(leader, supervisor), 10.0):
            raise MachineError(f"'{self.root}': the machine's processes do not die")
        if self._popen is not None:
            self._popen.wait(10)
            self._popen = None
        self._remove_traces()
        self._forget("leader", "supervisor")

    def destroy(self) -> None:
        """Cut the machine's power and remove its disk, mounts below it, and the files beside it."""
        self.kill()
        for mount in _mounts_below(self.root):
            _call(["umount", "--lazy", mount], timeout_s=30)
        shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            raise MachineError(f"'{self.root}': the machine's disk cannot be removed")
        self.console.unlink(missing_ok=True)
        self.state_file.unlink(missing_ok=True)

    def _nspawn_argv(
        self, binds_ro: Mapping[str | Path, str], binds: Mapping[str | Path, str], options: Sequence[str]
    ) -> list[str]:
        argv = [
            "systemd-nspawn",
            f"--directory={self.root}",
            f"--machine={self.name}",
            "--boot",
            "--private-network",
        ]
        argv += ["--register=no", "--settings=no", "--resolv-conf=off", "--timezone=off", "--link-journal=no"]
        if not _host_has_systemd():
            argv.append("--keep-unit")  # Else it asks the host's systemd for a scope.
        argv += [f"--bind-ro={_escape(source)}:{_escape(place)}" for source, place in binds_ro.items()]
        argv += [f"--bind={_escape(source)}:{_escape(place)}" for source, place in binds.items()]
        return [*argv, *options]

    def _launch(self, argv: Sequence[str]) -> None:
        """Start systemd-nspawn in the background, in its own cgroups unless the host has systemd."""
        cgroups = [] if _host_has_systemd() else [path / self.name for path in _cgroups_of(os.getpid())]
        for path in cgroups:
            path.mkdir(exist_ok=True)
        self._update({"cgroups": [str(path) for path in cgroups]})
        with self.console.open("ab") as log:
            files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self._popen = subprocess.Popen(_joining(cgroups, argv), env=ENVIRONMENT, start_new_session=True, **files)
        supervisor = Process.of(self._popen.pid)
        self._update({"supervisor": supervisor and supervisor.as_dict()})

    def _found_leader(self) -> bool:
        """Look among the supervisor's children for the machine's process 1, and write it down."""
        supervisor = self._process("supervisor")
        leader = supervisor and next(_inits_below(supervisor.pid), None)
        if leader:
            self._update({"leader": leader.as_dict()})
        return bool(leader)

    def _is_up(self) -> bool:
        try:
            state = self.run(["systemctl", "is-system-running"], check=False, timeout_s=10).stdout.strip()
        except MachineError:
            return False
        return state in ("running", "degraded")

    def _await(self, what: str, deadline: float, is_done: Callable[[], bool]) -> None:
        while not is_done():
            ended = self._popen is not None and self._popen.poll() is not None and not is_done()
            if ended or time.monotonic() > deadline:
                how = f"ended with status {self._popen.returncode}" if ended and self._popen else "took too long"
                raise MachineError(f"'{self.root}': the machine {how}, it did not {what}\n{self._console_tail()}")
            time.sleep(0.05)

    @contextlib.contextmanager
    def _undone_on_failure(self, undo: Callable[[], None]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            undo()
            raise

    def _console_tail(self, lines: int = 25) -> str:
        if not self.console.is_file():
            return ""
        return "\n".join(self.console.read_text(errors="replace").splitlines()[-lines:])

    def _remove_traces(self) -> None:
        """Remove what a supervisor that was killed itself could not tidy up on this host."""
        with contextlib.suppress(OSError):
            (Path("/run/systemd/nspawn/propagate") / self.name).rmdir()
        for top in map(Path, self._state().get("cgroups", [])):
            _wait(lambda: _removed(top), 5.0)  # noqa: B023

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self.state_file.read_text()))

    def _process(self, role: str) -> Process | None:
        value = self._state().get(role)
        return Process(**value) if value else None

    def _update(self, values: Mapping[str, Any]) -> None:
        _write_json(self.state_file, {**self._state(), **values})

    def _forget(self, *names: str) -> None:
        _write_json(self.state_file, {name: value for name, value in self._state().items() if name not in names})


def cached_system(suite: str, include: Sequence[str] = ()) -> Path:
    """Return the directory of a freshly installed `suite`, built by mmdebstrap when it is not cached yet.

    Two processes that ask at once build it once. Nothing may write to it.

    Raises:
        MachineError: The suite cannot be installed.
    """
    packages = sorted({*BASE_PACKAGES, *include})
    key = hashlib.sha256(json.dumps([1, suite, packages]).encode()).hexdigest()[:12]
    system = cache_dir() / f"{suite}-{key}"
    system.parent.mkdir(parents=True, exist_ok=True)
    with _locked(_beside(system, ".lock"), BUILD_TIMEOUT_S):
        if not system.is_dir():
            _build_system(suite, packages, system)
    return system


def cache_dir() -> Path:
    """Return where installed systems are kept."""
    if own := os.environ.get("FERRY_MACHINE_CACHE"):
        return Path(own).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferry" / "machines"


def archive_uri() -> str | None:
    """Return the Debian archive of this host's apt configuration, None where the host is no Debian."""
    with contextlib.suppress(OSError):
        fields = "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(CODENAME)|$(REPO_URI)"
        argv = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
        done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)
        return _archive_of(done.stdout, _os_release("ID"), _os_release("VERSION_CODENAME"))
    return None


def _archive_of(targets: str, distribution: str, codename: str) -> str | None:
    """Choose the archive among apt's targets; before the first `apt-get update` their origin is not known."""
    if distribution != "debian":
        return None
    for line in targets.splitlines():
        origin, component, release, release_codename, uri = line.split("|")
        is_debian = origin == "Debian" or (not origin and uri.rstrip("/").endswith("/debian"))
        if is_debian and component == "main" and codename in (release, release_codename):
            return uri
    return None


def _build_system(suite: str, packages: Sequence[str], system: Path) -> None:
    building = _beside(system, ".new")
    shutil.rmtree(building, ignore_errors=True)
    mirror = archive_uri()
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", "--format=directory"]
    try:
        _call([*argv, suite, str(building), *([mirror] if mirror else [])], timeout_s=BUILD_TIMEOUT_S)
        _neutralize(building)
        building.rename(system)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _neutralize(system: Path) -> None:
    """Remove what mmdebstrap copied from this host."""
    (system / "etc/hostname").write_text("isolated\n")
    (system / "etc/hosts").write_text("127.0.0.1 localhost isolated\n::1 localhost\n")
    (system / "etc/resolv.conf").unlink(missing_ok=True)
    (system / "etc/apt/sources.list").unlink(missing_ok=True)


def _call(argv: Sequence[str], *, timeout_s: float) -> None:
    """Run a program of this host to its end; its output is only for the error."""
    environment = ENVIRONMENT | {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    files: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
    }
    process = subprocess.Popen(argv, env=environment, start_new_session=True, **files)
    out, _ = _finish(process, argv, timeout_s, None)
    if process.returncode != 0:
        raise MachineError(_failure(argv, process.returncode, _text(out)))


def _finish(
    process: subprocess.Popen[bytes], argv: Sequence[str], timeout_s: float, data: bytes | None
) -> tuple[bytes, bytes]:
    """Wait for a process that leads its group; end the group when time is up or we are interrupted."""
    try:
        return process.communicate(data, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _end_group(process)
        raise MachineError(f"{' '.join(argv)}: not done after {timeout_s:g} s\n{_tail(_text(error.output))}") from None
    except BaseException:
        _end_group(process)
        raise


def _end_group(process: subprocess.Popen[bytes]) -> None:
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


def _joining(cgroups: Sequence[Path], argv: Sequence[str]) -> list[str]:
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


def _cgroups_of(pid: int) -> list[Path]:
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


def _inits_below(parent: int) -> Iterator[Process]:
    """Yield the children of a process that are process 1 of a namespace and have become systemd."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, StopIteration):
            status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
            numbers = status["NSpid"].split()
            is_init = int(status["PPid"]) == parent and len(numbers) > 1 and numbers[-1] == "1"
            process = Process.of(int(directory.name)) if is_init and status["Name"].strip() == "systemd" else None
            if process:
                yield process


def _removed(top: Path) -> bool:
    """Try to remove a cgroup and those in it, which works once no process is left."""
    with contextlib.suppress(OSError):
        for directory, _, _ in os.walk(top, topdown=False):
            Path(directory).rmdir()
    return not top.exists()


def _mounts_below(root: Path) -> list[str]:
    """Return the mount points of this host at or below a directory, innermost first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    plain = [point.encode().decode("unicode_escape").encode("latin-1").decode() for point in points]
    return [point for point in reversed(plain) if Path(point).is_relative_to(root)]


def _gone(*processes: Process | None) -> bool:
    return not any(process is not None and process.is_alive for process in processes)


def _wait(is_done: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _locked(path: Path, timeout_s: float) -> Iterator[None]:
    with path.open("w") as file:
        if not _wait(lambda: _try_lock(file), timeout_s):
            raise MachineError(f"'{path}': locked by another process for {timeout_s:g} s")
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _host_has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _host_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _os_release(name: str) -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        key, _, value = line.partition("=")
        if key == name:
            return value.strip('"')
    return ""


def _escape(path: str | Path) -> str:
    return str(path).replace("\\", "\\\\").replace(":", "\\:")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = _beside(path, f".{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def _stdin(data: str | None) -> int:
    return subprocess.DEVNULL if data is None else subprocess.PIPE


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def _tail(text: str, lines: int = 25) -> str:
    return "\n".join(text.splitlines()[-lines:])


def _failure(argv: Sequence[str], status: int, output: str) -> str:
    return f"{' '.join(argv)}: ended with status {status}\n{_tail(output)}"


def _request() -> int:
    """Send the request described on standard input, as `Machine.http` does inside the network namespace."""
    request = json.loads(sys.stdin.buffer.readline())
    connection = http.client.HTTPConnection("127.0.0.1", request["port"], timeout=request["timeout_s"])
    try:
        body = sys.stdin.buffer.read() or None
        connection.request(request["method"], request["path"], body=body, headers=request["headers"])
        response = connection.getresponse()
        head = {"status": response.status, "headers": {k.lower(): v for k, v in response.getheaders()}}
        sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + response.read())
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _command_create(options: argparse.Namespace) -> int:
    Machine.create(options.suite, options.root, include=options.include)
    return 0


def _command_boot(options: argparse.Namespace) -> int:
    binds_ro, binds = dict(options.bind_ro), dict(options.bind)
    seconds = Machine(options.root).boot(
        binds_ro=binds_ro, binds=binds, options=options.option, timeout_s=options.timeout_s, outlive=True
    )
    print(f"{options.root}: up after {seconds:.1f} s")
    return 0


def _command_up(options: argparse.Namespace) -> int:
    _command_create(options)
    try:
        return _command_boot(options)
    except BaseException:
        Machine(options.root).destroy()
        raise


def _command_run(options: argparse.Namespace) -> int:
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    process = Machine(options.root).start(argv, env=dict(options.env))
    _finish(process, argv, options.timeout_s, None)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _command_shell(options: argparse.Namespace) -> int:
    machine = Machine(options.root)
    enter = ["nsenter", f"--target={machine.leader_pid}", "--all", "--root", "--wd", "--", "/bin/bash", "-l"]
    environment = ENVIRONMENT | {"TERM": os.environ.get("TERM", "dumb"), "HOME": "/root"}
    return subprocess.run(_joining(_cgroups_of(machine.leader_pid), enter), env=environment, check=False).returncode


def _command_http(options: argparse.Namespace) -> int:
    body = options.body_file.read_bytes() if options.body_file else None
    method = options.method or ("POST" if body is not None else "GET")
    reply = Machine(options.root).http(
        options.port,
        method,
        options.path,
        body=body,
        headers=dict(options.header),
        timeout_s=options.timeout_s,
    )
    sys.stdout.buffer.write(reply.body)
    if reply.status >= 400:
        sys.stderr.write(f"error: {method} {options.path}: status {reply.status}\n")
    return int(reply.status >= 400)


def _command_poweroff(options: argparse.Namespace) -> int:
    Machine(options.root).poweroff(timeout_s=options.timeout_s)
    return 0


def _command_kill(options: argparse.Namespace) -> int:
    Machine(options.root).kill()
    return 0


def _command_down(options: argparse.Namespace) -> int:
    if _beside(options.root.resolve(), ".machine.json").is_file():
        Machine(options.root).destroy()
    return 0


def _pair(separator: str) -> Callable[[str], tuple[str, str]]:
    def split(text: str) -> tuple[str, str]:
        left, found, right = text.partition(separator)
        if not found:
            raise argparse.ArgumentTypeError(f"expected two parts with '{separator}' between, got '{text}'")
        return left, right.strip()

    return split


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="machine.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], text: str, timeout_s: float) -> Any:
        sub = commands.add_parser(name, help=text)
        sub.add_argument("--root", type=Path, required=True, help="the directory that is the machine's disk")
        sub.add_argument("--timeout-s", type=float, default=timeout_s, help="default: %(default)g")
        sub.set_defaults(function=function)
        return sub

    create = command("create", _command_create, "make a machine's disk", BUILD_TIMEOUT_S)
    boot = command("boot", _command_boot, "start a machine and wait until it is up", 60)
    up = command("up", _command_up, "create and boot", 60)
    for sub in (create, up):
        sub.add_argument("--suite", default="bookworm", help="Debian's code name, default: %(default)s")
        sub.add_argument("--include", action="append", default=[], metavar="PACKAGE", help="a package more")
    for sub in (boot, up):
        for flag in ("--bind-ro", "--bind"):
            sub.add_argument(flag, action="append", default=[], type=_pair(":"), metavar="HERE:THERE")
        sub.add_argument("--option", action="append", default=[], help="an option more for systemd-nspawn")
    run = command("run", _command_run, "run a program in the machine", 3600)
    run.add_argument("--env", action="append", default=[], type=_pair("="), metavar="NAME=VALUE")
    run.add_argument("argv", nargs=argparse.REMAINDER, help="the program and its arguments, after --")
    request = command("http", _command_http, "send a request to a loopback port of the machine", 60)
    request.add_argument("--port", type=int, required=True)
    request.add_argument("--path", default="/")
    request.add_argument("--method", help="default: POST with a body, else GET")
    request.add_argument("--body-file", type=Path)
    request.add_argument("--header", action="append", default=[], type=_pair(":"), metavar="NAME:VALUE")
    command("shell", _command_shell, "open a shell in the machine", 0)
    command("poweroff", _command_poweroff, "shut the machine down cleanly", 60)
    command("kill", _command_kill, "cut the machine's power", 0)
    for name in ("down", "destroy"):
        command(name, _command_down, "cut the machine's power and remove all of it", 0)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    if list(argv) == ["_http"]:
        return _request()
    if list(argv) == ["reason"]:
        reason = Machine.reason_unavailable()
        print(reason or "machines can run here")
        return int(reason is not None)
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.function(options))
    except MachineError as error:
        sys.stderr.write(f"error: {error}\n")
        return 9
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
