"""Roots, intermediates, imports: what the library and openssl read of them."""

import base64

import pytest
from cryptography import x509
from engines import Mounted, refusal

from keystore.encoding import encode_pem
from keystore.engines.pki.engine import Pki
from keystore.sm2 import PrivateKey

ID = "distid:1234567812345678"
KINDS = ("rsa", "ec", "ed25519", "sm2")
NAMES = {"organization": "Bank", "ou": "a,b", "country": "CN", "locality": "Shanghai"}


def _load(pem):
    return x509.load_pem_x509_certificate(pem.encode())


def _value(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_root_is_an_authority(pki, kind):
    made = pki.get("root/generate/internal", common_name="root.example", key_type=kind, ttl="8760h", **NAMES)
    found = _load(made["certificate"])
    assert found.subject.rfc4514_string() == "CN=root.example,L=Shanghai,OU=b,OU=a,O=Bank,C=CN"
    assert found.issuer == found.subject
    basic, usage = _value(found, x509.BasicConstraints), _value(found, x509.KeyUsage)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, None)
    assert (usage.critical, usage.value.key_cert_sign, usage.value.crl_sign) == (True, True, True)
    assert usage.value.digital_signature is False
    assert _value(found, x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName) == ["root.example"]
    identifier = _value(found, x509.SubjectKeyIdentifier).value.digest
    assert _value(found, x509.AuthorityKeyIdentifier).value.key_identifier == identifier
    assert (found.not_valid_after_utc - found.not_valid_before_utc).total_seconds() == 8760 * 3600 + 30
    assert made["expiration"] == int(found.not_valid_after_utc.timestamp())
    assert 1 << 140 < found.serial_number < 1 << 159
    assert made["serial_number"] == found.serial_number.to_bytes(20, "big").lstrip(b"\0").hex(":")
    assert made["issuing_ca"] == made["certificate"]
    assert "private_key" not in made
    assert pki.list("certs") == [made["serial_number"]]


def test_what_a_root_asks_for_it_gets(pki):
    made = pki.get(
        "root/generate/internal",
        common_name="Root CA",
        max_path_length=1,
        permitted_dns_domains="a.example,.b.example",
        alt_names="x.example,ca@example.com",
        ip_sans="10.0.0.1,::1",
        uri_sans="spiffe://x",
        serial_number="7",
        not_after="2031-01-01T00:00:00Z",
        issuer_name="first",
        key_name="one",
    )
    found = _load(made["certificate"])
    assert found.subject.rfc4514_string() == "2.5.4.5=7,CN=Root CA"
    assert _value(found, x509.BasicConstraints).value.path_length == 1
    permitted = _value(found, x509.NameConstraints)
    assert permitted.critical
    assert [name.value for name in permitted.value.permitted_subtrees] == ["a.example", ".b.example"]
    names = _value(found, x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["x.example", "ca@example.com", "10.0.0.1", "::1", "spiffe://x"]
    assert found.not_valid_after_utc.isoformat() == "2031-01-01T00:00:00+00:00"
    assert (made["issuer_name"], made["key_name"]) == ("first", "one")
    assert pki.read("issuer/first").data["issuer_id"] == made["issuer_id"]
    assert pki.read("key/one").data["key_id"] == made["key_id"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"key_type": "zz"}, "unknown key type zz"),
        ({"key_type": "ec", "key_bits": 17}, "unsupported bit length for EC key: 17"),
        ({"key_type": "rsa", "key_bits": 1024}, "unsupported bit length for RSA key: 1024"),
        ({"key_type": "sm2", "key_bits": 384}, "unsupported bit length for SM2 key: 384"),
        ({"signature_bits": 128}, "invalid value for signature_bits: 128"),
        ({"format": "zz"}, 'the "format" path parameter must be "pem", "der", or "pem_bundle"'),
        ({"private_key_format": "zz"}, 'the "private_key_format" path parameter must be "der" or "pkcs8"'),
        ({"ip_sans": "x"}, 'the value "x" is not a valid IP address'),
        ({"max_path_length": -2}, "expected a max_path_length of -1 to 255, got -2"),
        ({"not_after": "soon"}, "expected a not_after such as '2030-01-31T12:00:00Z', got 'soon'"),
        (
            {"not_after": "2020-01-01T00:00:00Z"},
            "expected a not_after in the future, to the second, got '2020-01-01T00:00:00Z'",
        ),
        ({"not_before_duration": "-5"}, "expected not_before_duration of 0 or more, got -5"),
        (
            {"not_after": "9999-12-31T23:59:59-14:00"},
            "expected a not_after such as '2030-01-31T12:00:00Z', got '9999-12-31T23:59:59-14:00'",
        ),
        (
            {"not_before_duration": "10000000000"},
            "cannot make the certificate: The not valid before date must be on or after 1950 January 1).",
        ),
        (
            {"permitted_dns_domains": "*"},
            "cannot encode permitted_dns_domains: DNSName name constraints must not contain the '*' wildcard character",
        ),
        (
            {"organization": "\ud800"},
            "Field validation failed: error converting input for field 'organization': expected text in Unicode",
        ),
        ({"issuer_name": "default"}, "issuer name contained invalid characters or was a reserved word"),
        ({"key_name": "a b"}, "key name contained invalid characters or was a reserved word"),
        ({"country": "China"}, "cannot encode the subject: Attribute's length must be >= 2 and <= 2, but it was 5"),
        (
            {"alt_names": "münchen.example"},
            "cannot encode a subject alternative name: DNSName values should be passed as an A-label string. "
            "This means unicode characters should be encoded via a library like idna.",
        ),
    ],
)
def test_a_root_that_cannot_be_is_refused(pki, fields, message):
    refused = pki.refusal("root/generate/internal", common_name="x", **fields)
    assert refused == (400, message)
    assert pki.records.kept == {}


def test_paths_and_names_that_are_not_there_are_told(pki):
    refused = (400, 'the "exported" path parameter must be "internal" or "exported"')
    assert pki.refusal("root/generate/kms", common_name="x") == refused
    assert pki.refusal("intermediate/generate/kms", common_name="x") == refused
    assert refusal(lambda: pki.read("issuer/default")) == (400, "no default issuer currently configured")
    assert refusal(lambda: pki.read("key/default")) == (400, "no default key currently configured")
    for path in ("issuers", "keys", "certs", "certs/revoked", "roles"):
        assert refusal(lambda path=path: pki.list(path)) == (404, "")
    for path in ("ca", "ca/pem", "ca_chain", "crl", "crl/pem"):
        assert pki.read(path).raw is pki.read(path).data is None
    pki.get("root/generate/internal", common_name="x", issuer_name="one", key_name="one")
    for word in ("issuer", "key"):
        refused = (400, f"{word} name already in use")
        assert pki.refusal("root/generate/internal", common_name="x", **{f"{word}_name": "one"}) == refused
    assert refusal(lambda: pki.read("issuer/no")) == (400, "unable to find PKI issuer for reference: no")
    assert refusal(lambda: pki.read("key/no")) == (400, "unable to find PKI key for reference: no")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["der", "pkcs8"])
def test_exported_keys_are_what_openssl_reads(pki, openssl, tmp_path, kind, form):
    made = pki.get("root/generate/exported", common_name="x", key_type=kind, private_key_format=form)
    assert made["private_key_type"] == kind
    if kind in ("ed25519", "sm2") or form == "pkcs8":
        assert made["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    (tmp_path / "key").write_text(made["private_key"] + "\n")
    (tmp_path / "crt").write_text(made["certificate"] + "\n")
    public = openssl("pkey", "-in", tmp_path / "key", "-pubout")
    assert openssl("x509", "-in", tmp_path / "crt", "-noout", "-pubkey") == public


def test_forms_hold_the_same(pki):
    made = pki.get("root/generate/exported", common_name="x", format="der")
    certificate = x509.load_der_x509_certificate(base64.b64decode(made["certificate"]))
    assert certificate.subject.rfc4514_string() == "CN=x"
    base64.b64decode(made["private_key"], validate=True)
    bundle = pki.get("intermediate/generate/exported", common_name="x", format="pem_bundle")
    assert bundle["csr"].startswith(bundle["private_key"] + "\n-----BEGIN CERTIFICATE REQUEST-----")


@pytest.mark.parametrize(
    ("above", "below"),
    [("sm2", "sm2"), ("rsa", "sm2"), ("sm2", "ec"), ("sm2", "ed25519"), ("ec", "ed25519"), ("ed25519", "rsa")],
)
def test_each_kind_signs_each_kind(above, below, openssl, tmp_path):
    """Two levels: OpenSSL 3.0 checks SM2 chains no deeper in one go."""
    root, sub = Mounted(Pki(default_kind=above)), Mounted(Pki(default_kind=below))
    anchor = root.get("root/generate/internal", common_name="Root", ttl="8760h")["certificate"]
    csr = sub.get("intermediate/generate/internal", common_name="Sub")["csr"]
    made = root.get("root/sign-intermediate", csr=csr, common_name="Sub", ttl="100h", max_path_length=0)
    (tmp_path / "root").write_text(anchor + "\n")
    (tmp_path / "sub").write_text(made["certificate"] + "\n")
    (tmp_path / "csr").write_text(csr + "\n")
    identity = ("-vfyopt", ID) if "sm2" in (above, below) else ()
    at = ("-attime", str(int(root.now.timestamp())))
    verified = openssl(
        "verify", *(("-vfyopt", ID) if above == "sm2" else ()), *at, "-CAfile", tmp_path / "root", tmp_path / "sub"
    )
    assert verified == f"{tmp_path / 'sub'}: OK\n".encode()
    assert b"CN = Sub" in openssl(
        "req", "-in", tmp_path / "csr", "-noout", "-subject", "-verify", *(identity if below == "sm2" else ())
    )
    assert made["ca_chain"] == [made["certificate"], anchor]
    taken = sub.get("intermediate/set-signed", certificate="\n".join(made["ca_chain"]))
    first, second = taken["imported_issuers"]
    assert taken["mapping"] == {first: sub.list("keys")[0], second: ""}
    assert taken["existing_issuers"] is taken["imported_keys"] is None
    assert sub.read("issuer/default").data["ca_chain"] == made["ca_chain"]
    refused = (400, "issuer has a max_path_length of 0: it may issue to no authority below")
    other = root.get("intermediate/generate/internal", common_name="Third")["csr"]
    assert sub.refusal("root/sign-intermediate", csr=other, common_name="Third", ttl="1h") == refused


def test_openssl_checks_our_sm2_request_and_refuses_an_altered_one(pki, openssl, tmp_path):
    csr = pki.get("intermediate/generate/internal", common_name="Sub", key_type="sm2")["csr"]
    data = bytearray(base64.b64decode("".join(csr.splitlines()[1:-1])))
    data[-1] ^= 1
    altered = base64.encodebytes(bytes(data)).decode()
    path = tmp_path / "csr"
    results = []
    for text in (csr, f"-----BEGIN CERTIFICATE REQUEST-----\n{altered}-----END CERTIFICATE REQUEST-----"):
        path.write_text(text + "\n")
        results.append(openssl("req", "-in", path, "-noout", "-verify", "-vfyopt", ID, "-text", with_errors=True))
    assert b"verify OK" in results[0]
    assert b"verify failure" in results[1]


def test_a_root_of_others_is_taken_with_its_key(pki, openssl, tmp_path):
    key, path = tmp_path / "key", tmp_path / "crt"
    openssl("genpkey", "-algorithm", "SM2", "-out", key)
    extension = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    command = ("req", "-x509", "-new", "-key", key, "-sm3", "-sigopt", ID, "-days", "3650", "-subj", "/CN=Their Root")
    openssl(*command, *extension[:2], "-out", path)
    bundle = path.read_text() + key.read_text()
    taken = pki.get("config/ca", pem_bundle=bundle)
    assert taken["mapping"] == {taken["imported_issuers"][0]: taken["imported_keys"][0]}
    again = pki.get("issuers/import/bundle", pem_bundle=bundle)
    assert (again["imported_issuers"], again["existing_issuers"]) == (None, taken["imported_issuers"])
    assert (again["imported_keys"], again["existing_keys"]) == (None, taken["imported_keys"])
    assert pki.read("ca/pem").raw.body == path.read_bytes()
    assert pki.read("key/default").data["key_type"] == "sm2"


def test_bundles_that_are_none_are_refused(pki, openssl, tmp_path):
    made = pki.get("root/generate/exported", common_name="x")
    for text, message in (
        ("", "'pem_bundle' and 'certificate' parameters were empty"),
        (
            "zz",
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents of "
            "a PEM file",
        ),
        ("z" * 80, "no data found in PEM block"),
        (
            made["private_key"].replace("MH", "MI", 1),
            "unable to parse private key: expected an unencrypted RSA, EC, Ed25519 or SM2 key",
        ),
    ):
        assert pki.refusal("config/ca", pem_bundle=text) == (400, message)
    key, path = tmp_path / "key", tmp_path / "crt"
    openssl("genpkey", "-algorithm", "ED25519", "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-addext", "basicConstraints=CA:FALSE", "-out", path)
    assert pki.refusal("config/ca", pem_bundle=path.read_text()) == (400, "refusing to import non-CA certificate")
    openssl("genpkey", "-algorithm", "X25519", "-out", key)
    refused = (400, "unable to parse private key: expected an RSA, EC, Ed25519 or SM2 key, got another kind")
    assert pki.refusal("config/ca", pem_bundle=key.read_text()) == refused


def test_issuers_are_listed_named_and_forgotten(pki):
    one = pki.get("root/generate/internal", common_name="One", issuer_name="one")
    two = pki.get("root/rotate/internal", common_name="Two")
    listed = pki.ask("list", "issuers", {}).data
    assert sorted(listed["keys"]) == sorted((one["issuer_id"], two["issuer_id"]))
    assert listed["key_info"][one["issuer_id"]] == {
        "issuer_name": "one",
        "is_default": True,
        "key_id": one["key_id"],
        "serial_number": one["serial_number"],
    }
    told = pki.get(
        f"issuer/{two['issuer_id']}",
        issuer_name="two",
        leaf_not_after_behavior="truncate",
        usage="read-only,issuing-certificates",
        crl_distribution_points="http://ca/crl",
    )
    assert told == pki.read("issuer/two").data
    assert (told["leaf_not_after_behavior"], told["usage"]) == ("truncate", "issuing-certificates,read-only")
    assert told["crl_distribution_points"] == ["http://ca/crl"]
    for fields, message in (
        (
            {"leaf_not_after_behavior": "x"},
            "Unknown value for field `leaf_not_after_behavior`. Possible values are err, truncate, permit",
        ),
        ({"usage": "everything"}, "unknown issuer usage 'everything'"),
        ({"issuer_name": "one"}, "issuer name already in use"),
        (
            {"ocsp_servers": "no url"},
            "invalid URL found in Authority Information Access (AIA) parameter ocsp_servers: no url",
        ),
    ):
        assert pki.refusal("issuer/two", **fields) == (400, message)
    assert pki.get("config/issuers", default="two")["default"] == two["issuer_id"]
    refused = (400, "Error resolving issuer reference: unable to find PKI issuer for reference: no")
    assert pki.refusal("config/issuers", default="no") == refused
    assert pki.get("config/keys", default=two["key_id"]) == pki.read("config/keys").data
    warning = (
        f"Deleted issuer {two['issuer_id']} (via issuer_ref two); this was configured as the default issuer. "
        "Operations without an explicit issuer will not work until a new default is configured."
    )
    assert pki.delete("issuer/two").warnings == (warning,)
    assert pki.read("config/issuers").data["default"] == ""
    assert pki.delete("issuer/one").warnings == ()
    pki.delete(f"key/{one['key_id']}")
    assert pki.list("keys") == [two["key_id"]]
    pki.get("root/generate/internal", common_name="Three")
    pki.delete("root")
    assert refusal(lambda: pki.list("issuers")) == refusal(lambda: pki.list("keys")) == (404, "")


def test_altered_certificates_and_requests_are_refused(pki):
    """What a random search found: serial numbers below 1, versions that are none."""
    made = pki.get("root/generate/internal", common_name="x")["certificate"]
    data = bytearray(base64.b64decode("".join(made.splitlines()[1:-1])))
    refused = (400, "unable to parse certificate: expected X.509 as RFC 5280 says, got another form")
    for position, octet in (
        (data.index(b"\xa0\x03\x02\x01\x02") + 4, 7),
        (data.index(b"\xa0\x03\x02\x01\x02") + 7, 0x80),
    ):
        altered = bytearray(data)
        altered[position] = octet
        pem = encode_pem("CERTIFICATE", bytes(altered))
        assert pki.refusal("issuers/import/cert", pem_bundle=pem) == refused
    csr = pki.get("intermediate/generate/internal", common_name="x")["csr"]
    data = bytearray(base64.b64decode("".join(csr.splitlines()[1:-1])))
    data[data.index(b"\x02\x01\x00") + 2] = 9
    pem = encode_pem("CERTIFICATE REQUEST", bytes(data))
    refused = (400, "certificate request could not be parsed: expected PKCS#10, got another form")
    assert pki.refusal("sign-verbatim", csr=pem) == refused
    refused = pki.refusal("intermediate/generate/internal", common_name="x", country="u@")
    assert refused[1].startswith("cannot make the certificate request: error parsing asn1 value")


def test_a_root_of_others_can_be_signed_across(pki, openssl, tmp_path):
    other = Mounted(Pki(default_kind="sm2"))
    theirs = other.get("root/generate/internal", common_name="Theirs", ttl="900h")["certificate"]
    ours = pki.get("root/generate/internal", common_name="Ours", ttl="9000h")["certificate"]
    made = pki.get("root/sign-self-issued", certificate=theirs)
    assert made["issuing_ca"] == ours
    found, before = _load(made["certificate"]), _load(theirs)
    assert (found.issuer.rfc4514_string(), found.subject) == ("CN=Ours", before.subject)
    found.verify_directly_issued_by(_load(ours))
    assert pki.refusal("root/sign-self-issued", certificate="x") == (
        400,
        "no certificate found in the field 'certificate'",
    )
    refused = (400, "given certificate is not self-issued")
    assert pki.refusal("root/sign-self-issued", certificate=made["certificate"]) == refused


def test_secrets_are_in_no_answer_and_no_repr(pki):
    made = pki.get("root/generate/exported", common_name="x", key_type="sm2")
    secret = PrivateKey.from_pem(made["private_key"]).octets()
    shown = [pki.read(path).data for path in ("issuer/default", "key/default", "cert/ca", "config/keys")]
    shown += [pki.ask("list", path, {}).data for path in ("keys", "issuers")]
    line = made["private_key"].splitlines()[1]
    assert secret.hex() not in repr(shown)
    assert line not in repr(shown)
