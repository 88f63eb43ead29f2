"""Images of a bundle in real container runtimes: podman, containerd and Docker, each with storage of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import runtimes
from bundles import packed
from hosts import Host, host_manifest, service
from ports import free_port
from registry import Image, make_index
from runtimes import small_image, with_images

from bundler.errors import HostError, StepError
from bundler.installer.images import own_names
from bundler.installer.runtimes import find_runtime
from bundler.installer.status import read_status
from bundler.installer.uninstall import uninstall

ALIASES = ("registry.bank.local/team/app:1", "docker.io/library/app:1")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A host with a runtime: `images` gives the digests that the runtime has by name."""

    host: Host
    kind: str
    ask: Callable[..., str]

    def images(self) -> dict[str, str]:
        runtime = find_runtime(self.host.layout)
        assert runtime is not None
        return runtime.images()

    def digest(self, image: Image, root: Image | None = None) -> str:
        """Return by what this runtime knows an image."""
        of = (root or image).digest if self.kind == "containerd" else next(iter(image.blobs))
        return of.removeprefix("sha256:")

    def remove(self, name: str) -> None:
        if self.kind == "containerd":
            self.ask("images", "remove", "--sync", name)
        else:
            self.ask("rmi", name)


@pytest.fixture(params=["podman", "containerd", "docker"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    host = Host(tmp_path / "host")
    start: Callable[[Host], AbstractContextManager[Callable[..., str]]] = getattr(runtimes, request.param)
    with start(host) as ask:
        yield Node(host=host, kind=request.param, ask=ask)
    host.close()


def bundle(work: Path, *images: tuple[Image, Image, tuple[str, ...]], **changes: object) -> bytes:
    work.mkdir(parents=True, exist_ok=True)
    one = service("agent", free_port())
    return packed(*with_images(*host_manifest(work, [one], **changes), images))


def planned(node: Node, data: bytes) -> list[str]:
    return [action.step for action in node.host.install(data, dry_run=True).plan.actions]


def test_images_come_under_all_names_and_go_again(node: Node, tmp_path: Path) -> None:
    oci, docker = small_image("oci"), small_image("docker", docker=True)
    by_digest = f"r.local:5000/pinned@{oci.digest}"
    data = bundle(
        tmp_path,
        (oci, oci, ("ferry.local/oci:1", *ALIASES)),
        (docker, docker, ("ferry.local/docker:1",)),
        (oci, oci, (by_digest,)),
    )
    outcome = node.host.install(data)
    action = next(done.action for done in outcome.done if done.action.step == "images")
    assert " lacks ferry.local/oci:1, " in action.reason
    assert action.reason.endswith(" and 2 more")
    pinned = by_digest if node.kind == "containerd" else by_digest.replace("@sha256:", ":sha256-")
    expected = dict.fromkeys(("ferry.local/oci:1", *ALIASES, pinned), node.digest(oci))
    expected["ferry.local/docker:1"] = node.digest(docker)
    assert node.images() == expected
    assert {one.name for one in own_names(node.host.layout)} == set(expected)
    assert node.host.install(data).plan.actions == ()
    assert read_status(node.host.layout, node.host.systemd).missing_names == ()

    node.remove(ALIASES[0])
    status = read_status(node.host.layout, node.host.systemd)
    assert status.missing_names == (ALIASES[0],)
    assert planned(node, data) == ["images"]
    assert node.host.install(data, dry_run=True).plan.actions[0].detail == (ALIASES[0],)
    node.host.install(data)
    assert node.images() == expected

    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {}


def test_an_index_gives_the_image_of_this_host(node: Node, tmp_path: Path) -> None:
    here, other = small_image("here"), small_image("there", architecture="s390x")
    index = make_index(("linux/s390x", other), (f"linux/{_architecture(here)}", here))
    data = bundle(tmp_path, (index, here, ("ferry.local/multi:1",)))
    node.host.install(data)
    assert node.images() == {"ferry.local/multi:1": node.digest(here, index)}
    assert node.host.install(data).plan.actions == ()


def _architecture(image: Image) -> str:
    return str(json.loads(next(iter(image.blobs.values())))["architecture"])


def test_names_of_others_stay_and_a_failed_run_gives_names_back(node: Node, tmp_path: Path) -> None:
    first, second = small_image("first"), small_image("second")
    node.host.install(bundle(tmp_path, (first, first, ("ferry.local/app:1",)), sequence=1))
    before = node.images()
    broken = bundle(tmp_path, (second, second, ("ferry.local/app:1", "ferry.local/app:2")), sequence=2, version="2.0")
    node.host.systemd.broken.add("ferry-agent.service")
    with pytest.raises((HostError, StepError)) as failed:
        node.host.install(broken)
    assert str(failed.value.hint).startswith(
        "step health failed; this host is as it was before; sample 1.0 (release 1) runs"
    )
    assert node.images() == before == {"ferry.local/app:1": node.digest(first)}

    node.host.systemd.broken.clear()
    node.host.install(broken)
    there = node.images()
    assert there.pop(f"ferry.local/kept:sha256-{node.digest(first)}") == node.digest(first)
    assert there == dict.fromkeys(("ferry.local/app:1", "ferry.local/app:2"), node.digest(second))
    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {}


def test_an_image_of_others_is_kept_when_a_bundle_takes_its_name(node: Node, tmp_path: Path) -> None:
    first, second, third = map(small_image, ("first", "second", "third"))
    name = ("ferry.local/app:1",)
    node.host.install(bundle(tmp_path, (first, first, name), sequence=1))
    node.host.layout.images.unlink()
    for sequence, image in ((2, second), (3, third)):
        node.host.install(bundle(tmp_path, (image, image, name), sequence=sequence, version=f"{sequence}.0"))
    kept = f"ferry.local/kept:sha256-{node.digest(first)}"
    assert node.images().keys() == {*name, kept, f"ferry.local/kept:sha256-{node.digest(second)}"}
    again = bundle(tmp_path, (second, second, name), sequence=4, version="4.0")
    node.host.install(again)
    assert node.images().keys() == {*name, kept, f"ferry.local/kept:sha256-{node.digest(third)}"}
    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {kept: node.digest(first)}


def test_a_name_that_leads_elsewhere_by_now_is_not_taken_away(node: Node, tmp_path: Path) -> None:
    first, second = small_image("first"), small_image("second")
    names = ("ferry.local/one:1",), ("ferry.local/two:1", "ferry.local/three:1")
    node.host.install(bundle(tmp_path, (first, first, names[0]), (second, second, names[1])))
    if node.kind == "containerd":
        node.ask("images", "tag", "--force", names[0][0], names[1][0])
    else:
        node.ask("tag", names[0][0], names[1][0])
    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {names[1][0]: node.digest(first)}


def test_a_host_that_has_the_images_is_left_alone(node: Node, tmp_path: Path) -> None:
    image = small_image("same")
    data = bundle(tmp_path, (image, image, ("ferry.local/app:1",)))
    node.host.install(data)
    (node.host.layout.images).unlink()
    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {"ferry.local/app:1": node.digest(image)}
    assert "images" not in planned(node, data)
    node.host.install(data)
    uninstall(node.host.layout, node.host.systemd)
    assert node.images() == {"ferry.local/app:1": node.digest(image)}, "Ferry did not bring it"
