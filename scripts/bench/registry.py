"""A bundle to a registry on loopback and back, beside skopeo with the same artifact and with an image of that size.

The artifact is what `ferry push` made of the bundle, a hundred blobs and more; the image has eight layers. Ferry checks
signature and digests of the whole bundle in both directions, and syncs what it pulls; skopeo does neither. The registry
is emptied before each push, and syncs what it gets: set TMPDIR to a directory in memory to measure without the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.fetch import IMAGE, PROGRAMS
from bench.measure import FERRY, SAMPLE, Bench, Cost, Line, Measurement, memory, rounds, run, speed
from bench.server import running_registry

PROFILES = ("gm", "standard")


def registry(bench: Bench) -> Iterator[Line]:
    """Compare push and pull, and the memory of both for a bundle and one of an eighth of its size."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        yield "ferry push", Measurement(skipped=f"needs {', '.join(missing)}")
        return
    whole, part, image = _packed(bench, "whole"), _packed(bench, "part"), _image(bench)
    directory = bench.work / "push-registry"
    with running_registry(directory) as host:
        trust = ["--trust", str(bench.sample / "release.pem")]

        def push(bundle: Path, profile: str) -> list[str]:
            return [*FERRY, "push", str(bundle), f"{host}/bench/{bundle.stem}:1", *trust, "--profile", profile]

        artifact = bench.work / "pushed-artifact.tar"
        names = {"artifact": f"docker://{host}/bench/{whole.stem}:1", "image": f"docker://{host}/bench/image:1"}
        run(push(whole, "gm"))
        run(["skopeo", "copy", "--src-tls-verify=false", names["artifact"], f"oci-archive:{artifact}"])
        archives = {"artifact": artifact, "image": image}
        skopeo = {
            kind: ["skopeo", "copy", "--dest-tls-verify=false", f"oci-archive:{archives[kind]}", name]
            for kind, name in names.items()
        }
        pushes = {f"ferry push, {profile}": _to_empty(directory, push(whole, profile)) for profile in PROFILES}
        pushes["ferry push, size/8"] = _to_empty(directory, push(part, "gm"))
        pushes |= {f"skopeo push, {kind}": _to_empty(directory, argv) for kind, argv in skopeo.items()}
        pushed = rounds(bench.runs, pushes)

        out = bench.work / "pulled.tar"
        shutil.rmtree(directory / "data")
        for argv in (push(whole, "gm"), push(part, "gm"), skopeo["image"]):
            run(argv)

        def pull(bundle: Path, profile: str) -> list[str]:
            reference = f"{host}/bench/{bundle.stem}:1"
            return [*FERRY, "pull", reference, "-o", str(out), *trust, "--profile", profile]

        pulls = {f"ferry pull, {profile}": _to_new(out, pull(whole, profile)) for profile in PROFILES}
        pulls["ferry pull, size/8"] = _to_new(out, pull(part, "gm"))
        for kind, name in names.items():
            argv = ["skopeo", "copy", "--src-tls-verify=false", name, f"oci-archive:{out}"]
            pulls[f"skopeo pull, {kind}"] = _to_new(out, argv)
        pulled = rounds(bench.runs, pulls)
    for way, costs in (("push", pushed), ("pull", pulled)):
        seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
        peers = [f"skopeo {way}, {kind}" for kind in names]
        for profile in PROFILES:
            yield f"ferry {way}, {profile}", speed(seconds, f"ferry {way}, {profile}", bench.size, peers)
        small = {"size/8": costs[f"ferry {way}, size/8"], peers[0]: costs[peers[0]]}
        yield f"ferry {way} memory", memory(costs[f"ferry {way}, gm"], small)
        for peer in peers:
            yield peer, speed(seconds, peer, bench.size)


def _packed(bench: Bench, name: str) -> Path:
    out = bench.work / f"pushed-{name}.tar"
    run([*SAMPLE, "pack", str(bench.sample), name, str(out)])
    return out


def _image(bench: Bench) -> Path:
    layout, out = bench.work / "pushed-image", bench.work / "pushed-image.tar"
    run([*IMAGE, "make", str(layout), str(bench.size)])
    run(["tar", "-cf", str(out), "-C", str(layout), "."])
    shutil.rmtree(layout)
    return out


def _to_empty(directory: Path, argv: list[str]) -> Callable[[], Cost]:
    def program() -> Cost:
        shutil.rmtree(directory / "data", ignore_errors=True)
        return run(argv)

    return program


def _to_new(out: Path, argv: list[str]) -> Callable[[], Cost]:
    def program() -> Cost:
        out.unlink(missing_ok=True)
        return run(argv)

    return program
