"""Media that fail while they are read: sectors that are gone, a stick that is pulled out, bytes that change."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
import spoiltar
from badmedium import BadMedium, can_mount
from bundles import SIGNER, packed, small_manifest
from hosts import Host, host_bundle, service
from ports import free_port
from refusals import plain, volumes

from bundler.checks import Reading
from bundler.errors import FerryError, HostError, IntegrityError
from bundler.medium import Medium
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.manifest import Entry
from bundler.verify import Policy, verify
from bundler.volumes import verify_volume

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting a file system of one's own needs root and /dev/fuse")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))
AGAIN = "clean or replace the medium and carry the bundle again"


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[BadMedium]:
    files = {"plain.tar": plain(), **{f"plain.vol{n}of2.tar": data for n, data in enumerate(volumes(), 1)}}
    with BadMedium(tmp_path / "stick", files) as medium:
        yield medium


def refusal(path: Path, *, algorithm: str = "sm3") -> FerryError:
    with pytest.raises(FerryError) as caught:
        verify(path, replace(POLICY, algorithm=algorithm), now=NOW)
    return caught.value


class Collector:
    """A sink that keeps what is confirmed."""

    def __init__(self) -> None:
        self.data: dict[str, bytearray] = {}
        self.right: dict[str, bytes] = {}

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        self.data.setdefault(entry.name, bytearray(entry.size))[offset : offset + len(data)] = data

    def finish(self, entry: Entry, count: int) -> None:
        self.right[entry.name] = bytes(self.data.get(entry.name, b""))


def test_a_good_medium_is_read(stick: BadMedium) -> None:
    assert verify(stick.path / "plain.tar", POLICY, now=NOW).manifest.name == "sample"
    assert verify_volume(stick.path / "plain.vol2of2.tar", POLICY, now=NOW).label.number == 2


def test_every_place_that_cannot_be_read_or_is_wrong_is_told_in_one_pass(stick: BadMedium) -> None:
    first, second, third = spoiltar.blobs(plain())
    stick.faults.bad["plain.tar"] = [(first.data + 9, first.data + 10), (third.header, third.data)]
    stick.files["plain.tar"] = spoiltar.flip(plain(), second.data)
    error = refusal(stick.path / "plain.tar")
    digest = stick.files["plain.tar"][second.data : second.data + second.entry.size]
    assert (error.exit_code, error.hint) == (6, AGAIN)
    assert str(error) == (
        "3 places are damaged:\n"
        f'  "{first.entry.name}" (file "data/0") at offset {first.data} of "plain.tar": '
        "the medium cannot be read: Input/output error\n"
        f'  "{second.entry.name}" (file "data/1") at offset {second.data} of "plain.tar": '
        f"expected sm3 {second.entry.sm3}, got {hashlib.new('sm3', digest).hexdigest()}\n"
        f'  "{third.entry.name}" (file "data/2") at offset {third.header} of "plain.tar": '
        "the medium cannot be read: Input/output error"
    )


def test_a_bad_end_is_told(stick: BadMedium) -> None:
    end = len(plain()) - 1024
    stick.faults.bad["plain.tar"] = [(end, end + 1)]
    assert str(refusal(stick.path / "plain.tar")) == (
        f'offset {end} of "plain.tar": the medium cannot be read: Input/output error'
    )


@pytest.mark.parametrize("algorithm", ["sm3", "sha256"])
def test_chunks_of_a_large_blob_are_told_with_their_volume(tmp_path: Path, algorithm: str) -> None:
    blob = Random(3).randbytes(65 * 1024 * 1024)
    data = packed(*small_manifest([b"small", blob]))
    span = spoiltar.blobs(data)[1]
    bad = [span.data + CHUNK_BYTES + 300_000, span.data + 3 * CHUNK_BYTES + 5]
    with BadMedium(tmp_path / "stick", {"big.tar": data}) as medium:
        medium.faults.bad["big.tar"] = [(at, at + 1) for at in bad]
        error = refusal(medium.path / "big.tar", algorithm=algorithm)
    lines = str(error).splitlines()
    assert lines[0] == "2 places are damaged:"
    for line, at in zip(lines[1:], bad, strict=True):
        told = int(line.split(" from byte ")[1].split(" ")[0])
        # The kernel reads up to 128 KiB at once: the place is that of the read that failed.
        assert 0 <= at - span.data - told < 128 * 1024
        assert line == (
            f'  "{span.entry.name}" (file "data/1") from byte {told} on at offset {span.data + told} of "big.tar": '
            "the medium cannot be read: Input/output error"
        )


def test_damage_in_a_volume_names_the_volume(stick: BadMedium) -> None:
    span = spoiltar.blobs(volumes()[1])[0]
    stick.faults.bad["plain.vol2of2.tar"] = [(span.data, span.data + 1)]
    with pytest.raises(IntegrityError) as caught:
        Medium(stick.path / "plain.vol1of2.tar").verify(POLICY, now=NOW)
    assert str(caught.value) == (
        f'1 of 2 volumes are damaged:\n  volume 2: "{span.entry.name}" (file "data/1") at offset {span.data} of '
        '"plain.vol2of2.tar": the medium cannot be read: Input/output error'
    )
    assert caught.value.hint == "carry again: volumes 2 of 2"


def test_a_head_that_cannot_be_read_is_told(stick: BadMedium) -> None:
    stick.faults.bad["plain.tar"] = [(0, 10)]
    error = refusal(stick.path / "plain.tar")
    assert str(error) == 'the head of "plain.tar": the medium cannot be read: Input/output error'
    assert (error.exit_code, error.hint) == (6, AGAIN)


def test_a_stick_that_is_pulled_out_ends_the_reading_at_once(stick: BadMedium) -> None:
    verify(stick.path / "plain.tar", POLICY, now=NOW)
    whole = len(stick.reads)
    for after in range(0, whole, 3):
        stick.reads.clear()
        stick.faults.gone_after = after
        error = refusal(stick.path / "plain.tar")
        assert isinstance(error, HostError)
        assert error.message == "the medium is gone: No such device"
        assert error.hint == "put it in again and run the same command again"
        # Each processor may have been about to read once more.
        assert len(stick.reads) <= after + 1 + (os.cpu_count() or 1)
    stick.faults.gone_after = None
    assert verify(stick.path / "plain.tar", POLICY, now=NOW)


def test_an_install_from_a_stick_that_is_pulled_out_leaves_nothing_and_then_goes_through(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    data = host_bundle(tmp_path, (service("one", free_port()),))
    before = host.listing()
    with BadMedium(tmp_path / "stick", {"host.tar": data}) as medium:
        head = len(medium.reads)
        medium.faults.gone_after = 12
        with pytest.raises(HostError) as caught:
            host.install(medium.path / "host.tar")
        assert head < 12 < len(medium.reads)
        assert caught.value.message == "the medium is gone: No such device"
        assert caught.value.hint == (
            "put it in again and run the same command again; step store failed; this host is as it was before"
        )
        assert host.listing() == before
        medium.faults.gone_after = None
        host.install(medium.path / "host.tar")
    assert host.install(data).plan.actions == ()
    host.close()


def test_what_reaches_the_store_is_what_was_hashed_though_every_read_may_differ(stick: BadMedium) -> None:
    """Bytes that change between two reads, between the check of a header and its data, or under a hash."""
    good = {span.entry.name: plain()[span.data : span.data + span.entry.size] for span in spoiltar.all_spans(plain())}
    random = Random(11)
    refused = 0
    for _ in range(60):
        stick.files["plain.tar"] = plain()
        at = random.randrange(7000, len(plain()))
        reads = random.randrange(3, 20)

        def change(name: str, offset: int, at: int = at, reads: int = reads) -> None:
            if len(stick.reads) == reads:
                stick.files["plain.tar"] = spoiltar.flip(plain(), at)

        stick.reads.clear()
        stick.faults.before_read = change
        sink = Collector()
        try:
            verify(stick.path / "plain.tar", POLICY, now=NOW, reading=Reading(sink=sink))
        except IntegrityError:
            refused += 1
        assert all(good[name] == data for name, data in sink.right.items())
    assert 0 < refused < 60


def test_a_file_that_is_cut_while_it_is_read_is_told(stick: BadMedium) -> None:
    last = spoiltar.blobs(plain())[-1]

    def cut(name: str, offset: int) -> None:
        if offset == last.data:
            stick.files["plain.tar"] = plain()[: last.data]

    stick.faults.before_read = cut
    error = refusal(stick.path / "plain.tar")
    assert str(error) == (
        "2 places are damaged:\n"
        f'  "{last.entry.name}" (file "data/2") at offset {last.data} of "plain.tar": '
        "expected 5 bytes, the file ended after 0: it was cut short while it was read\n"
        f'  offset {len(plain()) - 1024} of "plain.tar": expected the end of the archive'
    )
    assert error.hint == "leave the medium alone and run the same command again"


def test_a_file_put_in_the_place_of_one_that_is_read_changes_nothing(tmp_path: Path) -> None:
    path, evil = tmp_path / "plain.tar", tmp_path / "evil.tar"
    path.write_bytes(plain())
    evil.write_bytes(spoiltar.flip_each_blob(plain()))
    sink = Collector()
    reading = Reading(sink=sink, started=lambda manifest: evil.rename(path) and None)
    verify(path, POLICY, now=NOW, reading=reading)
    assert sorted(sink.right) == sorted(span.entry.name for span in spoiltar.all_spans(plain()))
    assert refusal(path).exit_code == 6


def test_another_bundle_in_the_place_of_the_planned_one_is_refused(stick: BadMedium, tmp_path: Path) -> None:
    """The medium changes between the head that was planned with, and the bytes that are installed."""
    host = Host(tmp_path / "host")
    before = host.listing()
    port = free_port()
    first, second = (host_bundle(tmp_path, (service("one", port),), sequence=number) for number in (1, 2))
    with BadMedium(tmp_path / "other", {"host.tar": first}) as medium:
        host._agree = lambda plan, at: medium.files.update({"host.tar": second}) is None  # type: ignore[method-assign]
        with pytest.raises(FerryError) as caught:
            host.install(medium.path / "host.tar")
    assert caught.value.message == "the bundle changed after it was planned"
    assert host.listing() == before


def test_the_command_ends_with_the_code_and_the_words(stick: BadMedium, tmp_path: Path) -> None:
    key = tmp_path / "release.pem"
    key.write_text(SIGNER.public.pem())
    span = spoiltar.blobs(plain())[0]
    stick.faults.bad["plain.tar"] = [(span.data, span.data + 1)]
    command = [sys.executable, "-m", "bundler.cli", "verify", str(stick.path / "plain.tar"), "--trust", str(key)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (
        6,
        "",
        f'error: "{span.entry.name}" (file "data/0") at offset {span.data} of "plain.tar": '
        f"the medium cannot be read: {os.strerror(errno.EIO)}\nhint: {AGAIN}\n",
    )
