import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from artifacts import make_wheel

from bundler.errors import IntegrityError
from bundler.model.platform import PLATFORMS
from bundler.resolve.tags import marker_environment
from bundler.sbom import make_sbom
from bundler.sbom.document import Part, check_sbom
from bundler.sbom.metadata import wheel_metadata

CHECKOUT = Path(__file__).resolve().parents[3]
CREATED = "2026-02-01T00:00:00Z"
DEB = Part(kind="deb", name="dash", version="1", purl="pkg:deb/debian/dash@1?arch=amd64", sha256="1" * 64, sm3="2" * 64)
PYTHON = Part(
    kind="python",
    name="python3.11",
    version="3.11.2",
    purl="pkg:generic/python3.11-runtime@3.11.2",
    sha256="3" * 64,
    sm3="4" * 64,
    inside=(DEB,),
)
TWO = Part(
    kind="wheel",
    name="two",
    version="2.0",
    purl="pkg:pypi/two@2.0",
    sha256="5" * 64,
    sm3="6" * 64,
    licenses=("BSD", "MIT"),
)
ONE = replace(TWO, name="one", purl="pkg:pypi/one@2.0", sha256="7" * 64, sm3="8" * 64, needs=(TWO.ref,))
IMAGE = Part(kind="image", name="h/a:1", version="1", purl="pkg:oci/a@1", sha256="9" * 64, sm3="a" * 64)
FILE = replace(IMAGE, kind="file", name="app.py", purl="pkg:generic/app.py@1", sha256="b" * 64)
PARTS = [PYTHON, ONE, TWO, IMAGE, FILE]
INSIDE: dict[str, list[dict[str, Any]]] = {
    IMAGE.ref: [{"type": "library", "name": "x", "version": "1", "bom-ref": "h/a:1#x:0"}]
}


def made(parts: list[Part] = PARTS, inside: dict[str, list[dict[str, Any]]] = INSIDE) -> bytes:
    return make_sbom(name="sample", version="1.0", created=CREATED, ferry_version="0.1", parts=parts, contents=inside)


def test_what_was_built_names_what_it_was_built_from() -> None:
    sdist = ("pkg:pypi/two@2.0?file_name=two-2.0.tar.gz", "c" * 64)
    document = json.loads(made([replace(TWO, made_from=(sdist,)), ONE], {}))
    found = {component["name"]: component.get("pedigree") for component in document["components"]}
    assert found["one"] is None
    (ancestor,) = found["two"]["ancestors"]
    assert (ancestor["purl"], ancestor["hashes"]) == (sdist[0], [{"alg": "SHA-256", "content": "c" * 64}])


def test_every_part_is_listed_with_purl_and_both_digests() -> None:
    document = json.loads(made())
    found = {component["bom-ref"]: component for component in document["components"]}
    assert set(found) == {part.ref for part in PARTS}
    for part in PARTS:
        component = found[part.ref]
        assert component["purl"] == part.purl
        assert component["hashes"] == [{"alg": "SHA-256", "content": part.sha256}]
        assert {"name": "ferry:sm3", "value": part.sm3} in component["properties"]
        assert {"name": "ferry:kind", "value": part.kind} in component["properties"]
    assert [one["bom-ref"] for one in found[PYTHON.ref]["components"]] == [DEB.ref]
    assert found[ONE.ref]["licenses"] == [{"license": {"name": "BSD"}}, {"license": {"name": "MIT"}}]
    kinds = [found[part.ref]["type"] for part in PARTS]
    assert kinds == ["platform", "library", "library", "container", "file"]
    assert found[IMAGE.ref]["components"] == INSIDE[IMAGE.ref]


def test_what_depends_on_what() -> None:
    document = json.loads(made())
    needs = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    assert sorted(needs["bundle"]) == sorted(part.ref for part in PARTS)
    assert needs[ONE.ref] == [TWO.ref]
    assert document["compositions"] == [{"aggregate": "complete", "assemblies": ["bundle"]}]


def test_the_document_says_what_it_is() -> None:
    document = json.loads(made())
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert document["metadata"]["timestamp"] == "2026-02-01T00:00:00+00:00"
    component = document["metadata"]["component"]
    assert (component["name"], component["version"], component["bom-ref"]) == ("sample", "1.0", "bundle")
    assert "vulnerabilities" not in document


def test_the_same_parts_give_the_same_bytes() -> None:
    text = made()
    assert made() == text
    program = "import sys; from test_sbom import made; sys.stdout.buffer.write(made())"
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests/support"), str(Path(__file__).parent)])
    for seed, zone in (("1", "UTC"), ("2", "Asia/Shanghai")):
        environment = {"PYTHONPATH": path, "PYTHONHASHSEED": seed, "TZ": zone, "PATH": os.environ["PATH"]}
        done = subprocess.run(
            [sys.executable, "-B", "-c", program], env=environment, capture_output=True, check=True, timeout=60
        )
        assert done.stdout == text


def test_another_bundle_has_another_serial_number() -> None:
    first, second = (
        json.loads(made(parts))["serialNumber"] for parts in (PARTS, [*PARTS[:-1], replace(FILE, sha256="c" * 64)])
    )
    assert first != second
    assert first.startswith("urn:uuid:")


def spoiled(change: Any) -> str:
    document = json.loads(made())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda d: d["components"][0].pop("name"),
            'sbom.cdx.json.components[0]: not valid CycloneDX 1.6: "name" is a required property',
        ),
        (
            lambda d: d["components"][1]["hashes"][0].update(content="xyz"),
            'sbom.cdx.json.components[1].hashes[0].content: not valid CycloneDX 1.6: "xyz" does not match '
            '"^([a-fA-F0-9]{32}|[a-fA-F0-9]{40}|[a-fA-F0-9]{64}|[a-fA-F0-9]{96}|[a-fA-F0-9]{128})$"',
        ),
        (
            lambda d: d.update(version=0),
            "sbom.cdx.json.version: not valid CycloneDX 1.6: 0 is less than the minimum of 1",
        ),
        (
            lambda d: d.update(extra=1),
            "sbom.cdx.json: not valid CycloneDX 1.6: Additional properties are not allowed ('extra' was unexpected)",
        ),
    ],
)
def test_a_wrong_document_is_refused_with_its_place(change: Any, says: str) -> None:
    with pytest.raises(IntegrityError) as refused:
        check_sbom(spoiled(change))
    assert str(refused.value) == says


def test_contents_that_do_not_fit_are_refused() -> None:
    with pytest.raises(IntegrityError, match=r"not valid CycloneDX 1\.6: "):
        made(inside={IMAGE.ref: [{"type": "nonsense", "name": "x"}]})


ENVIRONMENT = marker_environment(PLATFORMS[1], "3.11")


def read(tmp_path: Path, *metadata: str, files: dict[str, bytes] | None = None) -> tuple[Any, ...]:
    path = tmp_path / "blob"
    path.write_bytes(make_wheel("one", "1.0", files or {}, metadata=metadata)[1])
    return wheel_metadata(path, "one-1.0-py3-none-any.whl", ENVIRONMENT)


def test_a_wheel_says_what_it_requires_on_the_target(tmp_path: Path) -> None:
    lines = [
        "Requires-Dist: Plain_Name>=1",
        "Requires-Dist: arm; platform_machine == 'aarch64'",
        "Requires-Dist: intel; platform_machine == 'x86_64'",
        "Requires-Dist: optional; extra == 'all'",
        "Requires-Dist: not a requirement at all ((",
    ]
    assert read(tmp_path, *lines)[1] == ("arm", "plain-name")


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: x"], ("MIT OR Apache-2.0",)),
        (["Classifier: License :: OSI Approved :: MIT License", "License: x"], ("MIT License",)),
        (["License: BSD\n        with more lines"], ("BSD",)),
        (["License: " + "x" * 300], ("x" * 200,)),
        ([], ()),
    ],
)
def test_a_wheel_says_its_licence(lines: list[str], licences: tuple[str, ...], tmp_path: Path) -> None:
    assert read(tmp_path, *lines)[0] == licences


def test_metadata_of_what_a_wheel_vendors_is_not_its_own(tmp_path: Path) -> None:
    vendored = {"one/_vendor/x-1.dist-info/METADATA": b"Metadata-Version: 2.1\nName: x\nVersion: 1\nLicense: WRONG\n"}
    assert read(tmp_path, "License: RIGHT", files=vendored) == (("RIGHT",), ())


@pytest.mark.parametrize("data", [b"no zip", make_wheel("one", "1.0", {})[1].replace(b"METADATA", b"METADATX")])
def test_a_wheel_without_metadata_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(data)
    with pytest.raises(IntegrityError) as refused:
        wheel_metadata(tmp_path / "blob", "one-1.0-py3-none-any.whl", ENVIRONMENT)
    assert str(refused.value) == "one-1.0-py3-none-any.whl: expected a wheel with METADATA"
