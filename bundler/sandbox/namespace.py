"""A network namespace with nothing in it but loopback."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bundler.errors import HostError, StepError
from bundler.run import run

_HERE = Path(__file__).parent


def run_inside(
    python: Path, script: str, spec: dict[str, Any], *, cwd: Path, timeout_s: float
) -> dict[str, Any]:
    """Run a script of this package by `python` without network; it reads JSON and answers with JSON.

    Raises:
        HostError: this host lets us make no network namespace.
        StepError: the script failed; its last lines are in the message.
    """
    isolated = (
        ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--user", "--map-root-user"]
    )
    try:
        run([*isolated, "true"], timeout_s=10)
    except StepError as error:
        raise HostError(
            f"expected to make a network namespace: {error.message}",
            hint="allow unprivileged user namespaces on this host, or build as root",
        ) from error
    # -I would hide the working directory from Python, which the payload's services rely on.
    argv = [*isolated, python, "-s", _HERE / script]
    done = run(argv, timeout_s=timeout_s, cwd=cwd, stdin=json.dumps(spec))
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise StepError(f"{script} gave no answer: {done.stderr[-500:]}") from error
    if not isinstance(answer, dict):
        raise StepError(f"{script} gave no answer: {done.stdout[-500:]}")
    return answer
