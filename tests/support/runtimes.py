"""Container runtimes with storage of their own, as a host in a directory has them."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from artifacts import make_tar
from bundles import entry
from hosts import Host
from registry import Image, digest, make_image

from bundler.model.descriptor import Descriptor
from bundler.model.manifest import Item, Manifest

_CONTAINERD = """version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/sock"
[ttrpc]
  address = "{0}/ttrpc"
"""


def small_image(text: str = "hello", *, architecture: str = "", docker: bool = False) -> Image:
    """Return an image with one file, `/text`, that a runtime can unpack."""
    architecture = architecture or {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    layer = gzip.compress(make_tar(("text", text.encode())), mtime=0)
    return make_image(layer, architecture=architecture, docker=docker)


def with_images(
    manifest: Manifest, contents: Mapping[str, bytes], images: Sequence[tuple[Image, Image, Sequence[str]]]
) -> tuple[Manifest, dict[str, bytes]]:
    """Add images to what `host_manifest` makes: what the names lead to, the image that runs here, the names."""
    blobs: dict[str, bytes] = {}
    items = list(manifest.items)
    for root, image, names in images:
        for one in (root, *root.children):
            blobs |= {digest(one.manifest): one.manifest, **one.blobs}
        described = entry("", root.manifest)
        items.append(
            Item(
                kind="image",
                name=names[0],
                version="1",
                purl="pkg:oci/sample",
                descriptor=Descriptor(
                    media_type=root.media_type, size=described.size, sha256=described.sha256, sm3=described.sm3
                ),
                names=tuple(names),
                config=next(iter(image.blobs)).removeprefix("sha256:"),
            )
        )
    entries = [entry("", data) for data in blobs.values()]
    added = {one.name: data for one, data in zip(entries, blobs.values(), strict=True)}
    new = tuple(one for one in entries if one.name not in contents)
    return replace(manifest, items=tuple(items), entries=(*manifest.entries, *new)), {**contents, **added}


@contextmanager
def podman(host: Host) -> Iterator[Callable[..., str]]:
    """Give a host a podman; yield a function that asks it."""
    root = host.root / "var/lib/containers/storage"
    with tempfile.TemporaryDirectory(prefix="ferry-podman-") as run:
        options = ["--root", str(root), *podman_state(run), "--storage-driver", "vfs"]
        yield _program(host, "podman", _found("podman"), *options)
        subprocess.run(["podman", *options, "system", "reset", "--force"], capture_output=True, check=False)


def podman_state(directory: str) -> list[str]:
    """Return the options by which a podman keeps to itself, in a directory with a short name.

    Its state of the whole host is taken for that of before a boot when another podman clears up.
    """
    return ["--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]


@contextmanager
def containerd(host: Host) -> Iterator[Callable[..., str]]:
    """Give a host a containerd; yield a function that asks it."""
    with tempfile.TemporaryDirectory(prefix="ferry-containerd-") as name:
        work = Path(name)
        (work / "config.toml").write_text(_CONTAINERD.format(work))
        argv = [_found("containerd"), "--config", str(work / "config.toml")]
        with _running(argv, work / "sock", work / "log"):
            _put(host.root / "run/containerd/containerd.sock", "")
            yield _program(host, "ctr", _found("ctr"), "--address", str(work / "sock"))


@contextmanager
def docker(host: Host) -> Iterator[Callable[..., str]]:
    """Give a host a Docker; yield a function that asks it."""
    with running_dockerd() as socket:
        _put(host.root / "run/docker.sock", "")
        _put(host.root / "usr/bin/dockerd", "")
        yield _program(host, "docker", _found("docker"), "--host", socket)


@contextmanager
def running_dockerd() -> Iterator[str]:
    """Start a Docker daemon; yield its address."""
    with tempfile.TemporaryDirectory(prefix="ferry-docker-", ignore_cleanup_errors=True) as name:
        work = Path(name)
        argv = [_found("dockerd"), "--storage-driver=vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"]
        argv += [f"--data-root={work}/data", f"--exec-root={work}/exec", f"--pidfile={work}/pid"]
        argv += [f"--host=unix://{work}/sock"]
        with _running(argv, work / "sock", work / "log"):
            yield f"unix://{work}/sock"


@contextmanager
def running_podman() -> Iterator[tuple[str, list[str]]]:
    """Start podman's service with Docker's interface; yield its address, and the command that asks it directly."""
    # podman takes no long path for what it keeps while it runs.
    with tempfile.TemporaryDirectory(prefix="ferry-podman-") as name:
        work = Path(name)
        program = [_found("podman"), "--root", f"{work}/root", *podman_state(name), "--storage-driver", "vfs"]
        argv = [*program, "system", "service", "--time", "0", f"unix://{work}/sock"]
        with _running(argv, work / "sock", work / "log"):
            yield f"unix://{work}/sock", program
        subprocess.run([*program, "system", "reset", "--force"], capture_output=True, check=False)


@contextmanager
def _running(argv: Sequence[str], socket: Path, log: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip(f"{argv[0]} needs root")
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        for _ in range(600):
            if process.poll() is not None:
                told = f"{argv[0]} does not run here: {log.read_text()[-500:]}"
                # Daemons need what a container may lack; podman does not.
                pytest.fail(told) if "podman" in argv[0] else pytest.skip(told)
            if socket.exists():
                break
            time.sleep(0.05)
        time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _program(host: Host, name: str, *words: str) -> Callable[..., str]:
    """Write a program of the host that runs the real one; return a function that runs it too."""
    quoted = " ".join(f"'{word}'" for word in words)
    _put(host.root / "usr/bin" / name, f'#!/bin/sh\nexec {quoted} "$@"\n')

    def ask(*more: str) -> str:
        done = subprocess.run([*words, *more], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ask


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs the program {program}")
    return path
