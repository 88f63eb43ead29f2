"""One machine: made, booted, entered, cut off, removed."""

from __future__ import annotations

import contextlib
import hashlib
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
from typing import Any

from isolated.host import (
    CGROUPS,
    ENVIRONMENT,
    MachineError,
    Process,
    beside,
    call,
    cgroups_of,
    escape,
    failure,
    finish,
    gone,
    host_has_systemd,
    inits_below,
    joining,
    mounts_below,
    removed,
    stdin,
    text,
    wait,
    write_json,
)
from isolated.system import cached_system

PROGRAMS = ("systemd-nspawn", "mmdebstrap", "nsenter", "setpriv", "cp")
COPY_TIMEOUT_S = 300.0
SIGNAL_POWEROFF = signal.SIGRTMIN + 4  # What systemd as process 1 takes for `systemctl poweroff`.
# Options for `boot` that let the machine's systemd enforce IPAddressDeny= of its units.
IP_FILTER = ("--system-call-filter=bpf", "--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """An HTTP reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Machine:
    """An isolated machine on the disk `root`; as a context manager it is destroyed at the end."""

    def __init__(self, root: Path | str) -> None:
        """Find the machine that was created on this root, whichever process did so.

        Raises:
            MachineError: No machine was created there.
        """
        self.root = Path(root).resolve()
        self.state_file = beside(self.root, ".machine.json")
        self.console = beside(self.root, ".console.log")
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
        if beside(root, ".machine.json").is_file():
            cls(root).destroy()
        if root.exists() and any(root.iterdir()):
            raise MachineError(f"'{root}': expected no or an empty directory for the machine's disk")
        system = cached_system(suite, include)
        root.mkdir(parents=True, exist_ok=True)
        write_json(beside(root, ".machine.json"), {"suite": suite})
        machine = cls(root)
        with machine._undone_on_failure(machine.destroy):
            call(["cp", "-a", "--reflink=auto", f"{system}/.", str(root)], timeout_s=COPY_TIMEOUT_S)
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
        argv = joining(cgroups_of(pid), [*enter, "--root", "--wd", "--", *argv])
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
        process = self.start(argv, env=env, stdin=stdin(input), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = finish(process, argv, timeout_s, (input or "").encode() or None)
        done = subprocess.CompletedProcess(list(argv), process.returncode, text(out), text(err))
        if check and done.returncode != 0:
            raise MachineError(failure(done.args, done.returncode, done.stdout + done.stderr))
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
            str(Path(__file__).with_name("request.py")),
        ]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(argv, env=ENVIRONMENT, start_new_session=True, **pipes)
        what = [method, f"port {port}", path]
        out, err = finish(process, what, timeout_s, json.dumps(request).encode() + b"\n" + (body or b""))
        if process.returncode != 0:
            raise MachineError(failure(what, process.returncode, text(err)))
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
                self._await("shut down", time.monotonic() + timeout_s, lambda: gone(leader, supervisor))
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
                wait(lambda: gone(leader, supervisor), 1.0)
        if not wait(lambda: gone(leader, supervisor), 10.0):
            raise MachineError(f"'{self.root}': the machine's processes do not die")
        if self._popen is not None:
            self._popen.wait(10)
            self._popen = None
        self._remove_traces()
        self._forget("leader", "supervisor")

    def destroy(self) -> None:
        """Cut the machine's power and remove its disk, mounts below it, and the files beside it."""
        self.kill()
        for mount in mounts_below(self.root):
            call(["umount", "--lazy", mount], timeout_s=30)
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
        if not host_has_systemd():
            argv.append("--keep-unit")  # Else it asks the host's systemd for a scope.
        argv += [f"--bind-ro={escape(source)}:{escape(place)}" for source, place in binds_ro.items()]
        argv += [f"--bind={escape(source)}:{escape(place)}" for source, place in binds.items()]
        return [*argv, *options]

    def _launch(self, argv: Sequence[str]) -> None:
        """Start systemd-nspawn in the background, in its own cgroups unless the host has systemd."""
        cgroups = [] if host_has_systemd() else [path / self.name for path in cgroups_of(os.getpid())]
        for path in cgroups:
            path.mkdir(exist_ok=True)
        self._update({"cgroups": [str(path) for path in cgroups]})
        with self.console.open("ab") as log:
            files: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self._popen = subprocess.Popen(joining(cgroups, argv), env=ENVIRONMENT, start_new_session=True, **files)
        supervisor = Process.of(self._popen.pid)
        self._update({"supervisor": supervisor and supervisor.as_dict()})

    def _found_leader(self) -> bool:
        """Look among the supervisor's children for the machine's process 1, and write it down."""
        supervisor = self._process("supervisor")
        leader = supervisor and next(inits_below(supervisor.pid), None)
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
            wait(lambda: removed(top), 5.0)  # noqa: B023

    def _state(self) -> dict[str, Any]:
        return dict(json.loads(self.state_file.read_text()))

    def _process(self, role: str) -> Process | None:
        value = self._state().get(role)
        return Process(**value) if value else None

    def _update(self, values: Mapping[str, Any]) -> None:
        write_json(self.state_file, {**self._state(), **values})

    def _forget(self, *names: str) -> None:
        write_json(self.state_file, {name: value for name, value in self._state().items() if name not in names})
