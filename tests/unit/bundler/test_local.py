"""Images of the builder itself: out of archives and layouts, and why broken ones are refused."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from archives import docker_archive, make_config, oci_layout, write_layout, write_tar
from artifacts import link, make_tar
from registry import digest, make_image, make_index

from bundler.errors import FerryError, IntegrityError, RecipeError, ResolveError, TransferError
from bundler.local.daemon import SOCKETS, find_daemon
from bundler.local.gunzip import Gunzip
from bundler.local.take import Local
from bundler.model.image import LockedImage
from bundler.model.platform import parse_platform
from bundler.model.reference import parse_reference
from bundler.model.taken import Origin, TakenImage
from bundler.resolve.image import resolve_images
from bundler.store import Store

AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")
PLAIN = "application/vnd.oci.image.layer.v1.tar"
LAYERS = make_tar(("one", b"1" * 3000)), make_tar(("two", b"2"))
CONFIG = make_config(*LAYERS)
OCI = make_image(gzip.compress(LAYERS[0], mtime=0), LAYERS[1])


def take(
    tmp_path: Path, kind: str, place: str, *, select: str = "", whole: bool = False, store: Store | None = None
) -> tuple[LockedImage, ...]:
    local = Local(directory=tmp_path, store=store or Store(tmp_path / "store"))
    image = TakenImage(
        reference=parse_reference("r.bank.local/app:1", place=""),
        origin=Origin(kind=kind, place=place, select=select),
        is_whole=whole,
    )
    return resolve_images((image,), (AMD,), local)


def refused(tmp_path: Path, members: Mapping[str, object], kind: str = "archive", select: str = "") -> FerryError:
    write_tar(tmp_path / "app.tar", members)
    with pytest.raises(FerryError) as error:
        take(tmp_path, kind, "app.tar", select=select)
    return error.value


def test_an_archive_gets_the_manifest_that_follows_from_its_parts(tmp_path: Path) -> None:
    write_tar(tmp_path / "app.tar", docker_archive(CONFIG, *LAYERS))
    store = Store(tmp_path / "store")
    (found,) = take(tmp_path, "archive", "app.tar", store=store)
    manifest = json.loads(store.read(found.manifest.sha256))
    assert manifest == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(CONFIG),
            "size": len(CONFIG),
        },
        "layers": [{"mediaType": PLAIN, "digest": digest(layer), "size": len(layer)} for layer in LAYERS],
    }
    assert store.read(found.blobs[0].sha256) == CONFIG
    assert [store.read(blob.sha256) for blob in found.blobs[1:]] == list(LAYERS)
    file = hashlib.sha256((tmp_path / "app.tar").read_bytes()).hexdigest()
    assert found.origin == Origin(kind="archive", place="app.tar", sha256=file)


def test_the_same_image_in_another_archive_has_the_same_manifest(tmp_path: Path) -> None:
    members = docker_archive(CONFIG, *LAYERS)
    write_tar(tmp_path / "a.tar", members)
    write_tar(tmp_path / "b.tar.gz", dict(reversed(members.items())), "w:gz")
    # As podman writes it: layers by digest, and links to them.
    first = f"{digest(LAYERS[0]).removeprefix('sha256:')}.tar"
    old = f"{0:064x}/layer.tar"
    members = {name: data for name, data in members.items() if name != old}
    write_tar(tmp_path / "c.tar", {first: LAYERS[0], **members, old: link(f"../{first}")})
    found = [take(tmp_path, "archive", name)[0] for name in ("a.tar", "b.tar.gz", "c.tar")]
    assert len({one.manifest for one in found}) == len({one.blobs for one in found}) == 1


def test_a_compressed_layer_of_an_archive_is_checked_by_what_is_inside(tmp_path: Path) -> None:
    packed = gzip.compress(LAYERS[0][:2000], mtime=0) + gzip.compress(LAYERS[0][2000:], mtime=0)
    write_tar(tmp_path / "app.tar", docker_archive(CONFIG, packed, LAYERS[1]))
    (found,) = take(tmp_path, "archive", "app.tar")
    assert [blob.media_type for blob in found.blobs[1:]] == [f"{PLAIN}+gzip", PLAIN]
    other = gzip.compress(LAYERS[1], mtime=0)
    error = refused(tmp_path, docker_archive(CONFIG, other, LAYERS[1]))
    assert str(error) == (
        f"images[0].archive: app.tar: configuration: layer 0: expected {digest(LAYERS[0])}, "
        f"the layer has {digest(LAYERS[1])}"
    )
    assert "app.tar: expected a whole tar, it cannot be read: " in str(
        refused(tmp_path, docker_archive(CONFIG, packed[:-9], LAYERS[1]))
    )


@pytest.mark.parametrize("kind", ["layout", "archive"])
def test_a_tar_with_a_layout_keeps_the_manifest(tmp_path: Path, kind: str) -> None:
    """So Docker 25 writes archives: with a manifest of its own, and Docker's beside it."""
    beside = {"manifest.json": b"[]"} if kind == "archive" else {}
    write_tar(tmp_path / "app.tar", {**oci_layout(("app:1", OCI)), **beside})
    (found,) = take(tmp_path, kind, "app.tar")
    assert f"sha256:{found.manifest.sha256}" == OCI.digest


def test_a_layout_keeps_the_manifest_of_the_platform(tmp_path: Path) -> None:
    arm = make_image(b"arm", architecture="arm64")
    index = make_index(("linux/arm64", arm), ("linux/amd64", OCI))
    other = make_image(b"other")
    write_layout(tmp_path / "layout", oci_layout(("1.0", index), ("2.0", other)))
    (found,) = take(tmp_path, "layout", "layout", select="1.0")
    assert f"sha256:{found.manifest.sha256}" == OCI.digest
    with pytest.raises(RecipeError) as error:
        take(tmp_path, "layout", "layout")
    assert str(error.value) == 'images[0].layout: layout: expected one image, there are "1.0", "2.0"'
    assert error.value.hint == "name the one that is meant: `select: NAME`"


def test_a_layout_gives_an_index_whole(tmp_path: Path) -> None:
    arm = make_image(b"arm", architecture="arm64")
    notes = make_image(b"{}", config={"mediaType": "application/vnd.oci.empty.v1+json", **_blob(b"{}")})
    index = make_index(("linux/amd64", OCI), ("linux/arm64/v8", arm), ("unknown/unknown", notes))
    members = oci_layout(("1.0", index))
    members[f"blobs/{digest(b'{}').replace(':', '/')}"] = b"{}"
    write_layout(tmp_path / "layout", members)
    store = Store(tmp_path / "store")
    (found,) = take(tmp_path, "layout", "layout", whole=True, store=store)
    assert found.platform is None
    assert store.read(found.manifest.sha256) == index.manifest
    assert [one.platform for one in found.manifests] == ["linux/amd64", "linux/arm64/v8", "unknown/unknown"]
    assert f"sha256:{found.on(ARM).manifest.sha256}" == arm.digest
    assert all(store.has(blob.sha256, blob.size) for blob in (*found.documents, *found.contents))


def _blob(data: bytes) -> dict[str, object]:
    return {"digest": digest(data), "size": len(data)}


def test_an_index_lacks_a_platform_that_is_not_asked_for(tmp_path: Path) -> None:
    """Such a layout `skopeo copy` leaves behind; whole it cannot be."""
    arm = make_image(b"arm", architecture="arm64")
    members = oci_layout(("1.0", make_index(("linux/arm64", arm), ("linux/amd64", OCI))))
    del members[f"blobs/{arm.digest.replace(':', '/')}"]
    write_layout(tmp_path / "layout", members)
    (found,) = take(tmp_path, "layout", "layout")
    assert f"sha256:{found.manifest.sha256}" == OCI.digest
    with pytest.raises(IntegrityError) as error:
        take(tmp_path, "layout", "layout", whole=True)
    assert str(error.value) == (
        f"images[0].layout: layout: expected the manifest {arm.digest} of {len(arm.manifest)} bytes, it is missing"
    )


def test_one_image_is_no_index(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", oci_layout(("1.0", OCI)))
    with pytest.raises(ResolveError) as error:
        take(tmp_path, "layout", "layout", whole=True)
    assert str(error.value) == "images[0].layout: layout: expected an index, the layout has an image of one platform"


def _without(members: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in members.items() if key != name}


def _fifo() -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type = tarfile.FIFOTYPE
    return info


ARCHIVE = docker_archive(CONFIG, *LAYERS)
CONFIG_NAME = next(iter(ARCHIVE))
FIRST = f"{0:064x}/layer.tar"
TWO = docker_archive(CONFIG, *LAYERS)
TWO["manifest.json"] = json.dumps([json.loads(ARCHIVE["manifest.json"])[0]] * 2).encode()  # type: ignore[arg-type]
NO_NAME = docker_archive(CONFIG, *LAYERS, tags=())
BROKEN = {
    "no manifest": (_without(ARCHIVE, "manifest.json"), "expected what `docker save` or `podman save` writes, "
                    "it has no manifest.json"),
    "no layer": (_without(ARCHIVE, FIRST), f'expected the layer "{FIRST}", it is missing'),
    "no configuration": (_without(ARCHIVE, CONFIG_NAME), f'expected the configuration "{CONFIG_NAME}", it is missing'),
    "another configuration": (
        {**ARCHIVE, CONFIG_NAME: b"{}"},
        f'"{CONFIG_NAME}" is damaged: it has sha256 {digest(b"{}").removeprefix("sha256:")}',
    ),
    "another layer": (
        {**ARCHIVE, FIRST: b"other"},
        f"configuration: layer 0: expected {digest(LAYERS[0])}, the layer has {digest(b'other')}",
    ),
    "two images": (TWO, 'expected one image, there are "app:1", "app:1"'),
    "a layer too few": (docker_archive(CONFIG, LAYERS[0]), "configuration: expected 2 layers, got 1"),
    "no rootfs": (docker_archive(b"{}"), "configuration.rootfs: expected a mapping, the field is missing"),
    "no JSON": ({**ARCHIVE, "manifest.json": b"{"}, "manifest.json: expected JSON"),
    "no list": ({**ARCHIVE, "manifest.json": b"{}"}, "manifest.json.images: expected a list, got a mapping"),
    "a path that leads up": ({"../evil": b"x", **ARCHIVE}, 'a member leads out of the archive: "../evil"'),
    "a path down and up": ({"a/../../evil": b"x", **ARCHIVE}, 'a member leads out of the archive: "a/../../evil"'),
    "an absolute path": ({"/etc/evil": b"x", **ARCHIVE}, 'a member leads out of the archive: "/etc/evil"'),
    "a link that leads out": (
        {**ARCHIVE, FIRST: link("../../etc/shadow")},
        f'the link "{FIRST}" leads out of the archive: "../../etc/shadow"',
    ),
    "an absolute link": (
        {**ARCHIVE, FIRST: link("/etc/shadow")},
        f'the link "{FIRST}" leads out of the archive: "/etc/shadow"',
    ),
    "a hard link that leads up": (
        {**ARCHIVE, FIRST: link("../x", hard=True)},
        f'the link "{FIRST}" leads out of the archive: "../x"',
    ),
    "a link to itself": ({**ARCHIVE, FIRST: link("layer.tar")}, f'expected the layer "{FIRST}", it is missing'),
    "a pipe": ({**ARCHIVE, "pipe": _fifo()}, 'expected regular files, "pipe" is none'),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_archive_is_refused(tmp_path: Path, name: str) -> None:
    members, says = BROKEN[name]
    place = "images[0].archive: app.tar: "
    error = refused(tmp_path, members)
    assert str(error) == place + says
    assert isinstance(error, RecipeError if name == "two images" else IntegrityError)


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "app.tar", ARCHIVE)
    with tarfile.open(path, "a") as tar:
        tar.addfile(tarfile.TarInfo(f"./{FIRST}"))
    with pytest.raises(IntegrityError) as error:
        take(tmp_path, "archive", "app.tar")
    assert str(error.value) == f'images[0].archive: app.tar: "{FIRST}" stands twice'


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "app.tar", ARCHIVE)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(IntegrityError) as error:
        take(tmp_path, "archive", "app.tar")
    assert str(error.value) == (
        "images[0].archive: app.tar: expected a whole tar, it cannot be read: unexpected end of data"
    )


def test_the_image_that_is_meant_is_chosen_by_tag(tmp_path: Path) -> None:
    entries = [
        {**json.loads(ARCHIVE["manifest.json"])[0], "RepoTags": tags} for tags in (["a:1"], ["b:1", "b:2"], None)
    ]  # type: ignore[arg-type]
    members = {**ARCHIVE, "manifest.json": json.dumps(entries).encode()}
    write_tar(tmp_path / "app.tar", members)
    assert take(tmp_path, "archive", "app.tar", select="b:2")
    says = 'images[0].archive: app.tar: expected an image "c:1", there are "a:1", "b:1", "one without a name"'
    assert str(refused(tmp_path, members, select="c:1")) == says


def _layout(**changes: bytes | None) -> dict[str, object]:
    members = {**oci_layout(("", OCI)), **changes}
    return {name: data for name, data in members.items() if data is not None}


LAYER = list(OCI.blobs)[1]
ARTIFACT = {"mediaType": "application/vnd.oci.artifact.manifest.v1+json", **_blob(b"{}")}
LAYER_PATH = f"blobs/{LAYER.replace(':', '/')}"
BROKEN_LAYOUTS = {
    "a blob that is another": (
        _layout(**{LAYER_PATH: b"other"}),
        f'"{LAYER_PATH}" is damaged: expected 5 bytes with sha256 {LAYER[7:]}, got 5 bytes with {digest(b"other")[7:]}',
    ),
    "no blob": (
        _layout(**{LAYER_PATH: None}),
        f"expected the blob {LAYER} of {len(OCI.blobs[LAYER])} bytes, it is missing",
    ),
    "no index": (_layout(**{"index.json": None}), "expected an OCI layout, it has no index.json and oci-layout"),
    "no version": (_layout(**{"oci-layout": None}), "expected an OCI layout, it has no index.json and oci-layout"),
    "nothing in it": (_layout(**{"index.json": b'{"manifests": []}'}), "expected one image, there are none"),
    "an artifact": (
        _layout(**{"index.json": json.dumps({"manifests": [ARTIFACT]}).encode()}),
        "index.json.manifests[0].mediaType: expected an image manifest or an index, "
        'got "application/vnd.oci.artifact.manifest.v1+json"',
    ),
}


@pytest.mark.parametrize("name", BROKEN_LAYOUTS)
def test_a_broken_layout_is_refused(tmp_path: Path, name: str) -> None:
    members, says = BROKEN_LAYOUTS[name]
    assert str(refused(tmp_path, members, "layout")) == f"images[0].layout: app.tar: {says}"


def test_layers_that_are_not_those_of_the_configuration_are_refused(tmp_path: Path) -> None:
    plain = [{"mediaType": PLAIN, **_blob(layer)} for layer in reversed(LAYERS)]
    write_layout(tmp_path / "layout", oci_layout(("", make_image(*LAYERS, layers=plain))))
    with pytest.raises(IntegrityError) as error:
        take(tmp_path, "layout", "layout")
    assert str(error.value) == (
        f"images[0].layout: layout: configuration: layer 0: expected {digest(LAYERS[0])}, "
        f"the layer has {digest(LAYERS[1])}"
    )


@pytest.mark.parametrize("kind", ["layout", "archive"])
def test_what_is_not_there(tmp_path: Path, kind: str) -> None:
    with pytest.raises(RecipeError) as error:
        take(tmp_path, kind, "none")
    what = "an OCI layout, a directory or a tar" if kind == "layout" else "an archive"
    assert str(error.value) == f"images[0].{kind}: none: expected {what}, nothing like it is there"


def test_an_image_for_another_platform(tmp_path: Path) -> None:
    config = make_config(*LAYERS, architecture="arm64")
    error = refused(tmp_path, docker_archive(config, *LAYERS))
    assert str(error) == ("images[0].archive: app.tar: expected an image for linux/amd64, the archive has linux/arm64")


def test_where_a_daemon_listens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        paths = {"docker": f"{tmp_path}/docker.sock", "podman": f"{tmp_path}/podman/podman.sock"}
        (tmp_path / "podman").mkdir()
        one.bind(paths["docker"])
        two.bind(paths["podman"])
        docker, podman = (f"unix://{path}" for path in paths.values())
        assert find_daemon({"DOCKER_HOST": docker, "CONTAINER_HOST": podman}) == (docker, False)
        assert find_daemon({"CONTAINER_HOST": podman}) == (podman, False)
        assert find_daemon({"DOCKER_HOST": "tcp://127.0.0.1:2375"}) == ("tcp://127.0.0.1:2375", False)
        if not any(Path(path).exists() for path in SOCKETS):
            assert find_daemon({"XDG_RUNTIME_DIR": str(tmp_path)}) == (podman, False)


def test_a_daemon_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    with pytest.raises(TransferError) as error:
        take(tmp_path, "daemon", "app:1")
    assert str(error.value) == (
        f"images[0].daemon: app:1: expected the daemon at unix://{tmp_path}/none, no socket is there"
    )
    assert error.value.hint == "start the daemon, or name its socket: DOCKER_HOST=unix:///run/podman/podman.sock"


def test_what_is_inside_gzip_is_hashed_piece_by_piece() -> None:
    data = b"x" * 5_000_000 + bytes(range(256)) * 40
    packed = gzip.compress(data[:4_000_000]) + gzip.compress(data[4_000_000:]) + bytes(100)
    unpacked = Gunzip()
    for index in range(0, len(packed), 7):
        unpacked.update(packed[index : index + 7])
    assert unpacked.finish() == hashlib.sha256(data).hexdigest()
