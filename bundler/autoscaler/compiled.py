"""Where numba is installed, plain functions of numbers become machine code; elsewhere they stay what they are.

So the simulator runs the very rules that the service runs, and the service needs neither numpy nor numba.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

try:
    import numba
except ModuleNotFoundError:
    _numba: Any = None  # the isolated host
else:
    _numba = numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _kept_in() -> str:
    """Return where machine code is kept: numba looks at a function's own file only, so the name tells of all."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return str(Path(cache) / "ferry" / "machinecode" / digest.hexdigest()[:16])


if _numba is not None:
    _numba.config.CACHE_DIR = _kept_in()


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function compiled where that is possible; what it calls must be wrapped too."""
    if _numba is None:
        return function
    return cast("Callable[Arguments, Result]", _numba.njit(cache=True, nogil=True)(function))
