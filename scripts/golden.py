#!/usr/bin/env python3
"""Write the golden bundles of tests/golden, one for each refusal, and what Ferry says of each; or check them."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
GOLDEN = ROOT / "tests/golden"
EXPECTED, TRUST = "expected.json", "release.pem"

if __name__ == "__main__" and (VENV / "bin/python").exists() and Path(sys.prefix).resolve() != VENV.resolve():
    os.execv(VENV / "bin/python", [str(VENV / "bin/python"), __file__, *sys.argv[1:]])

sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from bundles import SIGNER  # noqa: E402
from click.testing import CliRunner  # noqa: E402
from hosts import Host  # noqa: E402
from refusals import Golden, goldens  # noqa: E402

from bundler.cli import ferry  # noqa: E402
from bundler.errors import FerryError  # noqa: E402

_KEY = SIGNER.public.pem().encode()
_TIME = re.compile(r"(?<=it is )\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def told(error: FerryError) -> dict[str, Any]:
    """Return an error as it stands in the table; the time of day is left out."""
    return {"exit": error.exit_code, "error": _TIME.sub("NOW", str(error)), "hint": error.hint}


def trust_name(data: bytes) -> str:
    """Return the name of a file that is trusted."""
    kind = "json" if data.startswith(b"{") else "pem"
    return TRUST if data == _KEY else f"trust-{hashlib.sha256(data).hexdigest()[:8]}.{kind}"


def words(row: Mapping[str, Any]) -> list[str]:
    """Return the options with which a file is judged, of its row in the table."""
    trust = [word for name in row.get("trust", [TRUST]) for word in ("--trust", name)]
    return [*trust, *(word for scheme in row.get("demands", []) for word in ("--demand", scheme))]


def verdict(directory: Path, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `ferry verify` says of a file of the directory."""
    with contextlib.chdir(directory):
        done = CliRunner().invoke(ferry, ["verify", f"{name}.tar", *words(row)])
    if isinstance(done.exception, FerryError):
        return told(done.exception)
    if done.exception is not None:
        raise done.exception
    return {"exit": done.exit_code}


def host_verdict(golden: Golden, data: Mapping[str, bytes], trust: tuple[Path, ...]) -> dict[str, Any]:
    """Return what an install says of a bundle whose bytes are right."""
    with tempfile.TemporaryDirectory() as work:
        host = Host(Path(work, "host"))
        if golden.after:
            host.install(data[golden.after], trust=trust)
        before = host.listing()
        try:
            host.install(golden.data, trust=trust)
        except FerryError as error:
            return {**told(error), "host": "is as before" if host.listing() == before else "is changed"}
        return {"exit": 0}


def table(directory: Path, found: Sequence[Golden]) -> dict[str, Any]:
    """Return by name which row a file stands for, and what `ferry verify` says, or an install where that refuses it."""
    data = {golden.name: golden.data for golden in found}
    rows = {}
    for golden in found:
        row: dict[str, Any] = {"row": golden.row}
        row |= {"trust": [trust_name(one) for one in golden.trust]} if golden.trust else {}
        row |= {"demands": list(golden.demands)} if golden.demands else {}
        rows[golden.name] = row | verdict(directory, golden.name, row)
        if golden.verifies:
            trust = tuple(directory / name for name in row.get("trust", [TRUST]))
            rows[golden.name] |= {"install": host_verdict(golden, data, trust)}
        if golden.after:
            rows[golden.name] |= {"after": golden.after}
    return rows


@cache
def contents() -> dict[str, bytes]:
    """Return every file of the directory, made anew."""
    made = {f"{golden.name}.tar": golden.data for golden in goldens()} | {TRUST: _KEY}
    made |= {trust_name(data): data for golden in goldens() for data in golden.trust}
    with tempfile.TemporaryDirectory() as work:
        for name, data in made.items():
            Path(work, name).write_bytes(data)
        rows = table(Path(work), goldens())
    text = json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return {**made, EXPECTED: text.encode()}


def differences(directory: Path) -> list[str]:
    """Return the files that are not as they are made now."""
    there = {path.name: path.read_bytes() for path in directory.iterdir()}
    made = contents()
    return sorted(name for name in there.keys() | made.keys() if there.get(name) != made.get(name))


def write(directory: Path) -> None:
    """Make the directory anew."""
    directory.mkdir(exist_ok=True)
    made = contents()
    for path in directory.iterdir():
        path.unlink()
    for name, data in made.items():
        (directory / name).write_bytes(data)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; say which files are not as they should be")
    parser.add_argument("--directory", type=Path, default=GOLDEN, help="default: tests/golden")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write(chosen.directory)
        return 0
    for name in (found := differences(chosen.directory)):
        print(f"differs: {name}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
