import hashlib
import json
import sys
from pathlib import Path

import pytest
from artifacts import make_wheel
from mirror import Answer, Mirror
from values import recipe

from bundler import uv
from bundler.errors import ResolveError
from bundler.model.platform import PLATFORMS
from bundler.resolve.wheel import resolve_wheels

AMD64, ARM64 = PLATFORMS
OLD, NEW = "2026-01-10T10:00:00Z", "2026-03-10T10:00:00Z"
Files = list[tuple[str, bytes, str]]


class Index:
    """A package index (PEP 691) on loopback; what was asked of it is in `mirror.asked`."""

    def __init__(self, mirror: Mirror) -> None:
        self.mirror = mirror
        self._files: dict[str, Files] = {}

    @property
    def url(self) -> str:
        return f"{self.mirror.url}/simple"

    def add(self, project: str, name: str, data: bytes, uploaded: str = OLD) -> str:
        """Publish a file; return its SHA-256."""
        self._files.setdefault(project, []).append((name, data, uploaded))
        self.mirror.serve(f"/files/{name}", Answer(body=data))
        listed = [
            {
                "filename": one,
                "url": f"{self.mirror.url}/files/{one}",
                "hashes": {"sha256": hashlib.sha256(raw).hexdigest()},
                "size": len(raw),
                "upload-time": when,
                "requires-python": ">=3.8",
            }
            for one, raw, when in self._files[project]
        ]
        page = {"meta": {"api-version": "1.1"}, "name": project, "versions": [], "files": listed}
        kind = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
        self.mirror.serve(f"/simple/{project}/", Answer(body=json.dumps(page).encode(), headers=kind))
        return hashlib.sha256(data).hexdigest()

    def wheel(self, name: str, version: str, *, tag: str = "py3-none-any", needs: str = "", uploaded: str = OLD) -> str:
        lines = [f"Requires-Dist: {needs}"] if needs else []
        return self.add(name, *make_wheel(name, version, {}, tag=tag, metadata=lines), uploaded)


@pytest.fixture
def index(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The only index that uv knows of, with a home and a cache of its own."""
    found = Index(mirror)
    (tmp_path / "home").mkdir()
    for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", found.url)
    return found


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


def test_a_wheel_for_one_machine_is_not_chosen_for_the_other(index: Index) -> None:
    index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_28_x86_64")
    assert resolve_wheels(("native",), recipe(platforms=(AMD64,)), what="wheels")
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("native",), recipe(), what="wheels")
    assert "(markers: python_full_version == '3.11.*' and platform_machine == 'aarch64' and" in str(refused.value)
    assert "only native==1.0 is available, we can conclude that all versions of native cannot" in str(refused.value)


def test_a_wheel_for_a_newer_c_library_is_not_chosen(index: Index) -> None:
    index.wheel("native", "1.0", tag="cp311-cp311-manylinux_2_36_x86_64")
    index.wheel("newer", "1.0", tag="cp311-cp311-manylinux_2_39_x86_64")
    only = recipe(platforms=(AMD64,))
    assert resolve_wheels(("native",), only, what="wheels")
    with pytest.raises(ResolveError) as refused:
        resolve_wheels(("newer",), only, what="wheels")
    says = "No wheel found matching the provided tags for package 'newer' at packages[0], and no sdist available"
    assert str(refused.value) == f"wheels: {says} as a fallback (linux/amd64)"


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
    assert str(refused.value).startswith("uv found no answer: `")
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
    with pytest.raises(ResolveError, match=r"^uv found no answer: "):
        resolve_wheels(('one"]\n[tool.uv]\nindex-url = "http://x', "one\\"), recipe(), what="wheels")
    assert index.mirror.asked == []


# How pip's configuration becomes uv's; pip's reference, "Configuration": later files override earlier ones.
@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    for place in ("venv", "home/.config/pip", "home/.pip", "other/pip"):
        (tmp_path / place).mkdir(parents=True)
    return tmp_path / "home"


def configure(path: Path, url: str) -> None:
    path.write_text(f"[global]\nindex-url = {url}\ntimeout = 9%\n")


def passed(home: Path, **ours: str) -> dict[str, str]:
    return uv._environment({"HOME": str(home), "SECRET": "x", **ours})


def test_pips_index_is_passed_on(home: Path) -> None:
    configure(home / ".pip/pip.conf", "https://legacy/simple")
    assert passed(home) == {"UV_NO_PROGRESS": "1", "UV_DEFAULT_INDEX": "https://legacy/simple"}
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
    assert found == {name: "https://uv/simple", "UV_CACHE_DIR": "/c", "UV_NO_PROGRESS": "1"}


def test_pips_damaged_configuration_is_told(home: Path) -> None:
    (home / ".pip/pip.conf").write_text("index-url = x\n")
    with pytest.raises(ResolveError, match=r"^pip's configuration cannot be read: File contains no section headers"):
        passed(home)
