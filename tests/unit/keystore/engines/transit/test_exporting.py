"""Export, backup, restore and import."""

import base64
import secrets

import pytest
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from engines import Mounted, refusal

from keystore import document, ed25519
from keystore.engines.transit import archive, keys
from keystore.engines.transit.engine import Transit
from keystore.sm2 import PrivateKey

MESSAGE = base64.b64encode(b"a message").decode()


@pytest.fixture(scope="module")
def every():
    mounted = Mounted(Transit())
    for kind in ("sm4-gcm", "sm2", "ed25519", "ecdsa-p256", "rsa-2048", "hmac"):
        mounted.get(f"keys/{kind}", type=kind, exportable=True)
    return mounted


def _exported(mounted, form, kind, version=""):
    return mounted.read(f"export/{form}/{kind}{version}").data["keys"]["1"]


def test_secrets_come_in_the_forms_of_the_api(every):
    versions = {name: archive.find(every.records, name).versions[1] for name in archive.names(every.records)}
    assert base64.b64decode(_exported(every, "encryption-key", "sm4-gcm")) == versions["sm4-gcm"].secret
    assert PrivateKey.from_pem(_exported(every, "signing-key", "sm2")).octets() == versions["sm2"].secret
    both = base64.b64decode(_exported(every, "signing-key", "ed25519"))
    assert (both[:32], both[32:]) == (
        versions["ed25519"].secret,
        ed25519.PrivateKey(both[:32]).public.raw,
    )
    for kind, kept in (("ecdsa-p256", ec.EllipticCurvePrivateKey), ("rsa-2048", rsa.RSAPrivateKey)):
        pem = _exported(every, "signing-key", kind)
        assert pem.startswith({"ecdsa-p256": "-----BEGIN EC PRIVATE", "rsa-2048": "-----BEGIN RSA PRIVATE"}[kind])
        found = serialization.load_pem_private_key(pem.encode(), None)
        assert isinstance(found, kept)
        assert keys.public_pem(found).strip() == _exported(every, "public-key", kind)
    for kind in versions:
        assert base64.b64decode(_exported(every, "hmac-key", kind)) == versions[kind].mac_secret
    assert versions["hmac"].mac_secret == versions["hmac"].secret


def test_exports_name_their_versions(every):
    told = every.read("export/encryption-key/sm4-gcm/latest").data
    assert (told["name"], told["type"], list(told["keys"])) == ("sm4-gcm", "sm4-gcm", ["1"])
    for version, message in (
        ("7", "version does not exist or cannot be found"),
        ("zz", "invalid key version"),
        ("0", "version for export is below minimum decryption version"),
    ):
        assert refusal(lambda version=version: every.read(f"export/hmac-key/sm2/{version}")) == (400, message)


def test_what_is_not_there_or_not_allowed_is_not_exported(every, transit):
    transit.get("keys/shut", type="sm2")
    refused = (400, "private key material is not exportable")
    for form in ("encryption-key", "signing-key", "hmac-key"):
        assert refusal(lambda form=form: transit.read(f"export/{form}/shut")) == refused
    assert _exported(transit, "public-key", "shut").startswith("-----BEGIN PUBLIC KEY-----")
    assert refusal(lambda: transit.read("export/zz/shut")) == (400, "invalid export type: zz")
    assert refusal(lambda: transit.read("export/signing-key/no")) == (404, "")
    for form, kind, message in (
        ("encryption-key", "ed25519", "encryption not supported for the key"),
        ("signing-key", "sm4-gcm", "signing not supported for the key"),
        ("public-key", "hmac", "unknown key type hmac for export type public-key"),
    ):
        assert refusal(lambda form=form, kind=kind: every.read(f"export/{form}/{kind}")) == (400, message)


@pytest.mark.parametrize("kind", ["sm4-gcm", "sm2", "ed25519", "hmac"])
def test_a_backup_restores_all_versions(kind, transit):
    transit.get("keys/k", type=kind, exportable=True, allow_plaintext_backup=True)
    transit.get("keys/k/rotate")
    mac = transit.get("hmac/k", input=MESSAGE, key_version=1)["hmac"]
    backup = transit.read("backup/k").data["backup"]
    assert transit.read("keys/k").data["backup_info"] == {"time": "2026-03-01T12:00:00Z", "version": 2}
    assert transit.refusal("restore", backup=backup) == (400, 'key "k" already exists')
    other = Mounted(Transit())
    assert other.write("restore", backup=backup).data is None
    assert other.records.kept == transit.records.kept
    other.get("restore/copy", backup=backup)
    assert other.get("verify/copy", input=MESSAGE, hmac=mac) == {"valid": True}
    transit.get("keys/k/rotate")
    transit.get("restore", backup=backup, force=True)
    assert transit.read("keys/k").data["latest_version"] == 2


def test_backups_need_leave(transit):
    transit.get("keys/k")
    assert refusal(lambda: transit.read("backup/k")) == (400, "exporting is disallowed on the policy")
    transit.get("keys/k/config", exportable=True)
    assert refusal(lambda: transit.read("backup/k")) == (400, "plaintext backup is disallowed on the policy")
    assert refusal(lambda: transit.read("backup/no")) == (404, 'key "no" not found')


def test_what_is_no_backup_is_refused(transit):
    transit.get("keys/k", type="ed25519", exportable=True, allow_plaintext_backup=True)
    found = document.parse(base64.b64decode(transit.read("backup/k").data["backup"]), "b")
    found["versions"]["1"]["public"] = base64.b64encode(bytes(32)).decode()
    altered = base64.b64encode(document.canonical(found)).decode()
    found["name"] = "../x"
    renamed = base64.b64encode(document.canonical(found)).decode()
    refused = {
        "": "'backup' must be supplied",
        "zz": "illegal base64 data at input byte 2",
        "e30=": "backup.format: expected 'ferry/transit-key/v1', got None",
        altered: "versions.1: expected the public half of the secret, got another",
        renamed: "versions.1: expected the public half of the secret, got another",
    }
    for backup, message in refused.items():
        assert transit.refusal("restore/new", backup=backup) == (400, message)
    assert archive.names(transit.records) == ["k"]


def test_a_backup_under_a_name_that_is_none_is_refused(transit):
    transit.get("keys/k", exportable=True, allow_plaintext_backup=True)
    found = document.parse(base64.b64decode(transit.read("backup/k").data["backup"]), "b") | {"name": "a/b"}
    backup = base64.b64encode(document.canonical(found)).decode()
    refused = (400, "backup.name: expected a name of letters, digits, '.', '-' and '_', got another")
    assert transit.refusal("restore", backup=backup) == refused


@pytest.fixture(scope="module")
def importing():
    """A mount with its wrapping key, and what wraps for it."""
    mounted = Mounted(Transit())
    pem = mounted.read("wrapping_key").data["public_key"]
    assert mounted.read("wrapping_key").data["public_key"] == pem
    public = serialization.load_pem_public_key(pem.encode())

    def wrap(secret, hashed=hashes.SHA256):
        key = secrets.token_bytes(32)
        oaep = padding.OAEP(mgf=padding.MGF1(hashed()), algorithm=hashed(), label=None)
        wrapped = public.encrypt(key, oaep) + keywrap.aes_key_wrap_with_padding(key, secret)
        return base64.b64encode(wrapped).decode()

    return mounted, wrap


def _pkcs8(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def test_keys_of_others_are_taken_wrapped(importing):
    mounted, wrap = importing
    sm2_key = PrivateKey.generate()
    der = base64.b64decode("".join(sm2_key.pem().splitlines()[1:-1]))
    curve = ec.generate_private_key(ec.SECP256R1())
    seed = ed25519.PrivateKey.generate()
    seed_der = base64.b64decode("".join(seed.pem().splitlines()[1:-1]))
    for kind, secret, kept in (
        ("sm4-gcm", b"0123456789abcdef", b"0123456789abcdef"),
        ("hmac", b"k" * 40, b"k" * 40),
        ("sm2", der, sm2_key.octets()),
        ("ed25519", seed_der, seed.octets()),
        ("ecdsa-p256", _pkcs8(curve), keys.private_der(curve)),
    ):
        name = f"imported-{kind}"
        mounted.get(f"keys/{name}/import", type=kind, ciphertext=wrap(secret))
        assert archive.find(mounted.records, name).versions[1].secret == kept
        told = mounted.read(f"keys/{name}").data
        assert (told["imported_key"], told["imported_key_allow_rotation"]) == (True, False)
        assert mounted.refusal(f"keys/{name}/rotate") == (400, "imported key rotation is not allowed")
    name = "keys/imported-sm4-gcm"
    mounted.get(f"{name}/import_version", ciphertext=wrap(b"x" * 16, hashes.SHA1), hash_function="SHA1")
    assert mounted.read(name).data["latest_version"] == 2


def test_imports_that_do_not_fit_are_refused(importing):
    mounted, wrap = importing
    mounted.get("keys/made")
    good = wrap(b"x" * 32)
    for path, fields, message in (
        ("keys/n/import", {}, "provided ciphertext is too short"),
        ("keys/n/import", {"type": "zz"}, "unknown key type zz"),
        ("keys/n/import", {"ciphertext": good, "hash_function": "MD5"}, "unsupported hash function: MD5"),
        ("keys/n/import", {"ciphertext": good[:-4] + "AAAA"}, "failed to unwrap the provided ciphertext"),
        ("keys/n/import", {"ciphertext": wrap(b"x")}, "invalid key size 1 bytes for key type: expected 32"),
        (
            "keys/n/import",
            {"ciphertext": good, "type": "rsa-2048"},
            "expected a private key in PKCS#8 DER, got something else",
        ),
        (
            "keys/n/import",
            {"ciphertext": good, "auto_rotate_period": "2h"},
            "allow_rotation must be set to true if auto-rotation is enabled",
        ),
        (
            "keys/made/import",
            {"ciphertext": good},
            "the import path cannot be used with an existing key; use import-version to rotate",
        ),
        (
            "keys/no/import_version",
            {"ciphertext": good},
            "no key found with name no; to import a new key, use the import/ endpoint",
        ),
        (
            "keys/made/import_version",
            {"ciphertext": good},
            "the import_version endpoint can only be used with an imported key",
        ),
    ):
        assert mounted.refusal(path, **fields) == (400, message)
    refused = mounted.refusal("keys/n/import", ciphertext=good, type="sm2")
    assert refused == (400, "error importing key: private key: expected the DER tag 0x30, got 0x78")
