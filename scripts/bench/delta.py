"""A differential between two releases of AgentScope: how small it is, and what its patches cost on both hosts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.measure import FERRY, MB, PYTHON, Bench, BenchError, Line, Measurement, duration, memory, run

_PATCHES = (*PYTHON, str(Path(__file__).with_name("patches.py")))
_RECIPES = Path(__file__).resolve().parents[2] / "recipes"
_OLD, _NEW = "1.0.20", "1.0.21"
_KIB = 1024


def delta(bench: Bench) -> Iterator[Line]:
    """Build both releases and the differential, then make and apply its patches anew."""
    try:
        old, new = _built(bench, _OLD, 1), _built(bench, _NEW, 2)
        differential = _build(bench, bench.work / _NEW, bench.work / "differential.tar", "--since", str(old))
    except BenchError as error:
        yield f"differential of agentscope {_OLD} to {_NEW}", Measurement(skipped=str(error))
        return
    made, applied = [], []
    for _ in range(bench.runs):
        shutil.rmtree(bench.work / "patches", ignore_errors=True)
        made.append(run([*_PATCHES, "make", str(old), str(new), str(bench.work / "patches")]))
        applied.append(run([*_PATCHES, "apply", str(bench.work / "patches")]))
    listed = json.loads(made[-1].output)["listed"]
    whole = differential.stat().st_size + sum(one["size"] - one["patch"] for one in listed)
    yield (
        f"differential of agentscope {_OLD} to {_NEW}",
        _size(differential.stat().st_size, {"whole blobs": whole, "the full bundle": new.stat().st_size}),
    )
    image = [one for one in listed if one["kind"] in ("image", "layer")]
    yield "its image, one package changed", _size(_sum(image, "patch"), {"whole blobs": _sum(image, "size")})
    yield "make its patches", duration([float(json.loads(cost.output)["seconds"]) for cost in made])
    yield "make its patches, memory", memory(made)
    yield "apply its patches", duration([float(json.loads(cost.output)["seconds"]) for cost in applied])
    yield "apply its patches, memory", memory(applied)


def _built(bench: Bench, version: str, sequence: int) -> Path:
    """Return the full bundle of a release, made from the project's own recipe."""
    directory = bench.work / version
    shutil.copytree(_RECIPES / "agentscope", directory)
    shutil.copytree(_RECIPES / "shared", bench.work / "shared", dirs_exist_ok=True)
    recipe = directory / "recipe.yaml"
    text = recipe.read_text().replace(_NEW, version)
    recipe.write_text(re.sub("^sequence: .*$", f"sequence: {sequence}", text, flags=re.MULTILINE))
    run([*FERRY, "lock", str(directory)])
    return _build(bench, directory, bench.work / f"{version}.tar")


def _build(bench: Bench, directory: Path, out: Path, *words: str) -> Path:
    keys = {"FERRY_KEYSTORE": str(bench.work / "keys")}
    run([*FERRY, "build", str(directory), "--yes", "-o", str(out), *words], env=keys)
    return out


def _size(value: int, peers: dict[str, int]) -> Measurement:
    """Return a size beside those of others."""
    small = value < MB
    return Measurement(
        value=value / (_KIB if small else MB),
        unit="KiB" if small else "MB",
        ratios={name: value / peer for name, peer in peers.items()},
    )


def _sum(listed: list[dict[str, Any]], what: str) -> int:
    return sum(int(one[what]) for one in listed)
