"""Images from a real registry: filled by skopeo, locked, carried in a bundle, read out of it by skopeo."""

import base64
import gzip
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import yaml
from artifacts import make_tar
from command import CHECKOUT, ferry
from ports import free_port
from registry import make_image

pytestmark = pytest.mark.network
HERE = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}.get(os.uname().machine, "")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
# alice:open-sesame, as `htpasswd -nbB` writes it.
HTPASSWD = "alice:$2y$05$OpMzKdGPsPiOy3/9aVoxh.oUE9lJlbenfHCi.NPDXryzbpxNA0zH.\n"
LOGIN = base64.b64encode(b"alice:open-sesame").decode()


def skopeo(*words: str | Path) -> str:
    return subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True, timeout=300).stdout


@contextmanager
def running_registry(directory: Path, users: str = "") -> Iterator[str]:
    """Start a registry on loopback; yield its host."""
    host = f"127.0.0.1:{free_port()}"
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": host},
    }
    if users:
        (directory / "users").write_text(users)
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "users")}}
    (directory / "config.yml").write_text(yaml.safe_dump(settings))
    with (directory / "log").open("wb") as log:
        argv = ["docker-registry", "serve", directory / "config.yml"]
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(host)
            yield host
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(host: str) -> None:
    for _ in range(100):
        try:
            with socket.create_connection(host.split(":"), 1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the registry did not come up")


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")


@pytest.fixture(scope="module")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    ferry("keystore", "init", "--yes", FERRY_KEYSTORE=str(directory))
    return {"FERRY_KEYSTORE": str(directory)}


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory, keystore: dict[str, str]) -> str:
    """The image of recipes/hello, for skopeo."""
    bundle = tmp_path_factory.mktemp("hello") / "hello.tar"
    ferry("build", "recipes/hello", "-o", bundle, **keystore)
    return f"oci-archive:{bundle}:ferry.local/hello:1.0.0"


def recipe_with(directory: Path, *images: dict[str, object]) -> Path:
    """Copy recipes/hello for this host's platform, with other images."""
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    recipe = yaml.safe_load((directory / "recipe.yaml").read_text())
    recipe |= {"images": list(images), "platforms": [HERE]}
    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return directory


def docker_image(directory: Path) -> str:
    """Make an image of Docker's media types with a Python package in it, for skopeo."""
    metadata = b"Metadata-Version: 2.1\nName: six\nVersion: 1.16.0\n"
    layer = make_tar(("usr/lib/python3/dist-packages/six-1.16.0.dist-info/METADATA", metadata))
    image = make_image(gzip.compress(layer, mtime=0), architecture=HERE.partition("/")[2], docker=True)
    (directory / "blobs/sha256").mkdir(parents=True)
    for digest, data in {**image.blobs, image.digest: image.manifest}.items():
        (directory / "blobs" / digest.replace(":", "/")).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [image.descriptor]}))
    return f"oci:{directory}"


def put_index(host: str, name: str, tag: str, digest: str) -> None:
    """Put an index of one platform above an image that is there."""
    operating_system, _, architecture = HERE.partition("/")
    asked = Request(f"http://{host}/v2/{name}/manifests/{digest}", headers={"Accept": MANIFEST})
    with urlopen(asked) as answer:
        child = {"mediaType": answer.headers["Content-Type"], "digest": digest, "size": len(answer.read())}
    child["platform"] = {"os": operating_system, "architecture": architecture}
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]}).encode()
    url = f"http://{host}/v2/{name}/manifests/{tag}"
    with urlopen(Request(url, body, {"Content-Type": INDEX}, method="PUT")) as answer:
        assert answer.status == 201


def test_images_cross_from_a_registry_with_their_digests(tmp_path: Path, hello: str, keystore: dict[str, str]) -> None:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as host:
        for name, source in (("oci", hello), ("docker", docker_image(tmp_path / "docker"))):
            skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", source, f"docker://{host}/base/{name}:1")
        there = {
            name: json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/base/{name}:1"))["Digest"]
            for name in ("oci", "docker")
        }
        put_index(host, "base/oci", "multi", there["oci"])
        alias = "registry.bank.local/base/hello:1"
        recipe = recipe_with(
            tmp_path / "recipe",
            {"compose": "ferry.local/hello:1.0.0", "service": "hello"},
            {"reference": f"{host}/base/oci:multi", "aliases": [alias]},
            {"reference": f"{host}/base/docker:1"},
            {"reference": f"{host}/base/oci@{there['oci']}"},
        )
        assert ferry("lock", recipe).stdout.splitlines()[0].endswith(" 1 files, 3 images")
        locked = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())["images"]
        assert [f"sha256:{image['sha256']}" for image in locked] == [there["oci"], there["docker"], there["oci"]]
        assert locked[1]["media_type"] == "application/vnd.docker.distribution.manifest.v2+json"
        before = (recipe / "recipe.lock.yaml").read_bytes()
        assert ferry("lock", recipe).stdout.endswith(" is up to date\n")
        assert (recipe / "recipe.lock.yaml").read_bytes() == before
        bundle = tmp_path / "bundle.tar"
        environment = {**keystore, "FERRY_STORE": str(tmp_path / "store")}
        ferry("build", recipe, "-o", bundle, **environment)
    # The registry is gone: what was fetched is enough for the same bytes.
    ferry("build", recipe, "-o", tmp_path / "again.tar", **environment)
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()
    _check_bundle(bundle, host, alias, there)


def _check_bundle(bundle: Path, host: str, alias: str, there: dict[str, str]) -> None:
    with tarfile.open(bundle) as tar:
        index, manifest, sbom = (
            json.load(tar.extractfile(name))  # type: ignore[arg-type]
            for name in ("index.json", "ferry.json", "sbom.cdx.json")
        )
    names = {f"{host}/base/oci:multi": "oci", alias: "oci", f"{host}/base/docker:1": "docker"}
    listed = {one["annotations"]["org.opencontainers.image.ref.name"]: one["digest"] for one in index["manifests"]}
    assert listed.keys() == {"ferry.local/hello:1.0.0", f"{host}/base/oci@{there['oci']}", *names}
    for name, kind in names.items():
        out = bundle.with_name(f"out-{kind}")
        source = f"oci-archive:{bundle}:{name}" if kind == "oci" else _alone(bundle, index, name)
        skopeo("copy", "--preserve-digests", source, f"dir:{out}")
        assert listed[name] == there[kind] == skopeo("manifest-digest", out / "manifest.json").strip()
    items = {item["name"]: item for item in manifest["items"] if item["kind"] == "image"}
    assert items[f"{host}/base/docker:1"]["source"] == {"reference": f"{host}/base/docker:1"}
    assert items[f"{host}/base/docker:1"]["purl"].startswith(f"pkg:oci/docker@{there['docker']}?")
    images = {one["name"]: one.get("components", []) for one in sbom["components"] if one["type"] == "container"}
    assert images.keys() == items.keys()
    assert [part["purl"] for part in images[f"{host}/base/docker:1"]] == ["pkg:pypi/six@1.16.0"]


def _alone(bundle: Path, index: dict[str, list[dict[str, dict[str, str]]]], name: str) -> str:
    """Unpack a layout that lists one image: skopeo 1.9 finds no image of Docker's type by its name."""
    layout = bundle.with_name("layout")
    layout.mkdir()
    subprocess.run(["tar", "-xf", bundle, "-C", layout, "oci-layout", "blobs"], check=True)
    one = [entry for entry in index["manifests"] if entry["annotations"]["org.opencontainers.image.ref.name"] == name]
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": one}))
    return f"oci:{layout}"


def test_a_registry_with_passwords(tmp_path: Path, hello: str, keystore: dict[str, str]) -> None:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry", HTPASSWD) as host:
        to = f"docker://{host}/private/hello:1"
        skopeo("copy", "--dest-tls-verify=false", "--dest-creds=alice:open-sesame", hello, to)
        recipe = recipe_with(tmp_path / "recipe", {"reference": f"{host}/private/hello:1"})
        (recipe / "recipe.lock.yaml").unlink()
        done = ferry("lock", recipe, code=5)
        assert done.stderr.splitlines() == [
            f"error: images[0].reference: {host}/private/hello:1: no registry gives the image: {host}: the registry "
            "asks for a user and a password, asked without a login",
            f"hint: check the name; log in with: docker login {host} "
            "(or podman login --authfile, named in REGISTRY_AUTH_FILE)",
        ]
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))
        environment = {"DOCKER_CONFIG": str(tmp_path), "FERRY_STORE": str(tmp_path / "store"), **keystore}
        ferry("lock", recipe, **environment)
        ferry("build", recipe, "-o", tmp_path / "bundle.tar", **environment)
        digest = skopeo("inspect", "--raw", f"oci-archive:{tmp_path / 'bundle.tar'}:{host}/private/hello:1")
        assert json.loads(digest)["schemaVersion"] == 2


def test_a_tag_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as host:
        recipe = recipe_with(tmp_path / "recipe", {"reference": f"{host}/base/none:1"})
        done = ferry("lock", recipe, code=4)
    assert done.stderr.splitlines()[-2:] == [
        f"error: images[0].reference: {host}/base/none:1: no registry gives the image: "
        f"http://{host}/v2/base/none/manifests/1: answered 404",
        "hint: check the name, the tag and that the registry has it",
    ]
