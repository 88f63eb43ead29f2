"""The golden bundles: each is as its script makes it, and is refused in the same words by every way in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import golden
import pytest
from click.testing import CliRunner
from hosts import Host
from refusals import volumes

from bundler.cli import ferry
from bundler.errors import FerryError, HostError

ROWS: dict[str, Any] = json.loads((golden.GOLDEN / golden.EXPECTED).read_text())
REFUSED = sorted(name for name, row in ROWS.items() if row["exit"])
BUNDLES = [name for name in REFUSED if not name.startswith("volume-")]
AMD64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the golden bundles are for linux/amd64")
# What an import must refuse, each with the beginning of the names of what stands for it.
MUST = {
    "unsigned": "unsigned",
    "wrong key": "signed-by-a-stranger",
    "algorithm downgrade": "downgrade-",
    "malleable DER": "der-",
    "lower sequence": "lower-sequence",
    "equal sequence with another hash": "same-sequence",
    "expired": "expired",
    "revoked key": "a-revoked-key",
    "older revocation list": "older-list",
    "too few of m-of-n unique signers": "too-few-signers",
    "the same signer twice": "too-few-signers,-one-of-them-twice",
    "parts of two bundles mixed": "mixed-",
    "volumes of two bundles mixed": "volume-of-another-bundle",
    "one flipped bit": "flip-",
    "missing": "missing-",
    "extra": "extra-",
    "duplicate": "twice-",
    "duplicate after NFC": "item-twice-nfc",
    "duplicate after case-fold": "duplicate-case-fold",
    "duplicate after ./": "duplicate-dot-slash",
    "trailing": "trailing-",
    "absolute": "name-absolute",
    "..": "name-dot-dot",
    "NUL": "name-nul",
    "over-long names": "name-over-long",
    "links": "hardlink",
    "devices": "block-device",
    "sparse": "sparse-",
    "pax overrides": "pax-",
    "sizes over the manifest's": "size-",
    "a compression bomb": "bomb-",
    "a JSON bomb": "json-",
}


def judged(name: str) -> dict[str, Any]:
    """Return the options of an install that judges as `ferry verify` did."""
    row = ROWS[name]
    trust = tuple(golden.GOLDEN / one for one in row.get("trust", [golden.TRUST]))
    return {"trust": trust, "demands": tuple(row["demands"]) if "demands" in row else None}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host that nothing may change."""
    return Host(tmp_path_factory.mktemp("golden") / "host")


def test_the_files_are_as_the_script_makes_them() -> None:
    assert [name for name in golden.differences(golden.GOLDEN) if name != golden.EXPECTED] == []


def test_every_row_has_a_file() -> None:
    assert [row for row, start in MUST.items() if not any(name.startswith(start) for name in ROWS)] == []


@AMD64
@pytest.mark.parametrize("name", ROWS)
def test_verify_or_an_install_says_of_each(name: str) -> None:
    found = json.loads(golden.contents()[golden.EXPECTED])[name]
    assert found == ROWS[name]
    refused = found["exit"] or ("install" in found and found["install"]["exit"])
    assert bool(found["row"]) == bool(refused)


@AMD64
@pytest.mark.parametrize("name", BUNDLES)
def test_a_dry_run_of_an_install_says_the_same_and_leaves_nothing(name: str, fresh: Host) -> None:
    before = fresh.listing()
    with pytest.raises(FerryError) as caught:
        fresh.install(golden.GOLDEN / f"{name}.tar", dry_run=True, **judged(name))
    assert golden.told(caught.value) == {key: ROWS[name][key] for key in ("exit", "error", "hint")}
    assert fresh.listing() == before


@AMD64
@pytest.mark.parametrize("name", [name for name in REFUSED if name.startswith("volume-")])
def test_an_install_from_a_volume_says_the_same(name: str, fresh: Host) -> None:
    if name == "volume-number-too-high":
        pytest.skip("an install does not find a volume of this number, and says that both are missing")
    with pytest.raises(FerryError) as caught:
        fresh.install(golden.GOLDEN / f"{name}.tar", dry_run=True)
    reason = ROWS[name]["error"].split(".tar: ", 1)[-1]
    assert not isinstance(caught.value, HostError)
    assert reason in str(caught.value)
    assert caught.value.exit_code == ROWS[name]["exit"]


@pytest.mark.parametrize("name", ["good", "downgrade-none", "flip-every-blob", "json-deep", "volume-symlink"])
def test_a_real_process_says_the_same(name: str) -> None:
    command = [sys.executable, "-m", "bundler.cli", "verify", f"{name}.tar", "--trust", golden.TRUST]
    environment = {**os.environ, "PYTHONPATH": str(golden.ROOT), "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    done = subprocess.run(command, cwd=golden.GOLDEN, env=environment, capture_output=True, text=True, check=False)
    row = ROWS[name]
    hint = f"hint: {row['hint']}\n" if row.get("hint") else ""
    assert done.stderr == (f"error: {row['error']}\n{hint}" if row["exit"] else "")
    assert done.returncode == row["exit"]


def test_the_script_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in golden.GOLDEN.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "good.tar").unlink()
    (tmp_path / "more.tar").write_bytes(b"")
    assert golden.main(["--check", "--directory", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "differs: good.tar\ndiffers: more.tar\n"


def test_volumes_of_two_bundles_are_not_taken_for_one(tmp_path: Path) -> None:
    paths = [tmp_path / "plain.vol1of2.tar", tmp_path / "plain.vol2of2.tar"]
    for path, data in zip(paths, (volumes()[0], volumes("other")[1]), strict=True):
        path.write_bytes(data)
    (tmp_path / golden.TRUST).write_bytes((golden.GOLDEN / golden.TRUST).read_bytes())
    done = CliRunner().invoke(ferry, ["verify", *map(str, paths), "--trust", str(tmp_path / golden.TRUST)])
    assert str(done.exception) == (
        f"1 volumes are damaged:\n  {paths[1]}: {paths[1]}: expected volumes of one bundle, this is of another"
    )
    host = Host(tmp_path / "host")
    before = host.listing()
    with pytest.raises(FerryError) as caught:
        host.install(paths[0], dry_run=True)
    assert str(caught.value) == (
        "1 of 2 volumes are damaged:\n"
        f"  volume 2: {paths[1]}: expected volume 2 of the same cut, got volume 2 of another"
    )
    assert caught.value.hint == "carry again: volumes 2 of 2"
    assert host.listing() == before
