"""What a user would do by hand today with the same payload: wheels and an image archive copied, pip and podman offline.

Nothing is verified, no service is set up, and the host has Python and podman already, which Ferry does not ask for.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from machine import Machine

from bench.measure import FERRY, Bench, run

STICK = "/mnt/stick"
TIMEOUT_S = 900.0
# What podman needs inside a machine that is itself a container.
OPTIONS = ("--bind=/sys/fs/cgroup", "--capability=all", "--system-call-filter=@keyring bpf")
_CLEAN = (
    "rm -rf /root/carried /root/venv; podman rmi --all --force >/dev/null 2>&1; cat /mnt/stick/hand/* >/dev/null 2>&1; "
    "true"
)
_COPY = f"cp -r {STICK}/hand /root/carried && sync"
_PIP = (
    "python3 -m venv /root/venv && "
    "/root/venv/bin/pip install --quiet --no-index --find-links /root/carried/wheels --require-hashes "
    "-r /root/carried/requirements.txt && sync"
)
_LOAD = "podman load --quiet -i /root/carried/image.tar && sync"


def prepare(bench: Bench, manifest: Mapping[str, object]) -> Mapping[str, str]:
    """Put beside the bundle what a user would carry; return the commands of each stage.

    Raises:
        BenchError: a program that packs it failed.
    """
    hand = bench.work / "built" / "hand"
    hand.mkdir(exist_ok=True)
    stages = {"copy": _COPY}
    items = manifest["items"]
    assert isinstance(items, list)
    if any(one["kind"] == "wheel" for one in items):
        platform = str(manifest["platforms"][0])  # type: ignore[index]
        pylock = bench.work / "pylock.toml"
        words = ["--platform", platform, str(bench.recipe)]
        run([*FERRY, "export", "pylock", *words, "-o", str(pylock), "--wheels", str(hand / "wheels")])
        _pin(hand / "wheels", hand / "requirements.txt")
        stages["venv and pip install"] = _PIP
    images = [one["name"] for one in items if one["kind"] == "image"]
    if images:
        source = f"oci-archive:{bench.work}/built/bundle.tar:{images[0]}"
        run(["skopeo", "copy", source, f"docker-archive:{hand}/image.tar:{images[0]}"])
        stages["podman load"] = _LOAD
    return stages


def _pin(wheels: Path, out: Path) -> None:
    """Write a requirements file of exactly these wheels, with the hashes that pip checks."""
    lines = []
    for wheel in sorted(wheels.iterdir()):
        name, version = wheel.name.split("-")[:2]
        digest = run(["sha256sum", str(wheel)]).output.decode().split()[0]
        lines.append(f"{name}=={version} --hash=sha256:{digest}\n")
    out.write_text("".join(lines))


def by_hand(bench: Bench, stages: Mapping[str, str]) -> Mapping[str, Sequence[float]]:
    """Do it `runs` times in a machine with Python and podman; return the seconds of each stage, and of all."""
    seconds: dict[str, list[float]] = defaultdict(list)
    with Machine.create("bookworm", bench.work / "hand-machine", include=["python3-venv", "podman"]) as machine:
        machine.boot(binds_ro={bench.work / "built": STICK}, options=OPTIONS)
        for _ in range(bench.runs):
            machine.run(["sh", "-c", _CLEAN], timeout_s=TIMEOUT_S)
            took = {name: _timed(machine, text) for name, text in stages.items()}
            for name, one in {**took, "in all": sum(took.values())}.items():
                seconds[f"by hand: {name}"].append(one)
    return seconds


def _timed(machine: Machine, text: str) -> float:
    began = time.perf_counter()
    machine.run(["sh", "-euc", text], timeout_s=TIMEOUT_S)
    return time.perf_counter() - began
