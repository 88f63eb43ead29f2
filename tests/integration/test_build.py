"""The connected side on real input: what a lock names is fetched, booted, listed, signed and packed."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from runtimes import podman_state

from bundler.compose import builder_platform
from bundler.model.platform import PLATFORMS
from bundler.sandbox.emulation import emulates

pytestmark = pytest.mark.network
ID = "1234567812345678"


def copied(name: str, to: Path) -> Path:
    shutil.copytree(CHECKOUT / "recipes" / name, to, ignore=shutil.ignore_patterns("__pycache__"))
    return to


def test_the_locks_are_of_the_recipes() -> None:
    for path in sorted((CHECKOUT / "recipes").glob("*/recipe.yaml")):
        assert ferry("lock", "--check", path.parent).stdout.endswith("is the lock of this recipe\n")


@pytest.mark.parametrize("name", ["langchain", "autogen"])
def test_an_agent_service_is_booted_without_network(name: str, tmp_path: Path, keystore: dict[str, str]) -> None:
    built = json.loads(ferry("build", f"recipes/{name}", "--json", "-o", tmp_path / "x.tar", **keystore).stdout)
    assert set(built["booted"]) == {name, "standin-model"}


def test_locking_again_changes_nothing(tmp_path: Path) -> None:
    recipe = copied("hello", tmp_path / "hello")
    first = ferry("lock", recipe)
    before = (recipe / "recipe.lock.yaml").read_bytes()
    assert ferry("lock", recipe).stdout == f"{recipe / 'recipe.lock.yaml'} is up to date\n"
    assert (recipe / "recipe.lock.yaml").read_bytes() == before
    assert ", 1 files\n" in first.stdout or "up to date" in first.stdout


def test_a_lock_of_another_recipe_is_refused(tmp_path: Path, keystore: dict[str, str]) -> None:
    recipe = copied("hello", tmp_path / "hello")
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text + "# changed\n")
    done = ferry("build", recipe, "-o", tmp_path / "x.tar", code=3, **keystore)
    assert done.stderr == (
        f"error: {recipe / 'recipe.lock.yaml'}: the recipe changed since it was locked\n"
        f"hint: run: ferry lock {recipe}\n"
    )
    (recipe / "recipe.yaml").write_text(text)
    (recipe / "service/new.py").write_text("")
    assert "files changed since they were locked" in ferry("lock", "--check", recipe, code=3).stderr
    assert not (tmp_path / "x.tar").exists()


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A keystore of its own, as FERRY_KEYSTORE."""
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    ferry("keystore", "init", "--yes", FERRY_KEYSTORE=str(directory))
    return {"FERRY_KEYSTORE": str(directory)}


@pytest.fixture(scope="session")
def hello(tmp_path_factory: pytest.TempPathFactory, keystore: dict[str, str]) -> Path:
    """A bundle of recipes/hello with the builder's public key beside it."""
    directory = tmp_path_factory.mktemp("hello")
    ferry("build", "recipes/hello", "-o", directory / "hello.tar", **keystore)
    ferry("keystore", "public", "-o", directory / "release.pem", **keystore)
    return directory / "hello.tar"


def test_the_same_lock_and_key_give_the_same_bytes_elsewhere(
    tmp_path: Path, hello: Path, keystore: dict[str, str]
) -> None:
    elsewhere = copied("hello", tmp_path / "other name" / "deep" / "recipe")
    before = os.umask(0o077)
    try:
        changed = {"TZ": "Asia/Shanghai", "FERRY_STORE": str(tmp_path / "store"), "PYTHONHASHSEED": "7"}
        ferry("build", elsewhere, "-o", tmp_path / "again.tar", **keystore, **changed)
    finally:
        os.umask(before)
    assert (tmp_path / "again.tar").read_bytes() == hello.read_bytes()


def test_verify_inspect_and_openssl_agree(tmp_path: Path, hello: Path) -> None:
    trust = hello.with_name("release.pem")
    assert ferry("verify", hello, "--trust", trust).stdout.startswith("verified: hello 1.0.0 (linux/")
    assert json.loads(ferry("verify", hello, "--trust", trust, "--json").stdout)["verified"] is True
    shown = ferry("inspect", hello).stdout
    assert "hello 1.0.0 (sequence 1)" in shown
    assert shown.endswith("not verified: run ferry verify\n")
    manifest = json.loads(ferry("inspect", hello, "--json").stdout)
    assert {item["kind"] for item in manifest["items"]} == {"python", "toolchain", "file", "image", "layer", "report"}
    names = ["ferry.json", "ferry.json.sig", "install.sh"]
    subprocess.run(["tar", "--occurrence=1", "-xf", hello, *names], cwd=tmp_path, check=True)
    argv = ["openssl", "dgst", "-sm3", "-verify", trust, "-sigopt", f"distid:{ID}", "-signature", names[1], names[0]]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "Verified OK\n"


def test_inspect_reads_only_the_head(tmp_path: Path, hello: Path) -> None:
    head = tmp_path / "head.tar"
    head.write_bytes(hello.read_bytes()[: 256 * 1024])
    assert "hello 1.0.0" in ferry("inspect", head).stdout


def test_chinese_under_a_chinese_locale(hello: Path) -> None:
    trust = hello.with_name("release.pem")
    assert ferry("verify", hello, "--trust", trust, LANG="zh_CN.UTF-8", LC_ALL="").stdout.startswith("校验通过：")


def test_the_sbom_lists_every_item_with_purl_and_both_digests(hello: Path) -> None:
    with tarfile.open(hello) as tar:
        sbom = json.load(tar.extractfile("sbom.cdx.json"))  # type: ignore[arg-type]
        manifest = json.load(tar.extractfile("ferry.json"))  # type: ignore[arg-type]
    listed = {
        (one["purl"], one["hashes"][0]["content"], *(p["value"] for p in one["properties"] if p["name"] == "ferry:sm3"))
        for one in sbom["components"]
    }
    # JSON of a purl and of the library may write a character in another way; digests say what is meant.
    assert {(sha, sm3) for _, sha, sm3 in listed} == {(one["sha256"], one["sm3"]) for one in manifest["items"]}
    assert all(purl.startswith("pkg:") for purl, _, _ in listed)
    runtime = next(one for one in sbom["components"] if one["type"] == "platform")
    assert {"libc6", "libstdc++6", "libpython3.11-stdlib"} <= {one["name"] for one in runtime["components"]}
    assert (sbom["specVersion"], sbom["bomFormat"]) == ("1.6", "CycloneDX")


def test_skopeo_copies_the_image_out_and_podman_runs_it(tmp_path: Path, hello: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("skopeo") or not shutil.which("podman"):
        pytest.skip("needs root, skopeo and podman")
    image = "ferry.local/hello:1.0.0"
    subprocess.run(["skopeo", "copy", f"oci-archive:{hello}:{image}", f"dir:{tmp_path / 'copy'}"], check=True)
    # podman refuses a long run root.
    run_root = tempfile.mkdtemp(prefix="fp")
    podman = ["podman", "--root", tmp_path / "root", *podman_state(run_root), "--cgroup-manager", "cgroupfs"]
    podman += ["--runtime", "runc"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", "--network", "none", "--read-only"]
    ask = "import os, urllib.request as u; print(u.urlopen('http://127.0.0.1:8070/').read().decode(), os.getuid())"
    try:
        subprocess.run([*podman, "load", "-i", hello], check=True, capture_output=True)
        subprocess.run([*podman, "run", "-d", "--name", "hello", *limits, image], check=True, capture_output=True)
        asked = [*podman, "exec", "hello", "python3", "-c", ask]
        for _ in range(50):
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                break
        assert "other side of the air gap" in done.stdout
        assert done.stdout.split()[-1] == "10001"
    finally:
        subprocess.run([*podman, "rm", "-fa"], check=False, capture_output=True)
        subprocess.run([*podman, "rmi", "-fa"], check=False, capture_output=True)
        shutil.rmtree(run_root, ignore_errors=True)


def test_a_service_that_does_not_come_up_fails_the_build(tmp_path: Path, keystore: dict[str, str]) -> None:
    recipe = copied("hello", tmp_path / "hello")
    (recipe / "service/hello.py").write_text("import socket\nsocket.create_connection(('192.0.2.1', 80), 5)\n")
    ferry("lock", recipe)
    done = ferry("build", recipe, "-o", tmp_path / "x.tar", code=4, **keystore)
    assert done.stderr.startswith(
        "error: services: hello: the service did not come up without network: ended with status 1\n"
    )
    assert "Network is unreachable" in done.stderr
    assert list(tmp_path.iterdir()) == [recipe]


def test_a_damaged_blob_of_the_store_never_gets_into_a_bundle(tmp_path: Path, keystore: dict[str, str]) -> None:
    environment = {**keystore, "FERRY_STORE": str(tmp_path / "store")}
    ferry("build", "recipes/hello", "-o", tmp_path / "good.tar", **environment)
    manifest = json.loads(ferry("inspect", tmp_path / "good.tar", "--json").stdout)
    runtime = next(one for one in manifest["items"] if one["kind"] == "python")
    with (tmp_path / "store/blobs/sha256" / runtime["sha256"]).open("r+b") as blob:
        blob.seek(1000)
        blob.write(b"!")
    done = ferry("build", "recipes/hello", "-o", tmp_path / "bad.tar", code=6, **environment)
    assert "is damaged: it is not what the manifest promises" in done.stderr
    assert not (tmp_path / "bad.tar").exists()


def test_a_package_that_the_archive_dropped_is_told_with_what_to_do(tmp_path: Path, keystore: dict[str, str]) -> None:
    recipe = copied("hello", tmp_path / "hello")
    lock = recipe / "recipe.lock.yaml"
    lines = lock.read_text().splitlines()
    index = next(number for number, line in enumerate(lines) if "/dash_" in line and "amd64" in line)
    lines[index] = lines[index].replace("/dash_", "/dash_0.0.1-")
    lines[index + 2] = f"    sha256: {'a' * 64}"
    lock.write_text("\n".join(lines) + "\n")
    platform = ["--platform", "linux/amd64"]
    done = ferry("build", recipe, *platform, "-o", tmp_path / "x.tar", code=5, **keystore)
    assert done.stderr.startswith("error: pool/main/d/dash/dash_0.0.1-")
    assert "answered 404" in done.stderr
    assert done.stderr.endswith("in FERRY_DEBIAN_ARCHIVES, as base URIs with a space between\n")


def test_services_of_another_processor_boot_where_it_is_emulated(tmp_path: Path, keystore: dict[str, str]) -> None:
    other = next(platform for platform in PLATFORMS if platform != builder_platform())
    done = ferry(
        *("build", "recipes/hello", "--platform", str(other), "-o", tmp_path / "other.tar", "--json"),
        FERRY_STORE=str(tmp_path / "store"),
        **keystore,
    )
    document = json.loads(done.stdout)
    assert document["platform"] == str(other)
    # Without qemu-user-static and binfmt_misc it is built all the same, and not booted.
    assert list(document["booted"]) == (["hello"] if emulates(other) else [])


def test_a_site_without_sm2_signs_with_ed25519_and_openssl_checks_it(tmp_path: Path, keystore: dict[str, str]) -> None:
    ferry("keystore", "generate", "edwards", "--algorithm", "ed25519", **keystore)
    for name in ("release", "edwards"):
        ferry("keystore", "public", "--key", name, "-o", tmp_path / f"{name}.pem", **keystore)
    bundle = tmp_path / "hello.tar"
    ferry("build", "recipes/hello", "-o", bundle, "--key", "edwards", **keystore)
    told = ferry("verify", bundle, "--trust", tmp_path / "edwards.pem").stdout
    assert "(ed25519)\n  trusted by its key\n" in told
    ferry("verify", bundle, "--trust", tmp_path / "release.pem", code=7)
    subprocess.run(["tar", "--occurrence=1", "-xf", bundle, "ferry.json", "ferry.json.sig"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [
            *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "edwards.pem", "-rawin", "-in", "ferry.json"),
            *("-sigfile", "ferry.json.sig"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "Signature Verified Successfully\n")
    signed = ferry("sign", bundle, "--key", "release", "--trust", tmp_path / "edwards.pem", **keystore)
    assert signed.stdout.startswith("signed: hello 1.0.0 (linux/")
    assert signed.stdout.endswith("), 2 signatures now\n")
    ferry("verify", bundle, "--trust", tmp_path / "release.pem")
