import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifacts import make_wheel

from bundler.errors import IntegrityError
from bundler.store import Store
from bundler.tree import pack_layer
from bundler.wheels import install_wheels, packages_directory

PACKAGES = "usr/local/lib/python3.11/dist-packages"


def place(tmp_path: Path, *wheels: tuple[str, bytes]) -> list[tuple[str, Path]]:
    """Put wheels where blobs stand: under names that say nothing."""
    paths = []
    for number, (name, data) in enumerate(wheels):
        paths.append((name, tmp_path / f"blob{number}"))
        paths[-1][1].write_bytes(data)
    return paths


def files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_a_wheel_is_installed(tmp_path: Path) -> None:
    wheel = make_wheel(
        "one",
        "1.0",
        {
            "one/__init__.py": b"def main(): return 3\n",
            "one-1.0.data/data/share/x": b"x",
            "one-1.0.data/headers/h.h": b"",
        },
        scripts=["one = one:main"],
    )
    root, came = tmp_path / "root", []
    install_wheels(place(tmp_path, wheel), root, "3.11", came.append)
    info = f"{PACKAGES}/one-1.0.dist-info"
    assert files(root) == {
        f"{PACKAGES}/one/__init__.py",
        f"{info}/METADATA",
        f"{info}/WHEEL",
        f"{info}/RECORD",
        f"{info}/INSTALLER",
        f"{info}/entry_points.txt",
        "usr/local/bin/one",
        "usr/local/share/x",
        "usr/local/include/one/h.h",
    }
    assert packages_directory("3.11") == PACKAGES
    assert (root / info / "INSTALLER").read_text() == "ferry\n"
    assert came == [len(wheel[1])]


def test_a_script_starts_the_python_of_its_own_tree(tmp_path: Path) -> None:
    wheel = make_wheel("one", "1.0", {}, scripts=["one = one.cli:App.main"])
    install_wheels(place(tmp_path, wheel), tmp_path / "before", "3.11")
    root = (tmp_path / "before").rename(tmp_path / "root")
    (root / "usr/bin").mkdir()
    (root / "usr/bin/python3.11").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (root / "usr/bin/python3.11").chmod(0o755)
    done = subprocess.run([root / "usr/local/bin/one", "a b"], capture_output=True, text=True, check=True, timeout=10)
    assert done.stdout == "-c|import sys; from one.cli import App as _; sys.exit(_.main())|a b|"


def test_the_tree_does_not_depend_on_order_place_and_umask(
    tmp_path: Path, store: Store, umask: Callable[[int], Any]
) -> None:
    wheels = [
        make_wheel(name, "1", {f"shared/{name}.py": name.encode()}, scripts=[f"{name} = shared.{name}:main"])
        for name in ("one", "two", "three", "four")
    ]
    placed = place(tmp_path, *wheels)
    with umask(0o022):
        install_wheels(placed, tmp_path / "a", "3.11")
    with umask(0o077):
        install_wheels(placed[::-1], tmp_path / "deep/b", "3.11")
    assert pack_layer(tmp_path / "a", store) == pack_layer(tmp_path / "deep/b", store)


def test_two_wheels_with_one_file_are_refused(tmp_path: Path) -> None:
    wheels = [make_wheel(name, "1", {"same.py": name.encode()}) for name in ("one", "two")]
    placed = place(tmp_path, *wheels)
    install_wheels(placed[:1], tmp_path / "root", "3.11")
    with pytest.raises(IntegrityError) as refused:
        install_wheels(placed[1:], tmp_path / "root", "3.11")
    there = tmp_path / "root" / PACKAGES / "same.py"
    assert str(refused.value) == f"two-1-py3-none-any.whl: the wheel cannot be installed: File already exists: {there}"


@pytest.mark.parametrize(
    "name",
    ["../../../../../../outside", "/outside", "one-1.data/data/../../../outside", "one-1.data/scripts/../../../../x"],
)
def test_a_wheel_that_writes_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    placed = place(tmp_path, make_wheel("one", "1", {name: b"x"}))
    before = files(tmp_path)
    with pytest.raises(IntegrityError, match=r"^one-1-py3-none-any.whl: the wheel cannot be installed: "):
        install_wheels(placed, tmp_path / "root", "3.11")
    assert {path for path in files(tmp_path) if not path.startswith("root/usr/")} == before


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("one-1-py3-none-any.whl", b"no zip", "File is not a zip file"),
        ("one-1.whl", make_wheel("one", "1", {})[1], "Not a valid wheel filename: one-1.whl"),
    ],
)
def test_what_is_no_wheel_is_refused(name: str, data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as refused:
        install_wheels(place(tmp_path, (name, data)), tmp_path / "root", "3.11")
    assert str(refused.value) == f"{name}: the wheel cannot be installed: {why}"


def test_a_wheel_under_another_name_is_refused(tmp_path: Path) -> None:
    _, data = make_wheel("one", "1", {})
    with pytest.raises(IntegrityError, match=r"^two-1-py3-none-any.whl: the wheel cannot be installed: "):
        install_wheels(place(tmp_path, ("two-1-py3-none-any.whl", data)), tmp_path / "root", "3.11")
