"""Revocation, lists, tidying, and what everyone may read."""

import base64

import pytest
from cryptography import x509
from engines import START, Mounted, refusal

from keystore.engines.pki.engine import Pki

ID = "distid:1234567812345678"
HOST = "a.example.com"
NOW = int(START.timestamp())


@pytest.fixture(params=["ec", "sm2"])
def ready(request):
    mounted = Mounted(Pki(default_kind=request.param))
    mounted.get("root/generate/internal", common_name="Root", ttl="8760h")
    mounted.get("roles/r", allow_any_name=True, key_type="ec")
    return mounted


def _issue(mounted, ttl="10h"):
    return mounted.get("issue/r", common_name=HOST, ttl=ttl)["serial_number"]


def _list(mounted):
    return x509.load_der_x509_crl(mounted.read("crl").raw.body)


def _serials(found):
    return {entry.serial_number.to_bytes(20, "big").lstrip(b"\0").hex(":") for entry in found}


def test_what_is_revoked_is_on_the_list(ready):
    before = _list(ready)
    assert (list(before), _number(before)) == ([], 1)
    kept, gone = _issue(ready), _issue(ready)
    ready.pass_time(60)
    made = ready.get("revoke", serial_number=gone)
    time = {"revocation_time": NOW + 60, "revocation_time_rfc3339": "2026-03-01T12:01:00Z"}
    assert made == {**time, "state": "revoked"}
    ready.pass_time(60)
    assert ready.get("revoke", serial_number=gone.replace(":", "-").upper()) == made
    found = _list(ready)
    assert _serials(found) == {gone}
    assert _number(found) == 2
    assert next(iter(found)).revocation_date_utc.timestamp() == NOW + 60
    assert found.next_update_utc.timestamp() == NOW + 60 + 72 * 3600
    told = ready.read(f"cert/{gone}").data
    assert {name: told[name] for name in time} == time
    assert ready.list("certs/revoked") == [gone]
    assert ready.read(f"cert/{kept}").data["revocation_time"] == 0


def _number(found):
    return found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_openssl_reads_the_list_and_its_signature(ready, openssl, tmp_path):
    gone = _issue(ready)
    ready.get("revoke", serial_number=gone)
    (tmp_path / "crl").write_bytes(ready.read("crl/pem").raw.body)
    (tmp_path / "root").write_bytes(ready.read("ca/pem").raw.body)
    text = openssl("crl", "-in", tmp_path / "crl", "-noout", "-text").decode()
    assert gone.replace(":", "").upper() in text
    if ready.read("key/default").data["key_type"] == "ec":
        files = ("crl", "-in", tmp_path / "crl", "-noout", "-CAfile", tmp_path / "root")
        assert b"verify OK" in openssl(*files, with_errors=True)
        return
    # OpenSSL 3.0 has no way to give the id for a list: the signature is checked over its signed part.
    (tmp_path / "der").write_bytes(ready.read("crl").raw.body)
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    found = x509.load_der_x509_crl((tmp_path / "der").read_bytes())
    signed.write_bytes(found.tbs_certlist_bytes)
    signature.write_bytes(found.signature)
    assert b"SM2-with-SM3" in openssl("asn1parse", "-inform", "DER", "-in", tmp_path / "der")
    (tmp_path / "public").write_bytes(openssl("x509", "-in", tmp_path / "root", "-noout", "-pubkey"))
    verify = ("dgst", "-sm3", "-verify", tmp_path / "public", "-sigopt", ID, "-signature", signature, signed)
    assert openssl(*verify) == b"Verified OK\n"


def test_what_cannot_be_revoked_is_refused(ready):
    root = ready.list("certs")[0]
    for fields, message in (
        ({}, "The serial number or certificate to revoke must be provided."),
        ({"serial_number": "aa:bb"}, "certificate with serial aa:bb not found."),
        ({"serial_number": "zz"}, "certificate with serial zz not found."),
        ({"certificate": "zz"}, "certificate could not be parsed: expected one PEM block 'CERTIFICATE'"),
        (
            {"serial_number": root},
            f"adding issuer (id: {ready.read('config/issuers').data['default']}) to its own CRL is not allowed",
        ),
    ):
        assert ready.refusal("revoke", **fields) == (400, message)
    gone = _issue(ready, "1h")
    ready.pass_time(3600)
    refused = (
        400,
        f"certificate with serial {gone} already expired at 2026-03-01T13:00:00Z; refusing to add to CRL",
    )
    assert ready.refusal("revoke", serial_number=gone) == refused
    ready.get("config/crl", allow_expired_cert_revocation=True)
    ready.get("revoke", serial_number=gone)


def test_a_certificate_that_is_not_kept_is_revoked_by_itself(ready):
    ready.get("roles/unkept", allow_any_name=True, key_type="ec", no_store=True)
    made = ready.get("issue/unkept", common_name=HOST, ttl="1h")
    assert ready.refusal("revoke", serial_number=made["serial_number"])[0] == 400
    ready.get("revoke", certificate=made["certificate"] + "\n")
    assert _serials(_list(ready)) == {made["serial_number"]}
    stranger = Mounted(Pki(default_kind="ec"))
    stranger.get("root/generate/internal", common_name="Root")
    stranger.get("roles/r", allow_any_name=True, key_type="ec")
    theirs = stranger.get("issue/r", common_name=HOST, ttl="1h")
    refused = (400, f"certificate with serial {theirs['serial_number']} was issued by no issuer of this mount")
    assert ready.refusal("revoke", certificate=theirs["certificate"]) == refused


def test_the_end_of_a_lease_revokes(ready):
    gone = _issue(ready)
    assert ready.delete(f"lease/{gone}").data["state"] == "revoked"
    assert _serials(_list(ready)) == {gone}
    ready.pass_time(11 * 3600)
    late = _issue(ready, "1h")
    ready.pass_time(3600)
    assert ready.delete(f"lease/{late}").data is None
    assert ready.delete("lease/aa:bb").data is None
    assert ready.list("certs/revoked") == [gone]


def test_lists_are_made_anew_on_demand_and_before_they_are_over(ready):
    ready.get("config/crl", expiry="2h")
    assert ready.read("crl/rotate").data == {"success": True}
    assert _number(_list(ready)) == 2
    ready.pass_time(7199)
    assert _number(_list(ready)) == 2
    ready.pass_time(1)
    assert _number(_list(ready)) == 3
    gone = _issue(ready)
    ready.get("revoke", serial_number=gone)
    ready.get("config/crl", disable=True)
    ready.read("crl/rotate")
    assert _serials(_list(ready)) == set()
    for fields, message in (
        ({"expiry": "zz"}, 'given expiry could not be decoded: time: invalid duration "zz"'),
        ({"expiry": "0s"}, 'given expiry could not be decoded: time: invalid duration "0s"'),
        ({"enable_delta": True}, "enable_delta is not supported: expected False"),
    ):
        assert ready.refusal("config/crl", **fields) == (400, message)
    assert ready.read("config/crl").data["expiry"] == "2h"


def test_an_intermediate_is_revoked_on_its_roots_list(ready):
    csr = ready.get("intermediate/generate/internal", common_name="Sub")["csr"]
    made = ready.get("root/sign-intermediate", csr=csr, common_name="Sub", ttl="100h")
    sub = ready.get("intermediate/set-signed", certificate=made["certificate"])["imported_issuers"][0]
    leaf = ready.get(f"issuer/{sub}/issue/r", common_name=HOST, ttl="1h")
    told = ready.get(f"issuer/{sub}/revoke")
    assert (told["revoked"], told["revocation_time"]) == (True, NOW)
    assert "issuing-certificates" not in told["usage"]
    assert _serials(_list(ready)) == {made["serial_number"]}
    assert ready.get(f"issuer/{sub}/revoke")["revocation_time"] == NOW
    ready.get("revoke", serial_number=leaf["serial_number"])
    below = x509.load_der_x509_crl(ready.read(f"issuer/{sub}/crl/der").raw.body)
    assert _serials(below) == {leaf["serial_number"]}
    assert ready.read(f"issuer/{sub}/crl").data["crl"].startswith("-----BEGIN X509 CRL-----")


def test_tidy_forgets_what_is_over(ready):
    gone, kept = _issue(ready, "1h"), _issue(ready, "100h")
    ready.get("revoke", serial_number=gone)
    assert ready.read("tidy-status").data["state"] == "Inactive"
    ready.pass_time(2 * 3600)
    ready.write("tidy", tidy_cert_store=True, tidy_revoked_certs=True)
    assert len(ready.list("certs")) == 3
    answer = ready.write("tidy", tidy_cert_store=True, tidy_revoked_certs=True, safety_buffer="1h")
    assert (answer.status, answer.data) == (202, None)
    assert len(ready.list("certs")) == 3
    ready.pass_time(1)
    ready.write("tidy", tidy_cert_store=True, tidy_revoked_certs=True, safety_buffer="1h")
    assert (gone in ready.list("certs"), kept in ready.list("certs")) == (False, True)
    assert refusal(lambda: ready.list("certs/revoked")) == (404, "")
    assert _serials(_list(ready)) == set()
    told = ready.read("tidy-status").data
    assert (told["state"], told["cert_store_deleted_count"], told["revoked_cert_deleted_count"]) == ("Finished", 1, 1)
    assert ready.refusal("tidy", safety_buffer=-1) == (400, "safety_buffer must be greater than zero")


def test_what_everyone_may_read_has_the_forms_of_the_api(ready):
    serial = _issue(ready)
    pem = ready.read("ca/pem").raw
    root = x509.load_pem_x509_certificate(pem.body)
    assert pem.media_type == "application/pem-certificate-chain"
    assert ready.read("ca").raw.body == base64.b64decode("".join(pem.body.decode().splitlines()[1:-1]))
    assert ready.read("ca_chain").raw.body == pem.body == ready.read("cert/ca/raw/pem").raw.body
    assert ready.read("cert/ca").data["certificate"] + "\n" == pem.body.decode()
    assert ready.read("cert/ca_chain").data["ca_chain"] + "\n" == pem.body.decode()
    assert ready.read("cert/crl").data["certificate"] + "\n" == ready.read("crl/pem").raw.body.decode()
    leaf = x509.load_der_x509_certificate(ready.read(f"cert/{serial}/raw").raw.body)
    assert leaf.issuer == root.subject
    assert x509.load_pem_x509_certificate(ready.read(f"cert/{serial}/raw/pem").raw.body) == leaf
    for form in ("pem", "der"):
        assert ready.read(f"issuer/default/{form}").raw.body
    assert ready.read("issuer/default/json").data["ca_chain"] == [pem.body.decode().strip()]
    assert refusal(lambda: ready.read("cert/no")) == (404, "")
    for path in ("ca", "ca/pem", "ca_chain", "crl", "crl/pem", f"cert/{serial}", "cert/ca/raw/pem", "issuer/x/crl/der"):
        assert ready.engine.is_open(path)
        assert refusal(lambda path=path: ready.delete(path)) == (405, "unsupported operation")
    for path in (
        "certs",
        "crl/rotate",
        "roles/ca",
        "issuer/x",
        "key/ca",
        "config/urls",
        "cert/a/b",
        "ca/pem/x",
        "lease/aa",
    ):
        assert not ready.engine.is_open(path)


def test_urls_are_kept(ready):
    empty = {"issuing_certificates": [], "crl_distribution_points": [], "ocsp_servers": []}
    unused = {"delta_crl_distribution_points": [], "enable_templating": False}
    assert ready.read("config/urls").data == {**empty, **unused}
    told = ready.get("config/urls", crl_distribution_points="http://a/crl,ldap://b/x")
    assert told == {**empty, **unused, "crl_distribution_points": ["http://a/crl", "ldap://b/x"]}
    told = ready.get("config/urls", ocsp_servers=["http://o"])
    assert (told["crl_distribution_points"], told["ocsp_servers"]) == (["http://a/crl", "ldap://b/x"], ["http://o"])
    for fields, message in (
        (
            {"issuing_certificates": "no url"},
            "invalid URL found in Authority Information Access (AIA) parameter issuing_certificates: no url",
        ),
        ({"enable_templating": True}, "enable_templating is not supported: expected False"),
    ):
        assert ready.refusal("config/urls", **fields) == (400, message)
