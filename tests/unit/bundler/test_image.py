"""Images of registries from the recipe over the lock into the store."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from archives import oci_layout, write_layout
from mirror import Answer
from registry import DOCKER, OCI, FakeRegistry, Image, digest, make_image, make_index

from bundler.build import read_inputs
from bundler.compose import image_index
from bundler.contents import CarriedImage, Contents
from bundler.errors import FerryError, IntegrityError, RecipeError, ResolveError, TransferError
from bundler.fetch import fetch
from bundler.load import format_lock, read_lock, read_recipe
from bundler.local.take import Local
from bundler.model.image import LockedImage
from bundler.model.lock import Lock
from bundler.model.platform import Platform, parse_platform
from bundler.model.progress import Silent
from bundler.resolve.image import resolve_images
from bundler.store import Store

AMD, ARM = parse_platform("linux/amd64"), parse_platform("linux/arm64")
AMD_IMAGE = make_image(b"base" * 1000, b"amd64" * 1000)
ARM_IMAGE = make_image(b"base" * 1000, b"arm64" * 1000, architecture="arm64")
RECIPE = """
format: ferry/recipe/v1
name: sample
version: "1.0"
sequence: 1
as_of: "2026-06-05"
platforms: [linux/amd64, linux/arm64]
python: {version: "3.11", debian: bookworm, packages: [python3.11-minimal]}
services:
  - {name: one, run: [python], directory: srv, port: 80, ready: /}
images:
"""


def written(directory: Path, *images: str) -> Path:
    path = directory / "recipe.yaml"
    path.write_text(RECIPE + "\n".join(f"  - {image}" for image in images) + "\n")
    return path


def resolved(directory: Path, *images: str, platforms: tuple[Platform, ...] = (AMD,)) -> tuple[LockedImage, ...]:
    return resolve_images(read_recipe(written(directory, *images)).images, platforms)


def lock_of(directory: Path, *images: LockedImage) -> Lock:
    recipe = read_recipe(directory / "recipe.yaml")
    lock = Lock(
        name=recipe.name,
        version=recipe.version,
        recipe_sha256=recipe.sha256,
        as_of=recipe.as_of,
        created="2026-06-06T00:00:00Z",
        python_version="3.11",
        python_suite="bookworm",
        platforms=recipe.platforms,
        debs=(),
        wheels=(),
        build=(),
        toolchain=(),
        files=(),
        sha256="",
        sm3="",
        images=images,
    )
    (directory / "recipe.lock.yaml").write_text(format_lock(lock))
    return lock


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_an_index_gives_each_platform_its_manifest(docker: bool, registry: FakeRegistry, tmp_path: Path) -> None:
    images = [make_image(b"x", architecture=name, docker=docker) for name in ("amd64", "arm64")]
    notes = make_image(b"attestation")
    pairs = [("unknown/unknown", notes), ("linux/amd64", images[0]), ("linux/arm64/v8", images[1])]
    registry.put("team/app", "1", make_index(*pairs, docker=docker))
    found = resolved(tmp_path, f"reference: {registry.host}/team/app:1", platforms=(AMD, ARM))
    assert [(one.platform, f"sha256:{one.manifest.sha256}") for one in found] == [
        (AMD, images[0].digest),
        (ARM, images[1].digest),
    ]
    types = [found[0].manifest.media_type, *(blob.media_type for blob in found[0].blobs)]
    expected = {
        False: [f"{OCI}.manifest.v1+json", f"{OCI}.config.v1+json", f"{OCI}.layer.v1.tar+gzip"],
        True: [
            f"{DOCKER}.distribution.manifest.v2+json",
            f"{DOCKER}.container.image.v1+json",
            f"{DOCKER}.image.rootfs.diff.tar.gzip",
        ],
    }
    assert types == expected[docker]
    assert not [path for path in registry.paths() if "/blobs/" in path], "a lock needs metadata only"


def test_the_plainest_variant_is_taken(registry: FakeRegistry, tmp_path: Path) -> None:
    fast = make_image(b"v3")
    registry.put("team/app", "1", make_index(("linux/amd64/v3", fast), ("linux/amd64", AMD_IMAGE)))
    found = resolved(tmp_path, f"reference: {registry.host}/team/app:1")
    assert f"sha256:{found[0].manifest.sha256}" == AMD_IMAGE.digest


def test_an_image_that_stands_alone_says_its_platform_itself(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    reference = f"reference: {registry.host}/team/app:1"
    assert f"sha256:{resolved(tmp_path, reference)[0].manifest.sha256}" == AMD_IMAGE.digest
    with pytest.raises(ResolveError) as refused:
        resolved(tmp_path, reference, platforms=(AMD, ARM))
    assert str(refused.value) == (
        f"images[0].reference: {registry.host}/team/app:1: expected an image for linux/arm64, "
        "the registry has linux/amd64"
    )


def test_a_manifest_need_not_name_its_media_type(registry: FakeRegistry, tmp_path: Path) -> None:
    bare = make_image(b"x", mediaType=None)
    registry.put("team/app", "1", bare)
    found = resolved(tmp_path, f"reference: {registry.host}/team/app@{bare.digest}")
    assert found[0].manifest.media_type == f"{OCI}.manifest.v1+json"
    assert found[0].names == (f"{registry.host}/team/app@{bare.digest}",)


REFUSED: list[tuple[str, Image, type[FerryError], str]] = [
    (
        "other platforms",
        make_index(("linux/s390x", AMD_IMAGE), ("linux/arm/v7", ARM_IMAGE), ("", AMD_IMAGE)),
        ResolveError,
        "expected an image for linux/amd64, the registry has linux/arm/v7, linux/s390x",
    ),
    ("an empty index", make_index(), ResolveError, "expected an image for linux/amd64, the registry has no platform"),
    (
        "an index in an index",
        make_index(("linux/amd64", make_index(("linux/amd64", AMD_IMAGE)))),
        ResolveError,
        "expected the image manifest of linux/amd64, got another index",
    ),
    (
        "both in one",
        make_image(b"x", manifests=[]),
        ResolveError,
        "expected an image manifest or an index, got both in one",
    ),
    (
        "schema 1",
        make_image(b"x", config=None, layers=None, fsLayers=[]),
        ResolveError,
        "expected an image manifest or an index, got neither, perhaps a schema of before 2016",
    ),
    (
        "an artifact",
        make_image(
            b"x", config={"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": digest(b"x"), "size": 1}
        ),
        ResolveError,
        '.config.mediaType: expected the configuration of an image, got "application/vnd.cncf.helm.config.v1+json"',
    ),
    (
        "another digest algorithm",
        make_image(b"x", layers=[{"mediaType": f"{OCI}.layer.v1.tar", "digest": "sha512:" + "a" * 128, "size": 1}]),
        ResolveError,
        '.layers[0].digest: expected a digest sha256:HEX, got "sha512:' + "a" * 73 + '"',
    ),
    (
        "a type of another kind",
        make_image(b"x", mediaType=f"{OCI}.index.v1+json"),
        ResolveError,
        f".mediaType: expected {OCI}.manifest.v1+json or {DOCKER}.distribution.manifest.v2+json, "
        f'got "{OCI}.index.v1+json"',
    ),
    ("no JSON", Image(media_type="", manifest=b"<html>", blobs={}), ResolveError, "expected an image manifest in JSON"),
]


@pytest.mark.parametrize(("image", "error", "says"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_is_no_image_for_the_platform(
    image: Image, error: type[FerryError], says: str, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.put("team/app", "1", image)
    with pytest.raises(error) as refused:
        resolved(tmp_path, f"reference: {registry.host}/team/app:1")
    gap = "" if says.startswith(".") else ": "
    assert str(refused.value) == f"images[0].reference: {registry.host}/team/app:1{gap}{says}"


def test_a_lock_is_read_as_it_was_written(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", make_index(("linux/amd64", AMD_IMAGE), ("linux/arm64", ARM_IMAGE)))
    aliases = "aliases: [r.bank.local/base/app:1, docker.io/app:1]"
    found = resolved(tmp_path, f"{{reference: '{registry.host}/team/app:1', {aliases}}}", platforms=(AMD, ARM))
    lock_of(tmp_path, *found)
    assert read_lock(tmp_path).images == found
    assert found[0].names == (f"{registry.host}/team/app:1", "r.bank.local/base/app:1", "docker.io/library/app:1")
    assert read_inputs(tmp_path)[1].images == found
    lock_of(tmp_path, found[0])
    with pytest.raises(RecipeError) as refused:
        read_inputs(tmp_path)
    assert str(refused.value) == "images: the lock's images are not those of the recipe"


def test_a_recipe_that_needs_images_has_some(tmp_path: Path) -> None:
    path = written(tmp_path, "{compose: 'ferry.local/x:1', service: one}")
    path.write_text("images_needed: true\n" + path.read_text())
    assert read_recipe(path).images_needed
    path.write_text(path.read_text().partition("images:\n")[0])
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    assert str(refused.value) == "images_needed: expected images beside it, there are none"


def test_an_image_for_some_platforms_of_the_recipe(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", ARM_IMAGE)
    only = f"{{reference: '{registry.host}/team/app:1', platforms: [linux/arm64]}}"
    found = resolved(tmp_path, only, platforms=(AMD, ARM))
    assert [one.platform for one in found] == [ARM]
    lock_of(tmp_path, *found)
    assert read_inputs(tmp_path)[1].images == found
    path = tmp_path / "recipe.yaml"
    path.write_text(path.read_text().replace("platforms: [linux/amd64, linux/arm64]", "platforms: [linux/amd64]"))
    with pytest.raises(RecipeError) as refused:
        read_recipe(path)
    assert str(refused.value) == "images[0].platforms: expected platforms of the recipe, linux/amd64"


WHOLE = make_index(("linux/arm64/v8", ARM_IMAGE), ("linux/amd64", AMD_IMAGE), ("unknown/unknown", make_image(b"notes")))


def test_a_whole_index_comes_with_all_that_it_lists(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", WHOLE)
    found = resolved(tmp_path, f"{{reference: '{registry.host}/team/app:1', index: true}}", platforms=(AMD, ARM))
    assert [one.platform for one in found] == [None]
    assert found[0].names == (f"{registry.host}/team/app:1",)
    lock_of(tmp_path, *found)
    assert read_inputs(tmp_path)[1].images == found
    store = Store(tmp_path / "store")
    for platform, image in ((AMD, AMD_IMAGE), (ARM, ARM_IMAGE)):
        fetch(read_lock(tmp_path), platform, store, directory=tmp_path, progress=Silent())
        assert f"sha256:{found[0].on(platform).manifest.sha256}" == image.digest
        assert found[0].is_for(platform)
    assert store.read(found[0].manifest.sha256) == WHOLE.manifest
    for one in WHOLE.children:
        assert store.read(one.digest.removeprefix("sha256:")) == one.manifest
        for name, data in one.blobs.items():
            assert store.read(name.removeprefix("sha256:")) == data
    descriptor = store.describe(found[0].manifest.sha256, found[0].manifest.media_type)
    (entry,) = json.loads(image_index([(found[0].names[0], descriptor)], AMD))["manifests"]
    assert "platform" not in entry
    assert entry["digest"] == WHOLE.digest


def test_a_whole_index_by_digest_is_listed_by_it(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", WHOLE)
    found = resolved(tmp_path, f"{{reference: '{registry.host}/team/app@{WHOLE.digest}', index: true}}")
    assert found[0].names == (f"{registry.host}/team/app@{WHOLE.digest}",)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (AMD_IMAGE, "expected an index, the registry has an image of one platform"),
        (
            make_index(("linux/arm64", ARM_IMAGE)),
            "expected an image for linux/amd64, the registry has linux/arm64",
        ),
        (
            make_index(("linux/amd64", AMD_IMAGE), ("linux/arm64", make_index(("linux/arm64", ARM_IMAGE)))),
            "expected image manifests in the index, got another index",
        ),
    ],
)
def test_what_is_no_whole_index(image: Image, says: str, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", image)
    with pytest.raises(ResolveError) as refused:
        resolved(tmp_path, f"{{reference: '{registry.host}/team/app:1', index: true}}")
    assert str(refused.value) == f"images[0].reference: {registry.host}/team/app:1: {says}"


def test_a_lock_with_another_index_than_it_names_is_refused(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.put("team/app", "1", WHOLE)
    (found,) = resolved(tmp_path, f"{{reference: '{registry.host}/team/app:1', index: true}}")
    lock_of(tmp_path, replace(found, manifests=found.manifests[:2]))
    with pytest.raises(RecipeError) as refused:
        fetch(read_lock(tmp_path), AMD, Store(tmp_path / "store"), directory=tmp_path, progress=Silent())
    assert str(refused.value) == (
        f"images: the lock's blobs of {registry.host}/team/app:1 are not those of its image manifest"
    )


def test_images_of_the_builder_are_locked_by_what_they_are(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", oci_layout(("1.0", WHOLE)))
    found = resolve_images(
        read_recipe(
            written(
                tmp_path,
                "{layout: layout, select: '1.0', name: 'r.local/a:1', aliases: ['r.local/b:1']}",
                "{layout: layout, index: true, name: 'r.local/c:1'}",
            )
        ).images,
        (AMD, ARM),
        Local(directory=tmp_path, store=Store(tmp_path / "store")),
    )
    lock_of(tmp_path, *found)
    assert read_lock(tmp_path).images == found
    assert read_inputs(tmp_path)[1].images == found
    fetch(read_lock(tmp_path), ARM, Store(tmp_path / "other"), directory=tmp_path, progress=Silent())
    assert Store(tmp_path / "other").has(found[1].manifest.sha256)
    write_layout(tmp_path / "layout", oci_layout(("1.0", make_index(("linux/amd64", AMD_IMAGE)))))
    with pytest.raises(RecipeError) as refused:
        read_inputs(tmp_path)
    assert str(refused.value) == "images: the lock's images are not those of the recipe"
    with pytest.raises(IntegrityError) as gone:
        fetch(read_lock(tmp_path), ARM, Store(tmp_path / "third"), directory=tmp_path, progress=Silent())
    assert str(gone.value).startswith("layout: expected the blob sha256:")
    assert gone.value.hint == "the image is not whole: write it anew, or lock the recipe again if it changed"


def test_a_lock_without_images_says_nothing_of_them(tmp_path: Path) -> None:
    written(tmp_path, "{compose: 'ferry.local/x:1', service: one}")
    assert "images" not in format_lock(lock_of(tmp_path))
    assert read_lock(tmp_path).images == ()


def _no_config(text: str) -> str:
    return text.replace("config.v1+json", "layer.v1+json")


SPOILED: list[tuple[Callable[[str], str], str]] = [
    (lambda text: text.replace("manifest.v1", "index.v1"), 'media_type: expected an image manifest, got "{}"'),
    (lambda text: text.replace("  size: ", "  size: 99999999", 1), "size: expected at most 4194304, got 99999999"),
    (_no_config, "blobs: expected the image's configuration first"),
    (lambda text: text.replace("  size: ", "  length: ", 1), "size: expected a whole number, the field is missing"),
    (lambda text: text.replace("  blobs:", "  more: 1\n  blobs:"), "more: unknown field"),
]


@pytest.mark.parametrize(("spoil", "says"), SPOILED)
def test_a_lock_that_makes_no_sense(
    spoil: Callable[[str], str], says: str, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    lock_of(tmp_path, *resolved(tmp_path, f"reference: {registry.host}/team/app:1"))
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(RecipeError) as refused:
        read_lock(tmp_path)
    message = str(refused.value)
    assert message.startswith("images[0]." + says.replace('"{}"', f'"{OCI}.index.v1+json"'))


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (
            ["reference: redis"],
            'images[0].reference: expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got "redis"',
        ),
        (["{reference: 'r.local/a:1', service: one}"], "images[0].service: unknown field"),
        (
            [f"{{reference: 'r.local/a:1', aliases: ['r.local/b@sha256:{'a' * 64}']}}"],
            "images[0].aliases[0]: expected a name with a tag, got one with a digest",
        ),
        (
            ["reference: docker.io/redis:7", "reference: docker.io/library/redis:7"],
            'images[1].reference: the reference "docker.io/library/redis:7" stands twice',
        ),
        (
            ["{compose: 'r.local/a:1', service: one}", "{reference: 'r.local/b:1', aliases: ['r.local/a:1']}"],
            'images[1].aliases[0]: the reference "r.local/a:1" stands twice',
        ),
        (
            ["{reference: 'r.local/a:1', daemon: 'a:1'}"],
            'images[0].daemon: expected one of reference, daemon, layout, archive, "reference" is there too',
        ),
        (["{archive: a.tar}"], "images[0].name: expected text, the field is missing"),
        (["{archive: ../a.tar, name: 'r.local/a:1'}"], 'images[0].archive: expected a relative path, got "../a.tar"'),
        (
            [f"{{layout: a, name: 'r.local/a@sha256:{'a' * 64}'}}"],
            "images[0].name: expected a name with a tag, got one with a digest",
        ),
        (
            ["{daemon: app, name: 'r.local/a:1'}"],
            'images[0].daemon: expected a name as the daemon has it, NAME:TAG or NAME@sha256:HEX, got "app"',
        ),
        (
            ["{daemon: 'a/../b:1', name: 'r.local/a:1'}"],
            'images[0].daemon: expected a name as the daemon has it, NAME:TAG or NAME@sha256:HEX, got "a/../b:1"',
        ),
        (["{daemon: 'a:1', select: a, name: 'r.local/a:1'}"], "images[0].select: unknown field"),
        (
            ["{reference: 'r.local/a:1', platforms: []}"],
            'images[0].platforms: expected at least one platform, such as "linux/amd64", got none',
        ),
        (
            ["{reference: 'r.local/a:1', index: true, platforms: [linux/amd64]}"],
            "images[0].platforms: expected no platforms beside `index: true`, an index is kept whole",
        ),
        (
            ["{archive: a.tar, name: 'r.local/a:1'}", "reference: r.local/a:1"],
            'images[1].reference: the reference "r.local/a:1" stands twice',
        ),
    ],
)
def test_a_recipe_that_makes_no_sense(images: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(written(tmp_path, *images))
    assert str(refused.value) == says


def fetched(directory: Path, store: Store, *images: LockedImage) -> None:
    fetch(lock_of(directory, *images), AMD, store, directory=directory, progress=Silent())


def test_manifest_and_blobs_come_into_the_store_once(registry: FakeRegistry, tmp_path: Path, store: Store) -> None:
    registry.auth = "token"
    registry.put("team/app", "1", AMD_IMAGE)
    registry.put("team/more", "1", make_image(b"base" * 1000, b"more" * 1000))
    names = [f"reference: {registry.host}/team/{name}:1" for name in ("app", "more")]
    found = resolved(tmp_path, *names)
    registry.asked.clear()
    fetched(tmp_path, store, *found)
    assert store.read(found[0].manifest.sha256) == AMD_IMAGE.manifest
    for image in found:
        for blob in image.blobs:
            assert store.read(blob.sha256) == registry.blobs[f"sha256:{blob.sha256}"]
    # A request that goes out before the first login is refused; how many do is a matter of threads.
    shared = [one for one in registry.asked if one.path.endswith(digest(b"base" * 1000)) and one.authorization]
    assert len(shared) == 1
    registry.asked.clear()
    fetched(tmp_path, store, *found)
    assert registry.asked == []


def test_a_blob_that_one_repository_lost_comes_from_another(
    registry: FakeRegistry, tmp_path: Path, store: Store
) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    registry.put("team/more", "1", make_image(b"base" * 1000))
    found = resolved(tmp_path, *(f"reference: {registry.host}/team/{name}:1" for name in ("app", "more")))
    registry.faults[f"/v2/team/app/blobs/{digest(b'base' * 1000)}"] = [Answer(status=404)]
    fetched(tmp_path, store, *found)
    assert store.has(digest(b"base" * 1000).removeprefix("sha256:"))


def test_a_lock_whose_blobs_are_not_the_manifest_s(registry: FakeRegistry, tmp_path: Path, store: Store) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    (found,) = resolved(tmp_path, f"reference: {registry.host}/team/app:1")
    with pytest.raises(RecipeError) as refused:
        fetched(tmp_path, store, replace(found, blobs=found.blobs[:-1]))
    assert str(refused.value) == (
        f"images: the lock's blobs of {registry.host}/team/app:1 are not those of its image manifest"
    )


def test_a_size_of_the_lock_is_a_hard_cap(registry: FakeRegistry, tmp_path: Path, store: Store) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    (found,) = resolved(tmp_path, f"reference: {registry.host}/team/app:1")
    config, *layers = found.blobs
    with pytest.raises(IntegrityError, match=r"expected 7 bytes with sha256"):
        fetched(tmp_path, store, replace(found, blobs=(replace(config, size=7), *layers)))


def test_an_image_that_vanished_since_the_lock(registry: FakeRegistry, tmp_path: Path, store: Store) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    found = resolved(tmp_path, f"reference: {registry.host}/team/app:1")
    registry.manifests.clear()
    with pytest.raises(TransferError) as refused:
        fetched(tmp_path, store, *found)
    sha256 = found[0].manifest.sha256
    url = f"{registry.url}/v2/team/app/manifests/sha256:{sha256}"
    assert str(refused.value) == f"{sha256}: no source has the file: {url}: answered 404"


def test_the_bundle_lists_an_image_under_each_of_its_names(
    registry: FakeRegistry, tmp_path: Path, store: Store
) -> None:
    registry.put("team/app", "1", AMD_IMAGE)
    aliases = "aliases: [r.bank.local/app:1]"
    (found,) = resolved(tmp_path, f"{{reference: '{registry.host}/team/app:1', {aliases}}}")
    fetched(tmp_path, store, found)
    manifest = store.describe(found.manifest.sha256, found.manifest.media_type)
    index = json.loads(image_index([(name, manifest) for name in found.names], AMD))
    listed = [(one["digest"], one["annotations"]) for one in index["manifests"]]
    assert listed == [
        (AMD_IMAGE.digest, {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name})
        for name in (f"{registry.host}/team/app:1", "r.bank.local/app:1")
    ]


def carried(store: Store, *names: str) -> CarriedImage:
    blob = store.put(b"x", "layer")
    return CarriedImage(names=names, manifest=blob, config=blob, layers=(blob,), source=(("reference", names[0]),))


def test_the_purl_of_an_image(store: Store) -> None:
    image = carried(store, "docker.io/library/redis:7.2", "r.bank.local/redis:7.2")
    pinned = carried(store, f"r.local:5000/a@sha256:{'c' * 64}")
    unused = Contents.__dataclass_fields__
    contents = Contents(**{**dict.fromkeys(unused, ()), "images": (image, pinned)})  # type: ignore[arg-type]
    one, layer, other = contents._images()
    sha256 = image.manifest.sha256
    assert (one.kind, one.version, layer.kind, other.version) == ("image", "7.2", "layer", f"sha256:{'c' * 64}")
    assert one.purl == f"pkg:oci/redis@sha256:{sha256}?repository_url=docker.io/library/redis&tag=7.2"
    assert layer.purl == f"pkg:oci/redis@sha256:{sha256}?repository_url=docker.io/library/redis"
    assert other.purl == f"pkg:oci/a@sha256:{sha256}?repository_url=r.local:5000/a"
