"""`ferry` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def ferry(*words: str | Path, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ferry` in English for a user who is logged in to no registry, unless `environment` says otherwise.

    It must end with the exit code `code` (None for any), and never with a traceback of its own.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    done = subprocess.run(
        [sys.executable, "-m", "bundler.cli", *map(str, words)],
        cwd=CHECKOUT,
        env={**kept, "LANG": "C.UTF-8", "DOCKER_CONFIG": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert code is None or done.returncode == code, done.stderr
    assert "bundler/cli" not in done.stderr, "a traceback of ours"
    return done
