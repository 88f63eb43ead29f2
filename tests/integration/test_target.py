"""A lock that is made for targets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bundler.load import read_lock

pytestmark = pytest.mark.network
CHECKOUT = Path(__file__).resolve().parents[2]


def lock(recipe: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    done = subprocess.run(
        [sys.executable, "-m", "bundler.cli", "lock", recipe, *words],
        cwd=CHECKOUT,
        env={**kept, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_lock_records_what_it_was_checked_against(tmp_path: Path) -> None:
    recipe = tmp_path / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe)
    done = lock(recipe, "--target", "debian-12/amd64", "--target", "kylin-v10-sp3/arm64")
    assert done.stderr == ""
    assert [row for row in done.stdout.splitlines() if row.startswith("fits")] == [
        "fits debian-12/amd64:",
        "fits kylin-v10-sp3/arm64:",
    ]
    path = recipe / "recipe.lock.yaml"
    made = read_lock(recipe)
    assert [(one.name, one.os, one.version, one.machine) for one in made.targets] == [
        ("debian-12/amd64", "debian", "12", "x86_64"),
        ("kylin-v10-sp3/arm64", "kylin", "V10", "aarch64"),
    ]
    before = path.read_bytes()
    lock(recipe, "--target", "debian-12/amd64", "--target", "kylin-v10-sp3/arm64")
    assert path.read_bytes() == before
    done = lock(recipe)
    assert done.stderr == "no longer checked against debian-12/amd64, kylin-v10-sp3/arm64: see --target\n"
    assert read_lock(recipe).targets == ()
