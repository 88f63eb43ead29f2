"""A network namespace with nothing in it but loopback, and a root where nothing of this host is seen."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bundler.errors import HostError, StepError
from bundler.run import run

_HERE = Path(__file__).parent
_INSIDE = ".ferry"
# $1 is the new root; what follows runs in it, with /proc and /dev and nothing else of this host.
_ENTER = """\
mkdir -p "$1/proc" "$1/dev" && mount --rbind /dev "$1/dev" && mount -t proc proc "$1/proc" && exec chroot "$@"
"""


def run_inside(python: Path, script: str, spec: dict[str, Any], *, cwd: Path, timeout_s: float) -> dict[str, Any]:
    """Run a script of this package by `python` without network; it reads JSON and answers with JSON.

    Raises:
        HostError: this host lets us make no network namespace.
        StepError: the script failed; its last lines are in the message.
    """
    # -I would hide the working directory from Python, which the payload's code relies on.
    return _run([*_isolated(), str(python), "-s", str(_HERE / script)], spec, cwd=cwd, timeout_s=timeout_s)


def run_in_root(root: Path, python: str, script: str, spec: dict[str, Any], *, timeout_s: float) -> dict[str, Any]:
    """Do the same in the tree at `root` as its own root directory; `python` is a path in that tree.

    The tree is written to: make it for this one run.
    """
    inside = root / _INSIDE
    inside.mkdir(exist_ok=True)
    shutil.copy(_HERE / script, inside)
    namespaces = [*_isolated(), "--mount", "--pid", "--fork", "--kill-child"]
    argv = [*namespaces, "sh", "-c", _ENTER, "sh", str(root), python, "-s", f"/{_INSIDE}/{script}"]
    return _run(argv, spec, cwd=root, timeout_s=timeout_s)


def _isolated() -> list[str]:
    argv = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
    try:
        run([*argv, "true"], timeout_s=10)
    except StepError as error:
        raise HostError(
            f"expected to make a network namespace: {error.message}",
            hint="allow unprivileged user namespaces on this host, or build as root",
        ) from error
    return argv


def _run(argv: Sequence[str], spec: dict[str, Any], *, cwd: Path, timeout_s: float) -> dict[str, Any]:
    done = run(argv, timeout_s=timeout_s, cwd=cwd, stdin=json.dumps(spec))
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if not isinstance(answer, dict):
        raise StepError(f"expected an answer in JSON, got: {(done.stderr or done.stdout)[-500:]}")
    return answer
