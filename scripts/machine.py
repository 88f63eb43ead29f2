#!/usr/bin/env python3
"""Run throw-away isolated machines: a bare Debian with systemd, no Python, no OpenSSL, no network.

A machine is a directory (its disk) that systemd-nspawn boots with a network namespace of its own. What
is known of it stands in `ROOT.machine.json` beside the directory, so that a later process finds it again;
its console is written to `ROOT.console.log`. Everything here needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isolated.host import ENVIRONMENT, MachineError, Process, beside, cgroups_of, finish, joining
from isolated.machine import IP_FILTER, Machine, Reply
from isolated.system import BUILD_TIMEOUT_S, archive_uri, cached_system

__all__ = ["IP_FILTER", "Machine", "MachineError", "Process", "Reply", "archive_uri", "cached_system"]


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
    finish(process, argv, options.timeout_s, None)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _command_shell(options: argparse.Namespace) -> int:
    machine = Machine(options.root)
    enter = ["nsenter", f"--target={machine.leader_pid}", "--all", "--root", "--wd", "--", "/bin/bash", "-l"]
    environment = ENVIRONMENT | {"TERM": os.environ.get("TERM", "dumb"), "HOME": "/root"}
    return subprocess.run(joining(cgroups_of(machine.leader_pid), enter), env=environment, check=False).returncode


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
    if beside(options.root.resolve(), ".machine.json").is_file():
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
