"""Step `images`: when it is due, what is said where no runtime is, and what the host writes down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hosts import Host, host_manifest, service, wanted

from bundler.errors import HostError, IntegrityError
from bundler.installer.facts import Facts, gather
from bundler.installer.images import OwnName, own_names, record_names, remove_images
from bundler.installer.plan import make_plan
from bundler.installer.preflight.required import check_plan
from bundler.installer.runtimes import RuntimeFact, find_runtime
from bundler.installer.runtimes.docker import in_full
from bundler.installer.runtimes.runtime import tagged
from bundler.installer.status import read_status
from bundler.installer.steps import images
from bundler.model.manifest import Item, Manifest, format_manifest, parse_manifest

CONFIG = "c" * 64
NAMES = ("ferry.local/app:1", f"r.local:5000/app@sha256:{'a' * 64}")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    plain = host_manifest(tmp_path, [service("agent", 8090)])[0]
    return replace(plain, items=(*plain.items, image(plain)))


def image(manifest: Manifest) -> Item:
    return replace(manifest.items[0], kind="image", name=NAMES[0], names=NAMES, config=CONFIG)


def due(host: Host, facts: Facts, manifest: Manifest, runtime: RuntimeFact | None) -> tuple[str, ...] | None:
    action = images.due(wanted(host, facts, manifest), replace(facts, runtime=runtime))
    return action and (action.reason, *action.detail)


def test_without_a_runtime_it_is_never_due_and_the_plan_says_so(host: Host, facts: Facts, manifest: Manifest) -> None:
    assert facts.runtime is None
    assert due(host, facts, manifest, None) is None
    plan = make_plan(wanted(host, facts, manifest), facts)
    assert (plan.idle_images, "images" in [action.step for action in plan.actions]) == (1, False)


def test_a_bundle_that_needs_its_images_is_refused_without_a_runtime(
    host: Host, facts: Facts, manifest: Manifest
) -> None:
    needy = parse_manifest(format_manifest(replace(manifest, images_needed=True)))
    assert needy.images_needed
    assert not parse_manifest(format_manifest(manifest)).images_needed
    with pytest.raises(HostError) as refused:
        check_plan(make_plan(wanted(host, facts, needy), facts), facts)
    assert str(refused.value) == ("images: expected a container runtime (podman, docker or containerd), none is here")
    assert refused.value.hint == "install one, or use a bundle that brings one with its debs"
    podman = replace(facts, runtime=RuntimeFact(name="podman"))
    check_plan(make_plan(wanted(host, podman, needy), podman), podman)


def test_a_runtime_that_the_bundle_brings_counts(host: Host, facts: Facts, manifest: Manifest) -> None:
    podman = replace(manifest.items[0], kind="deb", name="podman_4.3.1_amd64.deb", version="4.3.1", to="")
    facts = replace(facts, packages={}, os_codename="bookworm")
    podman = replace(podman, source=(("package", "podman"), ("suite", "bookworm")))
    brought = replace(manifest, items=(*manifest.items, podman))
    told = f"the container runtime that comes with this bundle lacks {', '.join(NAMES)}"
    assert due(host, facts, brought, None) == (told, *NAMES)
    plan = make_plan(wanted(host, facts, brought), facts)
    assert [action.step for action in plan.actions][1:7] == [
        "store",
        "trust",
        "marks",
        "packages",
        "images",
        "release",
    ]
    assert plan.idle_images == 0

    left_out = replace(manifest, items=(*manifest.items, replace(podman, optional=True)))
    elsewhere = replace(facts, os_codename="bullseye")
    assert due(host, elsewhere, left_out, None) is None
    assert make_plan(wanted(host, elsewhere, left_out), elsewhere).idle_images == 1


def test_it_is_due_for_names_that_lack_or_lead_elsewhere(host: Host, facts: Facts, manifest: Manifest) -> None:
    by_tag = NAMES[1].replace("@sha256:", ":sha256-")
    root = manifest.items[-1].descriptor.sha256
    podman = {NAMES[0]: CONFIG, by_tag: "b" * 64}
    assert due(host, facts, manifest, RuntimeFact(name="podman", images=podman)) == (
        f"podman has another image as {by_tag}",
        by_tag,
    )
    assert due(host, facts, manifest, RuntimeFact(name="docker", images={NAMES[0]: root, by_tag: CONFIG})) is None
    containerd = RuntimeFact(name="containerd/k8s.io", images={NAMES[1]: root})
    assert due(host, facts, manifest, containerd) == (f"containerd/k8s.io lacks {NAMES[0]}", NAMES[0])
    many = tuple(f"r.local/a:{index}" for index in range(5))
    crowd = replace(manifest, items=(replace(manifest.items[-1], names=many),))
    some = RuntimeFact(name="podman", images={many[4]: "b" * 64})
    told = f"podman lacks {', '.join(many[:3])} and 1 more; has another image as {many[4]}"
    assert due(host, facts, crowd, some) == (told, *many)
    plain = replace(manifest, items=manifest.items[:-1])
    assert due(host, facts, plain, RuntimeFact(name="podman", problem="broken")) is None


def test_a_runtime_that_does_not_answer(host: Host, facts: Facts, manifest: Manifest) -> None:
    with pytest.raises(HostError) as refused:
        due(host, facts, manifest, RuntimeFact(name="docker", problem="`docker images` ended with status 1:\nno"))
    assert str(refused.value) == "images: expected docker to answer: `docker images` ended with status 1:\nno"
    assert refused.value.hint == "start it, or remove its programs where nothing uses it"


def program(host: Host, path: str, text: str = "#!/bin/sh\nexit 1\n") -> None:
    (host.root / path).parent.mkdir(parents=True, exist_ok=True)
    (host.root / path).write_text(text)
    (host.root / path).chmod(0o755)


def test_the_runtime_that_a_host_uses(host: Host) -> None:
    def name() -> str:
        runtime = find_runtime(host.layout)
        return runtime.name if runtime else ""

    assert name() == ""
    program(host, "usr/bin/ctr")
    program(host, "usr/bin/docker")
    assert name() == "", "programs without a daemon"
    program(host, "run/containerd/containerd.sock")
    assert name() == "containerd/default"
    program(host, "usr/bin/podman")
    assert name() == "podman"
    program(host, "run/docker.sock")
    assert name() == "podman", "podman's own docker"
    program(host, "usr/sbin/dockerd")
    assert name() == "docker"
    program(host, "usr/local/bin/kubelet")
    assert name() == "containerd/k8s.io"
    assert find_runtime(host.layout, "podman") is not None
    assert find_runtime(host.layout, "containerd/default") is None


def test_a_podman_that_fails_is_told_by_the_status(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    program(host, "usr/bin/podman", "#!/bin/sh\necho broken >&2\nexit 125\n")
    (host.root / "var/lib/containers/storage/libpod").mkdir(parents=True)
    fact = gather(host.layout, host.systemd).runtime
    argv = f"{host.root}/usr/bin/podman images --no-trunc --format json"
    assert fact == RuntimeFact(name="podman", problem=f"`{argv}` ended with status 125:\nbroken")
    assert read_status(host.layout, host.systemd).runtime == "podman"


def test_a_podman_that_was_never_used_is_not_asked(host: Host) -> None:
    program(host, "usr/bin/podman")
    assert gather(host.layout, host.systemd).runtime == RuntimeFact(name="podman")
    program(host, "etc/containers/storage.conf", '[storage]\ngraphroot = "/data/containers"\n')
    (host.root / "data/containers/overlay").mkdir(parents=True)
    runtime = gather(host.layout, host.systemd).runtime
    assert runtime is not None
    assert "ended with status 1" in runtime.problem


def test_names_are_written_down_once(host: Host) -> None:
    host.layout.state.mkdir(parents=True)
    one = OwnName(runtime="podman", name="r.local/a:1", digests=("a" * 64, "b" * 64))
    two = OwnName(runtime="containerd/k8s.io", name=NAMES[1], digests=("c" * 64,))
    record_names(host.layout, [one, two, replace(one, digests=("d" * 64,))])
    assert own_names(host.layout) == (replace(one, digests=("d" * 64,)), two)
    assert host.layout.images.read_text() == (
        f"podman r.local/a:1 {'d' * 64}\ncontainerd/k8s.io {NAMES[1]} {'c' * 64}\n"
    )
    remove_images(host.layout)
    assert not host.layout.images.exists(), "the runtime is gone, and its images with it"
    record_names(host.layout, ())
    assert own_names(host.layout) == ()


@pytest.mark.parametrize("name", ["-o:1", "app:1", "r.local/app", "r.local/a b:1", "r.local/../a:1 ", "r.local/a:1\n"])
def test_names_that_are_none_are_refused(manifest: Manifest, name: str) -> None:
    item = replace(image(manifest), names=(name,))
    with pytest.raises(IntegrityError) as refused:
        parse_manifest(format_manifest(replace(manifest, items=(item,))))
    says = "items[0].names[0]: expected a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX, got "
    assert str(refused.value).startswith(says)


def test_a_manifest_keeps_names(manifest: Manifest) -> None:
    item = replace(image(manifest), descriptor=manifest.items[0].descriptor)
    parsed = parse_manifest(format_manifest(replace(manifest, items=(item,))))
    assert (parsed.items[0].names, parsed.items[0].config) == (NAMES, CONFIG)


def test_names_as_runtimes_write_them() -> None:
    assert tagged("r.local:5000/a:1") == "r.local:5000/a:1"
    assert tagged(NAMES[1]) == f"r.local:5000/app:sha256-{'a' * 64}"
    for short, full in (
        ("redis:7", "docker.io/library/redis:7"),
        ("team/app:1", "docker.io/team/app:1"),
        ("localhost/app:1", "localhost/app:1"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("r.bank.local/app:1", "r.bank.local/app:1"),
    ):
        assert in_full(short) == full
