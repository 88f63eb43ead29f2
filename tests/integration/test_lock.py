"""Locks that move in parts, through the package index that this host is configured for."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command import ferry

pytestmark = pytest.mark.network
RECIPE = """\
format: ferry/recipe/v1
name: sample
version: "1.0"
sequence: 1
as_of: "{as_of}"
platforms: [linux/amd64]
python: {{version: "3.11", debian: bookworm, packages: [python3.11-minimal]}}
wheels: [idna, platformdirs, {third}]
"""


def versions(recipe: Path) -> dict[str, str]:
    lock = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    return {package["name"]: package["version"] for package in lock["wheels"]}


def test_an_update_moves_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(as_of="2025-10-31", third="packaging"))
    ferry("lock", tmp_path)
    old = versions(tmp_path)
    assert old == {"idna": "3.11", "platformdirs": "4.5.0", "packaging": "25.0"}
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(as_of="2026-06-30", third="packaging"))
    done = ferry("lock", tmp_path, "--update", "idna")
    assert versions(tmp_path) == old | {"idna": "3.18"}
    assert "\nenters the zone: 1 file, " in done.stdout
    ferry("lock", tmp_path)
    assert versions(tmp_path) == {"idna": "3.18", "platformdirs": "4.10.0", "packaging": "26.2"}


def test_an_update_that_needs_more_to_move_says_so(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(as_of="2025-10-31", third="packaging"))
    ferry("lock", tmp_path)
    before = (tmp_path / "recipe.lock.yaml").read_bytes()
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(as_of="2026-06-30", third="packaging>=26"))
    done = ferry("lock", tmp_path, "--update", "idna", code=4)
    hint = "hint: others must move too: name them with --update as well, or lock everything anew\n"
    assert done.stderr.endswith(hint)
    assert (tmp_path / "recipe.lock.yaml").read_bytes() == before


def test_an_update_without_a_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(as_of="2025-10-31", third="packaging"))
    done = ferry("lock", tmp_path, "--update", "idna", code=3)
    assert done.stderr == (
        f"error: {tmp_path}/recipe.lock.yaml: expected a lock: No such file or directory\n"
        f"hint: make it with: ferry lock {tmp_path}\n"
    )
