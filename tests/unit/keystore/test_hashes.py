import hashlib
import re

import pytest
from cryptography.exceptions import InvalidTag

from keystore import sm3, sm4


def test_sm3_of_the_standards_examples():
    # GB/T 32905-2016, annex A.
    assert sm3.sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert sm3.sm3(b"abcd" * 16).hex() == "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"


def test_sm3_streams_like_hashlib():
    state = sm3.new(b"a")
    early = state.copy()
    state.update(bytearray(b"b"))
    assert state.digest() == sm3.sm3(b"ab")
    state.update(memoryview(b"c"))
    assert state.hexdigest() == state.digest().hex() == sm3.sm3(b"abc").hex()
    assert early.digest() == sm3.sm3(b"a")
    assert (state.name, state.digest_size, state.block_size) == ("sm3", 32, 64)


@pytest.mark.skipif("sm3" not in hashlib.algorithms_available, reason="this hashlib lacks sm3")
def test_sm3_equals_hashlib():
    data = bytes(range(256)) * 5
    assert sm3.sm3(data) == hashlib.new("sm3", data).digest()


def test_sm3_of_the_oscca_vectors(vectors):
    rows = re.findall(r"Len = (\d+)\s+Msg = ([0-9a-fA-F]*)\s+MD = (\w+)", vectors("pyca/hashes/SM3/oscca.txt"))
    assert rows
    for bits, message, digest in rows:
        assert sm3.sm3(bytes.fromhex(message)[: int(bits) // 8]).hex() == digest.lower()


def test_hmac_sm3_of_the_wycheproof_vectors(vectors):
    count = 0
    for group in vectors("wycheproof/hmac_sm3_test.json")["testGroups"]:
        for case in group["tests"]:
            mac = sm3.hmac_sm3(bytes.fromhex(case["key"]), bytes.fromhex(case["msg"]))
            right = mac[: group["tagSize"] // 8].hex() == case["tag"]
            assert right is (case["result"] == "valid"), case["tcId"]
            count += 1
    assert count


def test_hmac_sm3_of_a_published_example():
    # GM/T 0042-2015, annex D: key 0x01..0x20, message "abcd..." twice 56 bytes long.
    message = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    mac = sm3.hmac_sm3(bytes(range(1, 33)), message)
    assert mac.hex() == "ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a"


def test_sm4_gcm_of_rfc_8998():
    # RFC 8998, appendix A.1.
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    nonce = bytes.fromhex("00001234567800000000abcd")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plaintext = b"".join(bytes([value]) * 8 for value in bytes.fromhex("aabbccddeeffeeaa"))
    expected = bytes.fromhex(
        "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
        "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
        "83de3541e4c2b58177e065a9bf7b62ec"
    )
    assert sm4.gcm_encrypt(key, nonce, plaintext, associated) == expected
    assert sm4.gcm_decrypt(key, nonce, expected, associated) == plaintext


def test_sm4_gcm_of_the_wycheproof_vectors(vectors):
    count = 0
    for group in vectors("wycheproof/sm4_gcm_test.json")["testGroups"]:
        if group["ivSize"] != 96 or group["tagSize"] != 128:
            continue
        for case in group["tests"]:
            _check_aead(case)
            count += 1
    assert count


def test_sm4_gcm_of_the_gmsm_vectors(vectors):
    """The examples of GB/T 36624-2018 and GB/T 15852.3-2019 among them."""
    found = vectors("sm4_gcm_gmsm.json")["tests"]
    whole = [case for case in found if len(case["result_ct_and_tag"]) == len(case["plaintext"]) + 32]
    cases = [case for case in whole if len(case["nonce"]) == 24]
    assert cases
    for case in cases:
        key, nonce, plaintext, associated = (bytes.fromhex(case[name]) for name in ("key", "nonce", "plaintext", "ad"))
        assert sm4.gcm_encrypt(key, nonce, plaintext, associated).hex() == case["result_ct_and_tag"]
        assert sm4.gcm_decrypt(key, nonce, bytes.fromhex(case["result_ct_and_tag"]), associated) == plaintext


def _check_aead(case):
    key, nonce, associated = (bytes.fromhex(case[name]) for name in ("key", "iv", "aad"))
    sealed = bytes.fromhex(case["ct"] + case["tag"])
    if case["result"] == "valid":
        assert sm4.gcm_decrypt(key, nonce, sealed, associated).hex() == case["msg"], case["tcId"]
        assert sm4.gcm_encrypt(key, nonce, bytes.fromhex(case["msg"]), associated) == sealed
    else:
        with pytest.raises(InvalidTag):
            sm4.gcm_decrypt(key, nonce, sealed, associated)
