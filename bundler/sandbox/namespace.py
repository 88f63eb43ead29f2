"""Namespaces of their own for payload code: no network but loopback, a root where nothing of this host is seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bundler.errors import HostError, StepError
from bundler.run import run

_HERE = Path(__file__).parent
INSIDE = ".ferry"
_UNSHARE = ["unshare", "--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
# $1 becomes the root, with a /proc of its own and five harmless devices. Then, up to "--", come files of the host, each
# with its place below the root, where it can only be read. What follows runs in the root; the host's own stays mounted
# until inside.py, the first thing that runs, shuts it out.
_ENTER = f"""\
set -e
mount --bind "$1" "$1"
cd "$1"
mkdir -p proc dev tmp {INSIDE}/old
mount -t tmpfs -o mode=755,size=1m tmpfs dev
for name in null zero full random urandom; do
  : >"dev/$name"
  mount --bind "/dev/$name" "dev/$name"
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t proc proc proc
shift
while [ "$1" != -- ]; do
  mount --bind "$1" "$2"
  mount -o remount,bind,ro,nosuid,nodev,noexec "$2"
  shift 2
done
shift
pivot_root . {INSIDE}/old
cd /
exec "$@"
"""


def run_in_root(
    root: Path,
    python: str,
    script: str,
    spec: dict[str, Any],
    *,
    timeout_s: float,
    shown: Sequence[tuple[Path, str]] = (),
) -> dict[str, Any]:
    """Run a script of this package with the tree at `root` as its root directory, without network.

    `python` is a path in that tree. The script may import what stands beside it here. It reads `spec` as JSON and
    answers with JSON. The tree is written to: make it for this one run. `shown` are files of this host that can be read
    at places below the root.

    Raises:
        HostError: this host lets us make no such namespaces.
        StepError: the script failed; its last lines are in the message.
    """
    inside = root / INSIDE
    inside.mkdir(exist_ok=True)
    for path in _HERE.glob("inside*.py"):
        shutil.copy(path, inside)
    for _, place in shown:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    files = [word for path, place in shown for word in (str(path), f"./{place}")]
    enter = [*_namespaces(), "sh", "-c", _ENTER, "sh", str(root), *files, "--"]
    argv = [*enter, python, "-s", f"/{INSIDE}/inside.py", script]
    done = run(argv, timeout_s=timeout_s, cwd=root, stdin=json.dumps(spec))
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if not isinstance(answer, dict):
        raise StepError(f"expected an answer in JSON, got: {(done.stderr or done.stdout)[-500:]}")
    return answer


@cache
def _namespaces() -> list[str]:
    """Return how to enter namespaces here: as a user of our own, whom not even root's powers follow."""
    mapped = [*_UNSHARE, "--user", "--map-root-user"]
    try:
        run([*mapped, "true"], timeout_s=10)
    except StepError as error:
        raise HostError(
            f"expected to make a user namespace without network: {error.message}",
            hint="allow user namespaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone",
        ) from error
    return mapped
