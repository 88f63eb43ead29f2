"""Files of requirements, locked as they pin, from an index on loopback."""

from pathlib import Path

import pytest
from index import Index
from values import recipe

from bundler.errors import FerryError, RecipeError, ResolveError
from bundler.model.platform import PLATFORMS
from bundler.model.wheel import LockedPackage
from bundler.resolve.requirements import read_requirements
from bundler.resolve.wheel import resolve_wheels

AMD64, ARM64 = PLATFORMS


def locked(directory: Path, text: str, *wheels: str, constraints: str = "") -> tuple[LockedPackage, ...]:
    """Lock what `r.txt` pins, under the constraints of `c.txt`."""
    (directory / "r.txt").write_text(text)
    (directory / "c.txt").write_text(constraints)
    files = read_requirements(["r.txt"], ["c.txt"], directory)
    return resolve_wheels(wheels, recipe(), what="wheels", files=files)


def refusal(directory: Path, text: str, *wheels: str) -> FerryError:
    with pytest.raises((RecipeError, ResolveError)) as refused:
        locked(directory, text, *wheels)
    return refused.value


def test_pins_are_locked_as_pinned(index: Index, tmp_path: Path) -> None:
    for version in ("1.0", "2.0"):
        index.wheel("shared", version)
    shared = index.wheel("shared", "1.5")
    one = index.wheel("one", "1.0", needs="shared")
    text = f"one==1.0 --hash=sha256:{one}\nshared==1.5 --hash=sha256:{shared}\n"
    found = locked(tmp_path, text)
    assert [(package.name, package.version, package.files[0].sha256, package.why) for package in found] == [
        ("one", "1.0", one, ("-r r.txt",)),
        ("shared", "1.5", shared, ("-r r.txt", "one")),
    ]


def test_a_file_whose_hash_is_not_listed_is_not_taken(index: Index, tmp_path: Path) -> None:
    plain = index.wheel("one", "1.0")
    index.wheel("one", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    assert {file.sha256 for package in locked(tmp_path, "", "one") for file in package.files} != {plain}
    (package,) = locked(tmp_path, f"one==1.0 --hash=sha256:{plain}\n")
    assert [(file.sha256, file.platforms) for file in package.files] == [(plain, PLATFORMS)]
    (package,) = locked(tmp_path, "", "one", constraints=f"one==1.0 --hash=sha256:{plain}\n")
    assert [file.sha256 for file in package.files] == [plain]


def test_hashes_of_no_file_are_refused(index: Index, tmp_path: Path) -> None:
    index.wheel("one", "1.0")
    refused = refusal(tmp_path, f"\none==1.0 --hash=sha256:{'a' * 64}\n")
    says = "r.txt:2: none of the hashes listed for one 1.0 is of a file that the index has"
    assert (str(refused), refused.exit_code) == (says, 4)
    assert refused.hint == "check that the builder's index is the one that the file was made with: its bytes are others"


def test_hashes_for_one_platform_alone_are_told(index: Index, tmp_path: Path) -> None:
    here = index.wheel("one", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    index.wheel("one", "1.0", tag="cp311-cp311-manylinux_2_28_aarch64")
    refused = refusal(tmp_path, f"one==1.0 --hash=sha256:{here}\n")
    assert str(refused).splitlines()[1:] == [
        "  one 1.0 for linux/arm64, wanted by -r r.txt (of the files whose hashes r.txt lists); "
        "no version as of 2026-01-31 has a wheel"
    ]


def test_what_a_pinned_package_needs_must_be_pinned(index: Index, tmp_path: Path) -> None:
    index.wheel("shared", "1.0")
    one = f"one==1.0 --hash=sha256:{index.wheel('one', '1.0', needs='shared')}\n"
    refused = refusal(tmp_path, one)
    assert (str(refused), refused.exit_code) == ("r.txt: expected shared with its hashes too: one needs it", 3)
    assert refused.hint == "make the file anew for Linux and the recipe's Python, with all that its packages need"
    assert [package.why for package in locked(tmp_path, one, "shared<2")] == [("-r r.txt",), ("shared<2", "one")]


def test_a_pin_holds_where_its_marker_does(index: Index, tmp_path: Path) -> None:
    hashes = {name: index.wheel("one", name) for name in ("1.0", "2.0", "3.0")}
    markers = {"1.0": "python_version < '3.8'", "2.0": "platform_machine == 'x86_64'", "3.0": "os_name == 'nt'"}
    lines = [f"one=={name} ; {markers[name]} --hash=sha256:{hashes[name]}\n" for name in hashes]
    (package,) = locked(tmp_path, "".join(lines))
    assert (package.version, package.files[0].platforms) == ("2.0", (AMD64,))


def test_a_pin_after_the_day_is_refused(index: Index, tmp_path: Path) -> None:
    late = index.wheel("one", "1.0", uploaded="2026-02-01T00:00:00Z")
    refused = refusal(tmp_path, f"one==1.0 --hash=sha256:{late}\n")
    assert str(refused).startswith("uv found no answer: No solution found")
    assert "one" in str(refused)


def test_pins_that_contradict_the_recipe_are_told_by_uv(index: Index, tmp_path: Path) -> None:
    index.wheel("one", "2.0")
    refused = refusal(tmp_path, f"one==1.0 --hash=sha256:{index.wheel('one', '1.0')}\n", "one>=2")
    assert "your project depends on one>=2 and one==1.0" in " ".join(str(refused).split())


def test_constraints_bound_and_do_not_pull(index: Index, tmp_path: Path) -> None:
    for name in ("one", "other"):
        for version in ("1.0", "2.0"):
            index.wheel(name, version)
    (package,) = locked(tmp_path, "", "one", constraints="one<2\nother==1.0\nwin<1 ; sys_platform == 'win32'\n")
    assert (package.name, package.version, package.why) == ("one", "1.0", ("one",))


def test_a_lock_of_pep_751_is_locked_as_pinned(index: Index, tmp_path: Path) -> None:
    digest = index.wheel("one", "1.0")
    index.wheel("one", "2.0")
    (tmp_path / "pylock.toml").write_text(
        'lock-version = "1.0"\ncreated-by = "t"\n[[packages]]\nname = "one"\nversion = "1.0"\n'
        f'wheels = [{{name = "one-1.0-py3-none-any.whl", url = "u", hashes = {{sha256 = "{digest}"}}}}]\n'
    )
    files = read_requirements(["pylock.toml"], [], tmp_path)
    (package,) = resolve_wheels((), recipe(), what="wheels", files=files)
    assert (package.version, package.files[0].sha256, package.why) == ("1.0", digest, ("-r pylock.toml",))
