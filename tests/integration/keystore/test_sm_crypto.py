"""SM2 with sm-crypto, a library of JavaScript: what it seals and signs we open and verify, and the reverse."""

import json
import shutil
import subprocess

import pytest

from keystore import der, sm2cipher
from keystore.sm2 import PrivateKey

MESSAGE = b"encryption standard"


def _ciphertext(point, check, body):
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(point[0]),
        der.encode_integer(point[1]),
        der.encode(der.OCTET_STRING, check),
        der.encode(der.OCTET_STRING, body),
    )


NODE = """
const { sm2 } = require('sm-crypto');
const asked = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const options = { hash: true, der: true, userId: '1234567812345678' };
process.stdout.write(JSON.stringify({
  plain: sm2.doDecrypt(asked.sealed, asked.secret, 1),
  sealed: sm2.doEncrypt(asked.plain, asked.public, 1),
  verified: sm2.doVerifySignature(asked.plain, asked.signature, asked.public, options),
  signature: sm2.doSignature(asked.plain, asked.secret, options),
}));
"""


@pytest.mark.network
def test_sm_crypto_opens_and_verifies_ours_and_we_its(tmp_path):
    key = PrivateKey.generate()
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are absent")
    got = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "sm-crypto@0.3.13"],
        capture_output=True,
        timeout=120,
    )
    if got.returncode:
        pytest.skip("npm cannot install sm-crypto here")
    reader = der.Reader(sm2cipher.encrypt(key.public, MESSAGE), "c").take_reader(der.SEQUENCE)
    point = reader.take_integer(), reader.take_integer()
    sealed = f"{point[0]:064x}{point[1]:064x}" + reader.take(4).hex() + reader.take(4).hex()
    x, y = key.public.point
    asked = {
        "secret": key.octets().hex(),
        "public": f"04{x:064x}{y:064x}",
        "plain": MESSAGE.decode(),
        "sealed": sealed,
        "signature": key.sign(MESSAGE).hex(),
    }
    (tmp_path / "ask.js").write_text(NODE)
    done = subprocess.run(
        [node, str(tmp_path / "ask.js")], input=json.dumps(asked).encode(), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    told = json.loads(done.stdout)
    assert told["plain"] == MESSAGE.decode()
    assert told["verified"] is True
    made = bytes.fromhex(told["sealed"])
    point = int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big")
    assert sm2cipher.decrypt(int.from_bytes(key.octets(), "big"), _ciphertext(point, made[64:96], made[96:])) == MESSAGE
    key.public.verify(bytes.fromhex(told["signature"]), MESSAGE)
