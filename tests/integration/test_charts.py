"""A chart and the images that it needs, from lock to bundle."""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from artifacts import make_tar
from charts import pack_chart
from command import CHECKOUT, ferry
from registry import FakeRegistry, digest, make_image

pytestmark = pytest.mark.network
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


def named(name: str) -> dict[str, str | bytes]:
    return {f"{name}/Chart.yaml": f"{{name: {name}, version: 1.0.0}}"}


def recipe_with_charts(directory: Path, registry: FakeRegistry) -> Path:
    """Copy recipes/hello with a chart beside it, its values and what helm rendered elsewhere, and two from afar."""
    host = registry.host
    shutil.copytree(CHECKOUT / "recipes/hello", directory, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "sample.tgz").write_bytes(pack_chart())
    (directory / "values.yaml").write_text(f"registry: {host}\n")
    pod = {"containers": [{"name": "web", "image": f"{host}/team/web:2.0"}], "initContainers": []}
    own = {"containers": [{"name": "own", "image": "ferry.local/hello:1.0.0"}]}
    documents = [
        {"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec": pod}}},
        {"kind": "Pod", "metadata": {"name": "own"}, "spec": own},
        {"kind": "Prometheus", "metadata": {"name": "m"}, "spec": {"image": "quay.example/prometheus:v2"}},
    ]
    (directory / "rendered.yaml").write_text(yaml.safe_dump_all(documents))
    recipe = yaml.safe_load((directory / "recipe.yaml").read_text())
    chart = {"path": "sample.tgz", "values": ["values.yaml"], "rendered": "rendered.yaml", "namespace": "team"}
    pulled = pack_chart(named("pulled"))
    url = f"http://{registry.host}/v2/charts/behind/blobs/{digest(behind := pack_chart(named('behind')))}"
    registry.blobs |= {digest(data): data for data in (pulled, behind)}
    layer = {"mediaType": CHART, "digest": digest(pulled), "size": len(pulled)}
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": [layer]}
    registry.manifests["charts/pulled/1"] = (MANIFEST, json.dumps(manifest).encode())
    others = [
        {"reference": f"oci://{registry.host}/charts/pulled:1", "images": []},
        {"url": url, "sha256": digest(behind).removeprefix("sha256:"), "images": []},
    ]
    recipe |= {"charts": [chart, *others], "platforms": ["linux/amd64"]}
    (directory / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return directory


def test_a_chart_crosses_with_its_images(registry: FakeRegistry, tmp_path: Path) -> None:
    image = make_image(gzip.compress(make_tar(("etc/motd", b"hello\n")), mtime=0))
    registry.put("team/web", "2.0", image)
    recipe = recipe_with_charts(tmp_path / "hello", registry)
    keys = {"FERRY_KEYSTORE": str(tmp_path / "keys"), "FERRY_STORE": str(tmp_path / "store")}
    done = ferry("lock", recipe)
    assert done.stdout.splitlines()[0].endswith(" 1 files, 1 images, 3 charts")
    assert done.stderr.splitlines()[-2:] == [
        f"chart sample: {name} looks like an image, but no container asks for it; "
        "it is not carried unless the recipe lists it"
        for name in ("quay.example/extra:3", "quay.example/prometheus:v2")
    ]
    lock = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    name = f"{registry.host}/team/web:2.0"
    assert [(one["reference"], one["why"]) for one in lock["images"]] == [(name, ["chart sample"])]
    assert lock["charts"][0]["images"] == [name, "ferry.local/hello:1.0.0"]
    assert ferry("lock", recipe).stdout.endswith(" is up to date\n")
    paths = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for path, zone in zip(paths, ("UTC", "Asia/Shanghai"), strict=True):
        ferry("build", recipe, "--yes", "-o", path, TZ=zone, **keys)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    _check_bundle(paths[0], recipe, name)
    (recipe / "values.yaml").write_text("registry: other.example\n")
    done = ferry("lock", "--check", recipe, code=3)
    assert done.stderr.splitlines()[-2:] == [
        'error: charts[0]: "values.yaml" changed since it was locked',
        f"hint: run: ferry lock {recipe}",
    ]


def _check_bundle(bundle: Path, recipe: Path, name: str) -> None:
    with tarfile.open(bundle) as tar:
        manifest, sbom, index = (
            json.load(tar.extractfile(entry))  # type: ignore[arg-type]
            for entry in ("ferry.json", "sbom.cdx.json", "index.json")
        )
        held = tar.getnames()
    items = {(item["kind"], item["name"]): item for item in manifest["items"]}
    chart = items["chart", "sample-1.10.0.tgz"]
    host = name.partition("/")[0]
    assert items["chart", "pulled-1.0.0.tgz"]["source"]["reference"] == f"{host}/charts/pulled:1"
    assert items["chart", "behind-1.0.0.tgz"]["source"]["url"].startswith(f"http://{host}/v2/charts/behind/blobs/")
    assert chart["sha256"] == hashlib.sha256((recipe / "sample.tgz").read_bytes()).hexdigest()
    assert (chart["to"], chart["purl"]) == ("charts/sample-1.10.0.tgz", "pkg:helm/sample@1.10.0")
    assert chart["source"] == {
        "images": f"{name} ferry.local/hello:1.0.0",
        "kubernetes": "1.30",
        "namespace": "team",
        "release": "sample",
    }
    assert items["file", "values.yaml"]["to"] == "charts/sample-1.10.0.values-1.yaml"
    assert items["image", name]["source"] == {"reference": name}
    assert f"blobs/sha256/{items['artifact', 'ferry.local/charts/sample:1.10.0']['sha256']}" in held
    listed = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
    assert sorted(listed) == sorted([name, "ferry.local/hello:1.0.0"])
    parts = {one["purl"]: one["type"] for one in sbom["components"]}
    assert parts["pkg:helm/sample@1.10.0"] == "application"
    needs = {one["ref"].partition("#")[0]: one.get("dependsOn", []) for one in sbom["dependencies"]}
    images = {one["bom-ref"] for one in sbom["components"] if one["type"] == "container"}
    assert set(needs["pkg:helm/sample@1.10.0"]) == images
