"""The PKI engine, asked by hvac with every method of its PKI class."""

import uuid

import pytest
from cryptography import x509
from hvac.exceptions import InvalidPath, InvalidRequest


@pytest.fixture
def pki(vault):
    return vault.secrets.pki


def _load(pem):
    return x509.load_pem_x509_certificate(pem.encode())


def _root(pki, **params):
    name = f"root-{uuid.uuid4().hex[:8]}"
    made = pki.generate_root("internal", name, {"ttl": "8760h", "key_type": "ec", "issuer_name": name, **params})
    pki._adapter.post("/v1/pki/config/issuers", json={"default": name})
    return made["data"]


def _role(pki, name, **params):
    fields = {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec", "max_ttl": "72h"}
    pki.create_or_update_role(name, {**fields, **params})


def test_a_root_issues_revokes_and_publishes(pki):
    root = _root(pki)
    _role(pki, "web")
    assert pki.read_role("web")["data"]["allow_subdomains"] is True
    assert "web" in pki.list_roles()["data"]["keys"]
    params = {"ttl": "1h", "alt_names": "b.example.com", "ip_sans": "10.1.2.3"}
    made = pki.generate_certificate("web", "a.example.com", params)["data"]
    leaf = _load(made["certificate"])
    leaf.verify_directly_issued_by(_load(root["certificate"]))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.com", "b.example.com"]
    assert made["ca_chain"] == [root["certificate"]]
    assert pki.read_certificate(made["serial_number"])["data"]["certificate"].strip() == made["certificate"].strip()
    assert made["serial_number"] in pki.list_certificates()["data"]["keys"]
    assert pki.read_ca_certificate().strip() == root["certificate"].strip()
    assert root["certificate"].strip() in pki.read_ca_certificate_chain()
    revoked = pki.revoke_certificate(made["serial_number"])["data"]
    assert revoked["revocation_time"] > 0
    found = x509.load_pem_x509_crl(pki.read_crl().encode())
    assert found.get_revoked_certificate_by_serial_number(leaf.serial_number) is not None
    assert found.is_signature_valid(_load(root["certificate"]).public_key())
    assert pki.rotate_crl()["data"]["success"] is True
    pki.delete_role("web")
    with pytest.raises(InvalidPath):
        pki.read_role("web")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("a.other.com", {}, "common name a.other.com not allowed by this role"),
        ("a.example.com", {"alt_names": "b.other.com"}, "subject alternate name b.other.com not allowed by this role"),
        ("a.example.com", {"ip_sans": "x"}, 'the value "x" is not a valid IP address'),
        (
            "a.example.com",
            {"uri_sans": "spiffe://x"},
            "URI Subject Alternative Names are not allowed in this role, but were provided via the API",
        ),
    ],
)
def test_what_a_role_does_not_allow_is_told(pki, name, params, message):
    _root(pki)
    _role(pki, "strict")
    with pytest.raises(InvalidRequest) as refused:
        pki.generate_certificate("strict", name, params)
    assert refused.value.errors == [message]


def test_an_intermediate_is_made_signed_and_set(pki):
    root = _root(pki)
    csr = pki.generate_intermediate("internal", "Sub CA", {"key_type": "ec"})["data"]["csr"]
    made = pki.sign_intermediate(csr, "Sub CA", {"ttl": "100h"})["data"]
    _load(made["certificate"]).verify_directly_issued_by(_load(root["certificate"]))
    taken = pki.set_signed_intermediate(made["certificate"])["data"]
    issuer = taken["imported_issuers"][0]
    assert taken["mapping"][issuer]
    assert issuer in pki.list_issuers()["data"]["keys"]
    told = pki.read_issuer(issuer)["data"]
    assert [pem.strip() for pem in told["ca_chain"]] == [made["certificate"].strip(), root["certificate"].strip()]
    pki.update_issuer(issuer, {"issuer_name": f"sub-{issuer[:8]}"})
    assert pki.read_issuer(f"sub-{issuer[:8]}")["data"]["issuer_id"] == issuer
    assert pki.revoke_issuer(issuer)["data"]["revoked"] is True
    pki.delete_issuer(issuer)
    assert issuer not in pki.list_issuers()["data"]["keys"]


def test_requests_are_signed_by_role_and_verbatim(pki):
    root = _root(pki)
    _role(pki, "any", allow_any_name=True, enforce_hostnames=False, key_type="any")
    csr = pki.generate_intermediate("internal", "host.example.com", {"key_type": "ec"})["data"]["csr"]
    for made in (
        pki.sign_certificate("any", csr, "host.example.com", {"ttl": "1h"}),
        pki.sign_verbatim(csr, name="any", extra_params={"ttl": "1h"}),
    ):
        found = _load(made["data"]["certificate"])
        found.verify_directly_issued_by(_load(root["certificate"]))
        assert found.subject.rfc4514_string() == "CN=host.example.com"
        with pytest.raises(x509.ExtensionNotFound):
            found.extensions.get_extension_for_class(x509.BasicConstraints)


def test_settings_are_kept_and_the_rest_is_tidied(pki):
    _root(pki)
    pki.set_urls({"crl_distribution_points": ["http://ca.example/crl"], "issuing_certificates": "http://ca.example/ca"})
    told = pki.read_urls()["data"]
    assert told["crl_distribution_points"] == ["http://ca.example/crl"]
    assert told["issuing_certificates"] == ["http://ca.example/ca"]
    pki.set_crl_configuration(expiry="24h", disable=False)
    assert pki.read_crl_configuration()["data"]["expiry"] == "24h"
    assert pki.tidy({"tidy_cert_store": True, "tidy_revoked_certs": True}).status_code == 202


def test_what_others_made_is_taken_and_all_is_forgotten(pki):
    made = pki.generate_root("exported", "Exported Root", {"ttl": "900h", "key_type": "ec"})["data"]
    pki.delete_root()
    with pytest.raises(InvalidPath):
        pki.list_issuers()
    pki.submit_ca_information(made["certificate"] + "\n" + made["private_key"])
    assert pki.read_ca_certificate().strip() == made["certificate"].strip()
    other = pki.generate_root("internal", "Other Root", {"ttl": "900h", "key_type": "ec"})["data"]
    crossed = pki.sign_self_issued(other["certificate"])["data"]
    _load(crossed["certificate"]).verify_directly_issued_by(_load(made["certificate"]))


def test_sm2_is_a_type_like_others(ours):
    pki = ours.secrets.pki
    _root(pki, key_type="sm2")
    _role(pki, "gm", key_type="sm2")
    made = pki.generate_certificate("gm", "a.example.com", {"ttl": "1h"})["data"]
    assert made["private_key_type"] == "sm2"
    found = _load(made["certificate"])
    assert found.signature_algorithm_oid.dotted_string == "1.2.156.10197.1.501"
    pki.revoke_certificate(made["serial_number"])
    listed = x509.load_pem_x509_crl(pki.read_crl().encode())
    assert listed.get_revoked_certificate_by_serial_number(found.serial_number) is not None


def test_certificates_and_lists_are_read_without_a_token(vault, pki):
    root = _root(pki)
    _role(pki, "open")
    serial = pki.generate_certificate("open", "a.example.com", {"ttl": "1h"})["data"]["serial_number"]
    token, vault.token = vault.token, None
    try:
        assert pki.read_ca_certificate().strip() == root["certificate"].strip()
        assert pki.read_crl().startswith("-----BEGIN X509 CRL-----")
        assert pki.read_certificate(serial)["data"]["revocation_time"] == 0
    finally:
        vault.token = token
