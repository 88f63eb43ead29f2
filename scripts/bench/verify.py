"""Checking a bundle, beside the programs that only read or only hash the same file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.measure import FERRY, SAMPLE, Bench, Cost, Line, duration, memory, rounds, run, speed, together

HASHERS = {
    "openssl dgst -sm3": ("openssl", "dgst", "-sm3"),
    "openssl dgst -sha256": ("openssl", "dgst", "-sha256"),
    "sha256sum": ("sha256sum",),
}
# Each profile, and the programs that hash as it does.
PROFILES = {"gm": ("openssl dgst -sm3",), "standard": ("openssl dgst -sha256", "sha256sum")}


def verify(bench: Bench) -> Iterator[Line]:
    """Compare `ferry verify` in both profiles with cat, and with the same hash by one and by all cores at once."""
    whole, part, empty = (packed(bench, name) for name in ("whole", "part", "empty"))
    cores = os.cpu_count() or 1
    programs = {"cat": _program(["cat", str(whole)], out=Path(os.devnull))}
    for name, argv in HASHERS.items():
        programs[name] = _program([*argv, str(whole)])
        programs[_on_all(name, cores)] = _program([*argv, str(whole)], times=cores)
    for profile in PROFILES:
        for size, bundle in (("size", whole), ("size/8", part), ("empty", empty)):
            programs[f"{profile}, {size}"] = _program(_verifying(bench, bundle, profile))
    costs = rounds(bench.runs, programs)
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    for name in HASHERS:
        # Each of the programs hashed the whole file.
        seconds[_on_all(name, cores)] = [one / cores for one in seconds[_on_all(name, cores)]]
    size = whole.stat().st_size
    for profile, hashers in PROFILES.items():
        peers = ["cat", *(peer for name in hashers for peer in (_on_all(name, cores), name))]
        yield f"ferry verify, {profile}", speed(seconds, f"{profile}, size", size, peers)
        yield f"{profile} memory, size/8", memory(costs[f"{profile}, size/8"])
        yield f"{profile} memory, size", memory(costs[f"{profile}, size"], {"size/8": costs[f"{profile}, size/8"]})
    yield "ferry verify, an empty bundle", duration(seconds["gm, empty"])
    yield "cat to /dev/null", speed(seconds, "cat", size)
    for name in HASHERS:
        yield name, speed(seconds, name, size)
        yield _on_all(name, cores), speed(seconds, _on_all(name, cores), size)


def _verifying(bench: Bench, bundle: Path, profile: str) -> list[str]:
    return [*FERRY, "verify", str(bundle), "--trust", str(bench.sample / "release.pem"), "--profile", profile]


def _on_all(name: str, cores: int) -> str:
    return f"{name}, {cores} at once"


def _program(argv: Sequence[str], *, out: Path | None = None, times: int = 1) -> Callable[[], Cost]:
    return lambda: together([argv] * times, out=out)


def packed(bench: Bench, name: str) -> Path:
    """Pack one of the sample's bundles; return its path."""
    out = bench.work / f"{name}.tar"
    run([*SAMPLE, "pack", str(bench.sample), name, str(out)])
    return out
