"""Parity of volumes, made and used, beside zfec's own programs on the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import PYTHON, Bench, Cost, Line, memory, rounds, run, speed

STRIPES = (*PYTHON, str(Path(__file__).with_name("stripes.py")))
DATA, PARITY = 10, 2


def parity(bench: Bench) -> Iterator[Line]:
    """Compare encoding and healing with zfec and without it, as an isolated host does, with zfec's own programs."""
    directory, shares = bench.work / "stripes", bench.work / "shares"
    shares.mkdir()
    run([*STRIPES, "make", str(directory), str(DATA), str(PARITY), str(bench.size // 4)])
    whole = directory / "whole"
    size = whole.stat().st_size
    encode = [*_zfec("zfec"), "-q", "-f", "-d", str(shares), "-p", "s"]
    encode += ["-k", str(DATA), "-m", str(DATA + PARITY), str(whole)]
    run(encode)
    # All shares but the first: zunfec has to compute it, as Ferry has.
    left = [str(path) for path in sorted(shares.iterdir())[1 : DATA + 1]]
    decode = [*_zfec("zunfec"), "-f", "-o", str(bench.work / "joined"), *left]
    programs = {
        "cat": _program(["cat", str(whole)]),
        "zfec": _program(encode),
        "zunfec": _program(decode),
    }
    for what in ("encode", "heal"):
        for code in ("zfec", "own"):
            programs[f"{what}, {code}"] = _program([*STRIPES, what, str(directory), str(DATA), str(PARITY), code])
    costs = rounds(bench.runs, programs)
    seconds = {name: [cost.seconds for cost in found] for name, found in costs.items()}
    shape = f"{DATA} + {PARITY} volumes"
    yield f"make parity, {shape}", speed(seconds, "encode, zfec", size, ["zfec", "cat"])
    yield "the same without zfec", speed(seconds, "encode, own", size, ["zfec", "cat"])
    yield "heal one lost volume, bytes read", speed(seconds, "heal, zfec", size, ["zunfec", "cat"])
    yield "the same without zfec (isolated host)", speed(seconds, "heal, own", size, ["zunfec", "cat"])
    yield "memory to heal without zfec", memory(costs["heal, own"])
    yield "zfec", speed(seconds, "zfec", size)
    yield "zunfec", speed(seconds, "zunfec", size)


def _zfec(name: str) -> list[str]:
    """Return the command that runs a program of zfec; it prints a complaint about shapes that are slow for it."""
    return [*PYTHON, "-c", f"import sys; from zfec.cmdline_{name} import main; sys.exit(main())"]


def _program(argv: list[str]) -> Callable[[], Cost]:
    return lambda: run(argv, out=Path("/dev/null"))
