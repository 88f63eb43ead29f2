"""Issue, sign and sign-verbatim, under roles."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from engines import START, Mounted, refusal

from keystore.certificate import check_chain
from keystore.engines.pki.engine import Pki
from keystore.engines.request import Lease
from keystore.sm2 import PrivateKey

ID = "distid:1234567812345678"
HOST = "a.example.com"


@pytest.fixture(params=["ec", "sm2"])
def issuing(request):
    """A root of each side, and a role `r` that issues keys of its kind."""
    mounted = Mounted(Pki(default_kind=request.param))
    mounted.get("root/generate/internal", common_name="Root", ttl="8760h")
    domains = {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": request.param}
    mounted.get("roles/r", max_ttl="72h", organization="Bank", **domains)
    return mounted


@pytest.fixture
def ready(pki):
    pki.get("root/generate/internal", common_name="Root", ttl="8760h")
    pki.get("roles/r", allowed_domains="example.com", allow_subdomains=True, key_type="ec", max_ttl="72h")
    return pki


def _load(pem):
    return x509.load_pem_x509_certificate(pem.encode())


def _value(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def _csr(key=None, name=HOST, *extensions):
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Theirs"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_what_is_issued_is_what_the_role_says(issuing, openssl, tmp_path):
    made = issuing.get("issue/r", common_name=HOST, alt_names="b.example.com", ip_sans="10.1.2.3", ttl="1h")
    found = _load(made["certificate"])
    assert found.subject.rfc4514_string() == f"CN={HOST},O=Bank"
    names = _value(found, x509.SubjectAlternativeName)
    assert [str(name.value) for name in names] == [HOST, "b.example.com", "10.1.2.3"]
    usage = _value(found, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_encipherment, usage.key_agreement, usage.key_cert_sign) == (
        True,
        True,
        True,
        False,
    )
    assert set(_value(found, x509.ExtendedKeyUsage)) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert made["expiration"] == int(START.timestamp()) + 3600
    assert made["not_before"] == int(START.timestamp()) - 30
    root = issuing.read("ca/pem").raw.body
    assert made["issuing_ca"] + "\n" == root.decode()
    assert made["ca_chain"] == [made["issuing_ca"]]
    for name, data in (("root", root), ("leaf", made["certificate"].encode()), ("key", made["private_key"].encode())):
        (tmp_path / name).write_bytes(data + b"\n")
    at = ("-attime", str(int(START.timestamp())))
    chain = ("-CAfile", tmp_path / "root", tmp_path / "leaf")
    identity = ("-vfyopt", ID) if made["private_key_type"] == "sm2" else ()
    assert openssl("verify", *identity, *at, *chain) == f"{tmp_path / 'leaf'}: OK\n".encode()
    other = _load(issuing.get("issue/r", common_name=HOST)["certificate"])
    assert other.serial_number != found.serial_number
    assert openssl("pkey", "-in", tmp_path / "key", "-pubout") == openssl(
        "x509", "-in", tmp_path / "leaf", "-noout", "-pubkey"
    )
    assert issuing.read(f"cert/{made['serial_number']}").data == {
        "certificate": made["certificate"],
        "revocation_time": 0,
        "revocation_time_rfc3339": "",
    }


def test_our_sm2_chain_is_an_anchor_for_bundles():
    mounted = Mounted(Pki(default_kind="sm2"))
    root = mounted.get("root/generate/internal", common_name="Root", ttl="8760h")["certificate"]
    purpose = {"server_flag": False, "client_flag": False, "code_signing_flag": True}
    mounted.get("roles/signer", allow_any_name=True, enforce_hostnames=False, key_type="sm2", **purpose)
    made = mounted.get("issue/signer", common_name="Release signer", ttl="1h")
    key = check_chain([made["certificate"].encode()], root.encode(), now=START)
    assert key == PrivateKey.from_pem(made["private_key"]).public


def test_an_altered_sm2_certificate_is_refused_by_openssl(openssl, tmp_path):
    mounted = Mounted(Pki(default_kind="sm2"))
    (tmp_path / "root").write_text(mounted.get("root/generate/internal", common_name="Root")["certificate"] + "\n")
    mounted.get("roles/r", allow_any_name=True, key_type="sm2")
    data = bytearray(
        _load(mounted.get("issue/r", common_name=HOST, ttl="1h")["certificate"]).public_bytes(
            serialization.Encoding.DER
        )
    )
    data[-1] ^= 1
    (tmp_path / "leaf.der").write_bytes(data)
    openssl("x509", "-inform", "DER", "-in", tmp_path / "leaf.der", "-out", tmp_path / "leaf")
    at = ("-attime", str(int(START.timestamp())))
    files = ("-CAfile", tmp_path / "root", tmp_path / "leaf")
    shown = openssl("verify", "-vfyopt", ID, *at, *files, status=2, with_errors=True)
    assert b"certificate signature failure" in shown


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {},
            'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, '
            'unless "require_cn" is set to false',
        ),
        ({"common_name": "a.other.com"}, "common name a.other.com not allowed by this role"),
        (
            {"common_name": HOST, "alt_names": "b.other.com"},
            "subject alternate name b.other.com not allowed by this role",
        ),
        ({"common_name": HOST, "alt_names": "u@other.com"}, "email address u@other.com not allowed by this role"),
        ({"common_name": HOST, "ip_sans": "x"}, 'the value "x" is not a valid IP address'),
        (
            {"common_name": HOST, "uri_sans": "spiffe://x"},
            "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
        ),
        ({"common_name": HOST, "other_sans": "1.2;UTF8:x"}, "other SAN OID 1.2 not allowed by this role"),
        (
            {"common_name": HOST, "other_sans": "x"},
            "expected an other SAN such as '1.3.6.1.4.1.311.20.2.3;UTF8:name', got 'x'",
        ),
        ({"common_name": HOST, "serial_number": "7"}, "serial_number 7 not allowed by this role"),
        ({"common_name": HOST, "format": "zz"}, 'the "format" path parameter must be "pem", "der", or "pem_bundle"'),
        ({"common_name": HOST, "ttl": -1}, "expected a ttl of 0 or more, got -1"),
        (
            {"common_name": HOST, "not_after": "2040-01-01T00:00:00Z"},
            "cannot satisfy request, as TTL would result in notAfter of 2040-01-01T00:00:00Z that is beyond the "
            "expiration of the CA certificate at 2027-03-01T12:00:00Z",
        ),
    ],
)
def test_what_the_role_does_not_allow_is_refused(ready, fields, message):
    before = dict(ready.records.kept)
    assert ready.refusal("issue/r", **fields) == (400, message)
    assert ready.records.kept == before


def test_roles_allow_more_where_they_say_so(ready):
    more = {"allowed_uri_sans": "spiffe://bank/*", "allowed_other_sans": "1.3.6.1.4.1.311.20.2.3;UTF8:*@bank"}
    ready.get("roles/m", allow_any_name=True, key_type="ec", allowed_serial_numbers="7*", allow_ip_sans=False, **more)
    asked = {"uri_sans": "spiffe://bank/x", "other_sans": "1.3.6.1.4.1.311.20.2.3;UTF8:me@bank", "serial_number": "77"}
    found = _load(ready.get("issue/m", common_name=HOST, **asked)["certificate"])
    names = _value(found, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://bank/x"]
    assert names.get_values_for_type(x509.OtherName)[0].value == b"\x0c\x07me@bank"
    assert found.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)[0].value == "77"
    for fields, message in (
        ({"uri_sans": "spiffe://other"}, "URI Subject Alternative Name spiffe://other not allowed by this role"),
        (
            {"other_sans": "1.3.6.1.4.1.311.20.2.3;UTF8:x"},
            "other SAN x not allowed for OID 1.3.6.1.4.1.311.20.2.3 by this role",
        ),
        (
            {"ip_sans": "::1"},
            "IP Subject Alternative Names are not allowed in this role, but was provided ::1",
        ),
    ):
        assert ready.refusal("issue/m", common_name=HOST, **fields) == (400, message)


def test_extensions_follow_the_role_and_the_mount(ready):
    ready.get(
        "config/urls",
        issuing_certificates="http://ca/ca",
        crl_distribution_points=["http://ca/crl"],
        ocsp_servers="http://o",
    )
    ready.get(
        "roles/x",
        allow_any_name=True,
        key_type="ec",
        key_usage="DigitalSignature",
        server_flag=False,
        client_flag=False,
        code_signing_flag=True,
        ext_key_usage="TimeStamping",
        ext_key_usage_oids="1.2.3.4",
        policy_identifiers="1.2.3.5",
        basic_constraints_valid_for_non_ca=True,
        signature_bits=384,
    )
    found = _load(ready.get("issue/x", common_name=HOST, exclude_cn_from_sans=True)["certificate"])
    assert [oid.dotted_string for oid in _value(found, x509.ExtendedKeyUsage)] == [
        "1.3.6.1.5.5.7.3.3",
        "1.3.6.1.5.5.7.3.8",
        "1.2.3.4",
    ]
    assert _value(found, x509.CertificatePolicies)[0].policy_identifier.dotted_string == "1.2.3.5"
    assert _value(found, x509.BasicConstraints).ca is False
    assert _value(found, x509.CRLDistributionPoints)[0].full_name[0].value == "http://ca/crl"
    assert [place.access_location.value for place in _value(found, x509.AuthorityInformationAccess)] == [
        "http://o",
        "http://ca/ca",
    ]
    assert isinstance(found.signature_hash_algorithm, hashes.SHA384)
    with pytest.raises(x509.ExtensionNotFound):
        _value(found, x509.SubjectAlternativeName)


def test_lifetimes_are_cut_to_the_longest_and_to_the_issuers(ready):
    answer = ready.write("issue/r", common_name=HOST, ttl="100h")
    assert answer.warnings == ('TTL "360000s" is longer than permitted maxTTL "259200s", so maxTTL is being used',)
    assert answer.data["expiration"] == int(START.timestamp()) + 72 * 3600
    ready.pass_time(8760 * 3600 - 3600)
    assert ready.refusal("issue/r", common_name=HOST, ttl="2h")[1].startswith("cannot satisfy request")
    issuer = ready.read("issuer/default").data["issuer_id"]
    end = int(START.timestamp()) + 8760 * 3600
    for behaviour, expected in (("truncate", end), ("permit", end + 3600)):
        ready.get(f"issuer/{issuer}", leaf_not_after_behavior=behaviour)
        assert ready.get("issue/r", common_name=HOST, ttl="2h")["expiration"] == expected


def test_forms_and_storage_follow_request_and_role(ready):
    made = ready.get("issue/r", common_name=HOST, format="pem_bundle")
    labels = [line for line in made["certificate"].splitlines() if line.startswith("-----BEGIN")]
    assert labels == ["-----BEGIN EC PRIVATE KEY-----", *["-----BEGIN CERTIFICATE-----"] * 2]
    ready.get("roles/leased", allow_any_name=True, key_type="ec", generate_lease=True)
    answer = ready.write("issue/leased", common_name=HOST, ttl="1h")
    assert answer.lease == Lease(ttl_s=3600, path=f"lease/{answer.data['serial_number']}")
    ready.get("roles/unkept", allow_any_name=True, key_type="ec", no_store=True, generate_lease=True)
    answer = ready.write("issue/unkept", common_name=HOST)
    assert answer.lease is None
    assert refusal(lambda: ready.read(f"cert/{answer.data['serial_number']}")) == (404, "")


def test_a_csr_gets_its_certificate(issuing, openssl, tmp_path):
    kind = issuing.read("key/default").data["key_type"]
    algorithm = ("-algorithm", "SM2") if kind == "sm2" else ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    openssl("genpkey", *algorithm, "-out", tmp_path / "key")
    digest = ("-sm3", "-sigopt", ID) if kind == "sm2" else ("-sha256",)
    san = ("-addext", f"subjectAltName=DNS:{HOST},DNS:c.example.com")
    subject = ("-subj", f"/O=Theirs/CN={HOST}")
    csr = openssl("req", "-new", "-key", tmp_path / "key", *digest, *subject, *san).decode()
    made = issuing.get("sign/r", csr=csr, common_name="ignored.other.com")
    found = _load(made["certificate"])
    assert found.subject.rfc4514_string() == f"CN={HOST},O=Bank"
    names = _value(found, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName)
    assert names == [HOST, "c.example.com"]
    assert "private_key" not in made
    (tmp_path / "crt").write_text(made["certificate"] + "\n")
    public = openssl("pkey", "-in", tmp_path / "key", "-pubout")
    assert openssl("x509", "-in", tmp_path / "crt", "-noout", "-pubkey") == public
    lines = csr.splitlines()
    lines[-3] = lines[-3][:40] + ("A" if lines[-3][40] != "A" else "B") + lines[-3][41:]
    assert issuing.refusal("sign/r", csr="\n".join(lines)) == (400, "request signature invalid")
    other = "ec" if kind == "sm2" else "sm2"
    issuing.get("roles/other", allow_any_name=True, key_type=other)
    assert issuing.refusal("sign/other", csr=csr) == (400, f"role requires keys of type {other}")


def test_the_role_says_whether_a_csrs_names_count(ready):
    domains = {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "any"}
    ready.get("roles/own", use_csr_common_name=False, use_csr_sans=False, **domains)
    csr = _csr(None, "evil.org", x509.SubjectAlternativeName([x509.DNSName("evil.org")]))
    found = _load(ready.get("sign/own", csr=csr, common_name=HOST, alt_names="b.example.com")["certificate"])
    assert found.subject.rfc4514_string() == f"CN={HOST}"
    names = _value(found, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName)
    assert names == [HOST, "b.example.com"]
    ready.get("roles/theirs", **domains)
    assert ready.refusal("sign/theirs", csr=csr) == (400, "common name evil.org not allowed by this role")
    csr = _csr(None, HOST, x509.SubjectAlternativeName([x509.DNSName("evil.org")]))
    assert ready.refusal("sign/theirs", csr=csr) == (400, "subject alternate name evil.org not allowed by this role")
    refused = (400, 'role key type "any" not allowed for issuing certificates, only signing')
    assert ready.refusal("issue/theirs", common_name=HOST) == refused


def test_csrs_that_are_none_or_weak_are_refused(ready):
    weak = _csr(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    ready.get("roles/any", allow_any_name=True, key_type="any")
    ready.get("roles/strong", allow_any_name=True, key_type="ec", key_bits=384)
    empty = "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n"
    for path, csr, message in (
        ("sign/any", "", '"csr" is empty'),
        ("sign/any", "zz", "csr contains no data"),
        (
            "sign/any",
            _csr(ec.generate_private_key(ec.SECP256K1())),
            "expected an RSA, EC (P-256, P-384, P-521), Ed25519 or SM2 public key, got another kind",
        ),
        ("sign/any", weak, "RSA keys < 2048 bits are unsafe and not supported"),
        ("sign/strong", _csr(), "role requires a minimum of a 384-bit key, but CSR's key is 256 bits"),
        (
            "sign/any",
            empty.format("MAA="),
            "unable to parse certificate request: expected the DER tag 0x30, got the end",
        ),
        (
            "sign/any",
            empty.format("A"),
            "certificate request could not be parsed: expected base64 in the PEM block, got something else",
        ),
        ("sign/any", "x" * 300_000, "expected a csr of at most 262144 characters, got 300000"),
        ("sign/no", _csr(), "unknown role: no"),
    ):
        assert ready.refusal(path, csr=csr) == (400, message)


def test_text_around_a_csr_is_passed_over(ready):
    ready.get("roles/any", allow_any_name=True, key_type="any")
    old = _csr().replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
    for csr in (f"Certificate Request:\n    Data: -\n{_csr()}\ntrailing", old.replace("\n", "\r\n")):
        assert ready.get("sign/any", csr=csr, ttl="1h")["certificate"]


def test_verbatim_keeps_what_the_csr_says_but_makes_no_authority(ready):
    wanted = (
        x509.SubjectAlternativeName([x509.DNSName("any.thing")]),
        x509.BasicConstraints(ca=True, path_length=None),
        x509.KeyUsage(*[False] * 5, True, True, False, False),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"),
    )
    csr = _csr(None, "Anyone at all", *wanted)
    found = _load(ready.get("sign-verbatim", csr=csr, ttl="1h")["certificate"])
    assert found.subject.rfc4514_string() == "CN=Anyone at all,O=Theirs"
    assert _value(found, x509.SubjectAlternativeName).get_values_for_type(x509.DNSName) == ["any.thing"]
    assert found.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.2.3.4.5")).value.value == b"\x05\x00"
    with pytest.raises(x509.ExtensionNotFound):
        _value(found, x509.BasicConstraints)
    usage = _value(found, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (False, False, True)
    found = _load(ready.get("sign-verbatim/r", csr=csr, ext_key_usage="ServerAuth", ttl="100h")["certificate"])
    assert list(_value(found, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert (found.not_valid_after_utc - START).total_seconds() == 72 * 3600


def test_an_sm2_key_that_we_make_is_the_certificates():
    mounted = Mounted(Pki(default_kind="rsa"))
    mounted.get("root/generate/internal", common_name="Root")
    mounted.get("roles/r", allow_any_name=True, key_type="sm2")
    made = mounted.get("issue/r", common_name=HOST, ttl="1h")
    key = PrivateKey.from_pem(made["private_key"])
    assert key.public.der() in _load(made["certificate"]).public_bytes(serialization.Encoding.DER)
    assert made["private_key_type"] == "sm2"


def test_issuers_can_be_named_in_the_path_and_the_role(ready):
    two = ready.get("root/generate/internal", common_name="Two", issuer_name="two", ttl="900h")
    for path in ("issuer/two/issue/r", "issuer/two/sign-verbatim", "issuer/two/sign/r"):
        fields = {"common_name": HOST} if "issue/" in path else {"csr": _csr()}
        made = ready.get(path, ttl="1h", **fields)
        assert made["issuing_ca"] == two["certificate"]
    ready.get("roles/two", issuer_ref="two", allow_any_name=True, key_type="ec")
    assert ready.get("issue/two", common_name=HOST, ttl="1h")["issuing_ca"] == two["certificate"]
    ready.get("issuer/two", usage="read-only")
    refused = (
        400,
        f"requested usage issuing-certificates for issuer {two['issuer_id']} but only had usage read-only",
    )
    assert ready.refusal("issue/two", common_name=HOST, ttl="1h") == refused
    ready.delete("root")
    refused = (
        400,
        "could not fetch the CA certificate (was one set?): no default issuer currently configured",
    )
    assert ready.refusal("issue/r", common_name=HOST) == refused


def test_roles_are_written_patched_listed_and_forgotten(ready):
    assert ready.list("roles") == ["r"]
    assert ready.refusal("issue/no", common_name=HOST) == (400, "unknown role: no")
    ready.ask("patch", "roles/r", {"allow_bare_domains": True})
    told = ready.read("roles/r").data
    assert (told["allow_bare_domains"], told["allow_subdomains"]) == (True, True)
    ready.get("roles/r", key_type="ec")
    assert ready.read("roles/r").data["allow_subdomains"] is False
    refused = refusal(lambda: ready.ask("patch", "roles/no", {}))
    assert refused == (404, "unable to fetch role entry to patch")
    assert ready.refusal("roles/bad!") == (404, "unsupported path")
    ready.delete("roles/r")
    ready.delete("roles/r")
    assert refusal(lambda: ready.read("roles/r")) == refusal(lambda: ready.list("roles")) == (404, "")
