"""Run programs beside each other and say what they cost, in ratios to a peer of the same run."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

PYTHON = (sys.executable, "-I")
FERRY = (*PYTHON, "-m", "bundler.cli")
SAMPLE = (*PYTHON, str(Path(__file__).with_name("sample.py")))
MB = 1_000_000
MIB = 1024 * 1024
_COMPLAINT_BYTES = 2000
# getrusage(2) counts writes in blocks of this size.
_BLOCK_BYTES = 512


class BenchError(Exception):
    """A program that is measured failed."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What an area is given: a directory for its files, the size of the bundle in bytes, how often to repeat."""

    work: Path
    size: int
    runs: int
    recipe: Path

    @cached_property
    def sample(self) -> Path:
        """The directory with two bundles to be, `whole` of `size` and `part` of an eighth of it."""
        directory = self.work / "sample"
        run([*SAMPLE, "make", str(directory), str(self.size)])
        return directory


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a program took: seconds by the wall clock and of the processors, its largest resident set, what it wrote.

    `written_bytes` are those that went towards a disk, in whole pages; a file system in memory does not count.
    """

    seconds: float
    peak_bytes: int
    output: bytes
    cpu_seconds: float = 0.0
    written_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One line: the best of the runs and their median, and this value divided by that of each peer.

    `skipped` says why there is no value.
    """

    value: float | None = None
    unit: str = ""
    median: float | None = None
    ratios: Mapping[str, float] = field(default_factory=dict)
    skipped: str = ""

    def document(self) -> dict[str, Any]:
        """Return the measurement for programs; `peer` and `ratio` are the first of `ratios`."""
        peer, ratio = next(iter(self.ratios.items()), (None, None))
        document: dict[str, Any] = {"value": _rounded(self.value), "unit": self.unit, "median": _rounded(self.median)}
        document |= {"peer": peer, "ratio": _rounded(ratio)}
        document |= {"ratios": {name: _rounded(value) for name, value in self.ratios.items()}}
        return document | {"skipped": self.skipped} if self.skipped else document


Line = tuple[str, Measurement]


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def run(argv: Sequence[str], *, out: Path | None = None, env: Mapping[str, str] | None = None, status: int = 0) -> Cost:
    """Run a program to its end; its output goes to the file `out`, else into the result.

    Raises:
        BenchError: it did not end with `status`.
    """
    return together([argv], out=out, env=env, status=status)


def together(
    argvs: Sequence[Sequence[str]], *, out: Path | None = None, env: Mapping[str, str] | None = None, status: int = 0
) -> Cost:
    """Run programs at the same time until the last one ends; the peak is that of the largest.

    A child begins with the resident set of this process, so no peak below that is seen: keep this process small.

    Raises:
        BenchError: one did not end with `status`.
    """
    with ExitStack() as stack:
        target = stack.enter_context(_output(out))
        errors = stack.enter_context(tempfile.TemporaryFile())
        children = []
        began = time.perf_counter()
        for argv in argvs:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=target, stderr=errors, env=os.environ | (env or {})
            )
            children.append(child)
            stack.callback(_end, child)
        used = [_wait(child) for child in children]
        seconds = time.perf_counter() - began
        if any(child.returncode != status for child in children):
            errors.seek(0)
            complaint = errors.read()[-_COMPLAINT_BYTES:].decode(errors="replace").strip()
            raise BenchError(f"{' '.join(argvs[0][:6])}: {complaint or 'failed'}")
        if not out:
            target.seek(0)
        return Cost(
            seconds=seconds,
            peak_bytes=max(one.ru_maxrss for one in used) * 1024,
            output=b"" if out else target.read(),
            cpu_seconds=sum(one.ru_utime + one.ru_stime for one in used),
            written_bytes=sum(one.ru_oublock for one in used) * _BLOCK_BYTES,
        )


def _output(out: Path | None) -> IO[bytes]:
    return out.open("wb") if out else tempfile.TemporaryFile()


def _wait(child: subprocess.Popen[bytes]) -> resource.struct_rusage:
    """Wait for a child; return what it used, as wait4 tells for one child."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.returncode is None:
        child.kill()
        child.wait()


def rounds(runs: int, programs: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Measure programs in turn, `runs` times, so that what else the host does meets all of them.

    The first program runs once before, so that every measured one finds the page cache warm.
    """
    next(iter(programs.values()))()
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for _ in range(runs):
        for name, program in programs.items():
            costs[name].append(program())
    return costs


def speed(seconds: Mapping[str, Sequence[float]], name: str, size: int, peers: Sequence[str] = ()) -> Measurement:
    """Return the best MB/s of what took `seconds` for `size` bytes, beside its peers on as many bytes."""
    best = {one: size / min(seconds[one]) / MB for one in (name, *peers)}
    return Measurement(
        value=best[name],
        unit="MB/s",
        median=size / statistics.median(seconds[name]) / MB,
        ratios={peer: best[name] / best[peer] for peer in peers},
    )


def duration(seconds: Sequence[float], ratios: Mapping[str, float] | None = None) -> Measurement:
    """Return the best of some durations; `ratios` maps peers to their own best seconds."""
    best = min(seconds)
    compared = {peer: best / other for peer, other in (ratios or {}).items()}
    return Measurement(value=best, unit="s", median=statistics.median(seconds), ratios=compared)


def memory(costs: Sequence[Cost], peers: Mapping[str, Sequence[Cost]] | None = None) -> Measurement:
    """Return the largest peak of memory in any run, beside that of peers."""
    peaks = [cost.peak_bytes for cost in costs]
    compared = {name: max(peaks) / max(cost.peak_bytes for cost in other) for name, other in (peers or {}).items()}
    return Measurement(value=max(peaks) / MIB, unit="MiB", median=statistics.median(peaks) / MIB, ratios=compared)


def written(costs: Sequence[Cost], size: int, name: str) -> Measurement:
    """Return the most bytes that any run wrote, beside the `size` of what is called `name`."""
    found = [cost.written_bytes for cost in costs]
    return Measurement(
        value=max(found) / MB, unit="MB", median=statistics.median(found) / MB, ratios={name: max(found) / size}
    )
