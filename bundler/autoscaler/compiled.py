"""Where numba is installed, plain functions of numbers become machine code; elsewhere they stay what they are.

So the simulator runs the very rules that the service runs, and the service needs neither numpy nor numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

try:
    from numba import njit
except ModuleNotFoundError:  # the isolated host
    njit = None

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function compiled where that is possible; what it calls must be wrapped too."""
    if njit is None:
        return function
    return cast("Callable[Arguments, Result]", njit(cache=True, nogil=True)(function))
