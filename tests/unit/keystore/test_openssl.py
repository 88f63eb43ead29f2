"""Cross-checks with the openssl program, both ways."""

import pytest

from keystore.errors import SignatureError
from keystore.file import FileSigner
from keystore.sm2 import PrivateKey, PublicKey

ID = ("-pkeyopt", "distid:1234567812345678")
MESSAGE = bytes(range(256)) * 33


def test_openssl_verifies_ours(openssl, key, tmp_path):
    (tmp_path / "m").write_bytes(MESSAGE)
    (tmp_path / "pub.pem").write_text(key.public.pem())
    signer = FileSigner(key, b"h" * 32)
    for number, signature in enumerate((signer.sign(MESSAGE), signer.sign_fresh(MESSAGE), key.sign(MESSAGE))):
        path = tmp_path / f"{number}.sig"
        path.write_bytes(signature)
        verify = ("dgst", "-sm3", "-verify", tmp_path / "pub.pem", "-sigopt", ID[1], "-signature", path)
        assert openssl(*verify, tmp_path / "m") == b"Verified OK\n"


def test_openssl_refuses_an_altered_message_of_ours(openssl, key, tmp_path):
    (tmp_path / "m").write_bytes(MESSAGE + b"x")
    (tmp_path / "pub.pem").write_text(key.public.pem())
    (tmp_path / "sig").write_bytes(key.sign(MESSAGE))
    verify = (
        "dgst",
        "-sm3",
        "-verify",
        tmp_path / "pub.pem",
        "-sigopt",
        ID[1],
        "-signature",
        tmp_path / "sig",
    )
    openssl(*verify, tmp_path / "m", status=1)


def test_we_verify_openssls(openssl, tmp_path):
    (tmp_path / "m").write_bytes(MESSAGE)
    openssl("genpkey", "-algorithm", "SM2", "-out", tmp_path / "sk.pem")
    public = PublicKey.from_pem(openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout"))
    sign = ("pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-inkey", tmp_path / "sk.pem", *ID)
    for _ in range(5):
        signature = openssl(*sign, "-in", tmp_path / "m")
        public.verify(signature, MESSAGE)
        with pytest.raises(SignatureError):
            public.verify(signature, MESSAGE[1:])


def test_we_sign_with_openssls_key(openssl, tmp_path):
    secret = PrivateKey.from_pem(openssl("genpkey", "-algorithm", "SM2"))
    (tmp_path / "sk.pem").write_text(secret.pem())
    public = openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout")
    assert secret.public.pem().encode() == public


def test_openssl_signs_with_ours(openssl, key, tmp_path):
    (tmp_path / "sk.pem").write_text(key.pem())
    (tmp_path / "m").write_bytes(MESSAGE)
    sign = ("pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-inkey", tmp_path / "sk.pem", *ID)
    key.public.verify(openssl(*sign, "-in", tmp_path / "m"), MESSAGE)
    assert openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout", "-outform", "DER") == key.public.der()


def test_other_keys_of_openssl_are_refused(openssl, tmp_path):
    for arguments, message in (
        (("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), "expected the named curve sm2"),
        (("-algorithm", "ED25519"), "expected an elliptic curve key"),
    ):
        openssl("genpkey", *arguments, "-out", tmp_path / "sk.pem")
        with pytest.raises(SignatureError, match=message):
            PublicKey.from_pem(openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout"))
        with pytest.raises(SignatureError, match=message):
            PrivateKey.from_pem((tmp_path / "sk.pem").read_bytes())


def test_the_fingerprint_is_what_openssl_shows(openssl, key, tmp_path):
    (tmp_path / "pub.der").write_bytes(key.public.der())
    shown = openssl("dgst", "-sm3", "-r", tmp_path / "pub.der").decode().split()[0]
    assert key.public.fingerprint().replace(" ", "") == shown[:32]
    assert key.public.keyid == openssl("dgst", "-sha256", "-r", tmp_path / "pub.der").decode().split()[0]
