"""What a lock names comes into the store once, whatever happens on the way."""

import hashlib
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable

import fetch_files
import pytest
from command import CHECKOUT
from mirror import Answer, Mirror
from values import lock

from bundler.errors import HostError
from bundler.fetch import check_space, fetch
from bundler.model.files import LockedPath
from bundler.model.platform import PLATFORMS
from bundler.model.progress import Silent
from bundler.store import Store

MIB = 1024 * 1024
LARGE = os.urandom(6 * MIB) + b"the end"
SMALL = b"small"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(store: Store, *files: tuple[str, bytes]) -> subprocess.Popen[bytes]:
    words = [word for url, data in files for word in (url, sha256(data), str(len(data)))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])}
    argv = [sys.executable, fetch_files.__file__, str(store.root), *words]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(true: Callable[[], bool]) -> None:
    for _ in range(3000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("the download does not come")


def wait_for_part(store: Store, size: int) -> None:
    """Wait until so much of LARGE is in the store."""
    wait_for(lambda: store.resumable_bytes(sha256(LARGE)) >= size)


def test_a_fetch_that_is_killed_goes_on_where_it_ended(mirror: Mirror, store: Store) -> None:
    small = mirror.serve("/small", Answer(body=SMALL))
    # Each answer stalls after so many bytes of what was asked for.
    large = mirror.serve("/large", *[Answer(body=LARGE, stall=3 * MIB // 2)] * 3, Answer(body=LARGE))
    left: list[int] = []
    for _ in range(3):
        process = begin(store, (small, SMALL), (large, LARGE))
        wait_for_part(store, sum(left[-1:]) + 900_000)
        wait_for(lambda: store.has(sha256(SMALL), len(SMALL)))
        process.kill()
        process.communicate()
        left.append(store.resumable_bytes(sha256(LARGE)))
        assert not store.has(sha256(LARGE)), "half a file is no blob"
    before = mirror.sent["/large"]
    process = begin(store, (small, SMALL), (large, LARGE))
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 0
    assert store.read(sha256(LARGE)) == LARGE
    assert mirror.sent["/large"] - before == len(LARGE) - left[-1], "only what was missing is sent"
    asked = [wanted for path, wanted in mirror.asked if path == "/large"]
    assert asked == [None, *(f"bytes={size}-" for size in left)]
    assert [path for path, _ in mirror.asked].count("/small") == 1
    assert list((store.root / "parts").iterdir()) == []


def test_two_fetches_at_once_bring_a_file_once(mirror: Mirror, store: Store) -> None:
    large = mirror.serve("/large", Answer(body=LARGE, stall=2 * MIB))
    first = begin(store, (large, LARGE))
    wait_for_part(store, MIB)
    second = begin(store, (large, LARGE))
    time.sleep(0.5)
    mirror.go_on.set()
    for process in (first, second):
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    assert (mirror.ranges(), mirror.sent["/large"]) == ([None], len(LARGE))


def test_a_fetch_takes_over_from_one_that_dies(mirror: Mirror, store: Store) -> None:
    large = mirror.serve("/large", Answer(body=LARGE, stall=2 * MIB), Answer(body=LARGE))
    first = begin(store, (large, LARGE))
    wait_for_part(store, MIB)
    second = begin(store, (large, LARGE))
    time.sleep(0.5)
    first.kill()
    first.communicate()
    assert second.communicate(timeout=60)[1] == b""
    assert store.read(sha256(LARGE)) == LARGE
    assert mirror.ranges()[0] is None
    assert len(mirror.asked) == 2


def test_memory_does_not_grow_with_what_is_fetched(mirror: Mirror, store: Store) -> None:
    files = [bytes([number]) * (16 * MIB) for number in range(16)]
    served = [(mirror.serve(f"/{number}", Answer(body=data)), data) for number, data in enumerate(files)]
    process = begin(store, *served)
    out, errors = process.communicate(timeout=120)
    assert (errors, process.returncode) == (b"", 0)
    assert int(out) < 100 * 1024, "what comes is 256 MiB"


def test_no_server_keeps_the_others_waiting(mirror: Mirror, store: Store) -> None:
    """Forty large files of a server that sends nothing more leave room for a small one of another server."""
    stalled = [bytes([number]) * MIB for number in range(40)]
    served = [(mirror.serve(f"/{number}", Answer(body=data, stall=9)), data) for number, data in enumerate(stalled)]
    with Mirror() as other:
        process = begin(store, *served, (other.serve("/small", Answer(body=SMALL)), SMALL))
        try:
            wait_for(lambda: store.has(sha256(SMALL)))
        finally:
            process.kill()
            process.communicate()
    assert not any(store.has(sha256(data)) for data in stalled)


def test_what_does_not_fit_is_not_begun(mirror: Mirror, store: Store) -> None:
    size = 1 << 60
    url = mirror.serve("/f", Answer(body=SMALL))
    file = LockedPath(path="", url=url, to="srv/f", size=size, sha256="0" * 64, executable=False)
    with pytest.raises(HostError) as refused:
        fetch(lock(file), PLATFORMS[0], store, directory=store.root, progress=Silent())
    pattern = rf"{re.escape(str(store.root))}: expected {size:,} bytes free for what is missing, got [0-9,]+"
    assert re.fullmatch(pattern, str(refused.value))
    assert refused.value.hint == "free some space (ferry cache prune) or name another place in FERRY_STORE"
    assert mirror.asked == []


def test_what_a_copy_needs_is_checked_too(store: Store) -> None:
    file = LockedPath(path="absent", to="srv/f", size=1 << 60, sha256="0" * 64, executable=False)
    with pytest.raises(HostError, match="bytes free for what is missing"):
        fetch(lock(file), PLATFORMS[0], store, directory=store.root, progress=Silent())


def test_what_is_there_needs_no_space(mirror: Mirror, store: Store) -> None:
    free = os.statvfs(store.root)
    check_space(store.root, 0)
    check_space(store.root, free.f_bavail * free.f_frsize // 2)
    part = store.resume(sha256(LARGE))
    assert part is not None
    part.write(LARGE[:MIB])
    part.keep()
    url = mirror.serve("/large", Answer(body=LARGE))
    file = LockedPath(path="", url=url, to="srv/f", size=len(LARGE), sha256=sha256(LARGE), executable=False)
    fetch(lock(file), PLATFORMS[0], store, directory=store.root, progress=Silent())
    assert mirror.sent["/large"] == len(LARGE) - MIB


def test_a_person_sees_what_is_under_way(mirror: Mirror, store: Store) -> None:
    large = mirror.serve("/models/weights.bin", Answer(body=LARGE, stall=3 * MIB))
    master, slave = pty.openpty()
    path = os.pathsep.join([str(CHECKOUT), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "LANG": "C.UTF-8", "LC_ALL": "", "COLUMNS": "120", "TERM": "xterm"}
    argv = [sys.executable, fetch_files.__file__, str(store.root), large, sha256(LARGE), str(len(LARGE))]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    wait_for_part(store, 2 * MIB)
    time.sleep(0.5)
    mirror.go_on.set()
    shown = b""
    try:
        while piece := os.read(master, 65536):
            shown += piece
    except OSError:
        # A terminal whose last program ended says so with an error.
        pass
    os.close(master)
    assert process.wait(20) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "fetching" in text
    assert sha256(LARGE)[:20] in text, "the item has a line of its own"
    assert re.search(r"[0-9.]+/6\.3 MB [0-9.]+ [kM]B/s [0-9:-]+", text), text
