import gzip
import hashlib
import resource
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from clock import StillClock
from mirror import Answer, Mirror
from urllib3 import Timeout

from bundler.client import Client as HttpClient
from bundler.errors import HostError, IntegrityError, TransferError
from bundler.model.descriptor import OCTETS
from bundler.store import Store, in_threads
from bundler.transport import Transport

MIB = 1024 * 1024
DATA = bytes(range(256)) * (4 * 4096) + b"the end"
SHA256 = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)
AGAIN = "check the network and the mirror, then run the command again; what has come is kept"


class Client:
    """A transport whose waiting is written down, and the store it fills."""

    def __init__(self, store: Store) -> None:
        self.clock = StillClock()
        self.waited = self.clock.waited
        self.came: list[int] = []
        self.transport = Transport(self.clock)
        self._store = store

    def get(self, *urls: str, data: bytes = DATA) -> None:
        sha256 = hashlib.sha256(data).hexdigest()
        self.transport.download(urls, self._store, sha256=sha256, size=len(data), progress=self.came.append)

    def parts(self) -> list[str]:
        return sorted(path.name for path in (self._store.root / "parts").iterdir())


@pytest.fixture
def client(store: Store) -> Client:
    return Client(store)


def leave(store: Store, data: bytes) -> None:
    """Leave what an earlier run, which was stopped, has written of DATA."""
    (store.root / "parts" / f"{SHA256}.part").write_bytes(data)


def test_a_file_comes_whole(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.serve("/f", Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert store.describe(SHA256, OCTETS).size == SIZE
    assert (mirror.asked, client.waited, sum(client.came), client.parts()) == ([("/f", None)], [], SIZE, [])


def test_a_cut_connection_is_resumed_where_it_ended(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.serve("/f", Answer(body=DATA, cut=2 * MIB + 5), Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    # Some releases of urllib3 drop the last piece that came.
    assert mirror.ranges() in ([None, f"bytes={2 * MIB}-"], [None, f"bytes={2 * MIB + 5}-"])
    assert client.waited == [1.0]


def test_a_server_that_ignores_ranges_is_read_from_the_start(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.serve("/f", Answer(body=DATA, cut=2 * MIB), Answer(body=DATA, ranges=False)))
    assert store.read(SHA256) == DATA


@pytest.mark.parametrize(
    "odd",
    [
        Answer(body=DATA, headers={"Content-Range": f"bytes 0-{SIZE - 1}/{SIZE}"}),
        Answer(status=206, body=DATA[7:]),
        Answer(status=416),
    ],
    ids=["other-range", "no-content-range", "not-satisfiable"],
)
def test_a_server_that_answers_another_range_is_asked_for_the_whole(
    odd: Answer, mirror: Mirror, client: Client, store: Store
) -> None:
    client.get(mirror.serve("/f", Answer(body=DATA, cut=2 * MIB), odd, Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert mirror.ranges() == [None, f"bytes={2 * MIB}-", None]
    assert client.waited == [1.0, 2.0]


@pytest.mark.parametrize(
    ("after", "waited"),
    [
        ("7", 7.0),
        ("3600", 60.0),
        ("-7", 1.0),
        ("", 1.0),
        ("\xb2", 1.0),
        ("soon", 1.0),
        ("Fri, 99 Nov 2026 00:00:09 GMT", 1.0),
        ("Tue, 01 Dec 2026 00:00:09 GMT", 9.0),
        ("Tuesday, 01-Dec-26 00:00:09 GMT", 9.0),
        ("Tue, 01 Dec 2026 01:00:00 GMT", 60.0),
        ("Mon, 30 Nov 2026 00:00:09 GMT", 1.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_says_when_to_come_back(
    status: int, after: str, waited: float, mirror: Mirror, client: Client
) -> None:
    headers = {"Retry-After": after, "Date": "none"}
    client.get(mirror.serve("/f", Answer(status=status, headers=headers), Answer(body=DATA)))
    assert client.waited == [waited]


def test_a_date_to_come_back_is_by_the_clock_of_the_server(mirror: Mirror, client: Client) -> None:
    headers = {"Retry-After": "Tue, 01 Jan 2030 00:00:07 GMT", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
    client.get(mirror.serve("/f", Answer(status=429, headers=headers), Answer(body=DATA)))
    assert client.waited == [7.0]


def test_many_files_from_a_server_that_takes_two_requests_at_once(mirror: Mirror, store: Store) -> None:
    mirror.most_at_once = 2
    files = [str(number).encode() * 100_000 for number in range(30)]
    transport = Transport()

    def get(number: int) -> None:
        data, url = files[number], mirror.serve(f"/{number}", Answer(body=files[number]))
        sha256 = hashlib.sha256(data).hexdigest()
        transport.download([url], store, sha256=sha256, size=len(data), progress=lambda count: None)

    in_threads([partial(get, number) for number in range(30)], threads=16)
    assert all(store.has(hashlib.sha256(data).hexdigest(), len(data)) for data in files)


def test_an_ailing_server_is_asked_again(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.serve("/f", Answer(status=503), Answer(status=502), Answer(body=DATA)))
    assert store.has(SHA256, SIZE)
    assert client.waited == [1.0, 2.0]


def test_a_server_that_stays_ill_is_given_up(mirror: Mirror, client: Client) -> None:
    url = mirror.serve("/f", Answer(status=503))
    with pytest.raises(TransferError) as refused:
        client.get(url)
    assert str(refused.value) == f"{SHA256}: no source has the file: {url}: answered 503, 4 attempts"
    assert refused.value.hint == AGAIN
    assert client.waited == [1.0, 2.0, 4.0]


def test_what_one_mirror_lacks_comes_from_the_next(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.url + "/absent", mirror.serve("/f", Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert client.waited == []


def test_every_mirror_and_its_reason_is_named(mirror: Mirror, client: Client) -> None:
    first, second = mirror.url + "/absent", mirror.serve("/secret", Answer(status=403))
    with pytest.raises(TransferError) as refused:
        client.get(first, second.replace("://", "://user:password@") + "?token=1")
    reasons = f"{first}: answered 404; {second}: answered 403"
    assert str(refused.value) == f"{SHA256}: no source has the file: {reasons}"
    assert client.parts() == [], "nothing came, so nothing is kept"


def test_no_mirror_at_all(client: Client) -> None:
    with pytest.raises(TransferError) as refused:
        client.get()
    assert str(refused.value) == f"{SHA256}: no source has the file: none is configured"


def test_a_port_where_nobody_listens(mirror: Mirror, client: Client) -> None:
    with Mirror() as closed:
        url = closed.url + "/f"
    with pytest.raises(TransferError) as refused:
        client.get(url)
    assert str(refused.value) == f"{SHA256}: no source has the file: {url}: NewConnectionError, 4 attempts"


def nobody() -> str:
    """Return a URL at which nobody listens."""
    with Mirror() as closed:
        return closed.url + "/f"


def test_a_dead_mirror_is_not_waited_for_and_asked_last_from_then_on(
    mirror: Mirror, client: Client, store: Store
) -> None:
    dead, alive = nobody(), mirror.serve("/f", Answer(body=DATA))
    client.get(dead, alive)
    assert (store.has(SHA256, SIZE), client.waited) == (True, [])
    assert client.transport.likely_first([dead, alive]) == [alive, dead]
    client.get(dead, mirror.serve("/g", Answer(body=b"more")), data=b"more")
    assert client.waited == []


def test_dead_mirrors_are_asked_with_patience_when_there_is_nothing_else(mirror: Mirror, client: Client) -> None:
    first, second = nobody(), nobody()
    with pytest.raises(TransferError) as refused:
        client.get(first, mirror.url + "/absent", second)
    reasons = f"{mirror.url}/absent: answered 404; {first}: NewConnectionError, 4 attempts; "
    reasons += f"{second}: NewConnectionError, 4 attempts"
    assert str(refused.value) == f"{SHA256}: no source has the file: {reasons}"
    assert client.waited == [1.0, 2.0, 4.0, 1.0, 2.0, 4.0]


def test_a_mirror_that_comes_back_is_like_any_other(client: Client, store: Store) -> None:
    with Mirror() as mirror:
        port = int(mirror.url.rpartition(":")[2])
        url = mirror.url + "/f"
    with pytest.raises(TransferError):
        client.get(url)
    with Mirror(port) as mirror:
        client.get(mirror.serve("/f", Answer(body=DATA)))
        other = mirror.url.replace("127.0.0.1", "localhost") + "/f"
        assert client.transport.likely_first([url, other]) == [url, other]
    assert store.has(SHA256, SIZE)


def test_a_line_that_stalls_is_given_up_and_resumed(mirror: Mirror, store: Store) -> None:
    clock = StillClock()
    transport = Transport(clock, HttpClient(Timeout(connect=5, read=0.3)))
    url = mirror.serve("/f", Answer(body=DATA, stall=2 * MIB), Answer(body=DATA))
    transport.download([url], store, sha256=SHA256, size=SIZE, progress=lambda count: None)
    assert store.read(SHA256) == DATA
    first, second = mirror.ranges()
    assert first is None
    assert MIB < int(str(second).removeprefix("bytes=").rstrip("-")) <= 2 * MIB
    assert clock.waited == [1.0]


def test_a_line_that_is_cut_again_and_again_gets_there(mirror: Mirror, client: Client, store: Store) -> None:
    client.get(mirror.serve("/f", *[Answer(body=DATA, cut=400_000)] * 9, Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert client.waited == [1.0] * 9, "each attempt brought something, so none counts"


def test_what_is_stopped_is_kept(mirror: Mirror, store: Store) -> None:
    transport = Transport()
    came: list[int] = []
    url = mirror.serve("/f", Answer(body=DATA, stall=2 * MIB))

    def get() -> None:
        transport.download([url], store, sha256=SHA256, size=SIZE, progress=came.append)

    def fail() -> None:
        while sum(came) < MIB:
            time.sleep(0.01)
        raise TransferError("something else failed")

    with pytest.raises(TransferError, match="something else failed"):
        in_threads([get, fail], threads=2, stop=transport.stop)
    assert sum(came) >= MIB
    assert store.resumable_bytes(SHA256) == sum(came)
    assert not mirror.go_on.is_set(), "nobody waited for the line"


def test_a_full_disk_is_no_fault_of_the_network(mirror: Mirror, client: Client, store: Store) -> None:
    url = mirror.serve("/f", Answer(body=DATA))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, before[1]))
    try:
        with pytest.raises(HostError) as refused:
            client.get(url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(refused.value) == f"{store.root}: the store cannot be written: File too large"
    assert refused.value.hint == (
        "free some space (ferry cache prune) or name another place in FERRY_STORE; what has come is kept"
    )
    assert (client.waited, len(mirror.asked), store.resumable_bytes(SHA256)) == ([], 1, 2 * MIB)


def test_one_file_is_brought_by_one_process_at_a_time(mirror: Mirror, store: Store) -> None:
    url = mirror.serve("/f", Answer(body=DATA, stall=2 * MIB))
    threads = [
        threading.Thread(
            target=Transport().download,
            args=([url], store),
            kwargs={"sha256": SHA256, "size": SIZE, "progress": lambda count: None},
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while mirror.sent["/f"] < 2 * MIB:
        time.sleep(0.01)
    mirror.go_on.set()
    for thread in threads:
        thread.join()
    assert store.read(SHA256) == DATA
    assert (len(mirror.asked), mirror.sent["/f"]) == (1, SIZE)


def test_wrong_bytes_stop_and_are_not_kept(mirror: Mirror, client: Client, store: Store) -> None:
    wrong = DATA[:-1] + b"!"
    url = mirror.serve("/f", Answer(body=wrong))
    with pytest.raises(IntegrityError) as refused:
        client.get(url, mirror.serve("/good", Answer(body=DATA)))
    got = hashlib.sha256(wrong).hexdigest()
    assert str(refused.value) == f"{url}: expected {SIZE} bytes with sha256 {SHA256}, got {SIZE} bytes with {got}"
    assert refused.value.hint == "the mirror serves other bytes than were locked: stop"
    assert (store.has(SHA256), client.parts()) == (False, [])


def test_more_bytes_than_promised_stop_and_are_not_kept(mirror: Mirror, client: Client, store: Store) -> None:
    more = b"little and more"
    url = mirror.serve("/f", Answer(body=more))
    with pytest.raises(IntegrityError) as refused:
        client.get(url, data=b"little")
    right, got = (hashlib.sha256(data).hexdigest() for data in (b"little", more))
    assert str(refused.value) == f"{url}: expected 6 bytes with sha256 {right}, got 15 bytes with {got}"
    assert (store.has(right), client.parts(), client.waited) == (False, [], [])


def test_endless_bytes_are_not_read_to_their_end(mirror: Mirror, client: Client) -> None:
    url = mirror.serve("/f", Answer(body=bytes(20 * MIB)))
    with pytest.raises(IntegrityError):
        client.get(url, data=b"little")
    assert sum(client.came) <= MIB


def test_what_an_earlier_run_left_is_gone_on_with(mirror: Mirror, client: Client, store: Store) -> None:
    leave(store, DATA[:MIB])
    client.get(mirror.serve("/f", Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert mirror.ranges() == [f"bytes={MIB}-"]


@pytest.mark.parametrize(
    "left", [b"damaged", bytes(SIZE), DATA + b"more"], ids=["damaged", "zeros-of-the-right-size", "too-long"]
)
def test_what_a_crash_left_damaged_is_fetched_anew(left: bytes, mirror: Mirror, client: Client, store: Store) -> None:
    leave(store, left)
    client.get(mirror.serve("/f", Answer(body=DATA)))
    assert store.read(SHA256) == DATA
    assert client.parts() == []


def test_a_whole_file_that_a_crash_left_is_taken_as_it_is(mirror: Mirror, client: Client, store: Store) -> None:
    leave(store, DATA)
    client.get(mirror.url + "/absent")
    assert (store.has(SHA256, SIZE), mirror.asked) == (True, [])


def test_wrong_bytes_of_one_mirror_do_not_spoil_the_next(mirror: Mirror, client: Client, store: Store) -> None:
    cut = [Answer(body=bytes(SIZE), cut=2 * MIB), *[Answer(status=503)] * 3]
    client.get(mirror.serve("/bad", *cut), mirror.serve("/good", Answer(body=DATA)))
    assert store.read(SHA256) == DATA


def test_what_came_is_kept_for_the_next_run(mirror: Mirror, client: Client, store: Store) -> None:
    url = mirror.serve("/f", Answer(body=DATA, cut=2 * MIB), Answer(status=503))
    with pytest.raises(TransferError):
        client.get(url)
    assert client.parts() == [f"{SHA256}.part"]
    mirror.asked.clear()
    client.get(mirror.serve("/f", Answer(body=DATA)))
    assert mirror.ranges() == [f"bytes={2 * MIB}-"]
    assert store.read(SHA256) == DATA


def test_redirects_are_followed(mirror: Mirror, client: Client, store: Store) -> None:
    there = mirror.serve("/there", Answer(body=DATA))
    client.get(mirror.serve("/f", Answer(status=302, headers={"Location": there})))
    assert store.read(SHA256) == DATA
    assert client.waited == []


def test_a_circle_of_redirects_is_given_up(mirror: Mirror, client: Client) -> None:
    url = mirror.serve("/f", Answer(status=302, headers={"Location": "/f"}))
    with pytest.raises(TransferError) as refused:
        client.get(url)
    assert str(refused.value) == f"{SHA256}: no source has the file: {url}: ResponseError, 4 attempts"


def test_a_compressed_file_is_left_as_it_is(mirror: Mirror, client: Client, store: Store) -> None:
    packed = gzip.compress(DATA, mtime=0)
    client.get(mirror.serve("/f.tar.gz", Answer(body=packed, headers={"Content-Encoding": "gzip"})), data=packed)
    assert store.read(hashlib.sha256(packed).hexdigest()) == packed


def test_a_file_of_this_host(tmp_path: Path, client: Client, store: Store) -> None:
    path = tmp_path / "with space"
    path.write_bytes(DATA)
    client.get((tmp_path / "absent").as_uri(), path.as_uri())
    assert store.read(SHA256) == DATA
