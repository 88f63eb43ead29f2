"""The container runtime of this host: which one is here, and what it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bundler.errors import StepError
from bundler.installer.layout import Layout
from bundler.installer.runtimes.containerd import Containerd
from bundler.installer.runtimes.docker import Docker
from bundler.installer.runtimes.podman import Podman
from bundler.installer.runtimes.runtime import Runtime

_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin")
# Debian packages that bring one.
PACKAGES = ("podman", "docker.io", "docker-ce", "containerd", "containerd.io")
# Those that work by a daemon: it must run for the images to be loaded.
DAEMONS = frozenset({"docker.io", "docker-ce", "containerd", "containerd.io"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimeFact:
    """A runtime that is here, and the digest behind each name it has; `problem` is why it does not answer."""

    name: str
    images: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def find_runtime(layout: Layout, name: str = "") -> Runtime | None:
    """Return the runtime that this host uses, or the one of that name; None when it is not here.

    A node of Kubernetes uses containerd; else a Docker that listens comes before podman, and that before containerd.
    """
    return next((runtime for runtime in _runtimes(layout) if name in ("", runtime.name)), None)


def _runtimes(layout: Layout) -> Iterator[Runtime]:
    containerd = _containerd(layout)
    is_node = _program(layout, "kubelet") != ""
    if containerd is not None and is_node:
        yield containerd
    docker = _program(layout, "docker")
    if docker and _program(layout, "dockerd") and layout.at("/run/docker.sock").exists():
        yield Docker(program=docker)
    if podman := _program(layout, "podman"):
        yield Podman(program=podman, layout=layout)
    if containerd is not None and not is_node:
        yield containerd


def _containerd(layout: Layout) -> Containerd | None:
    program = _program(layout, "ctr")
    if not program or not layout.at("/run/containerd/containerd.sock").exists():
        return None
    return Containerd(program=program, namespace="k8s.io" if _program(layout, "kubelet") else "default")


def _program(layout: Layout, name: str) -> str:
    paths = (layout.at(f"{place}/{name}") for place in _PLACES)
    return next((str(path) for path in paths if path.is_file()), "")


def runtime_fact(layout: Layout) -> RuntimeFact | None:
    """Return the runtime of this host with its images, None when there is none."""
    runtime = find_runtime(layout)
    if runtime is None:
        return None
    try:
        return RuntimeFact(name=runtime.name, images=runtime.images())
    except StepError as error:
        return RuntimeFact(name=runtime.name, problem=error.message)
