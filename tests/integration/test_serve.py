"""A bundle served to the clients that hosts have: skopeo, podman, containerd, Docker, pip, uv, apt-get and Ferry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from hosts import Host
from runtimes import containerd, docker, podman_state

pytestmark = pytest.mark.network
RECIPE = """\
wheels: ["idna==3.10"]
debs:
  - {suite: bookworm, packages: [jq]}
"""


@dataclass(frozen=True, kw_only=True)
class Served:
    """A bundle, and where it is served."""

    bundle: Path
    key: Path
    url: str

    @property
    def place(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    work = tmp_path_factory.mktemp("serve")
    shutil.copytree(CHECKOUT / "recipes/hello", work / "recipe", ignore=shutil.ignore_patterns("__pycache__"))
    with (work / "recipe/recipe.yaml").open("a") as stream:
        stream.write(RECIPE)
    keys = {"FERRY_KEYSTORE": str(work / "keystore")}
    ferry("lock", work / "recipe")
    ferry("build", work / "recipe", "--yes", "-o", work / "bundle.tar", **keys)
    ferry("keystore", "public", "-o", work / "key.pem", **keys)
    words = ["serve", work / "bundle.tar", "--trust", work / "key.pem", "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "bundler.cli", *map(str, words)],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        yield Served(bundle=work / "bundle.tar", key=work / "key.pem", url=url)
        process.terminate()
        assert process.wait(20) == 0


def run(*words: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_skopeo_copies_an_image(served: Served, tmp_path: Path) -> None:
    index = json.loads(run("tar", "-xOf", served.bundle, "index.json"))
    source = f"docker://{served.place}/ferry.local/hello:1.0.0"
    run("skopeo", "copy", "--src-tls-verify=false", source, f"oci:{tmp_path / 'out'}")
    copied = json.loads((tmp_path / "out/index.json").read_text())
    assert copied["manifests"][0]["digest"] == index["manifests"][0]["digest"]
    listed = json.loads(run("skopeo", "list-tags", "--tls-verify=false", f"docker://{served.place}/hello"))
    assert listed["Tags"] == ["1.0.0"]


@pytest.mark.skipif(shutil.which("podman") is None or os.geteuid() != 0, reason="needs podman and root")
def test_podman_pulls_an_image(served: Served) -> None:
    name = f"{served.place}/ferry.local/hello:1.0.0"
    # podman takes no long path for its state.
    with tempfile.TemporaryDirectory(prefix="pm-") as work:
        stores = ["--root", f"{work}/root", *podman_state(work), "--storage-driver", "vfs"]
        run("podman", *stores, "pull", "--tls-verify=false", name)
        assert name in run("podman", *stores, "images", "--format", "{{.Repository}}:{{.Tag}}")


def test_containerd_pulls_an_image(served: Served, tmp_path: Path) -> None:
    name = f"{served.place}/ferry.local/hello:1.0.0"
    with containerd(Host(tmp_path / "host")) as ctr:
        ctr("images", "pull", "--plain-http", name)
        assert name in ctr("images", "list", "--quiet").split()


def test_docker_pulls_an_image(served: Served, tmp_path: Path) -> None:
    name = f"{served.place}/ferry.local/hello:1.0.0"
    with docker(Host(tmp_path / "host")) as program:
        program("pull", "--quiet", name)
        assert name in program("image", "list", "--format", "{{.Repository}}:{{.Tag}}").split()


def test_pip_installs_a_wheel(served: Served, tmp_path: Path) -> None:
    words = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", "--only-binary", ":all:"]
    run(
        *(sys.executable, "-m", "pip", "install", *words, "--index-url", f"{served.url}/simple/"),
        *("--target", tmp_path / "site", "idna"),
        PIP_CONFIG_FILE=os.devnull,
    )
    assert (tmp_path / "site/idna/__init__.py").is_file()


def test_uv_installs_a_wheel(served: Served, tmp_path: Path) -> None:
    from uv import find_uv_bin

    words = ["--no-config", "--no-cache", "--default-index", f"{served.url}/simple/"]
    run(find_uv_bin(), "pip", "install", "--quiet", *words, "--target", tmp_path / "site", "idna")
    assert (tmp_path / "site/idna/__init__.py").is_file()


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt-get")
def test_apt_downloads_packages(served: Served, tmp_path: Path) -> None:
    (tmp_path / "lists/partial").mkdir(parents=True)
    (tmp_path / "cache/archives/partial").mkdir(parents=True)
    (tmp_path / "status").write_text("")
    (tmp_path / "ferry.list").write_text(f"deb [trusted=yes] {served.url}/apt/bookworm ./\n")
    options = {
        "Dir::Etc::sourcelist": tmp_path / "ferry.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": tmp_path / "lists",
        "Dir::State::status": tmp_path / "status",
        "Dir::Cache": tmp_path / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::http::Proxy": "false",
    }
    apt = ["apt-get", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    subprocess.run([*apt, "download", "jq"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert [path.name.partition("_")[0] for path in tmp_path.glob("*.deb")] == ["jq"]


def test_ferry_verifies_what_it_served(served: Served, tmp_path: Path) -> None:
    run("curl", "-fsS", "-o", tmp_path / "copy.tar", f"{served.url}/bundle.tar")
    ferry("verify", tmp_path / "copy.tar", "--trust", served.key)


def test_many_hosts_at_once_get_the_same(served: Served, tmp_path: Path) -> None:
    """As when ten isolated hosts share one stick."""
    processes = [
        subprocess.Popen(["curl", "-fsS", "-o", tmp_path / str(number), f"{served.url}/bundle.tar"])
        for number in range(10)
    ]
    assert [process.wait(120) for process in processes] == [0] * 10
    expected = served.bundle.read_bytes()
    assert all((tmp_path / str(number)).read_bytes() == expected for number in range(10))


def test_a_stranger_s_bundle_is_not_served(served: Served, tmp_path: Path) -> None:
    keys = {"FERRY_KEYSTORE": str(tmp_path / "keystore")}
    ferry("keystore", "init", "--yes", **keys)
    ferry("keystore", "public", "-o", tmp_path / "other.pem", **keys)
    done = ferry("serve", served.bundle, "--trust", tmp_path / "other.pem", "--listen", "127.0.0.1:0", code=7)
    assert done.stdout == ""
