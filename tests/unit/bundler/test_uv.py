import sys
from pathlib import Path

import pytest
from index import Index
from values import recipe

from bundler import uv
from bundler.errors import RecipeError, ResolveError
from bundler.indexes import environment
from bundler.model.platform import PLATFORMS
from bundler.resolve.wheel import resolve_wheels

AMD64, ARM64 = PLATFORMS


def test_a_lock_is_as_of_the_end_of_its_day(index: Index, tmp_path: Path) -> None:
    index.wheel("one", "1.0", uploaded="2026-01-31T23:30:00Z")
    index.wheel("one", "2.0", uploaded="2026-02-01T00:30:00Z")
    (package,) = resolve_wheels(("one",), recipe(as_of="2026-01-31"), what="wheels")
    assert (package.name, package.version) == ("one", "1.0")


def test_one_file_for_all_platforms_or_one_for_each(index: Index) -> None:
    everywhere = index.wheel("one", "1.0", needs="native")
    here = index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    there = index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_28_aarch64")
    index.wheel("native", "1.0", tag="cp312-cp312-manylinux_2_28_aarch64")
    index.wheel("native", "1.0", tag="cp311-cp311-win_amd64")
    native, one = resolve_wheels(("one",), recipe(), what="wheels")
    assert [(file.sha256, file.platforms) for file in one.files] == [(everywhere, PLATFORMS)]
    assert {(file.sha256, file.platforms) for file in native.files} == {(here, (AMD64,)), (there, (ARM64,))}


def none(says: str, *lines: str, glibc: str = "2.36") -> str:
    head = f"wheels: expected a wheel for CPython 3.11 and glibc {glibc}, or an sdist, of each package; {says} none:"
    return "\n  ".join([head, *lines])


def test_a_wheel_for_one_machine_is_not_chosen_for_the_other(index: Index) -> None:
    index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    assert resolve_wheels(("native",), recipe(platforms=(AMD64,)), what="wheels")
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("native",), recipe(), what="wheels")
    line = "native 1.0 for linux/arm64; no version as of 2026-01-31 has a wheel"
    assert str(refused.value) == none("1 has", line)
    assert refused.value.exit_code == 4
    assert refused.value.hint == (
        "ask for a version that has one, leave out the platform, or take a newer suite for the runtime"
    )


def test_the_nearest_versions_with_a_wheel_are_named(index: Index) -> None:
    both = ("cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_28_aarch64")
    for version, tags in {"0.8": both, "0.9": both, "1.0": both[:1], "1.1": both[:1], "1.2": both, "1.3": both}.items():
        for tag in tags:
            index.wheel("native", version, tag=tag)
    for tag in both:
        index.wheel("native", "1.1.5", tag=tag, uploaded="2026-02-01T00:00:00Z")
    index.wheel("app", "1.0", needs=("native==1.0", "lone"))
    index.wheel("lone", "1.0", tag=both[0])
    index.wheel("lone", "2.0", tag=both[0].replace("2_28", "2_39"))
    index.wheel("lone", "2.0", tag=both[1].replace("2_28", "2_39"))
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("app", "lone<2"), recipe(), what="wheels")
    assert str(refused.value) == none(
        "2 have",
        "lone 1.0 for linux/arm64, wanted by lone<2, app; no version as of 2026-01-31 has a wheel",
        "native 1.0 for linux/arm64, wanted by app; 0.9 (older) and 1.2 (newer) have a wheel",
    )


def test_a_wheel_for_a_newer_c_library_is_not_chosen(index: Index) -> None:
    index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_36_x86_64")
    index.wheel("newer", "1.0", tag="cp311-cp311-manylinux_2_35_x86_64")
    index.wheel("newer", "2.0", tag="cp311-cp311-manylinux_2_39_x86_64")
    only = recipe(platforms=(AMD64,))
    assert resolve_wheels(("native",), only, what="wheels")
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("newer",), only, what="wheels")
    assert str(refused.value) == none("1 has", "newer 2.0 for linux/amd64; 1.0 (older) has a wheel")


def test_each_package_says_what_pulled_it(index: Index) -> None:
    index.wheel("one", "1.0", needs=("shared>=1", "arm; platform_machine == 'aarch64'", "win; sys_platform == 'win32'"))
    index.wheel("two", "1.0", needs=("shared", "moreuser[more]"))
    index.wheel("moreuser", "1.0", needs=("deep; extra == 'more'",))
    for name in ("shared", "arm", "win", "deep"):
        index.wheel(name, "1.0")
    found = resolve_wheels(("two", "one==1.0", "shared", "one ; sys_platform == 'win32'"), recipe(), what="wheels")
    assert {package.name: package.why for package in found} == {
        "one": ("one==1.0",),
        "two": ("two",),
        "shared": ("shared", "one", "two"),
        "arm": ("one",),
        "moreuser": ("two",),
        "deep": ("moreuser",),
    }


def test_two_versions_of_one_package_stand_apart(index: Index) -> None:
    index.wheel("one", "1.0")
    index.wheel("one", "2.0")
    wanted = ("one==1.0 ; platform_machine == 'x86_64'", "one==2.0 ; platform_machine == 'aarch64'")
    found = resolve_wheels(wanted, recipe(), what="wheels")
    assert [(one.version, one.files[0].platforms, one.why) for one in found] == [
        ("1.0", (AMD64,), wanted[:1]),
        ("2.0", (ARM64,), wanted[1:]),
    ]


def test_markers_are_judged_for_the_target(index: Index) -> None:
    for name in ("windows", "arm", "old"):
        index.wheel(name, "1.0")
    index.wheel("one", "1.0", needs="windows; sys_platform == 'win32'")
    index.wheel("two", "1.0", needs="arm; platform_machine == 'aarch64'")
    index.wheel("three", "1.0", needs="old; python_version < '3.11'")
    found = {one.name: one for one in resolve_wheels(("one", "two", "three"), recipe(), what="wheels")}
    assert sorted(found) == ["arm", "one", "three", "two"]
    assert found["arm"].file_for(AMD64) is None
    arm = found["arm"].file_for(ARM64)
    assert arm is not None
    assert arm.name == "arm-1.0-py3-none-any.whl"


def test_nothing_asked_is_nothing_resolved(index: Index) -> None:
    assert resolve_wheels((), recipe(), what="wheels") == ()
    assert index.mirror.asked == []


def test_what_cannot_be_satisfied_is_told_in_uvs_words(index: Index) -> None:
    index.wheel("one", "1.0")
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("one>=2",), recipe(), what="wheels")
    assert str(refused.value).startswith("uv found no answer: No solution found when resolving dependencies")
    assert "Because only one==1.0 is available and your project depends on one>=2, we can" in str(refused.value)
    assert (
        refused.value.hint == "check the requirement, the date, and the package index of your pip or uv configuration"
    )


def test_files_are_located_where_they_are_now(index: Index, tmp_path: Path) -> None:
    old = index.wheel("one", "1.0")
    index.wheel("one", "2.0")
    (tmp_path / "work").mkdir()
    (package,) = uv.locate(["one==1.0"], python="3.11", work=tmp_path / "work").packages
    assert package.wheels
    (wheel,) = package.wheels
    assert (wheel.url, wheel.hashes) == (f"{index.mirror.url}/files/one-1.0-py3-none-any.whl", {"sha256": old})


def test_a_pin_that_the_index_does_not_have(index: Index, tmp_path: Path) -> None:
    index.wheel("one", "1.0")
    (tmp_path / "work").mkdir()
    with pytest.raises(ResolveError, match=r"^uv found no answer: "):
        uv.locate(["one==3.0"], python="3.11", work=tmp_path / "work")


def test_what_a_requirement_says_cannot_leave_its_place(index: Index, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^wheels\[0\]: expected a requirement: "):
        resolve_wheels(('one"]\n[tool.uv]\nindex-url = "http://x', "one\\"), recipe(), what="wheels")
    assert index.mirror.asked == []


# How pip's configuration becomes uv's; pip's reference, "Configuration": later files override earlier ones.
@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    for place in ("venv", "home/.config/pip", "home/.pip", "other/pip"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path / "home"


ALWAYS = {"UV_NO_PROGRESS": "1", "UV_INDEX_STRATEGY": "first-index"}


def configure(path: Path, url: str) -> None:
    path.write_text(f"[global]\nindex-url = {url}\ntimeout = 9%\n")


def passed(home: Path, **ours: str) -> dict[str, str]:
    return environment({"HOME": str(home), "SECRET": "x", **ours})


def test_pips_index_is_passed_on(home: Path) -> None:
    configure(home / ".pip/pip.conf", "https://legacy/simple")
    assert passed(home) == ALWAYS | {"UV_DEFAULT_INDEX": "https://legacy/simple"}
    configure(home / ".config/pip/pip.conf", "https://user/simple")
    assert passed(home)["UV_DEFAULT_INDEX"] == "https://user/simple"
    configure(home.parent / "other/pip/pip.conf", "https://xdg/simple")
    assert passed(home, XDG_CONFIG_HOME=str(home.parent / "other"))["UV_DEFAULT_INDEX"] == "https://xdg/simple"
    configure(home.parent / "venv/pip.conf", "https://venv/simple")
    assert passed(home)["UV_DEFAULT_INDEX"] == "https://venv/simple"
    configure(home / "named.conf", "https://named/simple")
    assert passed(home, PIP_CONFIG_FILE=str(home / "named.conf"))["UV_DEFAULT_INDEX"] == "https://named/simple"
    assert passed(home, PIP_INDEX_URL="https://set/simple")["UV_DEFAULT_INDEX"] == "https://set/simple"


@pytest.mark.parametrize("name", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_uvs_own_settings_come_first(name: str, home: Path) -> None:
    configure(home / ".pip/pip.conf", "https://pip/simple")
    found = passed(home, **{name: "https://uv/simple", "UV_CACHE_DIR": "/c", "PIP_INDEX_URL": "https://set/simple"})
    assert found == ALWAYS | {name: "https://uv/simple", "UV_CACHE_DIR": "/c"}


def test_pips_damaged_configuration_is_told(home: Path) -> None:
    (home / ".pip/pip.conf").write_text("index-url = x\n")
    with pytest.raises(ResolveError, match=r"^pip's configuration cannot be read: File contains no section headers"):
        passed(home)
