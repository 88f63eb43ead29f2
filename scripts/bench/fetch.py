"""Fetching: an image from a registry on loopback, beside skopeo; wheels from the index, beside pip.

Ferry syncs every blob to the disk before it counts; neither skopeo nor pip does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench.measure import PYTHON, Bench, BenchError, Cost, Line, Measurement, duration, memory, rounds, run, speed
from bench.server import running_registry

AGENTSCOPE = Path(__file__).resolve().parents[2] / "recipes/agentscope"
IMAGE = (*PYTHON, str(Path(__file__).with_name("image.py")))
WHEELS = (*PYTHON, str(Path(__file__).with_name("wheels.py")))
PROGRAMS = ("docker-registry", "skopeo")
NAME = "bench/image:1"


def fetch(bench: Bench) -> Iterator[Line]:
    """Compare Ferry's way of fetching with its peers; each writes to an empty directory, and Ferry once more."""
    yield from _image(bench)
    yield from _wheels(bench)


def _image(bench: Bench) -> Iterator[Line]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        yield "ferry fetches an image", Measurement(skipped=f"needs {', '.join(missing)}")
        return
    layout = bench.work / "image"
    run([*IMAGE, "make", str(layout), str(bench.size)])
    with running_registry(bench.work / "registry") as host:
        source = f"docker://{host}/{NAME}"
        run(["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout}", source])
        out, cached = bench.work / "fetched", bench.work / "cached"
        again = [*IMAGE, "fetch", f"{host}/{NAME}", str(cached)]
        run(again)
        costs = rounds(
            bench.runs,
            {
                "ferry": _into(out, [*IMAGE, "fetch", f"{host}/{NAME}", str(out)]),
                "skopeo": _into(out, ["skopeo", "copy", "--src-tls-verify=false", source, f"oci:{out}:copy"]),
                "cp": _into(out, ["cp", "-r", str(layout), str(out)]),
                "again": lambda: run(again),
            },
        )
    shutil.rmtree(cached)
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    yield "ferry fetches an image", speed(seconds, "ferry", bench.size, ["skopeo", "cp"])
    yield "ferry processor time", _cpu(costs, "ferry", "skopeo")
    yield "ferry memory", memory(costs["ferry"], {"skopeo": costs["skopeo"]})
    yield "skopeo copy", speed(seconds, "skopeo", bench.size)
    yield "cp on the disk", speed(seconds, "cp", bench.size)
    yield "ferry again, all there", duration(seconds["again"])


def _wheels(bench: Bench) -> Iterator[Line]:
    """Compare with `pip download` of the same files by their hashes, without what either remembers of the index."""
    known = json.loads(run([*WHEELS, "pins", str(AGENTSCOPE)]).output)
    listed, out, cached = bench.work / "pins.txt", bench.work / "wheels", bench.work / "wheels-cached"
    listed.write_text("\n".join(known["requirements"]))
    pip = [*PYTHON, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-deps"]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={known['python']}"]
    pip += [f"--platform={name}" for name in known["platforms"]]
    pip += ["--require-hashes", f"--requirement={listed}", f"--dest={out}"]
    forgetful = {"UV_NO_CACHE": "1"}
    ferry = [*WHEELS, "fetch", str(AGENTSCOPE)]
    title = f"ferry fetches {len(known['requirements'])} wheels"
    try:
        again = [*ferry, str(cached)]
        run(again, env=forgetful)
        costs = rounds(
            bench.runs,
            {
                "ferry": _into(out, [*ferry, str(out)], forgetful),
                "pip download": _into(out, pip),
                "again": lambda: run(again, env=forgetful),
            },
        )
    except BenchError as error:
        yield title, Measurement(skipped=f"the package index does not give them: {error}")
        return
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    yield title, speed(seconds, "ferry", known["bytes"], ["pip download"])
    yield "ferry processor time, wheels", _cpu(costs, "ferry", "pip download")
    own = [replace(cost, peak_bytes=int(cost.output)) for cost in costs["ferry"]]
    yield "ferry memory, wheels", memory(own, {"pip download": costs["pip download"]})
    yield "ferry memory, with uv's", memory(costs["ferry"])
    yield "pip download", speed(seconds, "pip download", known["bytes"])
    yield "ferry again, all wheels there", duration(seconds["again"])


def _cpu(costs: Mapping[str, list[Cost]], name: str, peer: str) -> Measurement:
    """Return the least processor time, which says more than the clock while others use this host."""
    seconds = {one: [cost.cpu_seconds for cost in costs[one]] for one in (name, peer)}
    return duration(seconds[name], {peer: min(seconds[peer])})


def _into(out: Path, argv: list[str], env: Mapping[str, str] | None = None) -> Callable[[], Cost]:
    def program() -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        return run(argv, env=env)

    return program
