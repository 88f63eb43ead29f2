"""Sentences for the operator, in the language of the locale."""

from __future__ import annotations

import os


def tr(english: str, chinese: str) -> str:
    """Return the Chinese sentence under a Chinese locale, the English one otherwise.

    The first set of LC_ALL, LC_MESSAGES and LANG decides.
    """
    values = (os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, values), "")
    return chinese if locale.startswith("zh") else english
