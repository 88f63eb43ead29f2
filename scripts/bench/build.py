"""The connected host: packing a bundle, and a whole build when everything is fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

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
)

# Nothing listens there: a build that asks for something fails at once.
_NO_NETWORK = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "all")} | {"no_proxy": ""}


def build(bench: Bench) -> Iterator[Line]:
    """Compare packing with its peers, then time a build."""
    yield from pack(bench)
    yield f"ferry build {bench.recipe.name}, warm", _whole(bench)


def pack(bench: Bench) -> Iterator[Line]:
    """Compare packing with programs that copy the same bytes to one file or directory."""
    listed, tree, out = str(bench.sample / "whole.blobs"), str(bench.sample / "store/blobs"), bench.work / "out"
    blobs = Path(listed).read_text().split("\n")
    argvs = {
        "pack": [*SAMPLE, "pack", str(bench.sample), "whole", str(out)],
        "cat": ["cat", *blobs],
        "tar": ["tar", "-cf", str(out), "-P", "-T", listed],
        "cp": ["cp", "-r", "--reflink=never", tree, str(out)],
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", *blobs],
    }
    costs = rounds(bench.runs, {name: _writer(argv, out, name == "cat") for name, argv in argvs.items()})
    smaller = _writer([*SAMPLE, "pack", str(bench.sample), "part", str(out)], out, False)
    part = [smaller() for _ in range(bench.runs)]
    _remove(out)
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    seconds["pack"] = [float(json.loads(cost.output)["seconds"]) for cost in costs["pack"]]
    # Pack hashes each blob once more, in its second thread: it is bound by the slower of cat and that hash.
    peers = [name for name in argvs if name != "pack"]
    yield "pack", speed(seconds, "pack", bench.size, peers)
    yield from ((f"{name} of the blobs", speed(seconds, name, bench.size)) for name in peers)
    yield "pack memory, size/8", memory(part)
    yield "pack memory, size", memory(costs["pack"], {"size/8": part})


def _writer(argv: list[str], out: Path, to_stdout: bool) -> Callable[[], Cost]:
    """Return what runs a program whose output is at `out`.

    The last output is removed only now: pages that a system gets back long before it may have given to others.
    """

    def write() -> Cost:
        _remove(out)
        return run(argv, out=out if to_stdout else None)

    return write


def _remove(out: Path) -> None:
    if out.is_dir():
        shutil.rmtree(out)
    out.unlink(missing_ok=True)


def _whole(bench: Bench) -> Measurement:
    """Time builds from the user's content store alone; the first one is not counted."""
    try:
        _, *costs = [built(bench) for _ in range(bench.runs + 1)]
    except BenchError as error:
        return Measurement(skipped=f"not buildable without network, build it once before: {error}")
    return duration([cost.seconds for cost in costs])


def built(bench: Bench) -> Cost:
    """Build the recipe's bundle without network, as `built/bundle.tar` with `built/release.pem` beside it.

    Raises:
        BenchError: the content store lacks something.
    """
    directory = bench.work / "built"
    directory.mkdir(exist_ok=True)
    env = _NO_NETWORK | {"FERRY_KEYSTORE": str(bench.work / "keystore")}
    public = directory / "release.pem"
    if not public.exists():
        run([*FERRY, "keystore", "init", "--yes"], env=env)
        run([*FERRY, "keystore", "public", "-o", str(public)], env=env)
    return run([*FERRY, "build", str(bench.recipe), "-o", str(directory / "bundle.tar")], env=env)
