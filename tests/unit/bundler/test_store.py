import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from bundler.errors import HostError, IntegrityError
from bundler.hasher import Hasher
from bundler.model.descriptor import CHUNK_BYTES, CHUNKED_ABOVE_BYTES, OCTETS, chunk_count
from bundler.model.progress import Silent
from bundler.store import OCI_LAYOUT, Store, derivation_key, describe_bytes, in_threads, write_file

DATA = b"some bytes"
SHA256 = hashlib.sha256(DATA).hexdigest()
ANEW = "run: ferry cache prune --check, then the command again; it is fetched anew"


def sm3(data: bytes | memoryview) -> str:
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize().hex()


def test_both_digests_of_small_blobs() -> None:
    # GM/T 0004-2012, annex A.1.
    found = describe_bytes(b"abc", OCTETS)
    assert found.sm3 == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert found.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (found.size, found.chunks) == (3, ())
    assert describe_bytes(b"", OCTETS).sha256 == hashlib.sha256().hexdigest()


def test_a_large_blob_has_a_digest_for_each_chunk() -> None:
    data = memoryview(bytearray(range(256)) * ((CHUNKED_ABOVE_BYTES + CHUNK_BYTES // 2) // 256))
    hasher = Hasher()
    for start in range(0, len(data), 1_000_003):
        hasher.update(data[start : start + 1_000_003])
    found = hasher.finish(OCTETS)
    assert (found.size, found.sha256, found.sm3) == (len(data), hashlib.sha256(data).hexdigest(), sm3(data))
    assert found.chunks == tuple(sm3(data[at : at + CHUNK_BYTES]) for at in range(0, len(data), CHUNK_BYTES))


@pytest.mark.parametrize(
    ("size", "count"),
    [(0, 0), (CHUNKED_ABOVE_BYTES, 0), (CHUNKED_ABOVE_BYTES + 1, 5), (5 * CHUNK_BYTES, 5), (5 * CHUNK_BYTES + 1, 6)],
)
def test_how_many_chunks_a_size_has(size: int, count: int) -> None:
    assert chunk_count(size) == count


def test_a_store_is_an_oci_layout(store: Store) -> None:
    descriptor = store.put(DATA, OCTETS)
    assert (store.root / "oci-layout").read_bytes() == OCI_LAYOUT == b'{"imageLayoutVersion":"1.0.0"}\n'
    assert (store.root / descriptor.entry_name).read_bytes() == DATA
    assert store.describe(SHA256, OCTETS) == descriptor == describe_bytes(DATA, OCTETS)
    assert store.path(SHA256).stat().st_mode & 0o777 == 0o644
    assert list((store.root / "parts").iterdir()) == []


def test_a_blob_counts_only_with_its_size(store: Store) -> None:
    assert not store.has(SHA256)
    store.put(DATA, OCTETS)
    assert (store.has(SHA256), store.has(SHA256, 10), store.has(SHA256, 11)) == (True, True, False)


def test_bytes_that_are_not_the_promised_ones_are_not_kept(store: Store) -> None:
    other = "0" * 64
    with store.part() as part:
        part.write(DATA)
        with pytest.raises(IntegrityError) as refused:
            part.commit(sha256=other, size=10)
    assert str(refused.value) == f"expected 10 bytes with sha256 {other}, got 10 bytes with {SHA256}"
    assert not store.has(SHA256)
    assert list((store.root / "parts").iterdir()) == []


def test_an_abandoned_blob_leaves_nothing(store: Store) -> None:
    def stopped() -> None:
        with store.writer() as writer:
            writer.write(DATA)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list((store.root / "parts").iterdir()) == []


def test_a_blob_is_gone_on_with(store: Store) -> None:
    first = store.resume(SHA256)
    assert first is not None
    first.write(DATA[:4])
    first.keep()
    assert store.resumable_bytes(SHA256) == 4
    second = store.resume(SHA256)
    assert second is not None
    assert second.size == 4
    assert not second.holds(SHA256, 10)
    second.write(DATA[4:])
    assert second.holds(SHA256, 10)
    second.commit(sha256=SHA256, size=10)
    assert store.read(SHA256) == DATA
    assert store.resumable_bytes(SHA256) == 0


def test_a_blob_has_one_writer_at_a_time(store: Store) -> None:
    first = store.resume(SHA256)
    assert first is not None
    first.write(DATA)
    assert store.resume(SHA256) is None
    first.commit(sha256=SHA256, size=10)
    again = store.resume(SHA256)
    assert again is not None
    assert again.size == 0
    again.discard()
    assert list((store.root / "parts").iterdir()) == []


WRITER = """
import sys
from pathlib import Path
from bundler.store import Store
store, sha256 = Store(Path(sys.argv[1])), sys.argv[2]
data = bytes(range(256)) * 4096
for _ in range(8):
    while (part := store.resume(sha256)) is None:
        pass
    for start in range(part.size, len(data), 65536):
        part.write(data[start:start + 65536])
    part.commit(sha256=sha256, size=len(data))
"""


def test_processes_that_write_one_blob_at_once(store: Store) -> None:
    sha256 = hashlib.sha256(bytes(range(256)) * 4096).hexdigest()
    argv = [sys.executable, "-c", WRITER, str(store.root), sha256]
    processes = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, said
    assert hashlib.sha256(store.read(sha256)).hexdigest() == sha256
    assert list((store.root / "parts").iterdir()) == []


def test_what_a_manifest_tells_is_found_out_when_it_is_wanted(store: Store) -> None:
    fetch(store, DATA)
    assert not (store.root / "known" / SHA256).exists()
    assert store.describe(SHA256, OCTETS) == describe_bytes(DATA, OCTETS)
    assert json.loads((store.root / "known" / SHA256).read_bytes()) == {"sm3": sm3(DATA), "size": 10, "chunks": []}


def fetch(store: Store, data: bytes) -> str:
    """Put a blob as a download does."""
    sha256 = hashlib.sha256(data).hexdigest()
    with store.part() as part:
        part.write(data)
        part.commit(sha256=sha256, size=len(data))
    return sha256


class Counted(Silent):
    """Progress whose stages and bytes are written down."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.bytes = 0
        self._lock = threading.Lock()

    def start(self, stage: str, total: int) -> None:
        self.stages.append((stage, total))

    def advance(self, count: int) -> None:
        with self._lock:
            self.bytes += count


def test_blobs_are_described_together_and_read_once(store: Store) -> None:
    large = bytes(range(256)) * (CHUNKED_ABOVE_BYTES // 256) + b"more"
    blobs = [fetch(store, data) for data in (large, DATA, b"", b"third")]
    known = store.put(b"known already", OCTETS).sha256
    progress = Counted()
    store.complete([*blobs, known, *blobs], progress)
    total = len(large) + len(DATA) + len(b"third")
    assert (progress.stages, progress.bytes) == ([("digest", total)], total)
    assert store.describe(blobs[0], OCTETS) == describe_bytes(large, OCTETS)
    assert len(store.describe(blobs[0], OCTETS).chunks) == 5
    again = Counted()
    store.complete(blobs, again)
    assert (again.stages, again.bytes) == ([], 0)


@pytest.mark.parametrize("damaged", [b"SOME bytes", b"some", b""])
def test_a_damaged_blob_is_not_described(damaged: bytes, store: Store) -> None:
    fetch(store, DATA)
    store.path(SHA256).write_bytes(damaged)
    got = hashlib.sha256(damaged).hexdigest()
    with pytest.raises(IntegrityError) as refused:
        store.describe(SHA256, OCTETS)
    place = store.path(SHA256)
    why = f"got {len(damaged)} bytes with sha256 {got}"
    assert str(refused.value) == f"{place}: the stored blob {SHA256} is damaged: {why}"
    assert refused.value.hint == ANEW
    assert not (store.root / "known" / SHA256).exists()


def test_a_record_without_its_blob_is_what_a_crash_leaves(store: Store) -> None:
    store.put(DATA, OCTETS)
    store.path(SHA256).unlink()
    assert not store.has(SHA256)
    with pytest.raises(IntegrityError) as refused:
        store.describe(SHA256, OCTETS)
    assert str(refused.value) == f"{store.path(SHA256)}: the stored blob {SHA256} is damaged: it is not there"
    assert refused.value.hint == ANEW


RECORD = {"sm3": "0" * 64, "size": 10, "chunks": []}


@pytest.mark.parametrize(
    "record",
    [
        b"",
        bytes(100),
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"size":Infinity,"sm3":"","chunks":[]}',
        RECORD | {"chunks": None},
        RECORD | {"size": "many"},
        RECORD | {"sm3": "0" * 63},
        RECORD | {"sm3": "../../etc/passwd"},
        RECORD | {"chunks": ["0" * 64]},
        RECORD | {"size": 9},
    ],
)
def test_a_damaged_record_is_made_anew(record: Any, store: Store) -> None:
    descriptor = store.put(DATA, OCTETS)
    raw = record if isinstance(record, bytes) else json.dumps(record).encode()
    (store.root / "known" / SHA256).write_bytes(raw)
    assert store.describe(SHA256, OCTETS) == descriptor


def test_what_was_found_out_is_remembered_while_its_blob_is_there(store: Store) -> None:
    key = derivation_key("one", "two")
    assert store.remembered(key) is None
    blob = store.put(DATA, OCTETS).sha256
    store.remember(key, {"blob": blob, "name": "x"})
    assert store.remembered(key) == {"blob": blob, "name": "x"}
    store.path(blob).unlink()
    assert store.remembered(key) is None


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b"1", b"[" * 100_000])
def test_a_damaged_memory_is_no_memory(damaged: bytes, store: Store) -> None:
    (store.root / "derived/k").write_bytes(damaged)
    assert store.remembered("k") is None


def test_what_something_follows_from_is_its_key() -> None:
    assert derivation_key("a", "b") == hashlib.sha256(b"a\0b").hexdigest()
    assert derivation_key("a", "b") != derivation_key("ab")


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path: Path, umask: Callable[[int], Any]) -> None:
    with umask(0o077):
        write_file(tmp_path / "open", b"1")
    with umask(0):
        write_file(tmp_path / "closed", b"2", 0o600)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "closed")] == [0o644, 0o600]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("as it was")
    (tmp_path / "name").symlink_to("outside")
    write_file(tmp_path / "name", b"new")
    assert (tmp_path / "outside").read_text() == "as it was"
    assert not (tmp_path / "name").is_symlink()


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path, stop, seen = tmp_path / "f", threading.Event(), set()
    write_file(path, b"0" * 100_000)

    def read() -> None:
        while not stop.is_set():
            seen.add(re.sub(b"(.)\\1*", b"\\1", data := path.read_bytes()) + str(len(data)).encode())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_file(path, str(number % 10).encode() * 100_000)
    stop.set()
    reader.join()
    assert seen <= {f"{number}100000".encode() for number in range(10)}


def test_the_first_error_stops_what_has_not_begun() -> None:
    done: list[int] = []

    def fail() -> None:
        raise IntegrityError("first")

    def work() -> None:
        time.sleep(0.001)
        done.append(1)

    stopped: list[str] = []
    with pytest.raises(IntegrityError, match="first"):
        in_threads([fail, *[work] * 1000], threads=1, stop=lambda: stopped.append("stop"))
    assert len(done) < 1000
    assert stopped == ["stop"]


def test_an_error_stops_what_began_before_it() -> None:
    told = threading.Event()

    def long() -> None:
        assert told.wait(20), "nobody said stop"

    def fail() -> None:
        raise IntegrityError("second")

    with pytest.raises(IntegrityError, match="second"):
        in_threads([long, fail], threads=2, stop=told.set)


def test_a_file_never_replaces_what_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(HostError) as caught:
            write_file(place, b"data")
        assert str(caught.value) == f"{place}: expected a place for a file, something else is there"
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
