"""A bundle in an encrypted archive: written by py7zr, read in place, every damage told."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import py7zr
import pytest
from bundles import SIGNER, small_bundle
from click.testing import CliRunner
from hosts import Host, host_bundle, service
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ports import free_port
from volumes import NOW, POLICY, change, flip

from bundler.checks import Reading
from bundler.cli import ferry
from bundler.encrypt import encrypt
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.installer.status import read_status
from bundler.medium import Medium
from bundler.sevenzip.archive import SevenZip, is_sevenzip
from bundler.source import read_at

WORD = "correct horse 口令"
SIZE = 4096


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The volumes of an archive, for nobody to change."""
    directory = tmp_path_factory.mktemp("archive")
    (directory / "a.tar").write_bytes(small_bundle())
    return list(
        encrypt(
            directory / "a.tar",
            directory,
            password=WORD,
            volume_bytes=SIZE,
            policy=POLICY,
            now=NOW,
            reading=Reading(),
        )
    )


@pytest.fixture
def volumes(written: list[Path], tmp_path: Path) -> list[Path]:
    """Copies of the volumes."""
    return [Path(shutil.copy(path, tmp_path)) for path in written]


def opened(path: Path, word: str = WORD) -> SevenZip:
    return SevenZip(path, lambda: word)


def refusal(path: Path, word: str = WORD) -> FerryError:
    with pytest.raises(FerryError) as caught:
        opened(path, word)
    return caught.value


def test_what_is_written_is_an_archive_of_volumes(written: list[Path]) -> None:
    size = len(small_bundle())
    assert [path.name for path in written[:2]] == ["a.7z.001", "a.7z.002"]
    assert all(path.stat().st_size == SIZE for path in written[:-1])
    assert size < sum(path.stat().st_size for path in written) < size + 1024
    assert not any(b"a.tar" in path.read_bytes() or b"ferry" in path.read_bytes() for path in written)
    assert is_sevenzip(written[0])
    assert sorted(path.name for path in written[0].parent.iterdir()) == [
        "a.7z.001",
        *[p.name for p in written[1:]],
        "a.tar",
    ]


def test_it_is_read_at_any_place(written: list[Path]) -> None:
    data = small_bundle()
    with opened(written[0]).open() as source:
        assert (source.size, read_at(source, source.size + 1, 0)) == (len(data), data)
        for at in (0, 1, 15, 16, 17, SIZE - 33, SIZE - 32, len(data) - 1, len(data), len(data) + 9):
            for count in (0, 1, 16, 31, 5000):
                assert read_at(source, count, at) == data[at : at + count]


def test_a_medium_verifies_it(written: list[Path]) -> None:
    Medium(written[0], password=lambda: WORD).verify(POLICY, now=NOW)
    with pytest.raises(HostError) as caught:
        Medium(written[0])
    assert str(caught.value) == "expected a password for the archive, got none"


def test_a_host_installs_from_it_without_a_copy(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    bundle = host.put(host_bundle(tmp_path, [service("app", free_port())]))
    first, *_ = encrypt(bundle, tmp_path, password=WORD, volume_bytes=10_000, policy=POLICY, now=NOW, reading=Reading())
    bundle.unlink()
    host.password = lambda: WORD
    host.install(first)
    assert read_status(host.layout, host.systemd).is_healthy
    host.close()


def test_the_wrong_password(volumes: list[Path]) -> None:
    error = refusal(volumes[0], "wrong")
    assert isinstance(error, TrustError)
    assert str(error) == f"{volumes[0]}: the password does not open the archive"
    assert error.hint == "check the password; if it is right, the last volume is damaged: carry it again"


@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_missing_volume_is_named(volumes: list[Path], index: int) -> None:
    volumes[index].unlink()
    error = refusal(volumes[0])
    assert isinstance(error, IntegrityError)
    assert str(error) == f"{volumes[index]}: expected this volume of the archive, it is missing"


@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_volume_that_was_cut_is_named(volumes: list[Path], index: int) -> None:
    size = volumes[index].stat().st_size
    change(volumes[index], lambda data: data.__delitem__(slice(size - 7, None)))
    assert str(refusal(volumes[0])) == (
        f"{volumes[index]}: expected {size} bytes, got {size - 7}: the volume is cut short"
    )


def test_data_behind_the_end(volumes: list[Path]) -> None:
    size = volumes[-1].stat().st_size
    change(volumes[-1], lambda data: data.extend(b"more"))
    assert str(refusal(volumes[0])) == (
        f"{volumes[-1]}: expected {size} bytes, got {size + 4}: the volume is followed by other data"
    )


def test_damage_in_the_data_is_found_by_the_bundle_itself(volumes: list[Path]) -> None:
    # The last one holds the headers, the first ones the signatures.
    flip(volumes[-2], 100)
    with pytest.raises(IntegrityError) as caught:
        Medium(volumes[0], password=lambda: WORD).verify(POLICY, now=NOW)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(("offset", "says"), [(0, "is no archive"), (9, "start"), (20, "start"), (-5, "header")])
def test_damage_outside_the_data(volumes: list[Path], offset: int, says: str) -> None:
    if offset == 0:
        flip(volumes[0], 0)
        assert not is_sevenzip(volumes[0])
        return
    flip(volumes[0] if offset > 0 else volumes[-1], offset)
    assert str(refusal(volumes[0])) in (
        f"{volumes[0]}: expected a 7z archive, its start is damaged",
        f"{volumes[-1]}: the header of the archive is damaged",
    )
    assert says in str(refusal(volumes[0]))


def archive(
    path: Path, files: dict[str, bytes], filters: list[dict[str, int]] | None = None, word: str | None = WORD
) -> Path:
    with py7zr.SevenZipFile(path, "w", filters=filters, password=word) as out:
        for name, data in files.items():
            out.writestr(data, name)
    return path


COPY = [{"id": py7zr.FILTER_COPY}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}]
HINT = "make it with `ferry export --7z`, or unpack it with `7z x` and give the bundle"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: archive(path, {"a": b"1", "b": b"2"}, COPY), "it has "),
        (lambda path: archive(path, {"a": b"1" * 100}), "it is compressed or encrypted otherwise"),
        (lambda path: archive(path, {}, COPY), ""),
    ],
)
def test_archives_of_other_kinds(tmp_path: Path, make: Callable[[Path], Path], says: str) -> None:
    error = refusal(make(tmp_path / "b.7z"))
    assert str(error).startswith(f"expected a 7z archive of one stored file, {says}")
    assert error.hint == HINT


def test_one_file_without_a_password(tmp_path: Path) -> None:
    path = archive(tmp_path / "b.7z", {"a.tar": b"the bundle" * 99}, [{"id": py7zr.FILTER_COPY}], None)
    with opened(path).open() as source:
        assert read_at(source, 2000, 0) == b"the bundle" * 99


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """An archive whose header anyone can change, and a file for the changed one."""
    directory = tmp_path_factory.mktemp("plain")
    path = directory / "b.7z"
    with py7zr.SevenZipFile(path, "w", filters=[{"id": py7zr.FILTER_COPY}]) as out:
        out.set_encoded_header_mode(False)
        out.writestr(b"the bundle" * 9, "a.tar")
    return directory / "changed.7z", path.read_bytes()


def with_header(data: bytes, header: bytes) -> bytes:
    """Return an archive with another header, its checksums right."""
    (offset,) = struct.unpack_from("<Q", data, 12)
    start = struct.pack("<QQI", offset, len(header), zlib.crc32(header))
    return data[:8] + struct.pack("<I", zlib.crc32(start)) + start + data[32 : 32 + offset] + header


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=9), st.integers(0, 5)), max_size=4))
def test_a_hostile_header_is_refused_or_read(plain: tuple[Path, bytes], edit: list[tuple[int, bytes, int]]) -> None:
    path, data = plain
    (offset,) = struct.unpack_from("<Q", data, 12)
    header = data[32 + offset :]
    for at, put, cut in edit:
        header = header[: at % len(header)] + put + header[at % len(header) + cut :] if header else put
    path.write_bytes(with_header(data, header))
    try:
        with opened(path).open() as source:
            assert source.size <= len(data)
            read_at(source, source.size, 0)
    except FerryError:
        pass


def test_volumes_that_are_there_stay(volumes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(small_bundle())
    with pytest.raises(HostError) as caught:
        encrypt(
            tmp_path / "a.tar",
            tmp_path,
            password=WORD,
            volume_bytes=SIZE,
            policy=POLICY,
            now=NOW,
            reading=Reading(),
        )
    assert str(caught.value) == f"{volumes[0]}: a volume is there already"


def invoke(*words: object) -> tuple[int, str, FerryError | None]:
    done = CliRunner().invoke(ferry, list(map(str, words)))
    error = done.exception if isinstance(done.exception, FerryError) else None
    return (error.exit_code if error else done.exit_code), done.output, error


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Files with the trusted key and the password."""
    key, word = tmp_path / "key.pem", tmp_path / "word"
    key.write_text(SIGNER.public.pem())
    word.write_text(WORD + "\n")
    return key, word


@pytest.mark.parametrize("form", ["7z", "--7z"])
def test_the_commands(tmp_path: Path, files: tuple[Path, Path], form: str) -> None:
    key, word = files
    (tmp_path / "a.tar").write_bytes(small_bundle())
    code, output, _ = invoke(
        "export", form, tmp_path / "a.tar", "--size", "9k", "--password-file", word, "--trust", key, "--json"
    )
    assert code == 0
    first = json.loads(output)["volumes"][0]
    assert first == {"path": str(tmp_path / "a.7z.001"), "size": 9000}
    code, output, _ = invoke("verify", first["path"], "--password-file", word, "--trust", key)
    assert (code, output.splitlines()[0]) == (0, "verified: sample 1.0 (linux/amd64)")
    code, _, error = invoke("verify", first["path"], "--trust", key)
    assert str(error) == "expected a password, got neither a file nor a terminal"
    assert code == 8
    word.write_text("two\nlines\n")
    code, _, error = invoke("verify", first["path"], "--password-file", word, "--trust", key)
    assert str(error) == f"{word}: expected a password in one line of UTF-8 text, got something else"
    assert code == 7
    code, _, error = invoke("verify", first["path"], "--password-file", tmp_path / "none", "--trust", key)
    assert str(error) == f"{tmp_path / 'none'}: the password cannot be read: No such file or directory"
