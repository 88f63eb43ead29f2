"""Random bytes and hashes."""

import base64
import hashlib

import pytest

INPUT = base64.b64encode(b"abc").decode()
SM3_OF_ABC = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905-2016, A.1


@pytest.mark.parametrize(
    ("path", "fields", "size"),
    [
        ("random", {}, 32),
        ("random/8", {}, 8),
        ("random", {"bytes": 9}, 9),
        ("random/platform/7", {}, 7),
        ("random/all", {"bytes": "6"}, 6),
        ("random/131072", {}, 131072),
    ],
)
def test_random_bytes_are_as_many_as_asked(transit, path, fields, size):
    made = [base64.b64decode(transit.get(path, **fields)["random_bytes"]) for _ in range(2)]
    assert [len(found) for found in made] == [size, size]
    assert made[0] != made[1]
    assert len(bytes.fromhex(transit.get(path, format="hex", **fields)["random_bytes"])) == size


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("random/zz", {}, 'error parsing url-set byte count: "zz" is no number'),
        ("random/8/9", {}, 'error parsing url-set byte count: "8" is no number'),
        ("random", {"bytes": 0}, "'bytes' cannot be less than 1"),
        ("random/131073", {}, "'bytes' should be less than 131072"),
        ("random", {"format": "x"}, 'unsupported encoding format "x"; must be "hex" or "base64"'),
        ("hash", {}, "input missing"),
        ("hash/zz", {"input": ""}, "unsupported algorithm zz"),
        ("hash/sha1", {"input": ""}, "unsupported algorithm sha1"),
        ("hash", {"input": "!!"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ("hash", {"input": "", "format": "x"}, 'unsupported encoding format x; must be "hex" or "base64"'),
    ],
)
def test_what_cannot_be_answered_is_refused(transit, path, fields, message):
    assert transit.refusal(path, **fields) == (400, message)


def test_hashes_are_those_of_their_names(transit):
    assert transit.get("hash", input=INPUT) == {"sum": hashlib.sha256(b"abc").hexdigest()}
    assert transit.get("hash/sm3", input=INPUT) == {"sum": SM3_OF_ABC}
    assert transit.get("hash", algorithm="sha3-512", input=INPUT) == {"sum": hashlib.sha3_512(b"abc").hexdigest()}
    wanted = base64.b64encode(hashlib.sha384(b"abc").digest()).decode()
    assert transit.get("hash/sha2-384", input=INPUT, format="base64") == {"sum": wanted}
