"""Layers and images out of locked parts: runtime, wheels, files; reproducible and without a daemon."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bundler.debs import make_runtime
from bundler.errors import ResolveError
from bundler.model.composed import ComposedImage
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER, WHEEL, Descriptor
from bundler.model.image import INDEXES
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS, Platform, platform_of_machine
from bundler.model.recipe import Recipe
from bundler.model.service import Service
from bundler.model.wheel import LockedPackage
from bundler.sandbox.wheel import build_wheel
from bundler.store import Store, derivation_key
from bundler.tree import Layer, pack_layer, unpack_layer, write_tree_file
from bundler.wheels import install_wheels

# A change of how parts are made must not find what an older Ferry remembered.
_GENERATION = "3"
# The user that an image's service runs as.
IMAGE_UID = 10001
_PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nferry:x:{IMAGE_UID}:{IMAGE_UID}:ferry:/nonexistent:/sbin/nologin\n"
_GROUP = f"root:x:0:\nferry:x:{IMAGE_UID}:\n"


class Composer:
    """Makes the parts of one bundle in a work directory, and remembers in the store what is made already."""

    def __init__(self, lock: Lock, platform: Platform, store: Store, work: Path) -> None:
        self.lock = lock
        self.platform = platform
        self._store = store
        self._work = work
        self._roots: dict[str, Path] = {}

    def runtime(self, platform: Platform | None = None) -> Layer:
        """Return the layer of the Python runtime (for this bundle's platform)."""
        key, make = self._runtime_recipe(platform or self.platform)
        return self._layer(key, make)

    def _runtime_recipe(self, platform: Platform) -> tuple[str, Callable[[Path], None]]:
        debs = [deb for deb in self.lock.debs if deb.platform == platform]
        if not debs:
            raise ResolveError(f"the lock has no Python runtime for {platform}", place="python.debs")
        key = derivation_key(_GENERATION, "runtime", self.lock.python_version, *(deb.sha256 for deb in debs))

        def make(root: Path) -> None:
            paths = [self._store.path(deb.sha256) for deb in debs]
            make_runtime(paths, root, platform=platform, python=self.lock.python_version)

        return key, make

    def wheels(self, files: Sequence[tuple[str, Descriptor]]) -> Layer:
        """Return the layer of installed wheels, given as (file name, descriptor)."""
        key = derivation_key(_GENERATION, "wheels", self.lock.python_version, *(f"{n} {d.sha256}" for n, d in files))

        def make(root: Path) -> None:
            wheels = [(name, self._store.path(descriptor.sha256)) for name, descriptor in files]
            install_wheels(wheels, root, self.lock.python_version)

        return self._layer(key, make)

    def files(self, services: Sequence[Service]) -> Layer:
        """Return the layer of the recipe's files that images hold, with what a container needs beside them."""
        parts = [f"{file.to} {file.sha256} {file.executable}" for file in self.lock.files if file.image]
        states = sorted(service.name for service in services if service.state)
        key = derivation_key(_GENERATION, "files", *parts, *states)

        def make(root: Path) -> None:
            (root / "etc").mkdir()
            (root / "etc/passwd").write_text(_PASSWD)
            (root / "etc/group").write_text(_GROUP)
            (root / "tmp").mkdir()
            (root / "tmp").chmod(0o1777)
            for name in states:
                (root / "var/lib" / f"ferry-{name}").mkdir(parents=True)
            self.place_files(root)

        return self._layer(key, make, owned=lambda name: IMAGE_UID if name.startswith("var/lib/ferry-") else 0)

    def place_files(self, root: Path) -> None:
        """Copy the recipe's files that images hold to their places below `root`."""
        for file in filter(lambda one: one.image, self.lock.files):
            with self._store.path(file.sha256).open("rb") as stream:
                write_tree_file(root, file.to, stream, executable=file.executable)

    def _layer(self, key: str, make: Callable[[Path], None], owned: Callable[[str], int] = lambda name: 0) -> Layer:
        known = self._store.remembered(key)
        if known is not None:
            return Layer(descriptor=self._store.describe(known["blob"], LAYER), diff_id=known["diff_id"])
        root = self._work / key
        root.mkdir()
        make(root)
        layer = pack_layer(root, self._store, owned=owned)
        self._roots[layer.descriptor.sha256] = root
        self._store.remember(key, {"blob": layer.descriptor.sha256, "diff_id": layer.diff_id})
        return layer

    def build_wheels(self) -> list[tuple[LockedPackage, str, Descriptor]]:
        """Return (package, file name, descriptor) of every wheel of the payload, built where only an sdist is."""
        found = []
        for package in self.lock.wheels:
            file = package.file_for(self.platform)
            if file is None:
                continue
            if file.is_sdist:
                name, descriptor = self._built(file.name, file.sha256)
            else:
                name, descriptor = file.name, self._store.describe(file.sha256, WHEEL)
            found.append((package, name, descriptor))
        return found

    def _built(self, name: str, sha256: str) -> tuple[str, Descriptor]:
        host = builder_platform()
        tools = [(file.name, file.sha256) for package in self.lock.build if (file := package.file_for(host))]
        runtime_key, make_runtime_here = self._runtime_recipe(host)
        key = derivation_key(_GENERATION, "built", sha256, runtime_key, *(digest for _, digest in tools))
        known = self._store.remembered(key)
        if known is None:
            wheel = self._build(name, sha256, tools, runtime_key, make_runtime_here)
            with wheel.open("rb") as stream:
                made = self._store.put_stream(stream, WHEEL)
            known = {"blob": made.sha256, "name": wheel.name}
            self._store.remember(key, known)
        return known["name"], self._store.describe(known["blob"], WHEEL)

    def _build(
        self, name: str, sha256: str, tools: list[tuple[str, str]], key: str, make: Callable[[Path], None]
    ) -> Path:
        root = self._work / f"{key}-builder"
        if not root.exists():
            root.mkdir()
            make(root)
            wheels = [(tool, self._store.path(digest)) for tool, digest in tools]
            install_wheels(wheels, root, self.lock.python_version)
        return build_wheel(self._store.path(sha256), name, root=root, python=self.lock.python_version)

    def assemble(self, layers: Sequence[Layer]) -> Path:
        """Return a directory with all layers one above the other, as a host or container has them."""
        root = self._work / "assembled"
        root.mkdir()
        for layer in layers:
            made = self._roots.get(layer.descriptor.sha256)
            if made is not None:
                shutil.copytree(made, root, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
                continue
            part = Path(tempfile.mkdtemp(dir=self._work))
            with self._store.path(layer.descriptor.sha256).open("rb") as stream:
                unpack_layer(stream, part)
            shutil.copytree(part, root, symlinks=True, dirs_exist_ok=True, copy_function=os.link)
            shutil.rmtree(part)
        return root


def builder_platform() -> Platform:
    """Return the platform of this host.

    Raises:
        ResolveError: Ferry does not build here.
    """
    machine = os.uname().machine
    platform = platform_of_machine(machine)
    if platform is None:
        known = ", ".join(platform.machine for platform in PLATFORMS)
        raise ResolveError(f'expected a builder of {known}, this host is "{machine}"')
    return platform


def compose_image(
    image: ComposedImage,
    recipe: Recipe,
    layers: Sequence[Layer],
    store: Store,
    *,
    created: str,
    platform: Platform,
) -> tuple[Descriptor, Descriptor]:
    """Put the image's manifest and configuration into the store; return their descriptors.

    Source: OCI Image Format Specification 1.1, image configuration and image manifest.
    """
    service = next(service for service in recipe.services if service.name == image.service)
    config = store.put(_config(image, service, recipe, layers, created, platform), IMAGE_CONFIG)
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": _oci(config),
        "layers": [_oci(layer.descriptor) for layer in layers],
        "annotations": {
            "org.opencontainers.image.created": created,
            "org.opencontainers.image.title": recipe.name,
            "org.opencontainers.image.version": recipe.version,
        },
    }
    return store.put(_json(document), IMAGE_MANIFEST), config


def _config(
    image: ComposedImage,
    service: Service,
    recipe: Recipe,
    layers: Sequence[Layer],
    created: str,
    platform: Platform,
) -> bytes:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **dict(service.environment)}
    if service.state:
        environment["STATE_DIRECTORY"] = f"/var/lib/ferry-{service.name}"
    environment |= dict(image.environment)
    python = f"/usr/bin/python{recipe.python.version}"
    history = [{"created": created, "created_by": f"ferry: {name}"} for name in ("runtime", "wheels", "files")]
    return _json(
        {
            "architecture": platform.architecture,
            "os": platform.os,
            "created": created,
            "config": {
                "User": f"{IMAGE_UID}:{IMAGE_UID}",
                "Env": [f"{name}={value}" for name, value in sorted(environment.items())],
                "Entrypoint": [python if word == "python" else word for word in service.run],
                "WorkingDir": f"/{service.directory}",
                "ExposedPorts": {f"{service.port}/tcp": {}},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}" for layer in layers]},
            "history": history if len(layers) == len(history) else history[:1] + history[2:],
        }
    )


def image_index(images: Sequence[tuple[str, Descriptor]], platform: Platform) -> bytes:
    """Return the `index.json` of the layout: every image under its reference, as podman and containerd read it."""
    of_one = {"platform": {"architecture": platform.architecture, "os": platform.os}}
    manifests = [
        {
            **_oci(descriptor),
            **(of_one if descriptor.media_type not in INDEXES else {}),
            "annotations": {
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": reference,
            },
        }
        for reference, descriptor in images
    ]
    return _json({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})


def _oci(descriptor: Descriptor) -> dict[str, object]:
    return {
        "mediaType": descriptor.media_type,
        "digest": f"sha256:{descriptor.sha256}",
        "size": descriptor.size,
    }


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
