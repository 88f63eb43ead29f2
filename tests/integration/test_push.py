"""Bundles and images through a real registry: Ferry on both sides, oras and skopeo reading what it holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import ferry
from oras.client import OrasClient
from private_ca import make_certificate
from real_registry import HTPASSWD, LOGIN, running_registry
from smalldisk import SmallDisk

pytestmark = pytest.mark.network


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    for program in ("docker-registry", "skopeo"):
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"FERRY_KEYSTORE": str(tmp_path_factory.mktemp("keys") / "keystore")}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Path:
    out = tmp_path_factory.mktemp("push") / "hello.tar"
    ferry("build", "recipes/hello", "--yes", "-o", out, **keys)
    return out


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry") as found:
        yield found


def skopeo(*words: str) -> str:
    return subprocess.run(["skopeo", *words], capture_output=True, text=True, check=True, timeout=300).stdout


def test_a_bundle_crosses_a_registry(bundle: Path, keys: dict[str, str], host: str, tmp_path: Path) -> None:
    name = f"{host}/platform/hello:1.0.0"
    pushed = json.loads(ferry("push", bundle, name, "--json", **keys).stdout)
    uploads = (tmp_path / "registry/log").read_text().count("/blobs/uploads/")
    assert uploads >= pushed["sent"]
    again = json.loads(ferry("push", bundle, name, "--json", **keys).stdout)
    assert (again["sent"], again["there"], again["digest"]) == (0, pushed["sent"], pushed["digest"])
    assert (tmp_path / "registry/log").read_text().count("/blobs/uploads/") == uploads
    back = tmp_path / "back.tar"
    ferry("pull", f"{name}@{pushed['digest']}", "-o", back, **keys)
    assert back.read_bytes() == bundle.read_bytes()
    assert pushed["referrers_tag"] == pushed["digest"].replace(":", "-")
    of = f"docker://{host}/platform/hello:{pushed['referrers_tag']}"
    listed = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", of))
    assert [one["digest"] for one in listed["manifests"]] == [one["digest"] for one in pushed["referrers"]]


def test_other_tools_read_it(bundle: Path, keys: dict[str, str], host: str, tmp_path: Path) -> None:
    name = f"{host}/platform/hello:1.0.0"
    ferry("push", bundle, name, **keys)
    client = OrasClient(insecure=True)
    assert client.get_manifest(name)["artifactType"] == "application/vnd.ferry.bundle.v1"
    client.pull(target=name, outdir=str(tmp_path / "layout"))
    image = "ferry.local/hello:1.0.0"
    # What oras writes is the bundle unpacked: an OCI layout.
    unpacked = skopeo("inspect", "--raw", f"oci:{tmp_path}/layout:{image}")
    assert unpacked == skopeo("inspect", "--raw", f"oci-archive:{bundle}:{image}")
    words = ["--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false"]
    skopeo("copy", *words, f"docker://{name}", f"docker://{host}/copy/hello:1")
    ferry("pull", f"{host}/copy/hello:1", "-o", tmp_path / "back.tar", **keys)
    assert (tmp_path / "back.tar").read_bytes() == bundle.read_bytes()


def test_images_under_their_own_names(bundle: Path, keys: dict[str, str], host: str) -> None:
    done = ferry("push", "--images", bundle, f"{host}/mirror", "--json", **keys)
    (image,) = json.loads(done.stdout)["images"]
    assert (image["name"], image["pushed"]) == ("ferry.local/hello:1.0.0", f"{host}/mirror/hello:1.0.0")
    found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{image['pushed']}"))
    assert found["Digest"] == image["digest"]


def test_a_registry_with_passwords(bundle: Path, keys: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with running_registry(tmp_path / "registry", HTPASSWD) as host:
        name = f"{host}/platform/hello:1.0.0"
        done = ferry("push", bundle, name, code=5, **keys)
        assert done.stderr.splitlines() == [
            f"error: {host}: the registry asks for a user and a password, asked without a login",
            f"hint: check the name; log in with: docker login {host} "
            "(or podman login --authfile, named in REGISTRY_AUTH_FILE)",
        ]
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))
        login = {"DOCKER_CONFIG": str(tmp_path), **keys}
        ferry("push", bundle, name, **login)
        ferry("pull", name, "-o", tmp_path / "back.tar", **login)
    assert (tmp_path / "back.tar").read_bytes() == bundle.read_bytes()


def test_a_registry_of_a_private_authority(bundle: Path, keys: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    certificate = make_certificate(tmp_path / "registry.pem")
    with running_registry(tmp_path / "registry", certificate=certificate) as host:
        name = f"{host}/platform/hello:1.0.0"
        done = ferry("push", bundle, name, code=5, **keys)
        assert "no answer: its certificate is not one that this host trusts" in done.stderr
        assert "name a certificate authority of your own in SSL_CERT_FILE" in done.stderr
        trusting = {"SSL_CERT_FILE": str(certificate), **keys}
        ferry("push", bundle, name, **trusting)
        ferry("pull", name, "-o", tmp_path / "back.tar", **trusting)
    assert (tmp_path / "back.tar").read_bytes() == bundle.read_bytes()


def test_a_disk_without_room_for_what_is_pulled(bundle: Path, keys: dict[str, str], host: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    name = f"{host}/platform/hello:1.0.0"
    ferry("push", bundle, name, **keys)
    size = bundle.stat().st_size
    with SmallDisk(tmp_path / "disk", 2 * size) as disk:
        disk.leave(size // 2)
        out = disk.path / "back.tar"
        done = ferry("pull", name, "-o", out, code=8, **keys)
        assert re.fullmatch(
            rf"error: {re.escape(str(disk.path))}: expected [\d,]+ bytes free for what is missing, got [\d,]+\n"
            r"hint: free some space, or write to another place with -o\n",
            done.stderr,
        )
        assert not out.exists()
        disk.free()
        ferry("pull", name, "-o", out, **keys)
        assert out.read_bytes() == bundle.read_bytes()
