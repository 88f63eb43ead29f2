"""Who may vouch for a bundle: keys, certificates, root documents; what the signatures say."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles import (
    CERTIFICATE,
    EDWARDS,
    EXPIRED,
    LEAF,
    NIST,
    NOBODY,
    OFFICER,
    RELEASE,
    ROOT,
    ROTATED,
    SECOND,
    SIGNER,
    STRANGER,
    SUB,
    signed_again,
    small_bundle,
    small_manifest,
    with_head,
)
from trusted import revocation_list, root_document

from bundler.anchors import RootAnchor, choose_anchors, parse_anchor, read_trust
from bundler.archive import read_head
from bundler.attest import check_carried, sign
from bundler.errors import IntegrityError, TrustError
from bundler.model.manifest import format_manifest
from bundler.model.trust import PAGE_BYTES, TrustDocument, parse_trust
from bundler.verify import Policy, VerifiedBundle, verify
from keystore.envelope import parse_envelope, sign_envelope

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BUNDLE = small_bundle()


def checked(data: bytes, tmp_path: Path, *trusted: object, **policy: object) -> VerifiedBundle:
    (tmp_path / "x.tar").write_bytes(data)
    anchors = tuple(parse_anchor(one, "here") if isinstance(one, bytes) else one for one in trusted)
    return verify(tmp_path / "x.tar", Policy(trusted=anchors, **policy), now=NOW)  # type: ignore[arg-type]


def refused(data: bytes, tmp_path: Path, *trusted: object, **policy: object) -> TrustError:
    with pytest.raises(TrustError) as caught:
        checked(data, tmp_path, *trusted, **policy)
    return caught.value


def test_a_root_document_counts_its_release_keys(tmp_path: Path) -> None:
    data = signed_again(BUNDLE, SECOND, SIGNER, roots=(ROOT,), revocations=NOBODY)
    attested = checked(data, tmp_path, ROOT).attested
    assert {key.keyid for key in attested.signers} == {SIGNER.keyid, SECOND.keyid}
    assert attested.key == attested.detached == SECOND.public
    assert (attested.speaker.source, attested.revocations.version) == ("root", 1)


def test_a_root_document_is_followed_as_it_rotates_and_the_newest_is_kept(tmp_path: Path) -> None:
    moved = root_document(3, [STRANGER], [NIST], by=[STRANGER])
    data = signed_again(BUNDLE, NIST, roots=(ROOT, ROTATED, moved), revocations=revocation_list(4, [], [STRANGER]))
    verified = checked(data, tmp_path, ROOT)
    assert verified.key == NIST.public
    (kept,) = verified.attested.kept
    assert isinstance(kept, RootAnchor)
    assert (kept.root.version, kept.document) == (3, moved)
    # A key that was rotated out signs no more.
    old = signed_again(BUNDLE, SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY)
    keyids = ", ".join(sorted((SIGNER.keyid[:16], SECOND.keyid[:16])))
    assert str(refused(old, tmp_path, moved)) == (
        f"ferry.json.dsse: expected signatures by 1 of the release role's keys, got signatures by {keyids}"
    )


def test_a_certificate_leads_to_its_signer(tmp_path: Path) -> None:
    data = signed_again(BUNDLE, SIGNER, certificates=(LEAF, SUB))
    attested = checked(data, tmp_path, CERTIFICATE).attested
    assert (attested.signers, attested.speaker.source) == ((SIGNER.public,), "certificate")
    assert attested.kept == (parse_anchor(CERTIFICATE, "here"),)


def test_a_bundle_without_certificates_says_so_to_who_trusts_one(tmp_path: Path) -> None:
    assert str(refused(BUNDLE, tmp_path, CERTIFICATE)) == (
        "ferry.trust.json: chain: expected 1 to 8 certificates below the anchor, got 0"
    )


@pytest.mark.parametrize("key", [EDWARDS, NIST], ids=["ed25519", "ecdsa-p256-sha256"])
def test_a_site_without_sm2_signs_and_verifies_with_another_scheme(key: object, tmp_path: Path) -> None:
    data = signed_again(BUNDLE, key)  # type: ignore[arg-type]
    verified = checked(data, tmp_path, key.public)  # type: ignore[attr-defined]
    assert (verified.key, verified.attested.detached) == (key.public, key.public)  # type: ignore[attr-defined]


@pytest.mark.parametrize("trusted", [SIGNER, EDWARDS, NIST], ids=["sm2", "ed25519", "p256"])
def test_whoever_is_trusted_of_several_signers_will_do(trusted: object, tmp_path: Path) -> None:
    data = signed_again(BUNDLE, EDWARDS, SIGNER, NIST)
    attested = checked(data, tmp_path, trusted.public).attested  # type: ignore[attr-defined]
    assert attested.signers == attested.kept == (trusted.public,)  # type: ignore[attr-defined]
    assert attested.detached == (SIGNER.public if trusted is SIGNER else None)


def test_the_policy_says_which_schemes_it_demands(tmp_path: Path) -> None:
    both = signed_again(BUNDLE, SIGNER, EDWARDS)
    keys = (SIGNER.public, EDWARDS.public)
    assert len(checked(both, tmp_path, *keys, demands=("sm2-sm3", "ed25519")).attested.signers) == 2
    mixed = signed_again(BUNDLE, SIGNER, EDWARDS, roots=(ROOT,), revocations=NOBODY)
    assert checked(mixed, tmp_path, ROOT, demands=()).attested.signers
    assert checked(mixed, tmp_path, ROOT, algorithm="sha256").attested.signers
    assert str(refused(mixed, tmp_path, ROOT)) == (
        f"ferry.json.dsse: expected sm2-sm3 signatures by 2 of the release role's keys, got 1 ({SIGNER.keyid[:16]})"
    )


def test_keys_that_are_named_one_by_one_are_alternatives_in_the_gm_profile_too(tmp_path: Path) -> None:
    data = signed_again(BUNDLE, EDWARDS)
    assert checked(data, tmp_path, SIGNER.public, EDWARDS.public).key == EDWARDS.public


def test_of_several_anchors_one_will_do_and_all_refusals_are_told(tmp_path: Path) -> None:
    assert checked(BUNDLE, tmp_path, ROOT, CERTIFICATE, SIGNER.public).attested.speaker.source == "key"
    assert str(refused(BUNDLE, tmp_path, ROOT, STRANGER.public)) == (
        "ferry.json.dsse: expected a signature by a trusted key, none fits:\n"
        "  ferry.trust.json: revocations version 0: expected signatures by 1 of the root role's keys, got 0\n"
        f"  ferry.json.dsse: expected a signature by a trusted key, got signatures by {SIGNER.keyid[:16]}"
    )


def test_an_older_list_of_revoked_keys_is_refused_unless_accepted(tmp_path: Path) -> None:
    error = refused(BUNDLE, tmp_path, SIGNER.public, oldest_revocations={SIGNER.keyid: 1})
    assert str(error) == ("ferry.trust.json: revocations: expected revocations of version 1 or later, got version 0")
    assert error.hint == (
        "an older list may hide that a key was lost: carry a bundle with the newer one; to take it all the same: "
        "--accept-older-revocations"
    )
    assert checked(BUNDLE, tmp_path, SIGNER.public, oldest_revocations={SIGNER.keyid: 1}, accept_older_revocations=True)


def test_a_plain_key_knows_the_list_that_came_with_a_root_document(tmp_path: Path) -> None:
    listed = revocation_list(7, [STRANGER], [OFFICER])
    data = signed_again(BUNDLE, SIGNER, SECOND, roots=(ROOT,), revocations=listed)
    assert checked(data, tmp_path, SIGNER.public).attested.revocations.version == 7


def test_a_statement_with_another_predicate_is_believed(tmp_path: Path) -> None:
    head = read_head(io.BytesIO(BUNDLE))
    found = parse_envelope(head.envelope)
    statement = json.loads(found.payload)
    later = {**statement, "predicateType": "https://example.org/later", "predicate": {"a": 1.5}, "more": []}
    later["subject"][0]["digest"]["sha512"] = "0" * 128
    envelope = sign_envelope(found.payload_type, json.dumps(later).encode(), [SIGNER])
    assert checked(with_head(BUNDLE, envelope=envelope), tmp_path, SIGNER.public)
    for spoiled in (
        {**statement, "_type": "https://in-toto.io/Statement/v9"},
        {**statement, "subject": []},
        {**statement, "subject": [{"name": ["ferry.json"], "digest": 1}, 7, *statement["subject"][1:]]},
        {**statement, "subject": statement["subject"][:1]},
    ):
        envelope = sign_envelope(found.payload_type, json.dumps(spoiled).encode(), [SIGNER])
        assert refused(with_head(BUNDLE, envelope=envelope), tmp_path, SIGNER.public).place == "ferry.json.dsse"


def test_the_provenance_follows_from_the_manifest() -> None:
    manifest, _ = small_manifest([b"one"])
    item = replace(manifest.items[0], source=(("sdist", "one.tar.gz"),), lineage=("pkg:pypi/one@1",))
    manifest = replace(manifest, items=(item,))
    data = format_manifest(manifest)
    first, again = sign(data, SIGNER, EDWARDS), sign(data, SIGNER, EDWARDS)
    assert first == again
    predicate = json.loads(parse_envelope(first[1]).payload)["predicate"]
    assert predicate["buildDefinition"]["resolvedDependencies"] == [
        {
            "name": "data/0",
            "uri": "pkg:generic/data/0@1",
            "digest": {"sha256": item.descriptor.sha256, "sm3": item.descriptor.sm3},
            "mediaType": "application/octet-stream",
            "annotations": {
                "kind": "file",
                "source": {"sdist": "one.tar.gz"},
                "lineage": ["pkg:pypi/one@1"],
            },
        }
    ]
    assert predicate["buildDefinition"]["externalParameters"]["lock"]["digest"]["sha256"] == manifest.lock_sha256
    assert predicate["runDetails"]["builder"]["version"] == {"ferry": "0.1.0"}
    assert predicate["runDetails"]["metadata"] == {
        "startedOn": "2026-01-01T00:00:00Z",
        "finishedOn": "2026-01-01T00:00:00Z",
    }


def test_envelope_and_trust_entry_leave_room_for_signatures() -> None:
    head = read_head(io.BytesIO(BUNDLE))
    for data in (head.envelope, head.trust):
        assert len(data) % PAGE_BYTES == 0
        assert len(data) - len(data.rstrip(b" ")) >= 4096


def test_a_detached_signature_that_no_signer_made_is_refused(tmp_path: Path) -> None:
    class Confused:
        """Signs right but for the first time."""

        public, keyid, calls = SIGNER.public, SIGNER.keyid, 0

        def sign(self, message: bytes) -> bytes:
            self.calls += 1
            return SIGNER.sign(b"other" if self.calls == 1 else message)

    assert str(refused(signed_again(BUNDLE, Confused()), tmp_path, SIGNER.public)) == (
        "ferry.json.sig: expected a detached signature by one of the keys that signed the envelope, "
        "got none that verifies"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: b"[]", "expected an object, got an array"),
        (lambda text: text.replace(b"ferry/trust/v1", b"ferry/trust/v9"), "expected 'ferry/trust/v1'"),
        (lambda text: text.replace(b'{"certificates"', b'{ "certificates"'), "expected canonical JSON"),
        (lambda text: text + b"\n", "expected canonical JSON"),
        (lambda text: text.replace(b'"roots":[]', b'"roots":[7]'), "roots[0]: expected an object"),
        (lambda text: text.replace(b'"certificates":[]', b'"certificates":[7]'), "expected a certificate in PEM"),
        (lambda text: b'{"format":' + b"[" * 100_000, "expected a JSON object"),
    ],
)
def test_a_trust_entry_has_one_form(change: object, says: str) -> None:
    text = read_head(io.BytesIO(BUNDLE)).trust.rstrip(b" ")
    with pytest.raises(IntegrityError) as caught:
        parse_trust(change(text))  # type: ignore[operator]
    assert says in str(caught.value)


def test_a_later_field_of_the_trust_entry_is_allowed() -> None:
    text = read_head(io.BytesIO(BUNDLE)).trust.rstrip(b" ")
    assert parse_trust(text[:-1] + b',"sometime":{}}   ') == parse_trust(text)


def test_a_build_refuses_what_no_verifier_would_follow() -> None:
    carried = TrustDocument(roots=(ROOT,), revocations=NOBODY, certificates=())
    check_carried(carried, [SIGNER, SECOND])
    check_carried(None, [STRANGER])
    for changed, signer, says in (
        ({}, STRANGER, "expected a key of the release role of root document version 1, got another"),
        ({"revocations": revocation_list(2, [SIGNER], [OFFICER])}, SIGNER, "got one that is (laptop stolen)"),
        ({"revocations": revocation_list(2, [], [SIGNER])}, SIGNER, "of the root role's keys, got 0"),
        ({"roots": (ROOT, root_document(3, [OFFICER], RELEASE))}, SIGNER, "expected version 2, got 3"),
    ):
        with pytest.raises(TrustError) as caught:
            check_carried(replace(carried, **changed), [signer])  # type: ignore[arg-type]
        assert says in str(caught.value)


def test_anchors_are_read_and_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "anchor"
    for data, says in (
        (root_document(1, [OFFICER], [SIGNER], by=[STRANGER]), "signatures by 1 of the root role's keys, got 0"),
        (CERTIFICATE + SUB, "expected one root certificate, got 2"),
        (b" " * (1024 * 1024 + 1), "expected a file of at most 1048576 bytes, got more"),
        (b"{}", "expected this field, got none"),
    ):
        path.write_bytes(data)
        with pytest.raises(TrustError) as caught:
            read_trust(path)
        assert says in str(caught.value)
        assert str(caught.value).startswith(f"{path}: ")


def test_a_root_document_that_the_host_knows_decides_alone() -> None:
    key, root, other = SIGNER.public, parse_anchor(ROOT, "a"), parse_anchor(EXPIRED, "b")
    assert choose_anchors((), (key,), place="/etc") == (key,)
    assert choose_anchors((root,), (key,), place="/etc") == (root,)
    assert choose_anchors((other,), (root,), place="/etc") == (root,)
    with pytest.raises(TrustError) as caught:
        choose_anchors((key,), (root,), place="/etc/ferry/trust")
    assert str(caught.value) == "--trust: expected no key or certificate, this host trusts a root document"
    assert caught.value.hint == "leave out --trust; to begin anew, remove /etc/ferry/trust/root.json"
