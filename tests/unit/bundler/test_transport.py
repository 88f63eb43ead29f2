import gzip
import hashlib
from pathlib import Path

import pytest
from clock import StillClock
from mirror import Answer, Mirror

from bundler.errors import IntegrityError, TransferError
from bundler.model.descriptor import OCTETS
from bundler.store import Store
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
    ("after", "waited"), [("7", 7.0), ("3600", 60.0), ("", 1.0), ("\xb2", 1.0), ("Sun, 06 Nov 2026", 1.0)]
)
def test_a_busy_server_says_when_to_come_back(after: str, waited: float, mirror: Mirror, client: Client) -> None:
    client.get(mirror.serve("/f", Answer(status=429, headers={"Retry-After": after}), Answer(body=DATA)))
    assert client.waited == [waited]


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
