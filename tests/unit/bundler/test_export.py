"""What is exported of a lock, and that uv and pip install it without any index."""

import hashlib
import os
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from command import ferry
from index import Index
from packaging.pylock import Pylock
from uv import find_uv_bin
from values import lock as small_lock
from values import recipe

from bundler.errors import IntegrityError
from bundler.export import ExportedWheel, fetch_wheels, format_pylock, format_requirements, write_pylock, write_wheels
from bundler.load import format_lock
from bundler.model.deb import LockedDeb
from bundler.model.image import LockedBlob, LockedImage
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS, Platform
from bundler.model.progress import Silent
from bundler.model.python import PythonSource
from bundler.model.reference import parse_reference
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.resolve.tags import marker_environment, wheel_tags
from bundler.resolve.wheel import resolve_wheels
from bundler.store import Store

AMD64, ARM64 = PLATFORMS
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CP = f"cp{PYTHON.replace('.', '')}"
OFFLINE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": "/dev/null"}


@pytest.fixture
def locked(index: Index) -> Lock:
    """A lock of a package for any machine, one with a wheel for each, and one that is for arm64 alone."""
    index.wheel("app", "1.0", needs=("native", "arm ; platform_machine == 'aarch64'"))
    index.wheel("arm", "1.0")
    for platform in PLATFORMS:
        index.wheel("native", "2.0", tag=f"{CP}-{CP}-manylinux_2_17_{platform.machine}")
    wanted = recipe(python=PythonSource(version=PYTHON, suite="bookworm", packages=()))
    wheels = resolve_wheels(("app",), wanted, what="wheels")
    return replace(small_lock(), python_version=PYTHON, wheels=wheels)


@pytest.fixture
def exported(locked: Lock, store: Store, tmp_path: Path) -> Path:
    """The exported lock, moved to another place together with its wheels."""
    out = tmp_path / "out/pylock.toml"
    wheels = fetch_wheels(locked, PLATFORMS, store, directory=tmp_path, progress=Silent())
    write_wheels(wheels, store, tmp_path / "out/files")
    write_pylock(locked, wheels, out, tmp_path / "out/files")
    return (tmp_path / "out").rename(tmp_path / "moved") / "pylock.toml"


def test_the_lock_chooses_the_same_files_as_ours(locked: Lock, exported: Path) -> None:
    pylock = Pylock.from_dict(tomllib.loads(exported.read_text()))
    for platform in PLATFORMS:
        environment = marker_environment(platform, PYTHON)
        tags = wheel_tags(platform, PYTHON, "bookworm")
        chosen = {package.name: wheel for package, wheel in pylock.select(environment=environment, tags=tags)}
        ours = {package.name: file for package in locked.wheels if (file := package.file_for(platform))}
        assert {name: wheel.hashes["sha256"] for name, wheel in chosen.items()} == {
            name: file.sha256 for name, file in ours.items()
        }
        for name, wheel in chosen.items():
            assert hashlib.sha256((exported.parent / wheel.path).read_bytes()).hexdigest() == ours[name].sha256
            assert wheel.path == f"files/{ours[name].name}"


def test_no_host_is_named(exported: Path) -> None:
    assert "://" not in exported.read_text()
    assert "127.0.0.1" not in exported.read_text()


@pytest.fixture
def python(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv/bin/python"


def installed(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True, env=OFFLINE)
    return dict(eval(done.stdout))


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the expected packages are those of x86-64")
def test_uv_installs_it_offline(exported: Path, python: Path, tmp_path: Path, index: Index) -> None:
    index.mirror.asked.clear()
    words = [find_uv_bin(), "pip", "sync", "--offline", "--python", python, "pylock.toml"]
    environment = OFFLINE | {"UV_CACHE_DIR": str(tmp_path / "empty")}
    done = subprocess.run(words, cwd=exported.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert installed(python) == {"app": "1.0", "native": "2.0"}
    assert index.mirror.asked == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the expected packages are those of x86-64")
def test_pip_installs_it_offline(exported: Path, python: Path, index: Index) -> None:
    words = [sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "-r", "pylock.toml"]
    done = subprocess.run(words, cwd=exported.parent, env=OFFLINE, capture_output=True, text=True, check=False)
    if "Could not parse" in done.stderr or "Invalid requirement" in done.stderr:
        pytest.skip("this pip does not read pylock.toml")
    assert done.returncode == 0, done.stderr
    assert installed(python) == {"app": "1.0", "native": "2.0"}


def test_uv_refuses_a_wheel_that_was_changed(exported: Path, python: Path, tmp_path: Path) -> None:
    (exported.parent / "files/app-1.0-py3-none-any.whl").write_bytes(b"other")
    words = [find_uv_bin(), "pip", "sync", "--offline", "--python", python, "pylock.toml"]
    environment = OFFLINE | {"UV_CACHE_DIR": str(tmp_path / "empty")}
    done = subprocess.run(words, cwd=exported.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0


def test_one_platform_alone(locked: Lock, store: Store, tmp_path: Path) -> None:
    wheels = fetch_wheels(locked, (AMD64,), store, directory=tmp_path, progress=Silent())
    pylock = Pylock.from_dict(tomllib.loads(format_pylock(locked, wheels, "wheels")))
    assert [(package.name, package.marker) for package in pylock.packages] == [("app", None), ("native", None)]
    assert [str(marker) for marker in pylock.environments or ()] == [
        f'python_version == "{PYTHON}" and implementation_name == "cpython" and sys_platform == "linux" '
        'and platform_machine == "x86_64"'
    ]


def test_what_is_there_and_right_stays(exported: Path, store: Store, tmp_path: Path) -> None:
    path = exported.parent / "files/app-1.0-py3-none-any.whl"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    package = LockedPackage(name="app", version="1.0", files=())
    wheel = ExportedWheel(package=package, name=path.name, size=1, sha256=digest, platforms=PLATFORMS)
    before = path.stat()
    write_wheels([wheel], store, path.parent)
    assert path.stat().st_ino == before.st_ino
    path.write_bytes(b"other")
    write_wheels([wheel], store, path.parent)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest


def test_a_damaged_blob_is_not_written(exported: Path, store: Store, tmp_path: Path) -> None:
    name = "app-1.0-py3-none-any.whl"
    digest = hashlib.sha256((exported.parent / "files" / name).read_bytes()).hexdigest()
    store.path(digest).write_bytes(b"other")
    package = LockedPackage(name="app", version="1.0", files=())
    wheel = ExportedWheel(package=package, name=name, size=1, sha256=digest, platforms=PLATFORMS)
    with pytest.raises(IntegrityError) as refused:
        write_wheels([wheel], store, tmp_path / "new")
    assert refused.value.message == f"the stored blob {digest} is damaged"
    assert list((tmp_path / "new").iterdir()) == []


def file(name: str, digest: str, *platforms: object) -> LockedFile:
    return LockedFile(name=name, size=1, sha256=digest * 64, platforms=platforms)  # type: ignore[arg-type]


SAMPLE = (
    LockedPackage(name="app", version="1.0", files=(file("app-1.0.tar.gz", "a", *PLATFORMS),), why=("app==1.0",)),
    LockedPackage(name="arm", version="1.0", files=(file("arm.whl", "b", ARM64),), why=("mid",)),
    LockedPackage(
        name="mid",
        version="2.0",
        files=(file("m1.whl", "d", AMD64), file("m2.whl", "c", ARM64)),
        why=("-r r.txt", "app", "arm"),
    ),
)


def test_a_requirements_file_has_every_hash() -> None:
    lock = replace(small_lock(), wheels=SAMPLE)
    assert format_requirements(lock, PLATFORMS) == (
        "# sample 1.0 as of 2026-01-31, for Python 3.11 on Linux\n"
        f"app==1.0 \\\n    --hash=sha256:{'a' * 64}\n    # via app==1.0\n"
        f"arm==1.0 ; platform_machine == 'aarch64' \\\n    --hash=sha256:{'b' * 64}\n    # via mid\n"
        f"mid==2.0 \\\n    --hash=sha256:{'c' * 64} \\\n    --hash=sha256:{'d' * 64}\n    # via -r r.txt, app, arm\n"
    )
    assert "arm==" not in format_requirements(lock, (AMD64,))
    assert "platform_machine" not in format_requirements(lock, (ARM64,))


@pytest.fixture
def recipe_directory(tmp_path: Path) -> Path:
    path = tmp_path / "sample"
    path.mkdir()
    (path / "recipe.yaml").write_text("format: x\n")
    (path / "recipe.lock.yaml").write_text(format_lock(replace(small_lock(), wheels=SAMPLE, toolchain=SAMPLE[:1])))
    return path


def test_why_shows_the_chains_from_the_requirement_down(recipe_directory: Path) -> None:
    assert ferry("why", recipe_directory, "Arm").stdout == ("arm 1.0 (wheels; linux/arm64)\n  -r r.txt > mid > arm\n")
    assert ferry("why", recipe_directory, "mid").stdout == (
        "mid 2.0 (wheels; linux/amd64, linux/arm64)\n  -r r.txt > mid\n  app==1.0 > app > mid\n"
    )
    assert ferry("why", recipe_directory, "app").stdout == (
        "app 1.0 (wheels; linux/amd64, linux/arm64)\n  app==1.0 > app\n"
        "app 1.0 (toolchain; linux/amd64, linux/arm64)\n  app==1.0 > app\n"
    )
    done = ferry("why", recipe_directory, "none", code=3)
    assert done.stderr == 'error: nothing in the lock is called "none"\nhint: see recipe.lock.yaml\n'


def test_why_of_system_packages_and_images(recipe_directory: Path) -> None:
    def deb(name: str, platform: Platform, *why: str) -> LockedDeb:
        return LockedDeb(
            name=name,
            version="1.6-2",
            architecture=platform.debian,
            path=f"pool/{name}.deb",
            size=7,
            sha256="d" * 64,
            platform=platform,
            suite="bookworm",
            why=why,
        )

    image = LockedImage(
        reference=parse_reference("r.bank.local/redis:7", place=""),
        aliases=(),
        platform=AMD64,
        manifest=LockedBlob(media_type="application/vnd.oci.image.manifest.v1+json", size=3, sha256="e" * 64),
        blobs=(LockedBlob(media_type="application/vnd.oci.image.config.v1+json", size=4, sha256="f" * 64),),
        why=("chart web",),
    )
    debs = (deb("jq", AMD64, "jq"), deb("libjq1", AMD64, "jq"), deb("libjq1", ARM64, "jq"), deb("login", AMD64))
    lock = replace(small_lock(), os_debs=debs, images=(image,))
    (recipe_directory / "recipe.lock.yaml").write_text(format_lock(lock))
    assert ferry("why", recipe_directory, "libjq1").stdout == (
        "libjq1 1.6-2 (os_debs; linux/amd64, linux/arm64)\n  jq > libjq1\n"
    )
    assert ferry("why", recipe_directory, "jq").stdout == "jq 1.6-2 (os_debs; linux/amd64)\n  the recipe names it\n"
    assert ferry("why", recipe_directory, "login").stdout.endswith("\n  apt adds it to every system\n")
    assert ferry("why", recipe_directory, "r.bank.local/redis:7").stdout == (
        "r.bank.local/redis:7 (linux/amd64)\n  chart web\n"
    )


def test_why_of_a_lock_that_does_not_say(recipe_directory: Path) -> None:
    silent = tuple(replace(package, why=()) for package in SAMPLE)
    (recipe_directory / "recipe.lock.yaml").write_text(format_lock(replace(small_lock(), wheels=silent)))
    assert ferry("why", recipe_directory, "mid").stdout.splitlines()[1] == (
        "  the lock does not say: lock the recipe again"
    )


def test_export_requirements_writes_where_it_is_told(recipe_directory: Path, tmp_path: Path) -> None:
    shown = ferry("export", "requirements", recipe_directory).stdout
    out = tmp_path / "r.txt"
    assert ferry("export", "requirements", recipe_directory, "-o", out).stdout == f"wrote {out}\n"
    assert out.read_text() == shown == format_requirements(replace(small_lock(), wheels=SAMPLE), PLATFORMS)


def test_a_name_that_pip_would_not_take_is_wrong_usage(recipe_directory: Path) -> None:
    done = ferry("export", "pylock", recipe_directory, "-o", "lock.toml", code=2)
    assert 'expected "pylock.toml" or "pylock.NAME.toml" (PEP 751)' in done.stderr
