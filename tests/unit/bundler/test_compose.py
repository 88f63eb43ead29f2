import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from artifacts import LOADER, RUNTIME, make_deb, make_wheel
from values import recipe, service

from bundler.compose import Composer, builder_platform, compose_image, image_index
from bundler.contents import CarriedImage, Contents, bundle_parts
from bundler.errors import IntegrityError, ResolveError
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER, OCTETS, WHEEL
from bundler.model.files import LockedPath
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS
from bundler.model.service import Service
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.store import Store
from bundler.tree import Layer

AMD64, ARM64 = PLATFORMS
CREATED = "2026-02-01T00:00:00Z"
DEB = make_deb(*RUNTIME, ("./lib/ld-linux-aarch64.so.1", LOADER))
WHEELS = [
    make_wheel("one", "1.0", {"one.py": b""}, metadata=["License-Expression: MIT", "Requires-Dist: Two_x"]),
    make_wheel("two_x", "2.0", {"two.py": b""}, metadata=["License: BSD", 'Requires-Dist: one; extra == "all"']),
]
TOOL = make_wheel("tool", "3.0", {}, metadata=["Requires-Dist: one"])
FILES = {"srv/app/app.py": b"print()\n", "etc/app.conf": b"x\n"}
STATEFUL = (service(state=True, environment=(("PORT", "8080"), ("MODE", "x"))),)


def filled(store: Store, files: dict[str, bytes] = FILES) -> Lock:
    """Put everything that a lock names into the store; return the lock."""
    deb = store.put(DEB, OCTETS)
    packages = []
    for name, data in WHEELS:
        blob = store.put(data, WHEEL)
        file = LockedFile(name=name, size=blob.size, sha256=blob.sha256, platforms=PLATFORMS)
        packages.append(LockedPackage(name=name.split("-")[0], version=name.split("-")[1], files=(file,)))
    paths = []
    for to, data in sorted(files.items()):
        blob = store.put(data, OCTETS)
        paths.append(LockedPath(path=f"src/{to}", to=to, size=blob.size, sha256=blob.sha256, executable=False))
    return Lock(
        name="sample",
        version="1.0",
        recipe_sha256="0" * 64,
        as_of="2026-01-31",
        created=CREATED,
        python_version="3.11",
        python_suite="bookworm",
        platforms=PLATFORMS,
        debs=tuple(
            LockedDeb(
                name="python3.11-minimal",
                version="3.11.2-6",
                architecture=platform.debian,
                path="pool/x.deb",
                size=deb.size,
                sha256=deb.sha256,
                platform=platform,
            )
            for platform in PLATFORMS
        ),
        wheels=tuple(packages),
        build=(),
        toolchain=(),
        files=tuple(paths),
        sha256="1" * 64,
        sm3="2" * 64,
    )


def layers(directory: Path, services: tuple[Service, ...] = STATEFUL, store: Store | None = None) -> tuple[Layer, ...]:
    work = directory / "work"
    work.mkdir(parents=True)
    held = store or Store(directory / "store")
    composer = Composer(filled(held), AMD64, held, work)
    wheels = [(name, descriptor) for _, name, descriptor in composer.build_wheels()]
    return composer.runtime(), composer.wheels(wheels), composer.files(services)


def test_layers_do_not_depend_on_place_and_umask(tmp_path: Path, umask: Callable[[int], Any]) -> None:
    with umask(0o022):
        first = layers(tmp_path / "a")
    with umask(0o077):
        second = layers(tmp_path / "much/deeper/b")
    assert first == second
    assert len({layer.descriptor.sha256 for layer in first}) == 3


def test_what_is_made_is_remembered(tmp_path: Path, store: Store) -> None:
    first = layers(tmp_path / "a", store=store)
    assert layers(tmp_path / "b", store=store) == first
    assert list((tmp_path / "b/work").iterdir()) == []
    store.path(first[1].descriptor.sha256).unlink()
    assert layers(tmp_path / "c", store=store) == first
    assert len(list((tmp_path / "c/work").iterdir())) == 1


def test_layers_stand_one_above_the_other(tmp_path: Path, store: Store) -> None:
    for name in ("made", "remembered"):
        work = tmp_path / name
        work.mkdir()
        composer = Composer(filled(store), AMD64, store, work)
        wheels = [(one, descriptor) for _, one, descriptor in composer.build_wheels()]
        root = composer.assemble([composer.runtime(), composer.wheels(wheels), composer.files(STATEFUL)])
        assert (root / "usr/bin/python3.11").is_file()
        assert (root / "usr/local/lib/python3.11/dist-packages/one.py").is_file()
        assert (root / "srv/app/app.py").read_bytes() == b"print()\n"
        assert (root / "etc/app.conf").read_bytes() == b"x\n"
        assert (root / "etc/passwd").read_text().splitlines()[
            1
        ] == "ferry:x:10001:10001:ferry:/nonexistent:/sbin/nologin"
        assert (root / "var/lib/ferry-app").is_dir()
        assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_a_file_that_takes_a_place_of_the_image_is_refused(tmp_path: Path, store: Store) -> None:
    composer = Composer(filled(store, {"etc/passwd": b"x"}), AMD64, store, tmp_path)
    with pytest.raises(IntegrityError) as refused:
        composer.files(())
    assert str(refused.value) == '"etc/passwd": the member stands twice'


def test_a_lock_without_a_runtime_is_refused(tmp_path: Path, store: Store) -> None:
    composer = Composer(replace(filled(store), debs=()), ARM64, store, tmp_path)
    with pytest.raises(ResolveError) as refused:
        composer.runtime()
    assert str(refused.value) == "python.debs: the lock has no Python runtime for linux/arm64"


def test_this_host_is_a_builder() -> None:
    assert builder_platform() in PLATFORMS


def oci(descriptor: Any) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "digest": f"sha256:{descriptor.sha256}",
        "size": descriptor.size,
    }


def test_an_image_is_as_oci_describes_it(tmp_path: Path, store: Store) -> None:
    # OCI Image Format Specification 1.1: manifest.md, config.md.
    made = layers(tmp_path / "a", store=store)
    wanted = recipe(services=STATEFUL)
    manifest, config = compose_image(wanted.images[0], wanted, made, store, created=CREATED, platform=ARM64)
    assert (manifest.media_type, config.media_type) == (IMAGE_MANIFEST, IMAGE_CONFIG)
    assert json.loads(store.read(manifest.sha256)) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": oci(config),
        "layers": [oci(layer.descriptor) for layer in made],
        "annotations": {
            "org.opencontainers.image.created": CREATED,
            "org.opencontainers.image.title": "sample",
            "org.opencontainers.image.version": "1.0",
        },
    }
    assert {layer.descriptor.media_type for layer in made} == {LAYER} == {"application/vnd.oci.image.layer.v1.tar+gzip"}
    assert json.loads(store.read(config.sha256)) == {
        "architecture": "arm64",
        "os": "linux",
        "created": CREATED,
        "config": {
            "User": "10001:10001",
            "Env": [
                "LANG=C.UTF-8",
                "MODE=x",
                "PATH=/usr/local/bin:/usr/bin:/bin",
                "PORT=9",
                "STATE_DIRECTORY=/var/lib/ferry-app",
            ],
            "Entrypoint": ["/usr/bin/python3.11", "-m", "app"],
            "WorkingDir": "/srv/app",
            "ExposedPorts": {"8080/tcp": {}},
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in made]},
        "history": [{"created": CREATED, "created_by": f"ferry: {name}"} for name in ("runtime", "wheels", "files")],
    }


@pytest.mark.parametrize("count", [2, 3])
def test_each_layer_has_its_history(count: int, tmp_path: Path, store: Store) -> None:
    made = layers(tmp_path / "a", store=store)
    given = made if count == 3 else (made[0], made[2])
    wanted = recipe()
    _, config = compose_image(wanted.images[0], wanted, given, store, created=CREATED, platform=AMD64)
    document = json.loads(store.read(config.sha256))
    assert len(document["history"]) == len(document["rootfs"]["diff_ids"]) == count
    assert document["history"][-1]["created_by"] == "ferry: files"


def test_an_index_names_every_image_for_every_tool(store: Store) -> None:
    descriptor = store.put(b"{}", IMAGE_MANIFEST)
    assert json.loads(image_index([("ferry.local/a:1", descriptor)], AMD64)) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                **oci(descriptor),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {
                    "io.containerd.image.name": "ferry.local/a:1",
                    "org.opencontainers.image.ref.name": "ferry.local/a:1",
                },
            }
        ],
    }


def contents(tmp_path: Path, store: Store) -> tuple[Lock, Contents]:
    lock = filled(store)
    made = layers(tmp_path / "a", store=store)
    wanted = recipe()
    manifest, config = compose_image(wanted.images[0], wanted, made, store, created=CREATED, platform=AMD64)
    blobs = tuple(layer.descriptor for layer in made)
    source = (("composed", "ferry"),)
    carried = CarriedImage(
        names=("ferry.local/sample:1.0",), manifest=manifest, config=config, layers=blobs, source=source
    )
    composer = Composer(lock, AMD64, store, tmp_path)
    return lock, Contents(
        platform=AMD64,
        runtime=made[0],
        layers=made,
        wheels=tuple(composer.build_wheels()),
        toolchain=((TOOL[0], store.put(TOOL[1], WHEEL)),),
        files=tuple((file, store.describe(file.sha256, OCTETS)) for file in lock.files),
        images=(carried,),
    )


def test_every_part_of_a_bundle_is_an_item(tmp_path: Path, store: Store) -> None:
    lock, held = contents(tmp_path, store)
    items = held.items(recipe(), lock)
    assert [item.kind for item in items] == [
        *("python", "toolchain", "wheel", "wheel", "file", "file", "image"),
        *["layer"] * 4,
    ]
    manifest = held.images[0].manifest.sha256
    assert [item.purl for item in items[:7]] == [
        "pkg:generic/python3.11-runtime@3.11.2-6?arch=amd64",
        "pkg:pypi/tool@3.0?file_name=tool-3.0-py3-none-any.whl",
        "pkg:pypi/one@1.0?file_name=one-1.0-py3-none-any.whl",
        "pkg:pypi/two-x@2.0?file_name=two_x-2.0-py3-none-any.whl",
        "pkg:generic/sample/etc/app.conf@1.0",
        "pkg:generic/sample/srv/app/app.py@1.0",
        f"pkg:oci/sample@sha256:{manifest}?repository_url=ferry.local/sample&tag=1.0",
    ]
    assert items[0].lineage == ("pkg:deb/debian/python3.11-minimal@3.11.2-6?arch=amd64&distro=bookworm",)
    assert items[6].lineage == tuple(f"sha256:{layer.descriptor.sha256}" for layer in held.layers)


def test_a_built_wheel_says_what_it_was_built_from_and_with(tmp_path: Path, store: Store) -> None:
    lock, held = contents(tmp_path, store)
    package, name, blob = held.wheels[1]
    sdist = LockedFile(name="two_x-2.0.tar.gz", size=9, sha256="e" * 64, platforms=PLATFORMS)
    built = (held.wheels[0], (replace(package, files=(sdist,)), name, blob))
    tool = LockedPackage(name="setuptools", version="80.9.0", files=())
    lock, held = replace(lock, build=(tool,)), replace(held, wheels=built)
    item = held.items(recipe(), lock)[3]
    assert item.source == (
        ("sdist", "two_x-2.0.tar.gz"),
        ("sdist_sha256", "e" * 64),
        ("built", "pure"),
        ("built_with", "python 3.11, setuptools 80.9.0"),
    )
    purl = "pkg:pypi/two-x@2.0?file_name=two_x-2.0.tar.gz"
    assert item.lineage == (purl,)
    (part,) = [part for part in bundle_parts(recipe(), lock, held, store) if part.made_from]
    assert (part.name, part.made_from) == ("two-x", ((purl, "e" * 64),))


def test_parts_know_their_licences_and_what_they_need(tmp_path: Path, store: Store) -> None:
    lock, held = contents(tmp_path, store)
    parts = bundle_parts(recipe(), lock, held, store)
    by_name = {part.name: part for part in parts}
    one, two, tool = by_name["one"], by_name["two-x"], by_name["tool"]
    assert (one.licenses, two.licenses) == (("MIT",), ("BSD",))
    # A tool of the installer is no part of the payload: each finds its own.
    assert (one.needs, two.needs, tool.needs) == ((two.ref,), (), ())
    python = next(part for part in parts if part.kind == "python")
    assert [deb.name for deb in python.inside] == ["python3.11-minimal"]
    assert len({part.ref for part in parts}) == len(parts)
    for part in parts:
        assert (len(part.sha256), len(part.sm3)) == (64, 64)


def test_files_that_images_do_not_hold_are_in_no_layer(tmp_path: Path, store: Store) -> None:
    lock = filled(store)
    kept, left = lock.files
    plain = Composer(replace(lock, files=(kept,)), AMD64, store, tmp_path / "a")
    with_weights = Composer(replace(lock, files=(kept, replace(left, image=False))), AMD64, store, tmp_path / "b")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert with_weights.files(()) == plain.files(())
    other = Store(tmp_path / "other")
    filled(other)
    (tmp_path / "c").mkdir()
    composer = Composer(with_weights.lock, AMD64, other, tmp_path / "c")
    assert composer.files(()) == plain.files(())
