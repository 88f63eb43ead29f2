"""The one place that compiles: a plain function of numbers and arrays becomes machine code when it is first called."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def compiled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return a function compiled; what it calls must be compiled too. The machine code is kept on disk."""
    return cast("Callable[Arguments, Result]", numba.njit(cache=True, nogil=True)(function))
