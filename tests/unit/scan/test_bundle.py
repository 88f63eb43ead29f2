"""`ferry scan egress` on a bundle: verified first, then read straight from its tar."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from artifacts import make_tar, make_wheel
from bundles import DEFECTS, SIGNER, STRANGER, packed, small_manifest
from command import ferry
from values import service

from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, JSON, LAYER, WHEEL, Descriptor
from bundler.model.egress import Allowed
from bundler.model.manifest import Item
from bundler.scan.finding import make_report
from bundler.store import describe_bytes

NAME = "registry.example/app:1.0"
WHEEL_NAME, WHEEL_DATA = make_wheel("one", "1.0", {"one/a.py": b'nltk.download("punkt")\n'})
LAYER_DATA = make_tar(("app/entry.sh", b"#!/bin/sh\nnpx -y server\n"))
CONFIG_DATA = json.dumps({"config": {"Entrypoint": ["/app/entry.sh"]}}).encode()


def described(data: bytes, media_type: str) -> Descriptor:
    return describe_bytes(data, media_type)


def item(kind: str, name: str, data: bytes, media_type: str, lineage: tuple[str, ...] = ()) -> Item:
    descriptor = described(data, media_type)
    return Item(kind=kind, name=name, version="1", purl="pkg:generic/x@1", descriptor=descriptor, lineage=lineage)


def bundle(tmp_path: Path, *allowed: Allowed) -> Path:
    layer, config = described(LAYER_DATA, LAYER), described(CONFIG_DATA, IMAGE_CONFIG)
    image = json.dumps({"config": {"digest": f"sha256:{config.sha256}"}, "layers": []}).encode()
    report = make_report((), allowed).document()
    items = (
        item("wheel", WHEEL_NAME, WHEEL_DATA, WHEEL),
        item("image", NAME, image, IMAGE_MANIFEST, (f"sha256:{layer.sha256}",)),
        item("layer", NAME, CONFIG_DATA, IMAGE_CONFIG),
        item("layer", NAME, LAYER_DATA, LAYER),
        item("report", "egress.json", report, JSON),
    )
    services = (service(run=("uvx", "tool")),)
    manifest, contents = small_manifest([WHEEL_DATA, image, CONFIG_DATA, LAYER_DATA, report], services=services)
    path = tmp_path / "sample.tar"
    path.write_bytes(packed(replace(manifest, items=items), contents))
    (tmp_path / "pub.pem").write_text(SIGNER.public.pem())
    (tmp_path / "other.pem").write_text(STRANGER.public.pem())
    return path


def scan(path: Path, *words: str, key: str = "pub.pem", code: int = 0, **more: str) -> tuple[str, str]:
    trust = path.with_name(key)
    done = ferry(
        "scan", "egress", path, "--trust", trust, *words, code=code, FERRY_STORE=str(path.parent / "s"), **more
    )
    return done.stdout, done.stderr


NPX = Allowed(rule="npx", where=f"{NAME}:*", reason="the package is in the cache of the image")
UVX = Allowed(rule="uvx", where="services.app:run", reason="the site has an index")


def test_what_a_bundle_would_fetch(tmp_path: Path) -> None:
    out, error = scan(bundle(tmp_path), code=3)
    assert out == (
        "npx: a npm package is fetched when this runs\n"
        "  remedy: install the package into the image when it is built and name its program (node_modules/.bin/NAME); "
        "npx --no refuses to fetch\n"
        "  error    registry.example/app:1.0:app/entry.sh:2  npx -y server\n"
        "uvx: a Python tool is fetched when this runs\n"
        "  remedy: list the tool under `wheels:` (or install it into the image) and name its console script\n"
        "  error    services.app:run  uvx tool\n"
        "nltk: NLTK data is fetched\n"
        "  remedy: carry the data under `files:` and set NLTK_DATA to its directory\n"
        '  note     one-1.0-py3-none-any.whl:one/a.py:1  nltk.download("punkt")\n'
        "  egress: 2 errors, 0 warnings, 1 notes\n"
    )
    assert error.splitlines()[:3] == [
        "error: egress: expected nothing that reaches out at run time, got 2:",
        "  registry.example/app:1.0:app/entry.sh:2: npx: npx -y server",
        "  services.app:run: uvx: uvx tool",
    ]


def test_what_the_author_of_a_bundle_allowed_is_told_with_the_reason(tmp_path: Path) -> None:
    out, error = scan(bundle(tmp_path, NPX, UVX))
    assert error == ""
    assert "  allowed  services.app:run  uvx tool\n" in out
    assert out.endswith(
        "  egress: 0 errors, 0 warnings, 1 notes\n"
        "    allowed: npx at registry.example/app:1.0:*: the package is in the cache of the image\n"
        "    allowed: uvx at services.app:run: the site has an index\n"
    )


def test_the_report_for_a_program(tmp_path: Path) -> None:
    out, error = scan(bundle(tmp_path, UVX), "--json", code=3)
    document = json.loads(out)
    assert document["refused"] == 1
    assert [(one["rule"], one["severity"], one["allowed"]) for one in document["findings"]] == [
        ("npx", "error", None),
        ("uvx", "error", "the site has an index"),
        ("nltk", "info", None),
    ]
    assert document["findings"][0]["remedy"].startswith("install the package into the image")
    assert json.loads(error)["exit_code"] == 3


def test_in_chinese(tmp_path: Path) -> None:
    out, _ = scan(bundle(tmp_path, NPX, UVX), LC_ALL="zh_CN.UTF-8")
    assert "npx: 运行时会下载 npm 包\n" in out
    assert "  已放行  services.app:run  uvx tool\n" in out
    assert "  运行时外联：0 个错误，0 个警告，1 个提示\n" in out


def test_a_bundle_that_does_not_verify_is_not_looked_into(tmp_path: Path) -> None:
    path = bundle(tmp_path)
    assert scan(path, key="other.pem", code=7)[0] == ""
    path.write_bytes(DEFECTS[0].spoil(path.read_bytes()))
    assert scan(path, code=6)[0] == ""


def test_a_bundle_needs_a_key(tmp_path: Path) -> None:
    done = ferry("scan", "egress", bundle(tmp_path), code=2)
    assert done.stderr.splitlines()[-1] == "Error: expected --trust, the key that signed the bundle"


@pytest.mark.parametrize("again", [False, True])
def test_a_store_that_remembers_changes_nothing(again: bool, tmp_path: Path) -> None:
    path = bundle(tmp_path, NPX, UVX)
    first = scan(path)
    if not again:
        (tmp_path / "s/derived").rename(tmp_path / "s/elsewhere")
    assert scan(path) == first
