import hashlib
import os
from pathlib import Path

import pytest
from packaging.tags import Tag

from bundler.apt import pool_path
from bundler.errors import RecipeError, ResolveError
from bundler.model.files import FileSource, LockedPath
from bundler.model.platform import PLATFORMS
from bundler.resolve.file import resolve_files
from bundler.resolve.tags import marker_environment, wheel_tags

AMD64, ARM64 = PLATFORMS
COPY = "copy what it points to"


def sources(*pairs: tuple[str, str]) -> tuple[FileSource, ...]:
    return tuple(FileSource(path=path, to=to) for path, to in pairs)


def refusal(directory: Path, *pairs: tuple[str, str]) -> RecipeError:
    with pytest.raises(RecipeError) as refused:
        resolve_files(sources(*pairs), directory)
    return refused.value


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A recipe's directory beside a file that is not the recipe's."""
    (tmp_path / "secret").write_text("s")
    root = tmp_path / "recipe"
    for name in ("app/b.py", "app/a/run.sh", "app/__pycache__/b.cpython-311.pyc", "app/old.pyc", "app/.git/x", "one"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "app/a/run.sh").chmod(0o750)
    return root


def test_files_are_listed_by_where_they_go(tree: Path) -> None:
    found = resolve_files(sources(("one", "z/one"), ("app", "srv/app")), tree)
    expected = [
        ("app/a/run.sh", "srv/app/a/run.sh", True),
        ("app/b.py", "srv/app/b.py", False),
        ("one", "z/one", False),
    ]
    assert found == tuple(
        LockedPath(path=path, to=to, size=len(path), sha256=hashlib.sha256(path.encode()).hexdigest(), executable=run)
        for path, to, run in expected
    )


def test_the_order_of_sources_does_not_matter(tree: Path) -> None:
    pairs = sources(("one", "z/one"), ("app", "srv/app"))
    assert resolve_files(pairs, tree) == resolve_files(pairs[::-1], tree)


def test_what_is_not_there_is_refused(tree: Path) -> None:
    assert str(refusal(tree, ("no", "x"))) == 'files[0].path: expected a file or directory, "no" is not there'


@pytest.mark.parametrize("to", ["../secret", "one", "/etc/passwd"])
def test_a_link_among_the_files_is_refused(to: str, tree: Path) -> None:
    (tree / "app/link").symlink_to(to)
    refused = refusal(tree, ("one", "one"), ("app", "x"))
    assert str(refused) == 'files[1].path: expected regular files, "app/link" is a link or special file'
    assert refused.hint == COPY


@pytest.mark.parametrize(
    ("path", "to"), [("link", "../secret"), ("link", "app"), ("link", "one"), ("link/run.sh", "app/a")]
)
def test_a_source_behind_a_link_is_refused(path: str, to: str, tree: Path) -> None:
    (tree / "link").symlink_to(to)
    refused = refusal(tree, (path, "x"))
    assert str(refused) == f'files[0].path: "{path}" leads through a link'
    assert refused.hint == COPY


def test_a_recipe_that_is_itself_reached_by_a_link_is_no_matter(tree: Path) -> None:
    (tree.parent / "link").symlink_to("recipe")
    assert resolve_files(sources(("app", "x")), tree.parent / "link") == resolve_files(sources(("app", "x")), tree)


def test_special_files_are_refused(tree: Path) -> None:
    os.mkfifo(tree / "app/pipe")
    says = 'files[0].path: expected regular files, "app/pipe" is a link or special file'
    assert str(refusal(tree, ("app", "x"))) == says
    assert str(refusal(tree, ("app/pipe", "x"))) == says


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\udcffb"])
def test_odd_names_are_refused(name: str, tree: Path) -> None:
    (tree / "app" / name).touch()
    says = f"files[0].path: expected a printable name without backslashes, got {f'app/{name}'!r}"
    assert str(refusal(tree, ("app", "x"))) == says


def test_two_sources_for_one_place_are_refused(tree: Path) -> None:
    assert str(refusal(tree, ("app", "x"), ("one", "x/b.py"))) == 'files[1].to: two sources name "x/b.py"'


def test_two_places_that_a_file_system_may_take_for_one_are_refused(tree: Path) -> None:
    assert str(refusal(tree, ("one", "x/caf\u00e9"), ("app/b.py", "x/CAFE\u0301"))) == (
        "files[1].to: two sources name one place where cases or forms of Unicode are one, "
        '"x/caf\u00e9" and "x/CAFE\u0301"'
    )


def test_a_place_with_too_long_a_name_is_refused(tree: Path) -> None:
    says = "files[0].to: expected names of at most 255 bytes and 1024 characters in all, got a longer one"
    assert str(refusal(tree, ("one", "x/" + "\u6446" * 86))) == says
    assert str(refusal(tree, ("one", "x/" * 512 + "y"))) == says


@pytest.mark.parametrize("platform", PLATFORMS)
def test_tags_are_those_of_the_target(platform: object) -> None:
    ours, other = (AMD64, ARM64) if platform is AMD64 else (ARM64, AMD64)
    tags = wheel_tags(ours, "3.11", "bookworm")
    names = [str(tag) for tag in tags]
    assert names[0] == f"cp311-cp311-manylinux_2_36_{ours.machine}"
    for name in (f"manylinux_2_28_{ours.machine}", f"manylinux2014_{ours.machine}", f"linux_{ours.machine}"):
        assert Tag("cp311", "cp311", name) in tags
        assert Tag("cp38", "abi3", name) in tags
    assert {"py3-none-any", "py2.py3-none-any".replace("py2.", ""), "cp311-none-any"} <= set(names)
    for platform_ in (
        f"manylinux_2_37_{ours.machine}",
        f"musllinux_1_2_{ours.machine}",
        "win_amd64",
        "macosx_11_0_arm64",
    ):
        assert not [tag for tag in tags if tag.platform == platform_]
    assert not [name for name in names if other.machine in name]
    assert not [tag for tag in tags if tag.interpreter in ("cp312", "pp311")]


def test_the_c_library_is_that_of_the_suite() -> None:
    newest = {suite: str(wheel_tags(AMD64, "3.11", suite)[0]) for suite in ("bullseye", "bookworm", "trixie")}
    assert newest == {
        "bullseye": "cp311-cp311-manylinux_2_31_x86_64",
        "bookworm": "cp311-cp311-manylinux_2_36_x86_64",
        "trixie": "cp311-cp311-manylinux_2_41_x86_64",
    }
    with pytest.raises(ResolveError) as refused:
        wheel_tags(AMD64, "3.11", "sid")
    assert str(refused.value) == 'python.debian: expected one of bookworm, bullseye, trixie, got "sid"'


def test_markers_know_nothing_of_this_host() -> None:
    here = marker_environment(ARM64, "3.12")
    assert (here["platform_machine"], here["python_version"], here["sys_platform"]) == ("aarch64", "3.12", "linux")
    assert (here["platform_release"], here["platform_version"]) == ("", "")


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("http://h/debian/pool/main/d/dash/dash_1_amd64.deb", "pool/main/d/dash/dash_1_amd64.deb"),
        ("file:/m/pool/updates/x/libx%2b%2b_1%3a2.deb", "pool/updates/x/libx++_1:2.deb"),
    ],
)
def test_the_place_of_a_package_in_any_mirror(uri: str, path: str) -> None:
    assert pool_path(uri) == path


def test_an_archive_without_a_pool_is_refused() -> None:
    with pytest.raises(ResolveError) as refused:
        pool_path("http://h/flat/x.deb")
    assert str(refused.value) == 'expected an archive with a pool, got "http://h/flat/x.deb"'
