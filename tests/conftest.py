"""What every test may ask for."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = "FERRY_SHARED"


@pytest.fixture(scope="session")
def shared() -> Callable[[str], Path]:
    """Return the path of a file in the team's shared folder; skip where it is not there."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get(SHARED) or Path(__file__).resolve().parents[2] / "shared")
        path = folder / name
        if not path.exists():
            pytest.skip(f"the shared folder ({SHARED}) has no {name}")
        return path

    return find
