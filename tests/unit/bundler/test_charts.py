"""Helm charts: the archive, the images in what is rendered, and their place in recipe, lock and bundle."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts import CHART, FILES, member, pack_chart
from mirror import Answer, Mirror
from registry import FakeRegistry, digest

from bundler.build import read_inputs
from bundler.carried.chart import carry_charts
from bundler.errors import FerryError, HostError, IntegrityError, RecipeError, ResolveError
from bundler.helm.archive import Chart, read_chart
from bundler.helm.images import find_images
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.lockedchart import LockedChart, chart_images
from bundler.model.platform import PLATFORMS
from bundler.resolve.chart import check_charts, resolve_charts
from bundler.store import Store

HELLO = Path(__file__).resolve().parents[3] / "recipes/hello"
RENDERED = """\
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: registry.example/web:1}]}}}
---
kind: Prometheus
metadata: {name: monitor}
spec: {image: "quay.example/prometheus:v2"}
"""
FOUND = ("docker.io/library/busybox:latest", "registry.example/team/cron:1")
FOUND += ("registry.example/team/hook:1", "registry.example/team/web:2.0")


def written(directory: Path, chart: dict[str, object], **more: object) -> Path:
    document: dict[str, Any] = yaml.safe_load((HELLO / "recipe.yaml").read_text())
    (directory / "recipe.yaml").write_text(yaml.safe_dump(document | {"charts": [chart], **more}))
    return directory


def beside(tmp_path: Path) -> Path:
    """Put a chart and what was rendered from it beside a recipe."""
    (tmp_path / "sample.tgz").write_bytes(pack_chart())
    (tmp_path / "values.yaml").write_text("registry: other.example\n")
    (tmp_path / "rendered.yaml").write_text(RENDERED)
    return tmp_path


def resolved(directory: Path, **chart: object) -> LockedChart:
    recipe = read_recipe(written(directory, chart))
    return resolve_charts(recipe.charts, directory)[0]


def refusal(kind: type[FerryError], directory: Path, **chart: object) -> FerryError:
    with pytest.raises(kind) as refused:
        resolved(directory, **chart)
    return refused.value


# The archive.


def test_a_chart_says_what_it_is() -> None:
    assert read_chart(pack_chart(), place="x") == Chart(
        name="sample", version="1.10.0", api_version="v2", app_version="2.0", annotated=("quay.example/extra:3",)
    )


def test_dependencies_may_be_directories_or_archives() -> None:
    wants = CHART + "dependencies:\n  - {name: one, version: 1.x}\n  - {name: two, version: 2.x}\n"
    files: dict[str, str | bytes] = {**FILES, "sample/Chart.yaml": wants}
    files["sample/charts/one/Chart.yaml"] = "{name: one, version: 1.0.0}"
    assert refused_chart(files) == (
        'x: expected every dependency in the chart, "two" is missing',
        "run: helm dependency build, then helm package",
    )
    files["sample/charts/any.tgz"] = pack_chart({"two/Chart.yaml": "{name: two, version: 2.0.0}"})
    assert read_chart(pack_chart(files), place="x").name == "sample"
    del files["sample/charts/one/Chart.yaml"], files["sample/charts/any.tgz"]
    assert refused_chart(files)[0] == 'x: expected every dependency in the chart, "one", "two" are missing'


def test_dependencies_of_the_first_version_are_read_too() -> None:
    files = {"old/Chart.yaml": "{name: old, version: 1.0.0}", "old/requirements.yaml": "dependencies: [{name: dep}]"}
    assert refused_chart(files)[0] == 'x: expected every dependency in the chart, "dep" is missing'


def refused_chart(files: dict[str, Any]) -> tuple[str, str | None]:
    with pytest.raises((IntegrityError, ResolveError)) as refused:
        read_chart(pack_chart(files), place="x")
    return str(refused.value), refused.value.hint


def test_a_library_cannot_be_installed() -> None:
    says = "x: expected a chart to install, this one is a library for others"
    assert refused_chart({**FILES, "sample/Chart.yaml": CHART + "type: library\n"})[0] == says


ONE = "expected one directory of at most 10000 files"
INSIDE = "expected a name inside the chart's directory"
KINDS = "expected files and directories"
BAD = {
    "not-gzip": (b"PK\3\4", "expected a packaged chart, a .tgz: Not a gzipped file (b'PK')"),
    "cut": (pack_chart()[:200], None),
    "not-tar": (gzip.compress(b"x" * 2000), "expected a packaged chart, a .tgz: invalid header"),
    "empty": (pack_chart({}), "Chart.yaml: expected a packaged chart, it has no such file"),
    "escape": (pack_chart({**FILES, "sample/../../x": ""}), f'{INSIDE}, got "sample/../../x"'),
    "absolute": (pack_chart({**FILES, "/sample/x": ""}), f'{INSIDE}, got "/sample/x"'),
    "top": (pack_chart({**FILES, "x": ""}), f'{INSIDE}, got "x"'),
    "control": (pack_chart({**FILES, "sample/\x1b[2J": ""}), f'{INSIDE}, got "sample/\\x1b[2J"'),
    "two-tops": (pack_chart({**FILES, "other/Chart.yaml": CHART}), f'{ONE}, got "other/Chart.yaml"'),
    "twice": (pack_chart({**FILES, "sample/./Chart.yaml": CHART}), f'{ONE}, got "sample/./Chart.yaml"'),
    "many": (pack_chart({f"sample/{n}": "" for n in range(10_001)}), f'{ONE}, got "sample/10000"'),
    "symlink": (pack_chart(FILES, member("sample/l", tarfile.SYMTYPE, "/etc/passwd")), f'{KINDS}, got "sample/l"'),
    "hardlink": (pack_chart(FILES, member("sample/l", tarfile.LNKTYPE, "sample/x")), f'{KINDS}, got "sample/l"'),
    "device": (pack_chart(FILES, member("sample/d", tarfile.CHRTYPE)), f'{KINDS}, got "sample/d"'),
    "large": (bytes(16 * 1024 * 1024 + 1), "expected a chart of at most 16777216 bytes, got 16777217"),
    "yaml": (pack_chart({"sample/Chart.yaml": "a: ["}), None),
    "list": (pack_chart({"sample/Chart.yaml": "[]"}), "Chart.yaml: expected a mapping, got a list"),
    "name": (
        pack_chart({"sample/Chart.yaml": "{name: ../x, version: 1.0.0}"}),
        'Chart.yaml.name: expected the name of a chart, got "../x"',
    ),
    "version": (
        pack_chart({"sample/Chart.yaml": "{name: x, version: 1/2}"}),
        'Chart.yaml.version: expected the version of a chart, got "1/2"',
    ),
    "no-version": (
        pack_chart({"sample/Chart.yaml": "{name: x}"}),
        "Chart.yaml.version: expected text, the field is missing",
    ),
    "annotation": (
        pack_chart({"sample/Chart.yaml": "{name: x, version: 1.0.0, annotations: {artifacthub.io/images: '[1]'}}"}),
        'Chart.yaml: annotations.artifacthub.io/images[0]: expected a mapping, got "1"',
    ),
}  # fmt: skip


def _bomb() -> bytes:
    """A chart whose one file is larger than all that a chart may have."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as plain:
        info = tarfile.TarInfo("sample/Chart.yaml")
        info.size = 1024 * 1024 * 1024
        plain.write(info.tobuf())
        for _ in range(110):
            plain.write(bytes(1024 * 1024))
    return out.getvalue()


BAD["bomb"] = (_bomb(), "expected a chart of at most 104857600 bytes when unpacked")


@pytest.mark.parametrize("defect", BAD)
def test_a_bad_archive_is_refused(defect: str) -> None:
    data, says = BAD[defect]
    with pytest.raises(IntegrityError) as refused:
        read_chart(data, place="x")
    assert str(refused.value) == f"x: {says}" if says else str(refused.value).startswith("x: ")


def test_an_archive_is_read_alike_whatever_aliases_share() -> None:
    layers = "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(30))
    text = f"kind: Foreign\na0: &a0 [quay.example/x:1]\n{layers}"
    assert find_images(text, place="x").alike == ("quay.example/x:1",)


# What is rendered.


def kinds(text: str) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    found = find_images(text, place="x")
    return [(one.image, one.by) for one in found.asked], found.alike


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"])
@pytest.mark.parametrize("where", ["containers", "initContainers", "ephemeralContainers"])
def test_images_of_every_kind_are_found(kind: str, where: str) -> None:
    pod = {where: [{"name": "c", "image": "a/b:1"}]}
    text = json.dumps({"kind": kind, "metadata": {"name": "n"}, "spec": {"template": {"spec": pod}}})
    assert kinds(text) == ([("a/b:1", f"{kind} n")], ())


def test_pods_lists_jobs_by_the_clock_and_image_volumes() -> None:
    pod = {"kind": "Pod", "spec": {"containers": [{"image": "b"}], "volumes": [{"image": {"reference": "d:2"}}]}}
    template = {"kind": "PodTemplate", "template": {"spec": {"containers": [{"image": "c"}]}}}
    cron = {"spec": {"template": {"spec": {"containers": [{"image": "a"}]}}}}
    items = [pod, template, {"kind": "CronJob", "spec": {"jobTemplate": cron}}]
    assert kinds(json.dumps({"kind": "List", "items": items}) + "\n---\n---\n# nothing\n") == (
        [("a", "CronJob"), ("b", "Pod"), ("c", "PodTemplate"), ("d:2", "Pod")],
        (),
    )


def test_what_only_looks_like_an_image_is_told_apart() -> None:
    text = """\
kind: Prometheus
spec: {image: "quay.example/prometheus:v2", args: ["--reloader-image=quay.example/reloader:1", "--log=info"]}
---
kind: ConfigMap
metadata: {name: c}
data:
  image: not-tagged
  sidecarImage: sidecar:3
  page: http://www.example.org/index.html:8080
  template: |
    containers:
      - image: "quay.example/injected:4"
      - image: {{ .other }}
---
kind: CustomResourceDefinition
spec: {default: "quay.example/crd:5"}
"""
    names = ["quay.example/injected:4", "quay.example/prometheus:v2", "quay.example/reloader:1", "sidecar:3"]
    assert kinds(text) == ([], tuple(names))


def test_manifests_that_are_none_are_refused() -> None:
    for text, says in (
        ("a: [", None),
        ("a: 2023-99-99", "x: expected YAML: month must be in 1..12"),
        ('{kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: ""}]}}',
         'x: Pod p: expected an image, the container "c" names none'),
    ):  # fmt: skip
        with pytest.raises(ResolveError) as refused:
            find_images(text, place="x")
        assert str(refused.value) == says if says else str(refused.value).startswith("x:2: expected YAML: ")


# Recipe and lock.


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        ({}, "charts[0].path: expected one of path, url, reference, got none"),
        ({"path": "a.tgz", "url": "x"}, "charts[0].url: expected one of path, url, reference, got path, url"),
        ({"path": "chart"}, 'charts[0].path: expected a packaged chart NAME-VERSION.tgz, got "chart"'),
        ({"path": "../a.tgz"}, 'charts[0].path: expected a relative path, got "../a.tgz"'),
        ({"url": "https://h/a.tgz"}, "charts[0].sha256: expected text, the field is missing"),
        ({"url": "https://u:p@h/a.tgz"}, "charts[0].url: expected a URL without user and password"),
        (
            {"reference": "oci://h.example/x"},
            'charts[0].reference: expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got "h.example/x"',
        ),
        ({"path": "a.tgz", "values": ["/etc/x"]}, 'charts[0].values[0]: expected a relative path, got "/etc/x"'),
        (
            {"path": "a.tgz", "images": ["redis"]},
            'charts[0].images[0]: expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got "redis"',
        ),
        (
            {"path": "a.tgz", "name": "--set"},
            'charts[0].name: expected the name of a release: at most 53 of a-z, 0-9 and hyphen, got "--set"',
        ),
        ({"path": "a.tgz", "kubernetes": "v1"}, 'charts[0].kubernetes: expected a version such as "1.30", got "v1"'),
        (
            {"path": "a.tgz", "rendered": "r.yaml", "images": []},
            'charts[0].rendered: expected "auto" among the images: nothing reads this file',
        ),
        ({"path": "a.tgz", "version": "1"}, "charts[0].version: unknown field"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(tmp_path: Path, chart: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(written(tmp_path, chart))
    assert str(refused.value) == says


def test_the_place_of_the_charts_is_theirs_alone(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(
            written(tmp_path, {"path": "a.tgz"}, files=[{"path": "x", "to": "charts/x"}], services=[], images=[])
        )
    assert str(refused.value) == 'files[0].to: expected a place outside "charts", which the charts have'


def test_a_rendered_file_needs_no_helm_and_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    directory = beside(tmp_path)
    images = ["auto", "quay.example/more:1"]
    chart = resolved(directory, path="sample.tgz", rendered="rendered.yaml", values=["values.yaml"], images=images)
    data = (directory / "sample.tgz").read_bytes()
    assert (chart.name, chart.version, chart.app_version, chart.release) == ("sample", "1.10.0", "2.0", "sample")
    assert (chart.file.to, chart.file.size) == ("charts/sample-1.10.0.tgz", len(data))
    assert chart.file.sha256 == hashlib.sha256(data).hexdigest()
    assert [file.to for file in chart.values] == ["charts/sample-1.10.0.values-1.yaml"]
    assert chart.images == ("quay.example/more:1", "registry.example/web:1")
    assert chart.not_carried == ("quay.example/extra:3", "quay.example/prometheus:v2")
    assert chart.helm == ""


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    chart = resolved(beside(tmp_path), path="sample.tgz", rendered="rendered.yaml", values=["values.yaml"])
    plain = read_lock(HELLO)
    path = tmp_path / "recipe.lock.yaml"
    pulled = replace(
        chart,
        reference="h.example/x/sample:1",
        file=replace(chart.file, path=""),
        helm="3.10.1",
        rendered=None,
        values=(),
    )
    path.write_text(format_lock(replace(plain, charts=(chart, replace(pulled, name="sample")))))
    assert read_lock(path).charts == (chart, pulled)


def test_the_annotation_counts_when_the_recipe_says_so(tmp_path: Path) -> None:
    chart = resolved(beside(tmp_path), path="sample.tgz", images=["annotated"])
    assert (chart.images, chart.not_carried) == (("quay.example/extra:3",), ())


def test_declared_images_need_neither_helm_nor_rendering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FERRY_HELM", "/nonexistent/helm")
    assert resolved(beside(tmp_path), path="sample.tgz", images=["a.example/x:1"]).images == ("a.example/x:1",)


def test_without_helm_the_ways_out_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FERRY_HELM", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    error = refusal(HostError, beside(tmp_path), path="sample.tgz")
    assert str(error) == 'charts[0]: expected the program "helm", this host has none'
    assert error.hint == (
        "install helm or name it in FERRY_HELM; or give what `helm template` prints elsewhere as `rendered`; "
        "or list the images of the chart"
    )


def test_files_that_are_missing_or_links_are_refused(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    says = "charts[0]: no.tgz: expected a file: No such file or directory"
    assert str(refusal(RecipeError, directory, path="no.tgz")) == says
    (directory / "link.tgz").symlink_to("/etc/hostname")
    says = "charts[0]: link.tgz: expected a file beside the recipe, this leads through a link"
    assert str(refusal(RecipeError, directory, path="link.tgz")) == says


def test_another_chart_than_its_digest_says_is_refused(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    actual = hashlib.sha256((directory / "sample.tgz").read_bytes()).hexdigest()
    says = f"charts[0]: sample.tgz: expected sha256 {'0' * 64}, got {actual}"
    assert str(refusal(IntegrityError, directory, path="sample.tgz", sha256="0" * 64)) == says


def test_a_container_whose_image_is_none_is_refused(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    (directory / "rendered.yaml").write_text(RENDERED.replace("registry.example/web:1", '":"'))
    error = refusal(ResolveError, directory, path="sample.tgz", rendered="rendered.yaml")
    assert str(error) == 'charts[0]: sample.tgz: Deployment web: expected the reference of an image, got ":"'
    assert error.hint == "give the chart values that name it"


def test_a_chart_behind_a_url_is_checked(tmp_path: Path, mirror: Mirror) -> None:
    data = pack_chart()
    url = mirror.serve("/sample.tgz", Answer(body=data))
    sha256 = hashlib.sha256(data).hexdigest()
    chart = resolved(tmp_path, url=url, sha256=sha256, images=[])
    assert (chart.file.url, chart.file.path, chart.images) == (url, "", ())
    missing = mirror.url + "/no.tgz"
    says = f"charts[0]: {missing}: expected the chart, its server answered 404"
    assert str(refusal(ResolveError, tmp_path, url=missing, sha256=sha256)) == says


def artifact(data: bytes, **changes: object) -> bytes:
    layer = {
        "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        "digest": digest(data),
        "size": len(data),
    }
    config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(b"{}"), "size": 2}
    return json.dumps({"schemaVersion": 2, "config": config, "layers": [layer], **changes}).encode()


def test_a_chart_of_a_registry_is_pulled(tmp_path: Path, registry: FakeRegistry) -> None:
    data = pack_chart()
    host = registry.host
    registry.blobs[digest(data)] = data
    registry.manifests["charts/sample/1.10"] = ("application/vnd.oci.image.manifest.v1+json", artifact(data))
    chart = resolved(tmp_path, reference=f"oci://{host}/charts/sample:1.10", images=[])
    assert (chart.reference, chart.file.sha256) == (f"{host}/charts/sample:1.10", hashlib.sha256(data).hexdigest())
    place = f"charts[0]: {host}/charts/sample:1.10"
    registry.blobs[digest(data)] = pack_chart({})
    says = f"{place}: expected {digest(data)}, the registry serves other bytes"
    assert str(refusal(IntegrityError, tmp_path, reference=f"{host}/charts/sample:1.10")) == says
    registry.manifests["charts/sample/1.10"] = ("application/vnd.oci.image.manifest.v1+json", artifact(data, layers=[]))
    says = f"{place}: expected an artifact with one chart, it has 0"
    assert str(refusal(ResolveError, tmp_path, reference=f"{host}/charts/sample:1.10")) == says


def test_a_lock_notices_what_changed(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    recipe = read_recipe(
        written(directory, {"path": "sample.tgz", "values": ["values.yaml"], "rendered": "rendered.yaml"})
    )
    charts = resolve_charts(recipe.charts, directory)
    check_charts(recipe.charts, charts, directory)
    for name in ("sample.tgz", "values.yaml", "rendered.yaml"):
        before = (directory / name).read_bytes()
        (directory / name).write_bytes(before + b"\n")
        with pytest.raises(RecipeError) as refused:
            check_charts(recipe.charts, charts, directory)
        assert str(refused.value) == f'charts[0]: "{name}" changed since it was locked'
        (directory / name).write_bytes(before)
    for other in ((), (*charts, *charts), (replace(charts[0], file=replace(charts[0].file, path="x.tgz")),)):
        with pytest.raises(RecipeError) as refused:
            check_charts(recipe.charts, other, directory)
        assert str(refused.value) == "charts: the lock's charts are not those of the recipe"


def test_the_images_of_a_lock_are_those_of_recipe_and_charts(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    shutil.copytree(HELLO / "service", directory / "service")
    recipe = read_recipe(written(directory, {"path": "sample.tgz", "images": ["a.example/x:1"]}))
    charts = resolve_charts(recipe.charts, directory)
    lock = replace(read_lock(HELLO), recipe_sha256=recipe.sha256, charts=charts)
    (directory / "recipe.lock.yaml").write_text(format_lock(lock))
    with pytest.raises(RecipeError) as refused:
        read_inputs(directory)
    assert str(refused.value) == "images: the lock's images are not those of the recipe"


def test_what_the_recipe_takes_already_is_not_taken_twice(tmp_path: Path) -> None:
    chart = resolved(beside(tmp_path), path="sample.tgz", images=["a.example/x:1", "a.example/y:1"])
    other = replace(chart, name="other")
    found = chart_images((chart, other), ("a.example/y:1",))
    assert [(str(one.reference), one.why) for one in found] == [("a.example/x:1", ("chart sample", "chart other"))]
    pinned = replace(other, images=(f"a.example/x:1@sha256:{'0' * 64}",))
    with pytest.raises(ResolveError) as refused:
        chart_images((chart, pinned), ())
    assert str(refused.value) == (
        f'charts: other: expected one image called "a.example/x:1", two have it: a.example/x:1, {pinned.images[0]}'
    )


def test_a_bundle_carries_chart_values_and_artifact(tmp_path: Path) -> None:
    directory = beside(tmp_path)
    chart = resolved(directory, path="sample.tgz", values=["values.yaml"], images=["a.example/x:1"])
    store = Store(tmp_path / "store")
    for name in ("sample.tgz", "values.yaml"):
        store.put((directory / name).read_bytes(), "application/octet-stream")
    lock = replace(read_lock(HELLO), charts=(replace(chart, version="1.10.0+b"),))
    items = list(carry_charts(lock, PLATFORMS[0], store))
    assert [(item.kind, item.name, item.purl, item.to) for item in items[:2]] == [
        ("chart", "sample-1.10.0+b.tgz", "pkg:helm/sample@1.10.0%2Bb", "charts/sample-1.10.0.tgz"),
        ("file", "values.yaml", "pkg:generic/hello/charts/sample-1.10.0.values-1.yaml@1.0.0", chart.values[0].to),
    ]
    assert [(item.kind, item.name) for item in items[2:]] == [("artifact", "ferry.local/charts/sample:1.10.0_b")] * 2
    manifest, config = (json.loads(store.read(item.descriptor.sha256)) for item in items[2:])
    assert config == {"apiVersion": "v2", "appVersion": "2.0", "name": "sample", "version": "1.10.0+b"}
    assert manifest["config"]["digest"] == f"sha256:{items[3].descriptor.sha256}"
    assert manifest["layers"] == [
        {
            "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            "digest": f"sha256:{chart.file.sha256}",
            "size": chart.file.size,
        }
    ]


# The program itself.


@pytest.fixture
def helm() -> str:
    program = os.environ.get("FERRY_HELM") or shutil.which("helm")
    if not program:
        pytest.skip("needs helm on PATH or in FERRY_HELM")
    return program


def test_helm_renders_hooks_jobs_and_values(tmp_path: Path, helm: str) -> None:
    directory = beside(tmp_path)
    chart = resolved(directory, path="sample.tgz")
    assert chart.images == FOUND
    assert chart.helm[0].isdigit()
    assert chart.not_carried == ("quay.example/extra:3",)
    names = [image.replace("registry.example/team", "other.example") for image in FOUND]
    assert resolved(directory, path="sample.tgz", values=["values.yaml"]).images == tuple(sorted(names))


def test_helm_gets_the_version_and_the_apis_of_the_cluster(tmp_path: Path, helm: str) -> None:
    asks = '{{ if .Capabilities.APIVersions.Has "x.example/v1" }}x{{ else }}y{{ end }}'
    pod = f'{{kind: Pod, spec: {{containers: [{{image: "{asks}:{{{{ .Capabilities.KubeVersion.Minor }}}}"}}]}}}}'
    files = {"sample/Chart.yaml": CHART, "sample/templates/p.yaml": pod}
    (tmp_path / "sample.tgz").write_bytes(pack_chart(files))
    assert resolved(tmp_path, path="sample.tgz", kubernetes="1.27").images == ("docker.io/library/y:27",)
    apis = resolved(tmp_path, path="sample.tgz", api_versions=["x.example/v1"])
    assert apis.images == ("docker.io/library/x:30",)


def test_what_helm_refuses_is_told(tmp_path: Path, helm: str) -> None:
    pod = '{kind: Pod, spec: {containers: [{image: {{ required "say which one" .Values.no }}}]}}'
    (tmp_path / "sample.tgz").write_bytes(pack_chart({"sample/Chart.yaml": CHART, "sample/templates/p.yaml": pod}))
    error = refusal(ResolveError, tmp_path, path="sample.tgz")
    assert str(error).startswith(
        "charts[0]: helm does not render it: Error: execution error at (sample/templates/p.yaml"
    )
    assert "say which one" in str(error)
    assert error.hint == "give the values that it asks for"


def test_helm_gets_neither_network_nor_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in the place of helm tells what it is given: a template may try whatever a process can."""
    program = tmp_path / "helm"
    program.write_text(f"""#!{sys.executable}
import os, socket, sys
if sys.argv[1] == "version":
    print("v3.99.0")
else:
    names = "-".join(name for _, name in socket.if_nameindex())
    up = os.path.isdir(os.environ["HOME"]) and not os.listdir(os.environ["HOME"])
    image = f"x/{{names}}:{{os.environ.get('SECRET', 'none')}}-{{os.environ.get('KUBECONFIG', 'none')}}-{{up}}"
    print("kind: Pod\\nspec: {{containers: [{{image: '" + image + "'}}]}}")
""")
    program.chmod(0o755)
    monkeypatch.setenv("FERRY_HELM", str(program))
    monkeypatch.setenv("SECRET", "leaked")
    monkeypatch.setenv("KUBECONFIG", "leaked")
    chart = resolved(beside(tmp_path), path="sample.tgz")
    assert (chart.images, chart.helm) == (("docker.io/x/lo:none-none-True",), "3.99.0")


def test_a_program_that_is_no_helm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "helm"
    program.write_text("#!/bin/sh\necho v2.17.0\n")
    program.chmod(0o755)
    monkeypatch.setenv("FERRY_HELM", str(program))
    error = refusal(HostError, beside(tmp_path), path="sample.tgz")
    assert str(error) == f"charts[0]: expected helm 3 or later, \"{program}\" is 'v2.17.0'"
