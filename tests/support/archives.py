"""Archives of `docker save` and OCI layouts, whole and broken."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from registry import Image, digest

LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


def write_tar(path: Path, members: Mapping[str, object], mode: str = "w") -> Path:
    """Write a tar of bytes by name; a TarInfo gives type and link."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, tarfile.TarInfo):
                info.type, info.linkname = content.type, content.linkname
                tar.addfile(info)
            else:
                assert isinstance(content, bytes)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def make_config(*layers: bytes, architecture: str = "amd64") -> bytes:
    """Return a configuration of Docker's for plain layers."""
    rootfs = {"type": "layers", "diff_ids": [digest(layer) for layer in layers]}
    return json.dumps({"os": "linux", "architecture": architecture, "config": {}, "rootfs": rootfs}).encode()


def docker_archive(config: bytes, *layers: bytes, tags: Sequence[str] = ("app:1",)) -> dict[str, object]:
    """Return the members of an archive in the form that Docker wrote before version 25."""
    name = f"{digest(config).removeprefix('sha256:')}.json"
    paths = [f"{index:064x}/layer.tar" for index in range(len(layers))]
    entry = {"Config": name, "RepoTags": list(tags), "Layers": paths}
    members: dict[str, object] = {name: config}
    for path, layer in zip(paths, layers, strict=True):
        members |= {path.replace("layer.tar", "VERSION"): b"1.0", path: layer}
    return {**members, "manifest.json": json.dumps([entry]).encode(), "repositories": b"{}"}


def oci_layout(*named: tuple[str, Image]) -> dict[str, object]:
    """Return the files of an OCI layout with (name, image), "" for none."""
    members: dict[str, object] = {"oci-layout": LAYOUT}
    listed = []
    for name, image in named:
        annotations = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        listed.append({**image.descriptor, **annotations})
        for one in (image, *image.children):
            blobs = {one.digest: one.manifest, **one.blobs}
            members |= {f"blobs/{digest_.replace(':', '/')}": data for digest_, data in blobs.items()}
    return {**members, "index.json": json.dumps({"schemaVersion": 2, "manifests": listed}).encode()}


def write_layout(directory: Path, members: Mapping[str, object]) -> Path:
    """Write the files of a layout as a directory."""
    for name, data in members.items():
        assert isinstance(data, bytes)
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    return directory
