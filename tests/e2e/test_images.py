"""Images of a bundle in the container runtime of a real host: loaded without network, run, and removed again."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from artifacts import make_tar
from command import CHECKOUT, ferry
from machine import Machine
from registry import digest

pytestmark = [pytest.mark.e2e, pytest.mark.network]
BUNDLE = "/mnt/stick/hello.tar"
HELLO = "ferry.local/hello:1.0.0"
NAMES = ("ferry.local/tool:1", "registry.bank.local/base/tool:1")
# What containers need inside a machine that is itself one.
OPTIONS = ("--bind=/sys/fs/cgroup", "--capability=all", "--system-call-filter=@keyring bpf")
PODMAN_RUN = "podman --runtime runc --cgroup-manager cgroupfs run --rm --network none"
PODMAN_RUN += " --ulimit nofile=1024:1024 --ulimit nproc=1000:1000"


def docker_archive(path: Path) -> None:
    """Write an archive as `docker save` does, of an image with one static program."""
    layer = make_tar(("ldconfig", Path("/sbin/ldconfig").read_bytes()))
    rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
    machine = {"x86_64": "amd64", "aarch64": "arm64"}
    architecture = machine[os.uname().machine]
    config = json.dumps({"os": "linux", "architecture": architecture, "config": {}, "rootfs": rootfs}).encode()
    name = digest(config).removeprefix("sha256:")
    manifest = [{"Config": f"{name}.json", "RepoTags": ["tool:1"], "Layers": ["one/layer.tar"]}]
    with tarfile.open(path, "w") as tar:
        parts = ((f"{name}.json", config), ("one/layer.tar", layer), ("manifest.json", json.dumps(manifest).encode()))
        for member, data in parts:
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hello service, its image, and one out of an archive with an alias."""
    stick = tmp_path_factory.mktemp("stick")
    recipe = tmp_path_factory.mktemp("recipes") / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    docker_archive(recipe / "tool.tar")
    document = yaml.safe_load((recipe / "recipe.yaml").read_text())
    here = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}[os.uname().machine]
    tool = {"archive": "tool.tar", "name": NAMES[0], "aliases": list(NAMES[1:]), "platforms": [here]}
    document["images"].append(tool)
    (recipe / "recipe.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    keystore = {"FERRY_KEYSTORE": str(tmp_path_factory.mktemp("keys") / "keystore")}
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "hello.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)
    return stick


@pytest.fixture
def booted(tmp_path: Path, stick: Path) -> Iterator[Callable[..., Machine]]:
    reason = Machine.reason_unavailable()
    if reason is not None:
        pytest.skip(reason)
    made: list[Machine] = []

    def boot(*packages: str) -> Machine:
        made.append(Machine.create("bookworm", tmp_path / "host", include=packages))
        made[0].boot(binds_ro={stick: "/mnt/stick"}, options=OPTIONS)
        return made[0]

    yield boot
    for machine in made:
        machine.destroy()


def install(machine: Machine, *words: str) -> dict[str, object]:
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {BUNDLE} install.sh"])
    argv = ["sh", "/root/install.sh", BUNDLE, "--trust", "/mnt/stick/release.pem", "--yes", "--json", *words]
    done = machine.run(argv, check=False, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


def steps(document: dict[str, object]) -> list[str]:
    found = document["steps"]
    assert isinstance(found, Sequence)
    return [step["step"] for step in found]


def sh(machine: Machine, command: str) -> str:
    return machine.run(["sh", "-c", command], timeout_s=120).stdout


def check(machine: Machine, runtime: str, run: str, hello: str) -> None:
    """Install, run what came, install again, lose a name, remove."""
    assert "images" in steps(install(machine))
    assert json.loads(sh(machine, "ferry host status --json"))["images"] == {
        "count": 2,
        "runtime": runtime,
        "missing_names": [],
    }
    for name in NAMES:
        assert sh(machine, run.format(name)).startswith("ldconfig (Debian GLIBC ")
    assert sh(machine, hello) == "crossed\n"
    assert install(machine)["planned"] == 0


def test_podman_runs_what_the_bundle_brought(booted: Callable[..., Machine]) -> None:
    machine = booted("podman", "runc")
    before = sh(machine, "find /var/lib/containers | sort")
    assert steps(install(machine, "--dry-run"))[1:5] == ["store", "trust", "marks", "images"]
    assert sh(machine, "find /var/lib/containers | sort") == before, "a dry run leaves nothing"
    python = f"{PODMAN_RUN} --entrypoint /usr/bin/python3.11 {HELLO} -c 'print(\"crossed\")'"
    check(machine, "podman", f"{PODMAN_RUN} {{}} /ldconfig --version | head -1", python)
    sh(machine, f"podman rmi {NAMES[1]}")
    assert steps(install(machine)) == ["images"]
    assert NAMES[1] in sh(machine, "podman images --format '{{.Repository}}:{{.Tag}}'")
    sh(machine, "ferry host uninstall --yes")
    assert sh(machine, "podman images --all --quiet") == ""


def test_containerd_runs_what_the_bundle_brought(booted: Callable[..., Machine]) -> None:
    machine = booted("containerd", "runc")
    python = f"ctr run --rm {HELLO} hello /usr/bin/python3.11 -c 'print(\"crossed\")'"
    check(machine, "containerd/default", "ctr run --rm {} tool /ldconfig --version | head -1", python)
    sh(machine, "ferry host uninstall --yes")
    assert sh(machine, "ctr images list --quiet") == ""
