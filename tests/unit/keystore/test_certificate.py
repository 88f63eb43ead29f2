"""Chains made by the openssl program; one defect each."""

from datetime import UTC, datetime, timedelta

import pytest

from keystore import certificate
from keystore.encoding import decode_pem, encode_pem
from keystore.errors import KeystoreError, SignatureError
from keystore.file import FileKeystore
from keystore.sm2 import PublicKey

ID = "distid:1234567812345678"
CA = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
SIGNER = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"


class Authority:
    """Make keys and certificates in a folder with the openssl program."""

    def __init__(self, openssl, folder):
        self._openssl, self._folder = openssl, folder

    def _key(self, name, algorithm=("-algorithm", "SM2")):
        path = self._folder / f"{name}.key"
        if not path.exists():
            self._openssl("genpkey", *algorithm, "-out", path)
        return path

    def root(self, name, *, algorithm=("-algorithm", "SM2"), digest=("-sm3", "-sigopt", ID)):
        extension = ("-addext", "basicConstraints=critical,CA:TRUE")
        key, path = self._key(name, algorithm), self._folder / f"{name}.crt"
        self._openssl(
            "req",
            "-x509",
            "-new",
            "-key",
            key,
            *digest,
            "-days",
            "3650",
            "-subj",
            f"/CN={name}",
            *extension,
            "-out",
            path,
        )
        return path.read_bytes()

    def issue(self, name, issuer, extensions, *, signs=None):
        key, path, request = self._key(name), self._folder / f"{name}.crt", self._folder / f"{name}.csr"
        (self._folder / "ext").write_text(extensions)
        self._openssl("req", "-new", "-key", key, "-sm3", "-sigopt", ID, "-subj", f"/CN={name}", "-out", request)
        by = (
            "-CA",
            self._folder / f"{issuer}.crt",
            "-CAkey",
            self._folder / f"{signs or issuer}.key",
            "-CAcreateserial",
        )
        sign = ("-sm3", "-sigopt", ID, "-vfyopt", ID, "-days", "365", "-extfile", self._folder / "ext")
        self._openssl("x509", "-req", "-in", request, *by, *sign, "-out", path)
        return path.read_bytes()

    def public(self, name):
        return PublicKey.from_pem(self._openssl("pkey", "-in", self._folder / f"{name}.key", "-pubout"))

    def private(self, name):
        return (self._folder / f"{name}.key").read_bytes()


@pytest.fixture(scope="module")
def made(openssl, tmp_path_factory):
    authority = Authority(openssl, tmp_path_factory.mktemp("pki"))
    found = {"root": authority.root("root")}
    found["mid"] = authority.issue("mid", "root", CA)
    found["leaf"] = authority.issue("leaf", "mid", SIGNER)
    return authority, found


def _check(chain, anchor, now=None):
    return certificate.check_chain(chain, anchor, now=now or datetime.now(UTC) + timedelta(minutes=1))


def _refused(act):
    with pytest.raises(SignatureError) as refused:
        act()
    return str(refused.value)


def test_chains_lead_to_the_signers_key(made):
    authority, found = made
    assert _check([found["leaf"], found["mid"]], found["root"]) == authority.public("leaf")
    assert _check([found["leaf"], found["mid"], found["root"]], found["root"]) == authority.public("leaf")
    direct = authority.issue("direct", "root", SIGNER + "extendedKeyUsage=critical,codeSigning\n")
    assert _check([direct], found["root"]) == authority.public("direct")


def test_time_is_kept(made):
    _, found = made
    for days, message in ((-2, "begins at"), (400, "ended at")):
        when = datetime.now(UTC) + timedelta(days=days)
        refused = _refused(lambda when=when: _check([found["leaf"], found["mid"]], found["root"], when))
        assert refused.startswith(
            f"certificate 'CN=leaf': expected a certificate that is valid now, got one that {message} 20"
        )


def test_chains_with_a_gap_or_the_wrong_order_are_refused(made):
    authority, found = made
    other = authority.root("other")
    gap = "certificate 'CN=leaf': expected to be issued by 'CN=root', got another issuer"
    assert _refused(lambda: _check([found["leaf"]], found["root"])) == gap
    assert _refused(lambda: _check([found["leaf"], found["mid"]], other)) == (
        "certificate 'CN=mid': expected to be issued by 'CN=other', got another issuer"
    )
    assert _refused(lambda: _check([], found["root"])) == (
        "chain: expected 1 to 8 certificates below the anchor, got 0"
    )
    assert _refused(lambda: _check([found["mid"]], found["root"])) == (
        "certificate 'CN=mid': expected the signer's certificate first, got an authority's"
    )


@pytest.mark.parametrize(
    ("name", "issuer", "extensions", "message"),
    [
        (
            "below",
            "leaf",
            SIGNER,
            "certificate 'CN=leaf': expected an issuer with basicConstraints CA:TRUE, got one without",
        ),
        (
            "agreeing",
            "mid",
            "keyUsage=keyAgreement\n",
            "certificate 'CN=agreeing': expected keyUsage digitalSignature, "
            "and extendedKeyUsage codeSigning where there is one, got others",
        ),
        (
            "server",
            "mid",
            SIGNER + "extendedKeyUsage=serverAuth\n",
            "certificate 'CN=server': expected keyUsage digitalSignature, "
            "and extendedKeyUsage codeSigning where there is one, got others",
        ),
        (
            "critical",
            "mid",
            SIGNER + "1.2.3.4=critical,DER:0500\n",
            "chain[0]: expected no critical extension but known ones, got 1.2.3.4",
        ),
    ],
)
def test_certificates_unfit_for_their_part_are_refused(made, name, issuer, extensions, message):
    authority, found = made
    chain = [authority.issue(name, issuer, extensions), found["mid"]]
    if issuer == "leaf":
        chain.insert(1, found["leaf"])
    assert _refused(lambda: _check(chain, found["root"])) == message


def test_issuers_are_held_to_their_usage_and_path_length(made):
    authority, found = made
    silent = authority.issue("silent", "root", "basicConstraints=CA:TRUE\nkeyUsage=digitalSignature\n")
    leaf = authority.issue("under-silent", "silent", SIGNER)
    assert _refused(lambda: _check([leaf, silent], found["root"])) == (
        "certificate 'CN=silent': expected an issuer with keyUsage keyCertSign, got one without"
    )
    short = authority.issue("short", "root", "basicConstraints=CA:TRUE,pathlen:0\n")
    deep = authority.issue("deep", "short", CA)
    leaf = authority.issue("under-deep", "deep", SIGNER)
    assert _refused(lambda: _check([leaf, deep, short], found["root"])) == (
        "certificate 'CN=short': expected at most 0 authorities below (pathlen), got 1"
    )


def test_altered_bytes_and_another_signer_are_refused(made):
    _, found = made
    data = decode_pem(found["leaf"], "CERTIFICATE")
    altered = encode_pem("CERTIFICATE", data.replace(b"leaf", b"lead", 1)).encode()
    assert _refused(lambda: _check([altered, found["mid"]], found["root"])) == (
        "certificate 'CN=lead': expected a signature by 'CN=mid', got a wrong one: "
        "expected a signature of this message by this key, got one that does not match"
    )


def test_only_sm2_is_accepted(made):
    authority, found = made
    algorithm = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    other = authority.root("p256", algorithm=algorithm, digest=("-sha256",))
    message = "expected a signature by SM2 with SM3 (1.2.156.10197.1.501), got another algorithm"
    assert _refused(lambda: _check([found["leaf"], found["mid"]], other)) == f"anchor: {message}"
    assert _refused(lambda: _check([other], found["root"])) == f"chain[0]: {message}"


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(data):
    with pytest.raises(SignatureError):
        certificate.parse_certificate(data)


def test_real_sm2_certificates_are_parsed(shared):
    # CFCA's test authority, of 2012: its basicConstraints are not critical.
    pem = shared("vectors/certs/cfca_pkcs12_sm2_test_657f0b2248.pem").read_bytes()
    found = certificate.parse_certificate(certificate.split(pem)[0])
    assert found.claims.authority


def test_a_keystore_keeps_the_chain_of_a_key(made, store_path, passphrase):
    authority, found = made
    store = FileKeystore.open(store_path)
    store.import_pem("signer", passphrase, authority.private("leaf"))
    assert store.certificates("signer") == ()
    store.certify("signer", found["leaf"] + found["mid"])
    assert FileKeystore.open(store_path).certificates("signer") == (found["leaf"], found["mid"])
    assert store.names() == ("release", "signer")
    with pytest.raises(KeystoreError) as refused:
        store.certify("release", found["leaf"])
    assert str(refused.value) == (
        f"certificate 'CN=leaf': expected a certificate of the key {store.public('release').keyid}, "
        f"got one of {authority.public('leaf').keyid}"
    )
