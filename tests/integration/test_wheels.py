"""Wheels of the configured index: built for another platform, exported, and locked from a file of hashes."""

import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from command import CHECKOUT, ferry

from bundler.load import read_lock

pytestmark = pytest.mark.network
# It publishes an sdist alone, of a C module that does without.
RECIPE = """\
format: ferry/recipe/v1
name: built
version: "1"
sequence: 1
as_of: "2026-06-05"
platforms: [linux/amd64, linux/arm64]
python:
  version: "3.11"
  debian: bookworm
  packages: [python3.11-minimal, libpython3.11-stdlib, dash, libstdc++6]
wheels: [crcmod==1.7]
"""


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "built").mkdir()
    (tmp_path / "built/recipe.yaml").write_text(RECIPE)
    return tmp_path / "built"


def test_a_wheel_for_another_platform_is_built_with_this_hosts_python(built: Path, tmp_path: Path) -> None:
    said = ferry("lock", built).stdout
    assert "  no wheel published, built from the sdist by `ferry build`: crcmod 1.7\n" in said
    assert "the runtime has 2.36" in said
    other = "arm64" if os.uname().machine == "x86_64" else "amd64"
    out = tmp_path / "out/pylock.toml"
    store = str(tmp_path / "store")
    ferry("export", "pylock", built, "--platform", f"linux/{other}", "-o", out, FERRY_STORE=store)
    (package,) = tomllib.loads(out.read_text())["packages"]
    assert [wheel["path"] for wheel in package["wheels"]] == ["wheels/crcmod-1.7-py3-none-any.whl"]
    assert (tmp_path / "out/wheels/crcmod-1.7-py3-none-any.whl").stat().st_size == package["wheels"][0]["size"]


def test_a_file_of_hashes_locks_what_it_pins(shared: Callable[[str], Path], tmp_path: Path) -> None:
    name = "agentscope-1.0.21.lock.txt"
    pins = shared(f"examples/{name}")
    recipe = tmp_path / "agentscope"
    shutil.copytree(CHECKOUT / "recipes/agentscope", recipe, ignore=shutil.ignore_patterns("*.lock.yaml"))
    shutil.copytree(CHECKOUT / "recipes/shared", tmp_path / "shared")
    text = (recipe / "recipe.yaml").read_text()
    head, _, rest = text.partition("wheels:\n")
    assert rest
    (recipe / "recipe.yaml").write_text(f"{head}requirements: [{name}]\n\n{rest[rest.index('files:') :]}")
    shutil.copy(pins, recipe / name)
    ferry("lock", recipe)
    lock = read_lock(recipe)
    assert len(lock.wheels) == 134
    hashes = pins.read_text()
    assert all(f"sha256:{file.sha256}" in hashes for package in lock.wheels for file in package.files)
    assert all(package.why[0] == f"-r {name}" for package in lock.wheels)
    (recipe / name).write_text(hashes + "# changed\n")
    assert ferry("lock", "--check", recipe, code=3).stderr == (
        f"error: requirements: the requirements files changed since they were locked\nhint: run: ferry lock {recipe}\n"
    )


def test_an_sdist_is_built_with_what_the_recipe_names(built: Path, tmp_path: Path) -> None:
    """The hash of the sdist alone is listed, so the wheel that the index has too is not taken."""
    digest = "12f65c9b470abda6dc35cf8e63cc574b1c52b11df2c86030af0ac09b01b13ea9"
    (built / "pins.txt").write_text(f"idna==3.10 --hash=sha256:{digest}\n")
    text = RECIPE.replace("wheels: [crcmod==1.7]", "requirements: [pins.txt]")
    (built / "recipe.yaml").write_text(text)
    ferry("lock", built)
    out, store = tmp_path / "out/pylock.toml", str(tmp_path / "store")
    done = ferry("export", "pylock", built, "-o", out, FERRY_STORE=store, code=4)
    assert "idna-3.10.tar.gz: no wheel can be built: " in done.stderr
    assert done.stderr.endswith(
        "ModuleNotFoundError: No module named 'flit_core'\n"
        "hint: name what it is built with under `build` in the recipe, or a release that publishes wheels\n"
    )
    (built / "recipe.yaml").write_text(text + "build: [flit-core]\n")
    ferry("lock", built)
    ferry("export", "pylock", built, "-o", out, FERRY_STORE=store)
    assert [wheel.name for wheel in (tmp_path / "out/wheels").iterdir()] == ["idna-3.10-py3-none-any.whl"]
