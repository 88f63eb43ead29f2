"""A bundle in volumes: cut, checked alone, installed without joining."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random

import pytest
from bundles import SIGNER, STRANGER, packed, small_bundle, small_manifest
from click.testing import CliRunner

from bundler.archive import END
from bundler.checks import Reading
from bundler.cli import ferry
from bundler.errors import FerryError, HostError, IntegrityError, RecipeError, TrustError
from bundler.medium import Medium
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.manifest import Entry
from bundler.model.volume import Label, format_label, parse_label
from bundler.verify import Policy
from bundler.volumes import is_volume, read_label, split, verify_volume, volume_name

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))
SIZE = 36_000_000


@cache
def large_bundle() -> tuple[bytes, dict[str, bytes]]:
    """A bundle with one blob that is cut at its chunks, and some that are not."""
    random = Random(7)
    blobs = [b"small", random.randbytes(70_000_000), random.randbytes(1_000_001), b"last"]
    manifest, contents = small_manifest(blobs)
    return packed(manifest, contents), contents


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The volumes of the bundle, for nobody to change."""
    directory = tmp_path_factory.mktemp("volumes")
    (directory / "big.tar").write_bytes(large_bundle()[0])
    return [directory / "big.tar", *cut(directory / "big.tar", SIZE)]


@pytest.fixture
def volumes(written: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of the bundle and its volumes."""
    for path in written:
        shutil.copy(path, tmp_path)
    return [tmp_path / path.name for path in written[1:]]


def cut(bundle: Path, size: int) -> list[Path]:
    return list(
        split(
            bundle,
            bundle.parent,
            volume_bytes=size,
            policy=POLICY,
            now=NOW,
            reading=Reading(),
        )
    )


class Collector:
    """A sink that puts entries together."""

    def __init__(self) -> None:
        self.data: dict[str, bytearray] = {}
        self.right: dict[str, int] = {}

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        held = self.data.setdefault(entry.name, bytearray(entry.size))
        held[offset : offset + len(data)] = data

    def finish(self, entry: Entry, count: int) -> None:
        self.right[entry.name] = self.right.get(entry.name, 0) + count


def test_volumes_are_of_the_size_asked_for_and_hold_everything_once(volumes: list[Path]) -> None:
    assert [path.name for path in volumes] == ["big.vol1of3.tar", "big.vol2of3.tar", "big.vol3of3.tar"]
    assert all(path.stat().st_size <= SIZE for path in volumes)
    sink = Collector()
    for path in reversed(volumes):
        verify_volume(path, POLICY, now=NOW, reading=Reading(sink=sink))
    contents = large_bundle()[1]
    assert {name: bytes(data) for name, data in sink.data.items()} == contents
    assert sink.right == {name: len(data) for name, data in contents.items()}


def test_the_same_cut_gives_the_same_bytes(volumes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again/big.tar").write_bytes(large_bundle()[0])
    again = cut(tmp_path / "again/big.tar", SIZE)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in volumes]


def test_a_volume_is_a_tar_that_any_tar_reads(volumes: list[Path]) -> None:
    import tarfile

    with tarfile.open(volumes[0]) as tar:
        names = tar.getnames()
    assert names[:9] == [
        *("ferry.json", "ferry.json.sig", "ferry.json.dsse", "ferry.trust.json", "volume.json"),
        *("install.sh", "sbom.cdx.json", "oci-layout", "index.json"),
    ]
    assert names[-1].endswith("@000000000000000")


def test_a_bundle_that_fits_is_one_volume(tmp_path: Path) -> None:
    (tmp_path / "small.tar").write_bytes(small_bundle())
    (path,) = cut(tmp_path / "small.tar", 10_000_000)
    assert (path.name, is_volume(path), is_volume(tmp_path / "small.tar")) == ("small.vol1of1.tar", True, False)
    assert verify_volume(path, POLICY, now=NOW).label.count == 1


def test_a_size_below_what_cannot_be_cut(tmp_path: Path) -> None:
    (tmp_path / "big.tar").write_bytes(large_bundle()[0])
    with pytest.raises(RecipeError) as caught:
        cut(tmp_path / "big.tar", CHUNK_BYTES)
    least = int(caught.value.message.split()[5])
    assert caught.value.message == (f"expected volumes of at least {least} bytes for this bundle, got {CHUNK_BYTES}")
    assert all(path.stat().st_size <= least for path in cut(tmp_path / "big.tar", least))


def test_a_volume_that_is_there_is_not_replaced_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "big.tar").write_bytes(large_bundle()[0])
    (tmp_path / "big.vol2of3.tar").write_text("mine")
    with pytest.raises(HostError) as caught:
        cut(tmp_path / "big.tar", SIZE)
    assert caught.value.message == "a volume is there already"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.tar", "big.vol2of3.tar"]


def test_a_bundle_of_a_stranger_is_not_split(tmp_path: Path) -> None:
    (tmp_path / "other.tar").write_bytes(small_bundle(signer=STRANGER))
    with pytest.raises(TrustError):
        cut(tmp_path / "other.tar", SIZE)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def relabel(**changes: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        label = read_label(path)
        new = Label(**{**{name: getattr(label, name) for name in Label.__slots__}, **changes})  # type: ignore[attr-defined]
        path.write_bytes(path.read_bytes().replace(format_label(label), format_label(new), 1))

    return spoil


DEFECTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "one byte of data": (lambda path: flip(path, path.stat().st_size // 2), "expected sm3 "),
    "one byte of a header": (lambda path: flip(path, read_start(path) + 10), "expected the header of "),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-512]) and None, "the volume is cut short"),
    "more behind": (lambda path: path.write_bytes(path.read_bytes() + END) and None, "the volume is followed by other"),
    "another number": (relabel(number=3), ""),
    "a number too high": (relabel(number=9), "expected one of 3 volumes, the label says 9 of 3"),
    "another count": (relabel(count=4), "expected one of 3 volumes, the label says 2 of 4"),
    "another size": (relabel(volume_bytes=41_000_000), "expected "),
    "a size too small": (relabel(volume_bytes=1), "expected volumes of at least "),
    "of another bundle": (relabel(manifest_sha256="a" * 64), "expected a volume of the bundle with manifest "),
    "no volume": (lambda path: path.write_bytes(large_bundle()[0]) and None, "this is no volume"),
}


def read_start(path: Path) -> int:
    return path.read_bytes().index(format_label(read_label(path))) + 512


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_damaged_volume_is_refused(volumes: list[Path], defect: str) -> None:
    spoil, says = DEFECTS[defect]
    spoil(volumes[1])
    with pytest.raises(IntegrityError) as caught:
        verify_volume(volumes[1], POLICY, now=NOW)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"format": "a", "format": "b"}', "volume.json: expected a JSON object, got a duplicate key"),
        (b"{}", "volume.json.format: expected text, the field is missing"),
        (b"no JSON", "volume.json: expected a JSON object, got something else"),
        (
            b'{"format": "ferry/volume/v2"}',
            'volume.json.format: expected "ferry/volume/v1", got "ferry/volume/v2"',
        ),
        (
            format_label(Label(manifest_sha256="a" * 64, volume_bytes=1, number=1, count=1)).replace(b" ", b"", 1),
            "volume.json: expected a label in its one form, it says more or says it otherwise",
        ),
    ],
)
def test_what_is_no_label(data: bytes, says: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_label(data)
    assert str(caught.value) == says


def test_a_medium_of_any_volume_finds_the_others(volumes: list[Path]) -> None:
    sink = Collector()
    Medium(volumes[2]).verify(POLICY, now=NOW, reading=Reading(sink=sink))
    assert {name: hashlib.sha256(data).digest() for name, data in sink.data.items()} == {
        name: hashlib.sha256(data).digest() for name, data in large_bundle()[1].items()
    }


def test_a_medium_asks_for_the_next_disc(volumes: list[Path], tmp_path: Path) -> None:
    discs = [tmp_path / f"disc{number}" for number in range(3)]
    for disc, path in zip(discs, volumes, strict=True):
        disc.mkdir()
        path.rename(disc / path.name)
    asked: list[tuple[tuple[int, ...], int]] = []

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        asked.append((numbers, count))
        return discs[{(1, 3): 2, (1,): 0}[numbers]]

    sink = Collector()
    Medium(discs[1] / volumes[1].name, ask).verify(POLICY, now=NOW, reading=Reading(sink=sink))
    assert asked == [((1, 3), 3), ((1,), 3)]
    assert sink.right == {name: len(data) for name, data in large_bundle()[1].items()}


def test_missing_and_damaged_volumes_are_listed_to_be_carried_again(volumes: list[Path]) -> None:
    volumes[0].unlink()
    with pytest.raises(HostError) as missing:
        Medium(volumes[1]).verify(POLICY, now=NOW)
    assert missing.value.message == "expected 3 volumes, 1 are missing"
    assert missing.value.hint == "bring volumes 1 of 3 into one directory with the others"
    flip(volumes[2], volumes[2].stat().st_size // 2)
    with pytest.raises(IntegrityError) as damaged:
        Medium(volumes[1]).verify(POLICY, now=NOW)
    assert damaged.value.message.startswith("1 of 3 volumes are damaged:\n  volume 3: ")
    assert damaged.value.hint == "carry again: volumes 1, 3 of 3"


def test_a_volume_under_the_name_of_another_is_noticed(volumes: list[Path]) -> None:
    volumes[0].unlink()
    volumes[0].write_bytes(volumes[1].read_bytes())
    with pytest.raises(FerryError) as caught:
        Medium(volumes[2]).verify(POLICY, now=NOW)
    assert "expected volume 1 of the same cut, got volume 2 of another" in str(caught.value)


def test_names_sort_as_numbers_do() -> None:
    assert volume_name("a.tar", 2, 11) == "a.vol02of11.tar"


def invoke(*words: object) -> tuple[int, str, FerryError | None]:
    done = CliRunner().invoke(ferry, list(map(str, words)))
    error = done.exception if isinstance(done.exception, FerryError) else None
    return (error.exit_code if error else done.exit_code), done.output, error


def test_the_commands(volumes: list[Path], tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(SIGNER.public.pem())
    code, output, _ = invoke("verify", *volumes[1:], "--trust", key)
    assert (code, output) == (
        0,
        "verified: volume 2 of 3, sample 1.0 (linux/amd64)\n"
        "verified: volume 3 of 3, sample 1.0 (linux/amd64)\n"
        "not among them: volumes 1 of 3\n",
    )
    flip(volumes[1], volumes[1].stat().st_size // 2)
    code, output, error = invoke("verify", *volumes, "--trust", key, "--json")
    assert json.loads(output)["right"] == [1, 3]
    assert code == 6
    assert error is not None
    assert error.hint == "carry these volumes again"
    code, _, error = invoke("split", tmp_path / "big.tar", "--size", "12 discs", "--trust", key)
    assert str(error) == '--size: expected 4g, dvd, bd or a number of bytes such as 700m, got "12 discs"'
    (tmp_path / "out").mkdir()
    code, output, _ = invoke(
        *("split", tmp_path / "big.tar", "--size", "36m", "--trust", key, "-o", tmp_path / "out", "--json")
    )
    assert [Path(one["path"]).name for one in json.loads(output)["volumes"]] == [path.name for path in volumes]
