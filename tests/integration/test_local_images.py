"""Images of the builder: out of real daemons, an archive and a layout, over the lock into a bundle."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from archives import docker_archive, make_config, oci_layout, write_layout, write_tar
from artifacts import make_tar
from command import CHECKOUT, ferry
from registry import make_image, make_index
from runtimes import running_dockerd, running_podman

from bundler.local.take import Local
from bundler.model.image import LockedImage
from bundler.model.platform import parse_platform
from bundler.model.reference import parse_reference
from bundler.model.taken import Origin, TakenImage
from bundler.resolve.image import resolve_images
from bundler.store import Store

HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "")
ARCHITECTURE = HERE.partition("/")[2]
LAYERS = make_tar(("one", b"1" * 30000)), make_tar(("two", b"2"))
CONFIG = make_config(*LAYERS, architecture=ARCHITECTURE)
NAME = "localhost/team/app:1"


def resolve(tmp_path: Path, store: Path, kind: str, place: str) -> LockedImage:
    image = TakenImage(reference=parse_reference("r.bank.local/app:1", place=""), origin=Origin(kind=kind, place=place))
    local = Local(directory=tmp_path, store=Store(store))
    (found,) = resolve_images((image,), (parse_platform(HERE),), local)
    return found


def call(*words: str | Path) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout


def test_docker_podman_and_their_archives_give_the_same_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_tar(tmp_path / "made.tar", docker_archive(CONFIG, *LAYERS, tags=[NAME]))
    found = [resolve(tmp_path, tmp_path / "made", "archive", "made.tar")]
    with running_podman() as (address, podman):
        call(*podman, "load", "--input", archive)
        call(*podman, "save", "--output", tmp_path / "podman.tar", NAME)
        monkeypatch.setenv("DOCKER_HOST", address)
        found.append(resolve(tmp_path, tmp_path / "podman", "daemon", NAME))
    with running_dockerd() as address:
        call("docker", "--host", address, "load", "--input", archive)
        call("docker", "--host", address, "save", "--output", tmp_path / "docker.tar", NAME)
        monkeypatch.delenv("DOCKER_HOST")
        monkeypatch.setenv("CONTAINER_HOST", address)
        found.append(resolve(tmp_path, tmp_path / "docker", "daemon", NAME))
    found += [resolve(tmp_path, tmp_path / "saved", "archive", name) for name in ("podman.tar", "docker.tar")]
    assert {(one.manifest, one.blobs) for one in found} == {(found[0].manifest, found[0].blobs)}
    assert [one.origin and one.origin.sha256 for one in found[1:3]] == ["", ""]


def recipe_with(directory: Path, *images: dict[str, object]) -> Path:
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = yaml.safe_load((directory / "recipe.yaml").read_text())
    recipe |= {"images": list(images), "platforms": [HERE]}
    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return directory


@pytest.mark.network
def test_images_of_the_builder_cross_in_a_bundle(tmp_path: Path) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("needs the program skopeo")
    here = make_image(gzip.compress(LAYERS[0], mtime=0), architecture=ARCHITECTURE)
    other = make_image(gzip.compress(LAYERS[1], mtime=0), architecture="s390x")
    index = make_index(("linux/s390x", other), (HERE, here))
    recipe = recipe_with(
        tmp_path / "recipe",
        {"archive": "app.tar", "name": "r.bank.local/app:1", "aliases": ["docker.io/library/app:1"]},
        {"layout": str(tmp_path / "layout"), "name": "r.bank.local/one:1", "select": "both"},
        {"layout": str(tmp_path / "layout"), "name": "r.bank.local/whole:1", "select": "both", "index": True},
        {"daemon": NAME, "name": "r.bank.local/daemon:1"},
    )
    write_layout(tmp_path / "layout", oci_layout(("both", index)))
    write_tar(recipe / "app.tar", docker_archive(CONFIG, *LAYERS))
    environment = {"FERRY_KEYSTORE": str(tmp_path / "keystore"), "FERRY_STORE": str(tmp_path / "store")}
    with running_podman() as (address, podman):
        tagged = write_tar(tmp_path / "tagged.tar", docker_archive(CONFIG, *LAYERS, tags=[NAME]))
        call(*podman, "load", "--input", tagged)
        ferry("lock", recipe, DOCKER_HOST=address, **environment)
        before = (recipe / "recipe.lock.yaml").read_bytes()
        assert ferry("lock", recipe, DOCKER_HOST=address, **environment).stdout.endswith(" is up to date\n")
    assert ferry("lock", "--check", recipe).stdout.endswith(" is the lock of this recipe\n")
    # The daemon is gone: what the lock took into the store is enough, and gives the same bytes.
    bundle = tmp_path / "bundle.tar"
    ferry("build", recipe, "--yes", "-o", bundle, **environment)
    ferry("build", recipe, "-o", tmp_path / "again.tar", **environment)
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()
    assert (recipe / "recipe.lock.yaml").read_bytes() == before
    _check_bundle(bundle, index.digest, here.digest)

    # Another builder has neither the daemon nor what was locked of it.
    fresh = {**environment, "FERRY_STORE": str(tmp_path / "fresh"), "DOCKER_HOST": f"unix://{tmp_path}/none"}
    done = ferry("build", recipe, "-o", tmp_path / "other.tar", code=5, **fresh)
    assert done.stderr.splitlines()[-2:] == [
        f"error: {NAME}: expected the daemon at unix://{tmp_path}/none, no socket is there",
        "hint: start the daemon, or name its socket: DOCKER_HOST=unix:///run/podman/podman.sock",
    ]
    # The archive changed since, or is gone.
    write_tar(recipe / "app.tar", docker_archive(CONFIG, *LAYERS, tags=["other:1"]))
    done = ferry("build", recipe, "-o", tmp_path / "other.tar", code=3, **environment)
    assert done.stderr.splitlines()[-2:] == [
        "error: images: the lock's images are not those of the recipe",
        f"hint: run: ferry lock {recipe}",
    ]
    (recipe / "app.tar").unlink()
    done = ferry("build", recipe, "-o", tmp_path / "other.tar", code=3, **environment)
    assert done.stderr.splitlines()[-1] == (
        "error: images[0].archive: app.tar: expected an archive, nothing like it is there"
    )
    assert not (tmp_path / "other.tar").exists()


def _check_bundle(bundle: Path, index: str, one: str) -> None:
    with tarfile.open(bundle) as tar:
        listed, manifest = (json.load(tar.extractfile(name)) for name in ("index.json", "ferry.json"))  # type: ignore[arg-type]
    digests = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry for entry in listed["manifests"]}
    assert digests["r.bank.local/whole:1"]["digest"] == index
    assert "platform" not in digests["r.bank.local/whole:1"]
    assert digests["r.bank.local/one:1"]["digest"] == one
    archived = digests["r.bank.local/app:1"]["digest"]
    assert {archived} == {digests[f"{name}:1"]["digest"] for name in ("docker.io/library/app", "r.bank.local/daemon")}
    for name, digest in (("whole", index), ("one", one), ("app", archived)):
        out = bundle.with_name(name)
        call("skopeo", "copy", "--all", f"oci-archive:{bundle}:r.bank.local/{name}:1", f"dir:{out}")
        assert call("skopeo", "manifest-digest", out / "manifest.json").strip() == digest
    items = {item["name"]: item for item in manifest["items"] if item["kind"] == "image"}
    assert [item["source"] for item in items.values()] == [
        {"archive": "app.tar"},
        {"layout": "layout"},
        {"layout": "layout"},
        {"daemon": NAME},
    ]
    assert items["r.bank.local/app:1"]["names"] == ["r.bank.local/app:1", "docker.io/library/app:1"]
