"""Volumes that heal others: every loss, damage at many places, and parity that lies."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from bundles import SIGNER
from click.testing import CliRunner
from volumes import MIB, NOW, POLICY, Collector, change, cut_striped, flip, striped_bundle

from bundler.checks import Reading
from bundler.cli import ferry
from bundler.cut import cut_of
from bundler.errors import FerryError, HostError, IntegrityError, RecipeError
from bundler.heal import collect, find_volumes, heal
from bundler.medium import Medium
from bundler.model.manifest import parse_manifest
from bundler.model.volume import Label, format_label, parse_label
from bundler.source import FileSource
from bundler.volumes import read_label, read_start, verify_volume

COUNT, PARITY = 4, 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four volumes and two of parity, for nobody to change."""
    return cut_striped(tmp_path_factory.mktemp("parity"), parity=PARITY)


@pytest.fixture
def volumes(written: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of the volumes."""
    for path in written:
        shutil.copy(path, tmp_path)
    return [tmp_path / path.name for path in written]


def gather(path: Path, ask=None) -> tuple[str, Collector]:  # type: ignore[no-untyped-def]
    """Read all of the bundle by one volume, and check that the sink got every byte once."""
    sink = Collector()
    medium = Medium(path, ask)
    medium.verify(POLICY, now=NOW, reading=Reading(sink=sink))
    contents = striped_bundle()[1]
    assert {name: bytes(data) for name, data in sink.data.items()} == contents
    assert sink.right == {name: len(data) for name, data in contents.items()}
    return medium.healed, sink


def stripe_at(path: Path, stripe: int) -> int:
    """Return where a stripe begins in a volume."""
    with FileSource(path) as source:
        head, label = read_start(source)
    return cut_of(parse_manifest(head.manifest), head, label).body_at(label.number) + stripe * MIB


def test_names_sizes_and_labels(written: list[Path]) -> None:
    assert [path.name for path in written] == [
        *("s.vol1of4.tar", "s.vol2of4.tar", "s.vol3of4.tar", "s.vol4of4.tar", "s.parity1of2.tar", "s.parity2of2.tar"),
    ]
    assert all(path.stat().st_size <= 2_300_000 for path in written)
    assert [read_label(path).number for path in written] == [1, 2, 3, 4, 5, 6]
    assert len({read_label(path).index_sha256 for path in written[COUNT:]}) == 1


def test_the_same_cut_gives_the_same_parity(written: list[Path], tmp_path: Path) -> None:
    again = cut_striped(tmp_path, parity=PARITY)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_every_loss_that_parity_can_heal(written: list[Path], tmp_path: Path) -> None:
    for number, lost in enumerate(itertools.combinations(range(COUNT + PARITY), PARITY)):
        place = tmp_path / str(number)
        place.mkdir()
        for index, path in enumerate(written):
            if index not in lost:
                (place / path.name).symlink_to(path)
        healed, _ = gather(next(iter(sorted(place.glob("*.vol*")))))
        assert healed == ", ".join(str(index + 1) for index in lost if index < COUNT)


def test_a_host_without_zfec_begins_with_a_volume_of_parity(
    volumes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zfec", None)
    for path in volumes[1:3]:
        path.unlink()
    assert gather(volumes[5])[0] == "2, 3"


def test_what_is_lost_is_written_as_it_was(volumes: list[Path], written: list[Path]) -> None:
    volumes[1].unlink()
    flip(volumes[4], stripe_at(volumes[4], 1))
    found = find_volumes([volumes[0].parent], POLICY, now=NOW)
    outcome = heal(found, volumes[0].parent, Reading())
    assert outcome.right == (1, 3, 4, 6)
    assert outcome.healed == (volumes[1], volumes[4])
    assert [path.read_bytes() for path in volumes] == [path.read_bytes() for path in written]
    assert heal(found, volumes[0].parent, Reading()).healed == ()


def test_both_volumes_of_parity_lost_and_one_back(volumes: list[Path], written: list[Path]) -> None:
    volumes[5].unlink()
    heal(find_volumes(volumes[:1], POLICY, now=NOW), volumes[0].parent, Reading())
    assert volumes[5].read_bytes() == written[5].read_bytes()


def test_stripes_heal_where_more_volumes_are_damaged_than_parity_has(volumes: list[Path], written: list[Path]) -> None:
    for index, stripe in ((0, 0), (1, 1), (2, 1), (3, 0), (4, 2), (5, 2)):
        flip(volumes[index], stripe_at(volumes[index], stripe) + 5)
    healed, _ = gather(volumes[0])
    assert healed == "1, 2, 3, 4"
    outcome = heal(find_volumes(volumes[:1], POLICY, now=NOW), volumes[0].parent, Reading())
    assert outcome.right == ()
    assert [path.read_bytes() for path in volumes] == [path.read_bytes() for path in written]


@pytest.mark.parametrize("where", ["head", "label", "end", "cut", "longer", "empty"])
def test_damage_anywhere_in_a_volume(volumes: list[Path], written: list[Path], where: str) -> None:
    body = stripe_at(volumes[1], 0)
    spoil = {
        "head": lambda data: data.__setitem__(700, data[700] ^ 1),
        "label": lambda data: data.__setitem__(body - 300, data[body - 300] ^ 1),
        "end": lambda data: data.__setitem__(-1, 1),
        "cut": lambda data: data.__delitem__(slice(body + MIB, None)),
        "longer": lambda data: data.extend(b"more"),
        "empty": lambda data: data.clear(),
    }
    change(volumes[1], spoil[where])
    assert gather(volumes[0])[0] == "2"
    heal(find_volumes(volumes[:1], POLICY, now=NOW), volumes[0].parent, Reading())
    assert volumes[1].read_bytes() == written[1].read_bytes()


def test_more_is_lost_than_parity_heals(volumes: list[Path]) -> None:
    for path in volumes[1:4]:
        path.unlink()
    with pytest.raises(HostError) as caught:
        Medium(volumes[0]).verify(POLICY, now=NOW)
    assert caught.value.message == "expected 4 volumes, 3 are missing"
    assert caught.value.hint == (
        "bring volumes 2, 3, 4 of 4 into one directory with the others; parity heals 2 of them once 1 more came"
    )
    with pytest.raises(IntegrityError) as refused:
        heal(find_volumes(volumes[:1], POLICY, now=NOW), volumes[0].parent, Reading())
    assert str(refused.value) == (
        "3 volumes cannot be healed:\n  s.vol2of4.tar: missing\n  s.vol3of4.tar: missing\n  s.vol4of4.tar: missing"
    )
    assert refused.value.hint == ("carry again: volumes 2, 3, 4 of 4; parity heals 2 of them once 1 more came")
    assert sorted(path.name for path in volumes[0].parent.iterdir()) == [
        "s.parity1of2.tar",
        "s.parity2of2.tar",
        "s.vol1of4.tar",
    ]


def test_parity_that_is_not_here_is_asked_for(volumes: list[Path]) -> None:
    flip(volumes[1], stripe_at(volumes[1], 0) + 9)
    for path in volumes[4:]:
        path.unlink()
    with pytest.raises(IntegrityError) as caught:
        Medium(volumes[0]).verify(POLICY, now=NOW)
    assert caught.value.message.startswith("1 of 4 volumes are damaged:\n  volume 2: ")
    assert caught.value.hint == "carry again: volumes 2 of 4, or 1 more of the 2 volumes of parity, which heal them"


def test_a_disc_with_parity_is_asked_for(volumes: list[Path], tmp_path: Path) -> None:
    disc = tmp_path / "disc"
    disc.mkdir()
    volumes[5].rename(disc / volumes[5].name)
    volumes[4].unlink()
    volumes[2].unlink()
    asked: list[tuple[int, ...]] = []

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        asked.append(numbers)
        return None if len(asked) == 1 else disc

    assert gather(volumes[0], ask)[0] == "3"
    assert asked == [(3,), (5, 6)]


def test_discs_that_are_gone_again(volumes: list[Path], tmp_path: Path) -> None:
    disc, size = tmp_path / "disc", sum(path.stat().st_size for path in volumes)
    disc.mkdir()
    for path in volumes[:2]:
        path.rename(disc / path.name)
    first = disc / volumes[0].name

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        if numbers != (3, 4):
            return None
        for path in disc.iterdir():
            path.unlink()
        shutil.move(volumes[2], disc)
        shutil.move(volumes[4], disc)
        return disc

    with pytest.raises(HostError) as caught:
        Medium(first, ask).verify(POLICY, now=NOW)
    assert caught.value.message == (
        "volumes 4 of 4 are bad or missing: to heal them all volumes must be there at once, 1, 2 are no longer"
    )
    assert caught.value.hint == (
        f"ferry heal {first} --collect -o DIR asks for the media and copies them into DIR, "
        f"which needs up to {size} bytes; or carry volumes 4 of 4 again"
    )


def test_media_are_collected_and_healed(volumes: list[Path], written: list[Path], tmp_path: Path) -> None:
    discs, out = [tmp_path / f"disc{number}" for number in range(3)], tmp_path / "out"
    for disc, paths in zip(discs, (volumes[:2], volumes[2:3], volumes[4:5]), strict=True):
        disc.mkdir()
        for path in paths:
            path.rename(disc / path.name)
    flip(discs[0] / volumes[0].name, 700)
    out.mkdir()
    places = iter([*discs[1:], None])
    found = find_volumes([discs[0] / volumes[1].name], POLICY, now=NOW)
    found = collect(found, out, lambda numbers, count, place: next(places), lambda count: None)
    volumes[5].unlink()
    assert heal(found, out, Reading()).healed == (out / volumes[0].name, out / volumes[3].name, out / volumes[5].name)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in written
    }


def test_too_little_space_is_told_before_anything_is_written(
    volumes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = volumes[1].stat().st_size
    volumes[1].unlink()
    found = find_volumes(volumes[:1], POLICY, now=NOW)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))  # type: ignore[attr-defined]
    with pytest.raises(HostError) as caught:
        heal(found, tmp_path, Reading())
    assert str(caught.value) == (f"{tmp_path}: expected {size} bytes free to heal, got 1000: {size - 1000} are missing")


def reindex(path: Path, spoil) -> None:  # type: ignore[no-untyped-def]
    """Change the index of a volume of parity and let its label fit."""
    with FileSource(path) as source:
        head, label = read_start(source)
    cut = cut_of(parse_manifest(head.manifest), head, label)
    start, size = stripe_at(path, 0) + cut.shape.shard_bytes + 512, cut.shape.index_bytes
    data = bytearray(path.read_bytes())
    index = bytearray(data[start : start + size])
    spoil(data, index)
    data[start : start + size] = index
    old, new = label, cut.label(label.number, hashlib.sha256(index).hexdigest())
    path.write_bytes(bytes(data).replace(format_label(old), format_label(new)))


def forge(path: Path) -> None:
    """Change a stripe of parity, and its digest, so that the volume is right in itself."""

    def spoil(data: bytearray, index: bytearray) -> None:
        start = stripe_at(path, 0)
        data[start] ^= 1
        number = read_label(path).number
        index[(number - 1) * 32 : number * 32] = hashlib.sha256(data[start : start + MIB]).digest()

    reindex(path, spoil)


def test_forged_parity_heals_nothing_wrong(volumes: list[Path]) -> None:
    """It is right in itself, as nobody signs it, but what it gives is not believed."""
    volumes[0].unlink()
    volumes[5].unlink()
    forge(volumes[4])
    verify_volume(volumes[4], POLICY, now=NOW)
    sink = Collector()
    with pytest.raises(HostError) as caught:
        Medium(volumes[1]).verify(POLICY, now=NOW, reading=Reading(sink=sink))
    assert caught.value.message == "expected 4 volumes, 1 are missing"
    contents = striped_bundle()[1]
    assert all(
        bytes(sink.data[name]) == contents[name] for name, size in sink.right.items() if size == len(contents[name])
    )


def test_a_liar_that_also_forges_what_would_be_healed(volumes: list[Path]) -> None:
    """The index names the wrong bytes that forged parity gives: the signed manifest still refuses them."""
    from bundler.erasure import Code

    forge(volumes[4])
    starts = [stripe_at(path, 0) for path in volumes[:5]]
    bodies = [path.read_bytes()[at : at + MIB].ljust(MIB, b"\0") for path, at in zip(volumes, starts, strict=False)]
    wrong = Code(COUNT, PARITY).heal({1: bodies[1], 2: bodies[2], 3: bodies[3], 4: bodies[4]}, 0)

    def spoil(data: bytearray, index: bytearray) -> None:
        index[0:32] = hashlib.sha256(wrong).digest()

    reindex(volumes[4], spoil)
    volumes[0].unlink()
    volumes[5].unlink()
    with pytest.raises(HostError) as caught:
        Medium(volumes[1]).verify(POLICY, now=NOW)
    assert caught.value.message == "expected 4 volumes, 1 are missing"
    with pytest.raises(IntegrityError) as refused:
        heal(find_volumes(volumes[1:2], POLICY, now=NOW), volumes[1].parent, Reading())
    assert "s.vol1of4.tar: missing" in refused.value.message
    assert not volumes[0].exists()


def test_damaged_parity_is_named(volumes: list[Path]) -> None:
    at = stripe_at(volumes[4], 1)
    flip(volumes[4], at + 77)
    with pytest.raises(IntegrityError) as caught:
        verify_volume(volumes[4], POLICY, now=NOW)
    assert str(caught.value) == (f'"parity.data": 1 of 3 stripes have other bytes than its index says, at offsets {at}')
    flip(volumes[5], volumes[5].stat().st_size - 1500)
    with pytest.raises(IntegrityError) as caught:
        verify_volume(volumes[5], POLICY, now=NOW)
    assert str(caught.value).startswith('"parity.index": expected sha256 ')


def test_a_medium_with_errors_is_healed(volumes: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read counts as bad; the error of the operating system is the real one's."""
    real, bad = os.preadv, volumes[2].stat().st_ino

    def preadv(fd: int, buffers: list[memoryview], offset: int) -> int:
        if os.fstat(fd).st_ino == bad and offset > 1_000_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert gather(volumes[0])[0] == "3"


def test_too_many_volumes_for_parity(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        cut_striped(tmp_path, parity=253)
    assert str(caught.value) == "--parity: expected at most 256 volumes with those of parity, got 4 and 253"


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (
            Label(manifest_sha256="a" * 64, volume_bytes=1, number=2, count=1, parity=1),
            "volume.json: expected the digest of an index in volumes of parity, and in no other",
        ),
        (
            Label(manifest_sha256="a" * 64, volume_bytes=1, number=1, count=1, parity=1, index_sha256="b" * 64),
            "volume.json: expected the digest of an index in volumes of parity, and in no other",
        ),
        (
            Label(manifest_sha256="a" * 64, volume_bytes=1, number=1, count=1, parity=256),
            "volume.json.parity: expected at most 255, got 256",
        ),
    ],
)
def test_labels_that_cannot_be(label: Label, says: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_label(format_label(label))
    assert str(caught.value) == says


def invoke(*words: object) -> tuple[int, str, FerryError | None]:
    done = CliRunner().invoke(ferry, list(map(str, words)))
    error = done.exception if isinstance(done.exception, FerryError) else None
    return (error.exit_code if error else done.exit_code), done.output, error


def test_the_commands(volumes: list[Path], written: list[Path], tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(SIGNER.public.pem())
    (tmp_path / "s.tar").write_bytes(striped_bundle()[0])
    (tmp_path / "out").mkdir()
    code, output, _ = invoke(
        "split",
        tmp_path / "s.tar",
        "--size",
        2_300_000,
        "--parity",
        2,
        "--trust",
        key,
        "-o",
        tmp_path / "out",
        "--json",
    )
    assert code == 0
    assert [Path(one["path"]).name for one in json.loads(output)["volumes"]] == [path.name for path in written]
    (tmp_path / "s.tar").unlink()
    volumes[1].unlink()
    code, output, error = invoke("verify", *(path for path in volumes if path.exists()), "--trust", key)
    assert (code, output.splitlines()[-2:]) == (
        0,
        [
            "not among them: volumes 2 of 4",
            "parity heals them: an install does, or `ferry heal` writes them anew",
        ],
    )
    flip(volumes[2], 700)
    flip(volumes[4], stripe_at(volumes[4], 0) + 5)
    code, output, error = invoke("verify", *(path for path in volumes if path.exists()), "--trust", key, "--json")
    assert code == 6
    document = json.loads(output)
    assert {name: document[name] for name in ("right", "missing", "count", "parity", "heals")} == {
        "right": [1, 4, 6],
        "missing": [2, 3],
        "count": 4,
        "parity": 2,
        "heals": False,
    }
    assert error is not None
    assert error.hint == ("carry again: volumes 2, 3 of 4, or 1 more of the 2 volumes of parity, which heal them")
    flip(volumes[4], stripe_at(volumes[4], 0) + 5)
    code, output, _ = invoke("heal", tmp_path, "--trust", key)
    assert (code, output) == (
        0,
        f"right: volumes 1, 4, parity 1, parity 2 of 4\nhealed and verified: {volumes[1]}\n"
        f"healed and verified: {volumes[2]}\n",
    )
    assert [path.read_bytes() for path in volumes] == [path.read_bytes() for path in written]
    code, output, _ = invoke("heal", tmp_path, "--trust", key, "--json")
    assert json.loads(output) == {"right": [1, 2, 3, 4, 5, 6], "healed": []}


def test_the_command_collects(volumes: list[Path], written: list[Path], tmp_path: Path) -> None:
    key, disc, out = tmp_path / "key.pem", tmp_path / "disc", tmp_path / "out"
    key.write_text(SIGNER.public.pem())
    disc.mkdir()
    out.mkdir()
    for path in (volumes[1], volumes[2], volumes[4]):
        path.rename(disc / path.name)
    volumes[3].unlink()
    size = sum(path.stat().st_size for path in written)
    code, output, _ = invoke("heal", volumes[0], disc, "--collect", "-o", out, "--trust", key)
    assert (code, output) == (
        0,
        f"Copies and healed volumes take up to {size:,} bytes in {out}.\n"
        f"right: volumes 1, 2, 3, parity 1, parity 2 of 4\nhealed and verified: {out / written[3].name}\n",
    )
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in written
    }
    code, _, error = invoke("heal", volumes[0], "--collect", "--trust", key)
    assert (code, str(error)) == (3, "-o: expected a directory for the volumes that are copied, got none")


def test_volumes_without_parity_cannot_heal(tmp_path: Path) -> None:
    paths = cut_striped(tmp_path, parity=0)
    paths[1].unlink()
    with pytest.raises(HostError) as caught:
        heal(find_volumes(paths[:1], POLICY, now=NOW), tmp_path, Reading())
    assert caught.value.message == "2 of 4 volumes are bad or missing, and there is no parity"


def test_a_directory_without_volumes(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        find_volumes([tmp_path], POLICY, now=NOW)
    assert str(caught.value) == f"{tmp_path}: expected volumes of a bundle, there are none"
