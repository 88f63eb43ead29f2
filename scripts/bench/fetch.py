"""Fetching an image from a registry on loopback, beside skopeo, and a copy on the disk."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.measure import PYTHON, Bench, BenchError, Cost, Line, Measurement, memory, rounds, run, speed

IMAGE = (*PYTHON, str(Path(__file__).with_name("image.py")))
PROGRAMS = ("docker-registry", "skopeo")
NAME = "bench/image:1"


def fetch(bench: Bench) -> Iterator[Line]:
    """Compare `ferry build`'s way of fetching an image with skopeo and cp; each writes to an empty directory."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        yield "fetch", Measurement(skipped=f"needs {', '.join(missing)}")
        return
    layout = bench.work / "image"
    run([*IMAGE, "make", str(layout), str(bench.size)])
    with _registry(bench.work / "registry") as host:
        source = f"docker://{host}/{NAME}"
        run(["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}", source])
        out = bench.work / "fetched"
        plain = ["skopeo", "copy", "--src-tls-verify=false", source, f"oci:{out}:copy"]
        costs = rounds(
            bench.runs,
            {
                "ferry": _into(out, [*IMAGE, "fetch", f"{host}/{NAME}", str(out)]),
                "skopeo": _into(out, plain),
                "cp": _into(out, ["cp", "-r", str(layout), str(out)]),
            },
        )
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    yield "ferry fetches an image", speed(seconds, "ferry", bench.size, ["skopeo", "cp"])
    yield "ferry memory", memory(costs["ferry"], {"skopeo": costs["skopeo"]})
    yield "skopeo copy", speed(seconds, "skopeo", bench.size)
    yield "cp on the disk", speed(seconds, "cp", bench.size)


def _into(out: Path, argv: list[str]) -> Callable[[], Cost]:
    def program() -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        return run(argv)

    return program


@contextmanager
def _registry(directory: Path) -> Iterator[str]:
    """Run a registry on loopback; yield its host."""
    directory.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config = directory / "config.yml"
    # JSON is YAML.
    config.write_text(json.dumps(settings))
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(["docker-registry", "serve", str(config)], env=dict(os.environ), **quiet)
    try:
        _wait(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.05)
    raise BenchError("the registry did not come up")
