"""A target by what the operator gives: the name of a stock target, a short form, or a file."""

from __future__ import annotations

from pathlib import Path

from bundler.errors import RecipeError
from bundler.load import read_target
from bundler.model.document import describe
from bundler.model.target import Target
from bundler.target.short import is_short, parse_short
from bundler.target.stock import stock_names, stock_target


def find_target(text: str) -> Target:
    """Return the target that a text names or is.

    Raises:
        RecipeError: neither a file, a stock target nor a short form, or a damaged one.
    """
    if text in stock_names():
        return stock_target(text)
    if is_short(text):
        return parse_short(text)
    if Path(text).is_file() or text.endswith((".yaml", ".yml")):
        return read_target(Path(text))
    raise RecipeError(
        f"expected a file, a short form or the name of a stock target, got {describe(text)}",
        place="target",
        hint=f"stock targets: {', '.join(stock_names())}",
    )
