"""Bundles and images to a registry that fails in every way that registries do."""

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bundles import DEFECTS, SIGNER, STRANGER, entry, packed, small_manifest
from clock import StillClock
from mirror import Answer
from registry import make_image
from writable import WritableRegistry

from bundler.errors import FerryError, HostError, IntegrityError, RecipeError, TransferError, TrustError
from bundler.model.artifact import BUNDLE, Named, make_artifact
from bundler.model.descriptor import IMAGE_INDEX, IMAGE_MANIFEST
from bundler.model.manifest import Item
from bundler.model.progress import Silent
from bundler.model.reference import parse_reference
from bundler.pull.bundle import Pulled, pull_bundle
from bundler.push.bundle import Pushed, push_bundle
from bundler.push.images import Place, parse_place, push_images
from bundler.store import describe_bytes
from bundler.transport import Transport
from bundler.upload import next_place
from bundler.verify import Policy

MIB = 1024 * 1024
NOW = datetime(2026, 12, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,), algorithm="sha256")
# Large enough to be sent in parts.
LARGE = os.urandom(9 * MIB)
BUNDLE_BYTES = packed(*small_manifest([b"one" * 1000, b"", LARGE, b"three"]))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableRegistry]:
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    with WritableRegistry() as server:
        yield server


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "sample.tar"
    path.write_bytes(BUNDLE_BYTES)
    return path


def push(registry: WritableRegistry, bundle: Path, name: str = "team/sample:1", **more: Any) -> Pushed:
    reference = parse_reference(f"{registry.host}/{name}", place="here")
    transport = Transport(StillClock())
    return push_bundle(
        bundle, reference, more.pop("policy", POLICY), now=NOW, progress=Silent(), transport=transport, **more
    )


def pull(registry: WritableRegistry, out: Path, policy: Policy = POLICY, name: str = "team/sample:1") -> Pulled:
    reference = parse_reference(f"{registry.host}/{name}", place="here")
    return pull_bundle(reference, out, policy, now=NOW, progress=Silent(), transport=Transport(StillClock()))


def test_a_bundle_comes_back_as_it_went(registry: WritableRegistry, bundle: Path, tmp_path: Path) -> None:
    pushed = push(registry, bundle)
    assert (pushed.tally.sent, pushed.tally.there) == (12, 0)
    for algorithm in ("sm3", "sha256"):
        pulled = pull(registry, tmp_path / "back.tar", replace(POLICY, algorithm=algorithm))
        assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES
        assert (pulled.reference, pulled.kept_bytes) == (pushed.reference, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.tar", "sample.tar"]


def test_what_is_there_is_not_sent_again(registry: WritableRegistry, bundle: Path) -> None:
    first = push(registry, bundle)
    posts = registry.count("POST")
    again = push(registry, bundle)
    assert (again.tally.sent, again.tally.there, again.reference) == (0, 12, first.reference)
    assert registry.count("POST") == posts


def test_blobs_are_mounted_from_another_repository(registry: WritableRegistry, bundle: Path) -> None:
    push(registry, bundle)
    puts = registry.count("PUT", "/uploads/")
    mounted = push(registry, bundle, "other/sample:1", mount_from="team/sample")
    assert mounted.tally.sent == 0
    assert registry.count("PUT", "/uploads/") == puts


def test_referrers_have_a_tag_where_the_registry_lists_none(registry: WritableRegistry, bundle: Path) -> None:
    pushed = push(registry, bundle)
    assert pushed.listed == f"sha256-{pushed.reference.sha256}"
    name = f"team/sample:{pushed.listed}"
    media_type, data = registry.manifests[name]
    types = [one["artifactType"] for one in json.loads(data)["manifests"]]
    assert media_type == IMAGE_INDEX
    assert types == [
        "application/vnd.ferry.signature.v1",
        "application/vnd.dsse.envelope.v1+json",
        "application/vnd.ferry.trust.v1+json",
        "application/vnd.cyclonedx+json",
    ]
    # What others put there stays, and nothing is listed twice.
    other = {"mediaType": IMAGE_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 7}
    registry.manifests[name] = (IMAGE_INDEX, json.dumps({"schemaVersion": 2, "manifests": [other]}).encode())
    push(registry, bundle)
    push(registry, bundle)
    listed = json.loads(registry.manifests[name][1])["manifests"]
    assert [listed[0], len(listed)] == [other, 5]


def test_a_registry_that_lists_referrers_needs_no_tag(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.referrers = True
    assert push(registry, bundle).listed == ""
    assert [name for name in registry.manifests if ":sha256-" in name] == []


def test_a_cut_upload_goes_on_where_it_ended(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.cuts = [5 * MIB, 1 * MIB]
    push(registry, bundle)
    size = len(LARGE) - 1
    assert registry.ranges == [f"0-{size}", f"{5 * MIB}-{size}", f"{6 * MIB}-{size}"]


def test_a_cut_upload_begins_anew_where_the_registry_cannot_tell(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.cuts, registry.now.resumes = [5 * MIB], False
    assert push(registry, bundle).tally.sent == 12
    assert registry.ranges == [f"0-{len(LARGE) - 1}"] * 2


def test_a_proxy_that_takes_no_large_bodies_gets_smaller_ones(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.most_body = 8 * MIB
    push(registry, bundle)
    assert registry.ranges == [f"0-{8 * MIB - 1}", f"{8 * MIB}-{len(LARGE) - 1}"]


def test_a_registry_that_is_busy_is_asked_again(registry: WritableRegistry, bundle: Path, tmp_path: Path) -> None:
    later = Answer(status=429, headers={"Retry-After": "3"})
    registry.now.faults = {
        "POST": [later, Answer(status=503)],
        "PUT": [Answer(status=503), later],
        "HEAD": [Answer(status=500)],
        "PATCH": [later],
    }
    push(registry, bundle)
    registry.now.faults = {"GET": [later, Answer(status=503)]}
    pull(registry, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        (404, "NAME_UNKNOWN", "make the repository (or project) in the registry first, or check its name"),
        (405, "UNSUPPORTED", "this registry is read-only, such as a mirror: push to the one behind it"),
    ],
)
def test_a_registry_that_takes_nothing_says_why(
    registry: WritableRegistry, bundle: Path, status: int, code: str, hint: str
) -> None:
    body = json.dumps({"errors": [{"code": code, "message": "not\x1b here"}]}).encode()
    registry.now.faults = {"POST": [Answer(status=status, body=body)] * 20}
    with pytest.raises(TransferError) as refused:
        push(registry, bundle)
    base = f"http://{registry.host}/v2/team/sample"
    assert str(refused.value) == f"{base}: the registry refuses it: answered {status} ({code}: not? here)"
    assert refused.value.hint == hint
    assert registry.manifests == {}


def test_a_token_that_ends_during_a_push_or_a_pull_is_followed_by_another(
    registry: WritableRegistry, bundle: Path, tmp_path: Path
) -> None:
    registry.now.token_uses = 16
    push(registry, bundle)
    pull(registry, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES
    assert len(registry.tokens) > 1


def test_tokens_that_are_good_for_nothing_end_a_push(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.token_uses = 0
    with pytest.raises(TransferError) as refused:
        push(registry, bundle)
    assert refused.value.message == "the registry refuses access (answered 401), asked without a login"
    assert len(registry.tokens) < 40


def test_two_pulls_to_one_file_do_not_meet(registry: WritableRegistry, bundle: Path, tmp_path: Path) -> None:
    push(registry, bundle)
    with (tmp_path / "back.tar.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(HostError) as refused:
            pull(registry, tmp_path / "back.tar")
        assert str(refused.value) == f"{tmp_path}/back.tar.part: another process is writing it"
    pull(registry, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES


def test_a_wrong_location_is_refused(registry: WritableRegistry, bundle: Path) -> None:
    registry.now.location = "ftp://elsewhere/x"
    with pytest.raises(TransferError) as refused:
        push(registry, bundle)
    assert refused.value.message == 'expected a Location to send the blob to, got "ftp://elsewhere/x"'


def test_an_upload_never_leads_from_https_to_plain_http() -> None:
    base = "https://r.example/v2/a"
    assert next_place(base, "/v2/a/blobs/uploads/1?s=2") == "https://r.example/v2/a/blobs/uploads/1?s=2"
    assert next_place(base, "http://r.example:80/v2/x") == "https://r.example/v2/x"
    assert next_place(base, "https://storage.example/x") == "https://storage.example/x"
    with pytest.raises(TransferError) as refused:
        next_place(base, "http://storage.example/x")
    assert str(refused.value) == f'{base}: leads from https to plain http at "storage.example"'


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_nothing_leads_to_a_bundle_that_is_refused(registry: WritableRegistry, bundle: Path, defect) -> None:  # type: ignore[no-untyped-def]
    bundle.write_bytes(defect.spoil(BUNDLE_BYTES))
    with pytest.raises(FerryError) as refused:
        push(registry, bundle, policy=defect.policy())
    assert refused.value.exit_code == defect.exit_code
    assert registry.manifests == {}


def test_a_large_bundle_is_an_index_of_parts() -> None:
    manifest, _ = small_manifest([])
    layers = [Named(name=f"n{index}", size=index, sha256=f"{index:064x}") for index in range(5)]
    artifact = make_artifact(manifest, layers, most_layers=2)
    assert (artifact.root.media_type, artifact.root.artifact_type) == (IMAGE_INDEX, BUNDLE)
    listed = json.loads(artifact.root.data)["manifests"]
    assert [one["digest"] for one in listed] == [f"sha256:{part.sha256}" for part in artifact.parts]
    sizes = [[layer["size"] for layer in json.loads(part.data)["layers"]] for part in artifact.parts]
    assert sizes == [[0, 1], [2, 3], [4]]
    assert make_artifact(manifest, layers, most_layers=2) == artifact


def test_a_bundle_in_parts_is_pulled_too(registry: WritableRegistry, bundle: Path, tmp_path: Path) -> None:
    assert push(registry, bundle, most_layers=4).parts == 3
    pull(registry, tmp_path / "back.tar")
    assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES


def test_nothing_is_asked_for_before_the_signature_is_right(
    registry: WritableRegistry, bundle: Path, tmp_path: Path
) -> None:
    push(registry, bundle)
    registry.asked.clear()
    with pytest.raises(TrustError) as refused:
        pull(registry, tmp_path / "back.tar", Policy(trusted=(STRANGER.public,)))
    assert refused.value.message == f"expected a signature by a trusted key, got signatures by {SIGNER.keyid[:16]}"
    assert (registry.count("GET", "/blobs/"), registry.count("GET", "/manifests/")) == (4, 1)
    assert list(tmp_path.iterdir()) == [bundle]


def test_an_interrupted_pull_goes_on(registry: WritableRegistry, bundle: Path, tmp_path: Path) -> None:
    push(registry, bundle)
    digest = f"team/sample@{describe_bytes(LARGE, '').sha256}".replace("@", "@sha256:")
    registry.blobs[digest] = LARGE[: 6 * MIB] + b"X" + LARGE[6 * MIB + 1 :]
    out = tmp_path / "back.tar"
    with pytest.raises(IntegrityError) as refused:
        pull(registry, out)
    assert refused.value.message.startswith(
        f'"blobs/{digest.partition("@")[2].replace(":", "/")}" at offset 0: expected'
    )
    assert not out.exists()
    registry.blobs[digest] = LARGE
    pulled = pull(registry, out)
    assert out.read_bytes() == BUNDLE_BYTES
    # The small entries were right; of the large one nothing was kept.
    assert 0 < pulled.kept_bytes < len(LARGE)


def test_a_pull_that_ended_in_the_middle_of_a_blob_asks_for_the_rest(
    registry: WritableRegistry, bundle: Path, tmp_path: Path
) -> None:
    push(registry, bundle)
    part = tmp_path / "back.tar.part"
    at = BUNDLE_BYTES.index(LARGE)
    part.write_bytes(BUNDLE_BYTES[: at + 5 * MIB])
    os.truncate(part, len(BUNDLE_BYTES))
    assert pull(registry, tmp_path / "back.tar").kept_bytes > 4 * MIB
    assert (tmp_path / "back.tar").read_bytes() == BUNDLE_BYTES


def test_an_image_is_no_bundle(registry: WritableRegistry, tmp_path: Path) -> None:
    image = make_image(b"layer")
    registry.manifests["team/sample:1"] = (image.media_type, image.manifest)
    with pytest.raises(FerryError) as refused:
        pull(registry, tmp_path / "back.tar")
    assert refused.value.exit_code == 4
    assert refused.value.message == f"expected an artifact of type {BUNDLE}, got something else"


def bundle_with_image(*names: str) -> bytes:
    image = make_image(b"layer one")
    blobs = [image.manifest, *image.blobs.values()]
    manifest, contents = small_manifest(blobs)
    one = entry("", image.manifest)
    described = replace(describe_bytes(image.manifest, image.media_type), chunks=())
    item = Item(kind="image", name=names[0], version="1", purl="pkg:oci/x", descriptor=described, names=names)
    assert one.sha256 == described.sha256
    return packed(replace(manifest, items=(item,)), contents)


def test_images_go_under_their_own_names(registry: WritableRegistry, bundle: Path) -> None:
    names = ("docker.io/library/redis:7", "quay.io/team/redis:7")
    bundle.write_bytes(bundle_with_image(*names))
    images, tally = push_images(bundle, Place(host=registry.host, prefix="mirror"), POLICY, now=NOW, progress=Silent())
    assert [(str(one.name), str(one.pushed)) for one in images] == [
        (names[0], f"{registry.host}/mirror/library/redis:7"),
        (names[1], f"{registry.host}/mirror/team/redis:7"),
    ]
    digest = make_image(b"layer one").digest
    assert {f"mirror/library/redis@{digest}", "mirror/team/redis:7"} <= registry.manifests.keys()
    # The second repository took them from the first.
    assert (tally.sent, tally.there, registry.count("PUT", "/uploads/")) == (2, 2, 2)


def test_two_images_under_one_name_are_refused(registry: WritableRegistry, bundle: Path) -> None:
    manifest, contents = small_manifest([b"a", b"b"])
    items = [
        replace(item, kind="image", name=name, names=(name,), descriptor=replace(item.descriptor))
        for item, name in zip(manifest.items, ("docker.io/library/redis:7", "quay.io/library/redis:7"), strict=True)
    ]
    bundle.write_bytes(packed(replace(manifest, items=tuple(items)), contents))
    with pytest.raises(RecipeError) as refused:
        push_images(bundle, Place(host=registry.host), POLICY, now=NOW, progress=Silent())
    assert str(refused.value) == (
        f"images: docker.io/library/redis:7 and quay.io/library/redis:7 would both be {registry.host}/library/redis:7"
    )
    kept = Place(host=registry.host).of(parse_reference("r.local:5000/a/b:1", place="x"), keep_host=True)
    assert kept.repository == "r.local_5000/a/b"


def test_the_place_of_images_has_no_tag() -> None:
    assert parse_place("r.local:5000/a/b") == Place(host="r.local:5000", prefix="a/b")
    assert parse_place("r.local") == Place(host="r.local")
    with pytest.raises(RecipeError) as refused:
        parse_place("r.local/a:1")
    assert str(refused.value) == 'REGISTRY: expected REGISTRY or REGISTRY/PREFIX for images, got "r.local/a:1"'
