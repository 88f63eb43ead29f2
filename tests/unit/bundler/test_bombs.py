"""Small things that would unpack to large ones: each place that unpacks has a bound."""

from __future__ import annotations

import gzip
import io
import lzma
import resource
import tarfile
from pathlib import Path

import pytest
from artifacts import ar_member
from bombs import layer_bomb, name_bomb, stored_gzip, wheel_bomb

from bundler.debs import make_runtime
from bundler.errors import IntegrityError
from bundler.model.platform import parse_platform
from bundler.tree import most_bytes, unpack_layer
from bundler.wheels import install_wheels

LARGE = 20 * 1024 * 1024


def refusal(data: bytes, root: Path) -> str:
    with pytest.raises(IntegrityError) as caught:
        unpack_layer(io.BytesIO(data), root)
    return str(caught.value)


def test_the_bomb_is_what_it_says() -> None:
    with gzip.open(io.BytesIO(layer_bomb(300_000))) as plain, tarfile.open(fileobj=plain) as archive:
        member = archive.getmembers()[0]
        assert (member.name, member.size) == ("zeros", 300_000)
        assert set(archive.extractfile(member).read()) == {0}  # type: ignore[union-attr]


def test_a_layer_stops_where_a_bomb_begins(tmp_path: Path) -> None:
    bomb = layer_bomb(LARGE)
    assert most_bytes(len(bomb)) < LARGE
    assert refusal(bomb, tmp_path) == (
        f"expected {len(bomb)} bytes to unpack to at most {most_bytes(len(bomb))}, got more"
    )
    assert (tmp_path / "zeros").stat().st_size <= most_bytes(len(bomb))


def test_a_name_does_not_fill_memory(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = 8 * 1024**3
    bomb = stored_gzip(name_bomb(said))
    assert refusal(bomb, tmp_path) == f"expected a tar: a name takes {said} bytes, more than 1048576"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_a_long_but_honest_name_is_taken(tmp_path: Path) -> None:
    out = io.BytesIO()
    name = "/".join(["d" * 200] * 4) + "/file"
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    unpack_layer(io.BytesIO(gzip.compress(out.getvalue())), tmp_path)
    assert (tmp_path / name).read_bytes() == b"x"


def test_what_is_small_when_unpacked_is_taken_however_well_it_packs(tmp_path: Path) -> None:
    unpack_layer(io.BytesIO(layer_bomb(10_000_000)), tmp_path)
    assert (tmp_path / "zeros").stat().st_size == 10_000_000


@pytest.mark.parametrize("kind", ["gz", "xz"])
def test_a_debian_package_stops_where_a_bomb_begins(kind: str, tmp_path: Path) -> None:
    bomb = layer_bomb(LARGE)
    data = bomb if kind == "gz" else lzma.compress(gzip.decompress(bomb), preset=0)
    deb = b"!<arch>\n" + ar_member("debian-binary", b"2.0\n") + ar_member(f"data.tar.{kind}", data)
    (tmp_path / "bomb.deb").write_bytes(deb)
    (tmp_path / "root").mkdir()
    with pytest.raises(IntegrityError) as caught:
        make_runtime([tmp_path / "bomb.deb"], tmp_path / "root", platform=parse_platform("linux/amd64"), python="3.11")
    assert str(caught.value) == f"expected {len(deb)} bytes to unpack to at most {most_bytes(len(deb))}, got more"


def test_a_wheel_that_says_it_is_far_larger_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    wheel = tmp_path / "blob"
    wheel.write_bytes(wheel_bomb(LARGE))
    (tmp_path / "root").mkdir()
    with pytest.raises(IntegrityError) as caught:
        install_wheels([("sample-1-py3-none-any.whl", wheel)], tmp_path / "root", "3.11")
    size = wheel.stat().st_size
    assert str(caught.value) == (
        "sample-1-py3-none-any.whl: the wheel cannot be installed: "
        f"expected {size} bytes to unpack to at most {most_bytes(size)}, got {LARGE}"
    )
    assert list((tmp_path / "root").rglob("*")) == []


def test_a_wheel_that_says_it_is_smaller_than_it_is_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "blob"
    wheel.write_bytes(wheel_bomb(0))
    (tmp_path / "root").mkdir()
    with pytest.raises(IntegrityError, match=r"^sample-1-py3-none-any\.whl: the wheel cannot be installed: "):
        install_wheels([("sample-1-py3-none-any.whl", wheel)], tmp_path / "root", "3.11")
