"""A bundle on its way: packed, verified, cut, received by a host, served, each beside a peer on the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.build import pack
from bench.measure import (
    FERRY,
    SAMPLE,
    Bench,
    BenchError,
    Cost,
    Line,
    Measurement,
    duration,
    memory,
    rounds,
    run,
    speed,
    together,
    written,
)
from bench.server import running_registry
from bench.verify import verify

VOLUMES = 8
CLIENTS = 4
_REFUSED = 6


def bundle(bench: Bench) -> Iterator[Line]:
    """Compare all that happens to a bundle between two hosts."""
    yield from pack(bench)
    yield from verify(bench)
    yield from _received(bench)
    yield from _bad_volume(bench)
    yield from _served(bench)


def _received(bench: Bench) -> Iterator[Line]:
    """Compare what a host writes, and how long it takes, with cp of the same file."""
    whole, part = (bench.work / f"{name}.tar" for name in ("whole", "part"))
    store, key, size = bench.work / "received", str(bench.sample / "release.pem"), whole.stat().st_size
    programs = {
        "receive": _fresh(store, [*SAMPLE, "receive", str(whole), key, str(store)]),
        "receive, size/8": _fresh(store, [*SAMPLE, "receive", str(part), key, str(store)]),
        "cp and sync": _fresh(store, ["sh", "-c", 'cp --reflink=never "$0" "$1" && sync "$1"', str(whole), str(store)]),
    }
    costs = rounds(bench.runs, programs)
    _remove(store)
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    yield "host receives, gm", speed(seconds, "receive", size, ["cp and sync"])
    yield "host writes", written(costs["receive"], size, "the bundle")
    yield "host receives, memory", memory(costs["receive"], {"size/8": costs["receive, size/8"]})
    yield "cp and sync", speed(seconds, "cp and sync", size)


def _bad_volume(bench: Bench) -> Iterator[Line]:
    """Time what it takes to refuse a volume with one wrong bit in its middle, and one with a foreign head."""
    directory = bench.work / "volumes"
    directory.mkdir()
    trust = ["--trust", str(bench.sample / "release.pem")]
    size = max(bench.size // VOLUMES, 96 * 1024 * 1024)
    run([*FERRY, "split", str(bench.work / "whole.tar"), "--size", str(size), "-o", str(directory), *trust])
    volume = sorted(directory.iterdir())[-2 if len(list(directory.iterdir())) > 1 else 0]
    check = [*FERRY, "verify", str(volume), *trust]
    right = [run(check) for _ in range(bench.runs)]
    _flip(volume, volume.stat().st_size // 2)
    programs = {
        "openssl dgst -sm3": lambda: run(["openssl", "dgst", "-sm3", str(volume)]),
        "damaged": lambda: run(check, status=_REFUSED),
    }
    costs = rounds(bench.runs, programs)
    _flip(volume, 600)
    foreign = [run(check, status=7) for _ in range(bench.runs)]
    hashing = min(cost.seconds for cost in costs["openssl dgst -sm3"])
    shown = f"a volume of {volume.stat().st_size / 1e6:,.0f} MB"
    yield f"{shown}, right", duration([cost.seconds for cost in right], {"openssl dgst -sm3": hashing})
    yield f"{shown}, refused", duration([cost.seconds for cost in costs["damaged"]], {"openssl dgst -sm3": hashing})
    yield "a volume with a changed head, refused", duration([cost.seconds for cost in foreign])
    shutil.rmtree(directory)


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))


def _served(bench: Bench) -> Iterator[Line]:
    """Compare `ferry serve` with docker-registry: the same blobs to several clients at once."""
    missing = [name for name in ("docker-registry", "curl") if shutil.which(name) is None]
    if missing:
        yield "ferry serve", Measurement(skipped=f"needs {', '.join(missing)}")
        return
    trust = ["--trust", str(bench.sample / "release.pem")]
    digests = [Path(line).name for line in (bench.sample / "part.blobs").read_text().split("\n")]
    size = sum(Path(line).stat().st_size for line in (bench.sample / "part.blobs").read_text().split("\n"))
    part = str(bench.work / "part.tar")
    with running_registry(bench.work / "serve-registry") as host, _serving(part, trust) as url:
        run([*FERRY, "push", part, f"{host}/bench/part:1", *trust])
        places = {
            "ferry serve": [f"{url}/files/file-{number}" for number in range(len(digests))],
            "docker-registry": [f"http://{host}/v2/bench/part/blobs/sha256:{one}" for one in digests],
        }
        costs = rounds(bench.runs, {name: _clients(urls) for name, urls in places.items()})
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    yield f"ferry serve, {CLIENTS} clients", speed(seconds, "ferry serve", size * CLIENTS, ["docker-registry"])
    yield f"docker-registry, {CLIENTS} clients", speed(seconds, "docker-registry", size * CLIENTS)


def _clients(urls: list[str]) -> Callable[[], Cost]:
    quiet = [word for url in urls for word in ("-o", os.devnull, url)]
    return lambda: together([["curl", "--fail", "--silent", "--noproxy", "*", *quiet]] * CLIENTS)


@contextmanager
def _serving(bundle: str, trust: list[str]) -> Iterator[str]:
    """Serve a bundle; yield its URL."""
    argv = [*FERRY, "serve", bundle, *trust, "--listen", "127.0.0.1:0", "--json"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchError("ferry serve did not come up")
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.wait()


def _fresh(target: Path, argv: list[str]) -> Callable[[], Cost]:
    def program() -> Cost:
        _remove(target)
        return run(argv)

    return program


def _remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
